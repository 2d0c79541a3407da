"""The project's folder, its fclocal, and the progress of the learner."""

import json
import os
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

try:
    import fcntl
except ImportError:  # Windows without WSL: one kernel at a time
    fcntl = None  # type: ignore[assignment]


if TYPE_CHECKING:
    from fclocal import Platform

KIT = Path(__file__).parents[2]  # what this package is a part of


def root() -> Path:
    """Return the project: the nearest folder upwards with notebooks and functions, else the folder of this package."""
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / "functions").is_dir() and (folder / "notebooks").is_dir():
            return folder
    return KIT


def wrong_kernel(missing: ModuleNotFoundError) -> str:
    """Return the message for a kernel without the kit's packages."""
    return (f"This kernel ({sys.executable}) has no package {missing.name}.\n"
            'Choose the workshop\'s kernel: menu Kernel, Change Kernel, "Python 3 (ipykernel)",\n'
            "in a JupyterLab that was started with: python3 start.py")


def platform() -> "Platform":
    """Return fclocal of this project, started if it does not run. Raises FcError."""
    import fclocal

    return fclocal.start(state=state(root()))


def state(project: Path) -> Path:
    """Return the state folder: FCLOCAL_STATE, else .fclocal of the project."""
    return Path(os.environ.get("FCLOCAL_STATE") or project / ".fclocal")


def stamp() -> str:
    """Return the time as part of a file's name: 20260102-030405."""
    return time.strftime("%Y%m%d-%H%M%S")


_UNTRIED = {"verdict": "NOT STARTED", "tries": 0, "fails": 0, "hints": 0}


class Progress:
    """What the learner has done, in progress.json of the state folder; a change is on disk before its call returns.

    Keys: tasks -> id -> {verdict, line, tries, fails, hints, first, passed}; guesses -> id -> choice; lessons -> number
    """

    def __init__(self, state: Path) -> None:
        self.path = state / "progress.json"

    def read(self) -> dict[str, Any]:
        """Return everything; an unreadable file counts as empty and is kept as progress.json.broken."""
        empty: dict[str, Any] = {"tasks": {}, "guesses": {}, "lessons": {}}
        try:
            return {**empty, **json.loads(self.path.read_text(encoding="utf-8"))}
        except FileNotFoundError:
            return empty
        except ValueError:
            self.path.replace(self.path.with_suffix(".json.broken"))
            return empty

    @contextmanager
    def change(self) -> Iterator[dict[str, Any]]:
        """Read, change, write: one writer at a time, never a half-written file."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.with_suffix(".lock").open("w") as lock:
            if fcntl:
                fcntl.flock(lock, fcntl.LOCK_EX)
            data = self.read()
            yield data
            new = self.path.with_suffix(".json.new")
            new.write_text(json.dumps(data, indent=1), encoding="utf-8")
            new.replace(self.path)

    def task(self, name: str) -> dict[str, Any]:
        """Return the stored facts of one task."""
        return self.tasks([name])[name]

    def tasks(self, names: Iterable[str]) -> dict[str, dict[str, Any]]:
        """Return the stored facts of tasks, those of a task that was never tried included."""
        stored = self.read()["tasks"]
        return {name: {**_UNTRIED, **stored.get(name, {})} for name in names}

    def note(self, name: str, **facts: Any) -> dict[str, Any]:
        """Add facts about one task; returns all of them."""
        with self.change() as data:
            known = {**self.task(name), **facts}
            known.setdefault("first", time.time())
            data["tasks"][name] = known
        return known
