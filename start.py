"""One file to begin with: sets up everything in .venv beside it, then opens the workshop.

    python3 start.py                 open the lessons in JupyterLab (options are handed on to it)
    python3 start.py tour            the workshop's main job in one minute, in this terminal
    python3 start.py test [ARGS]     install what the tests need besides, run them (ARGS go to pytest)

Uses the standard library only and nothing that an older Python could not read, so that it can say what is missing.
"""

import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections import deque
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
STAMP = VENV / "kit.json"
OLDEST = (3, 11)
NOTEBOOK = "notebooks/00-start.ipynb"

# What the tests need from the system: any one of these programs, and who packs it for apt and for Homebrew.
PROGRAMS = (
    (("redis-server", "valkey-server"), ("redis-server",), "redis"),
    (("chromium", "chromium-browser", "google-chrome"), ("chromium", "fonts-liberation"), "--cask chromium"),
    (("nginx",), ("nginx-light",), "nginx"),
    (("node",), ("nodejs",), "node"),
    (("npm",), ("npm",), "node"),
)
# Where package-lock.json files may lie: function folders and what the tests run in Node.
NPM_FOLDERS = ("functions/*", "tests/*", "tests/*/*", "benchmarks/*")


class Stop(Exception):
    """Something is missing; the message is one line that says what to do."""


def say(text):
    print(text, flush=True)


def check_machine():
    """Refuse, in one line, a system or a Python on which nothing below could work."""
    if sys.platform == "win32":
        raise Stop("On Windows the kit runs in WSL: run `wsl --install`, open Ubuntu, and start again in there.")
    if sys.version_info < OLDEST:
        newer = [f"python3.{minor}" for minor in range(14, OLDEST[1] - 1, -1) if shutil.which(f"python3.{minor}")]
        cure = f"run: {newer[0]} start.py" if newer else "install it from your system's packages or python.org"
        raise Stop(f"Python 3.11 or newer is needed, this is {sys.version_info[0]}.{sys.version_info[1]}: {cure}")


def clean_environment():
    """The environment for what we run: the kit's programs first, nothing that bends Python or pip."""
    env = {k: v for k, v in os.environ.items() if k not in ("PYTHONHOME", "PYTHONPATH", "PIP_TARGET", "PIP_PREFIX")}
    env.update(PATH=f"{VENV / 'bin'}{os.pathsep}{env.get('PATH', os.defpath)}", VIRTUAL_ENV=str(VENV),
               PIP_USER="0", PIP_DISABLE_PIP_VERSION_CHECK="1")
    return env


def wanted_stamp(locks):
    """What .venv/kit.json says when everything is in place: the Python, the folder, the locked packages."""
    files = [ROOT / name for name in (*locks, "pyproject.toml", "requirements.txt")]
    return {
        "python": "{}.{}.{}".format(*sys.version_info[:3]),
        "folder": str(ROOT),
        "packages": {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files},
    }


def in_place(wanted):
    """True if the last installation finished and covers what is wanted now."""
    try:
        found = json.loads(STAMP.read_text("utf-8"))
        same = found["python"] == wanted["python"] and found["folder"] == wanted["folder"]
        return same and wanted["packages"].items() <= found["packages"].items() and PYTHON.exists()
    except (OSError, ValueError, KeyError):
        return False


def make_venv():
    """Make .venv anew: it works on a Python that forbids installing beside the system (PEP 668)."""
    try:
        import ensurepip
        import venv
    except ImportError:
        raise Stop("Python lacks its venv module. Run: sudo apt install python3-venv") from None
    say(f"  making .venv with Python {sys.version_info[0]}.{sys.version_info[1]} and pip {ensurepip.version()}")
    venv.EnvBuilder(clear=True, with_pip=True, symlinks=True).create(str(VENV))


def pip_install(locks):
    """Install the locked packages and this folder (editable), with a line of progress now and then."""
    total = sum(line[:1].isalnum() for name in locks for line in (ROOT / name).read_text("utf-8").splitlines())
    args = [str(PYTHON), "-m", "pip", "install", "--no-input", "--progress-bar", "off", "--editable", str(ROOT)]
    for name in locks:
        args += ["--requirement", str(ROOT / name)]
    say(f"  installing about {total} packages (one to three minutes the first time)")
    fetched, last = 0, deque(maxlen=6)
    pip = subprocess.Popen(args, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=clean_environment())
    for line in pip.stdout:
        last.append(line.rstrip())
        if line.startswith(("Collecting ", "Processing ")):
            fetched += 1
            if fetched % 25 == 0:
                say(f"    {fetched} of {total} fetched")
        elif line.startswith("Installing collected packages"):
            say("    unpacking")
    if pip.wait() != 0:
        print("\n".join(last), file=sys.stderr)
        raise Stop("pip could not install the packages (its last words are above). Without a network: copy the wheels "
                   "of requirements.lock into a folder, set PIP_FIND_LINKS to it and PIP_NO_INDEX=1, and start again.")


def quiet_jupyter():
    """No question about news, no look-ups of newer versions, pages as pages: the first thing seen is the lesson."""
    settings = VENV / "share" / "jupyter" / "lab" / "settings"
    settings.mkdir(parents=True, exist_ok=True)
    choice = {"@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": False},
              "@jupyterlab/docmanager-extension:plugin": {"defaultViewers": {"markdown": "Markdown Preview"}}}
    (settings / "overrides.json").write_text(json.dumps(choice), "utf-8")


