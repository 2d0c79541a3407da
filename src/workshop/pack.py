"""`python3 start.py pack FOLDER`: collect everything that a room without a network needs.

    wheels/        the packages of requirements.lock for the chosen Pythons and this system; no source distributions
    npm/           an npm cache with the packages of the function folders
    kit/           the workshop itself
    README.md      what a learner does with the folder
    SHA256SUMS     a checksum for each file above

The command can be stopped and repeated: it downloads only what is missing.
"""

import argparse
import hashlib
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from packaging import tags
from packaging.requirements import Requirement
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename

ROOT = Path(__file__).parents[2]
OLDEST, NEWEST = 11, 14  # the minor versions of Python 3 that the kit runs on
BATCH = 25  # packages that one command of pip fetches
BUILD = ("setuptools", "wheel")  # what pip needs to install the kit itself

INSTRUCTIONS = """# The workshop without a network

This folder has everything for Python {pythons} on {system}. Copy the folder `kit` to a place of your own, for
example your home folder. Open a terminal in the copy and run, with the path of this folder in place of PACKED:

    python3 start.py --from PACKED

The command checks the files, installs the workshop and opens the first lesson. Nothing is downloaded.

| You see | Do |
|---|---|
| `has no packages for Python 3.x` | start with one of the Pythons above: `python3.12 start.py --from PACKED` |
| `is missing or damaged` | copy this folder again |
| anything else | `.venv/bin/fclocal doctor` names what is missing |
"""


class PackError(Exception):
    """Packing cannot continue; the message is one sentence with its fix."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Pack into the folder that the command line names; return the exit code."""
    parser = argparse.ArgumentParser(prog="start.py pack",
                                     description="Collect everything for a room without a network.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--python", default=f"3.{sys.version_info.minor}", metavar="3.11,3.12",
                        help="the Pythons of the room (default: this one)")
    options = parser.parse_args(arguments)
    try:
        minors = [parse_minor(text) for text in options.python.split(",")]
        pack(options.folder.expanduser().resolve(), minors)
    except PackError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def parse_minor(text: str) -> int:
    """Return 12 for "3.12". Raises PackError for a Python that the kit does not run on."""
    match = re.fullmatch(r"3\.(\d\d)", text.strip())
    if match is None or not OLDEST <= int(match[1]) <= NEWEST:
        raise PackError(f"--python {text.strip()} is not a Python of the kit: use 3.{OLDEST} to 3.{NEWEST}, "
                        "separated by commas.")
    return int(match[1])


def pack(folder: Path, minors: Sequence[int]) -> None:
    """Fill the folder for the Pythons 3.<minor>. Raises PackError."""
    wheels = folder / "wheels"
    wheels.mkdir(parents=True, exist_ok=True)
    steps = len(minors) + 3
    for number, minor in enumerate(minors, 1):
        _say(f"[{number}/{steps}] Packages for Python 3.{minor}")
        fetch_wheels(wheels, minor)
    _say(f"[{steps - 2}/{steps}] npm packages of the function folders")
    fetch_npm(folder / "npm")
    _say(f"[{steps - 1}/{steps}] The kit")
    copy_kit(folder / "kit")
    names = ", ".join(f"3.{minor}" for minor in minors)
    text = INSTRUCTIONS.format(pythons=names, system=next(iter(tags.platform_tags())))
    (folder / "README.md").write_text(text, "utf-8")
    _say(f"[{steps}/{steps}] Checksums")
    count, size = write_checksums(folder)
    _say(f"Packed {count} files, {size / 1e6:.0f} MB, for Python {names}. Next: read {folder / 'README.md'}")


def pins(minor: int, patch: int) -> list[str]:
    """Return what Python 3.<minor>.<patch> needs: the lines of requirements.lock that apply to it, without markers."""
    lines = (ROOT / "requirements.lock").read_text("utf-8").splitlines()
    release = {"python_version": f"3.{minor}", "python_full_version": f"3.{minor}.{patch}"}
    requirements = (Requirement(line) for line in lines if line[:1].isalnum())
    needed = (r for r in requirements if r.marker is None or r.marker.evaluate(release))
    return [*BUILD, *(f"{requirement.name}{requirement.specifier}" for requirement in needed)]


def fetch_wheels(wheels: Path, minor: int) -> None:
    """Download what is missing for one Python; build a wheel where a package has none. Raises PackError."""
    platforms = [word for platform in tags.platform_tags() for word in ("--platform", platform)]
    abis = [word for abi in (f"cp3{minor}", "abi3", "none") for word in ("--abi", abi)]
    here = sys.version_info.minor
    for patch in (0, 99):  # a few packages differ between the first and the later releases of a Python
        asked = pins(minor, patch)
        shared = asked if minor == here else [pin for pin in asked if pin in pins(here, patch)]
        if todo := missing(wheels, shared, here):  # pip builds a wheel here; most of those serve every Python
            _pip("wheel", ["--wheel-dir", str(wheels)], todo)
        if minor != here and (todo := missing(wheels, asked, minor)):
            _pip("download", ["--dest", str(wheels), "--only-binary", ":all:", "--implementation", "cp",
                              "--python-version", f"3.{minor}", *abis, *platforms], todo)
        if lacking := missing(wheels, asked, minor):
            raise PackError(f"Python 3.{minor} has no package here: {', '.join(lacking)}. Leave this Python out.")


