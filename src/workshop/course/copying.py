"""`workshop copy FOLDER`: a learner's own copy of the course, on a server where the kit itself is read-only.

Repeated after an update of the kit, it brings the update to the copy. Nothing that the learner wrote is lost:

- A file that the learner has not changed is replaced.
- A changed file of `exercises/` stays. `reset("5.1")` gives the new one.
- Any other changed file, for example a notebook with outputs, moves to `before-update/<time>/`, and the new one takes
  its place.
"""

import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

COURSE = ("notebooks", "functions", "exercises", "solutions", "README.md")
LEFT_OUT = {"__pycache__", ".ipynb_checkpoints", "mine", "teaching.md"}  # the last is the instructor's page
KNOWN = ".copied.json"  # in the copy: path -> digest of the kit's file when it was copied


def copy_course(kit: Path, copy: Path, stamp: str) -> list[str]:
    """Create or update `copy` from `kit`; return one line for each file of the learner that the update concerned."""
    copy.mkdir(parents=True, exist_ok=True)
    known = json.loads((copy / KNOWN).read_text("utf-8")) if (copy / KNOWN).exists() else {}
    lines = []
    for path in course_files(kit):
        new, name = digest(kit / path), path.as_posix()
        if known.get(name) == new:
            continue  # no update of this file: leave the copy alone, also if the learner changed or deleted it
        own = copy / path
        if own.exists() and digest(own) not in (known.get(name), new):
            if path.parts[0] == "exercises":
                lines.append(f"{name} has an update; your version stays, and reset() gives the new one")
                known[name] = new
                continue
            kept = Path("before-update", stamp, path)
            (copy / kept).parent.mkdir(parents=True, exist_ok=True)
            own.rename(copy / kept)
            lines.append(f"{name} is new; your version is in {kept.as_posix()}")
        own.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(kit / path, own)
        known[name] = new
    (copy / f"{KNOWN}.new").write_text(json.dumps(known, indent=1), "utf-8")
    (copy / f"{KNOWN}.new").replace(copy / KNOWN)
    return lines


def course_files(kit: Path) -> Iterator[Path]:
    """Yield the path of each file of the course, relative to the kit, with the npm packages of the function folders."""
    for name in COURSE:
        for path in sorted([kit / name, *(kit / name).rglob("*")]):
            relative = path.relative_to(kit)
            if path.is_file() and not LEFT_OUT & set(relative.parts):
                yield relative


def digest(path: Path) -> str:
    """Return the SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