def install(*locks):
    """Bring .venv to what `locks` say; nothing to do if it is there already."""
    wanted = wanted_stamp(locks)
    if in_place(wanted):
        return
    say("Setting up (only when something has changed)")
    check_machine()
    try:
        old = json.loads(STAMP.read_text("utf-8"))
    except (OSError, ValueError):
        old = {}
    STAMP.unlink(missing_ok=True)
    if not PYTHON.exists() or (old.get("python"), old.get("folder")) != (wanted["python"], wanted["folder"]):
        make_venv()
    pip_install(locks)
    quiet_jupyter()
    STAMP.write_text(json.dumps(wanted, indent=1), "utf-8")
    say("  done")


def missing_programs():
    rows = [row for row in PROGRAMS if not any(shutil.which(name, path=system_path()) for name in row[0])]
    # Debian packs the part of Python that makes .venv separately.
    if not PYTHON.exists() and importlib.util.find_spec("ensurepip") is None:
        rows.append((("python3-venv",), ("python3-venv",), "python"))
    return rows


def system_path():
    return os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin"))


def root_prefix():
    """How to run a command as root without asking: () or ("sudo", "-n"); None if there is no way."""
    if os.geteuid() == 0:
        return ()
    if shutil.which("sudo") and subprocess.run(["sudo", "-n", "true"], capture_output=True).returncode == 0:
        return ("sudo", "-n")
    return None


def install_programs():
    """Redis, Chromium, nginx and Node: through apt-get where we may, else one line that says what to install."""
    missing = missing_programs()
    if not missing:
        return
    apt_names = [package for row in missing for package in row[1]]
    if sys.platform == "darwin":
        raise Stop("The tests need more programs. Run: " + " && ".join(f"brew install {row[2]}" for row in missing))
    prefix = root_prefix()
    if shutil.which("apt-get") is None:
        raise Stop("The tests need more programs. Install: " + ", ".join(row[0][0] for row in missing))
    if prefix is None:
        raise Stop("The tests need more programs. Run: sudo apt install " + " ".join(apt_names))
    say(f"Installing with apt-get: {' '.join(apt_names)}")
    apt_get(prefix, "update")
    apt_get(prefix, "install", "-y", "--no-install-recommends", *apt_names)
    importlib.invalidate_caches()
    missing = missing_programs()
    if missing:
        raise Stop("apt-get did not bring: " + ", ".join(row[0][0] for row in missing))


def apt_get(prefix, *args):
    command = [*prefix, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq", *args]
    done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        print(done.stderr.strip(), file=sys.stderr)
        raise Stop(f"apt-get {args[0]} failed (its words are above)")


def install_npm_packages():
    """npm ci in every folder that has a package-lock.json newer than its node_modules."""
    for lock in sorted(lock for pattern in NPM_FOLDERS for lock in ROOT.glob(f"{pattern}/package-lock.json")):
        if "node_modules" in lock.parts:
            continue
        mark = lock.parent / "node_modules" / ".package-lock.json"
        if mark.exists() and mark.stat().st_mtime >= lock.stat().st_mtime:
            continue
        say(f"Installing npm packages of {lock.parent.relative_to(ROOT)}")
        npm = ["npm", "ci", "--no-audit", "--no-fund", "--loglevel=error"]
        if subprocess.run(npm, cwd=lock.parent, env=clean_environment(), stdout=subprocess.DEVNULL).returncode != 0:
            raise Stop(f"npm ci failed in {lock.parent.relative_to(ROOT)} (its words are above)")


def lab(args):
    """Open JupyterLab on the first notebook; this process becomes JupyterLab."""
    install("requirements.lock")
    say("Opening JupyterLab. To end it: press Ctrl-C here, twice.")
    as_root = ["--allow-root"] if os.geteuid() == 0 else []
    opened = [f"--ServerApp.root_dir={ROOT}", f"--LabApp.default_url=/lab/tree/{NOTEBOOK}", "--log-level=WARN"]
    # Its terminals keep our PATH; where this one is no terminal they would begin as login shells, which set another.
    opened.append(f"--ServerApp.terminado_settings=shell_command={os.environ.get('SHELL') or 'sh'}")
    os.chdir(ROOT)
    os.execve(PYTHON, [str(PYTHON), "-m", "jupyterlab", *opened, *as_root, *args], clean_environment())


def tour(args):
    """The main job without a browser; the exit code is the tour's own."""
    install("requirements.lock")
    return subprocess.run([PYTHON, "-m", "workshop.tour", *args], cwd=ROOT, env=clean_environment()).returncode


def test(args):
    """ruff, mypy and pytest; 0 only if all three are content."""
    install_programs()
    install("requirements.lock", "requirements-test.lock")
    install_npm_packages()
    env = clean_environment()
    env["PATH"] = f"{VENV / 'bin'}{os.pathsep}{system_path()}"
    failed = []
    for words in (["ruff", "check"], ["mypy"], ["pytest", "-n", "auto", "--dist", "worksteal", *args]):
        say(f"== {' '.join(words)}")
        if subprocess.run([PYTHON, "-m", *words], cwd=ROOT, env=env).returncode != 0:
            failed.append(words[0])
    say(f"FAILED: {', '.join(failed)}" if failed else "All passed.")
    return 1 if failed else 0


def main(args):
    command, rest = (args[0], args[1:]) if args and not args[0].startswith("-") else ("lab", args)
    if "-h" in args[:1] or "--help" in args[:1] or command not in ("lab", "tour", "test"):
        print(__doc__.strip())
        return 0 if command == "lab" else 2
    try:
        check_machine()
        return {"lab": lab, "tour": tour, "test": test}[command](rest)
    except Stop as stop:
        print(stop, file=sys.stderr)
    except KeyboardInterrupt:
        print("\nStopped. The same command goes on from here.", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