def missing(wheels: Path, asked: Sequence[str], minor: int) -> list[str]:
    """Return those of the pinned requirements that no wheel in the folder meets on Python 3.<minor>."""
    version = (3, minor)
    usable = {*tags.cpython_tags(version), *tags.compatible_tags(version, f"cp3{minor}")}
    have: dict[str, list[str]] = {}
    for path in wheels.glob("*.whl"):
        try:
            name, release, _, supported = parse_wheel_filename(path.name)
        except InvalidWheelFilename:
            continue
        if supported & usable:
            have.setdefault(name, []).append(str(release))
    return [pin for pin in asked
            if not any(Requirement(pin).specifier.contains(release, prereleases=True)
                       for release in have.get(canonicalize_name(Requirement(pin).name), ()))]


def _pip(command: str, options: Sequence[str], wanted: Sequence[str]) -> None:
    """Run `pip wheel` or `pip download` for a few packages at a time, and show the progress. Raises PackError.

    pip moves packages to the folder only at its end, so what one command had fetched is lost when it is stopped.
    """
    words = [sys.executable, "-m", "pip", command, "--no-deps", "--no-input", "--progress-bar", "off", *options]
    for begin in range(0, len(wanted), BATCH):
        batch = wanted[begin:begin + BATCH]
        done = subprocess.run([*words, *batch], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if done.returncode != 0:
            lines = done.stdout.strip().splitlines() or [""]
            reason = next((line for line in lines if line.startswith("ERROR:")), lines[-1])
            raise PackError(f"pip could not fetch the packages: {reason[:300]}. "
                            "Check the network and repeat the command.")
        _say(f"      {begin + len(batch)} of {len(wanted)} packages")


def fetch_npm(cache: Path) -> None:
    """Fill an npm cache with what the package-lock.json files of the function folders name. Raises PackError."""
    cache.mkdir(exist_ok=True)
    if (npm := shutil.which("npm")) is None:
        _say("      left out: Node.js is not installed here. The lessons run without it, except the part in Node.js.")
        return
    for lock in sorted(ROOT.glob("functions/*/package-lock.json")):
        with tempfile.TemporaryDirectory() as scratch:
            for name in ("package.json", "package-lock.json"):
                shutil.copy(lock.parent / name, scratch)
            options = ["--no-audit", "--no-fund", "--loglevel=error", "--ignore-scripts"]
            words = [npm, "ci", "--cache", str(cache), *options]
            done = subprocess.run(words, cwd=scratch, capture_output=True, text=True)
        if done.returncode != 0:
            raise PackError(f"npm could not fetch the packages of {lock.parent.name}: {done.stderr.strip()[:300]}")
    # npm finds a package in its cache by the address that it was fetched from.
    registry = subprocess.run([npm, "config", "get", "registry"], capture_output=True, text=True, check=True).stdout
    (cache / "registry.txt").write_text(registry, "utf-8")
    shutil.rmtree(cache / "_logs", ignore_errors=True)


def copy_kit(target: Path) -> None:
    """Copy the kit without anything that was installed or produced by running it."""
    shutil.rmtree(target, ignore_errors=True)
    for name in kit_files():
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, target / name)


def kit_files() -> Iterator[str]:
    """Yield the path of each file of the kit, relative to its root; without git, of all that .gitignore leaves."""
    if (ROOT / ".git").exists():
        listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
        yield from (name for name in listing.split("\0") if name and (ROOT / name).is_file())
        return
    ignored = [line.rstrip("/") for line in (ROOT / ".gitignore").read_text("utf-8").splitlines() if line]
    for path in sorted(ROOT.rglob("*")):
        relative = path.relative_to(ROOT)
        if path.is_file() and not any(Path(part).match(name) for part in relative.parts for name in ignored):
            yield str(relative)


def write_checksums(folder: Path) -> tuple[int, int]:
    """Write SHA256SUMS; return the number of files and their size in bytes."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != "SHA256SUMS"]
    digests = (hashlib.sha256(path.read_bytes()).hexdigest() for path in files)
    lines = (f"{digest}  {path.relative_to(folder).as_posix()}\n" for digest, path in zip(digests, files, strict=True))
    (folder / "SHA256SUMS").write_text("".join(lines), "utf-8")
    return len(files), sum(path.stat().st_size for path in files)


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
