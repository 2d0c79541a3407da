"""Set up the workshop in .venv beside this file, then open it.

    python3 start.py                 open the lessons in JupyterLab (further options go to JupyterLab)
    python3 start.py tour            run the workshop's main job in this terminal, in a few seconds
    python3 start.py test [ARGS]     install what the tests need, then run all of them (ARGS go to pytest)
    python3 start.py book            build the course as a static site in build/book
    python3 start.py slides [N ...]  make slides of all lessons, or of those, in build/slides
    python3 start.py install [DIR]   install, open nothing; DIR/requirements.lock and DIR/package-lock.json too
    python3 start.py pack FOLDER     collect everything for a room without a network
    python3 start.py --from FOLDER   the same commands, installing from such a folder

Uses the standard library only and no syntax newer than Python 3.7, so that it can name what is missing.
"""

import hashlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
PREVIOUS = ROOT / ".venv.previous"  # the environment from before, while a new one is made
PYTHON = VENV / "bin" / "python"
STAMP = VENV / "kit.json"
OLDEST = (3, 11)
NOTEBOOK = "notebooks/00-start.ipynb"

# What the tests need from the system: any one of these programs, and its package for apt and for Homebrew.
MAC_BROWSERS = tuple(f"/Applications/{name}.app/Contents/MacOS/{name}" for name in ("Google Chrome", "Chromium"))
PROGRAMS = (
    (("redis-server", "valkey-server"), ("redis-server",), "redis"),
    (("chromium", "chromium-browser", "google-chrome", *MAC_BROWSERS), ("chromium", "fonts-liberation"),
     "--cask chromium"),
    (("nginx",), ("nginx-light",), "nginx"),
    (("curl",), ("curl",), "curl"),
    (("node",), ("nodejs",), "node"),
    (("npm",), ("npm",), "node"),
)
# Folders with a package-lock.json: what learners run, and what only the tests run.
LEARNER_NPM = ("functions/*",)
CLASS_SERVER = "deploy/jupyterhub"
TEST_NPM = (*LEARNER_NPM, CLASS_SERVER, "tests/*", "tests/*/*", "benchmarks/*")
# File systems on which SQLite's locks are unreliable: network drives, and Windows drives inside WSL.
REMOTE_FILE_SYSTEMS = frozenset({"9p", "drvfs", "nfs", "nfs4", "cifs", "smb3", "fuse.sshfs"})
LONGEST_PATH = 400  # characters of the checkout's path; SQLite stops at 512 with its own file names

# What pip says when it fails, and what to do about it.
PIP_FIXES = (
    ("CERTIFICATE_VERIFY_FAILED", "your network replaces certificates. Set PIP_CERT to its certificate file"),
    ("No space left on device", "free some disk space (the kit needs 1 GB)"),
    ("NewConnectionError", "there is no network. Connect to one, or use: python3 start.py --from FOLDER"),
    ("NameResolutionError", "there is no network. Connect to one, or use: python3 start.py --from FOLDER"),
    ("No matching distribution found", "this Python or system has no such package. Try another Python, 3.11 to 3.14"),
)


class Stop(Exception):
    """Something is missing; the message is one line that says what to do."""


def say(text):
    print(text, flush=True)


# The machine


def check_machine():
    """Refuse, in one line, a system, a Python or a folder on which nothing below could work."""
    if sys.platform == "win32":
        raise Stop("On Windows the kit runs in WSL: run `wsl --install`, open Ubuntu, and start again in there.")
    if sys.version_info < OLDEST:
        newer = [f"python3.{minor}" for minor in range(14, OLDEST[1] - 1, -1) if shutil.which(f"python3.{minor}")]
        fix = f"run: {newer[0]} start.py" if newer else "install it from your system's packages or python.org"
        raise Stop(f"Python 3.11 or newer is needed, this is {sys.version_info[0]}.{sys.version_info[1]}: {fix}")
    if not can_write(ROOT):
        raise Stop(f"The folder {ROOT} cannot be written. Copy it to a folder of your own and start there.")
    if not can_write(Path.home()):
        raise Stop(f"The home folder {Path.home()} cannot be written. Run: HOME=$(mktemp -d) python3 start.py")
    if len(str(ROOT)) > LONGEST_PATH:
        raise Stop(f"The path of this folder has {len(str(ROOT))} characters. Move it to a path below {LONGEST_PATH}.")
    kind = file_system(ROOT)
    if kind in REMOTE_FILE_SYSTEMS and not os.environ.get("FCLOCAL_STATE"):
        raise Stop(f"This folder is on a {kind} drive, where fclocal cannot lock its files. "
                   "Run: export FCLOCAL_STATE=/tmp/fclocal-$USER, and start again.")


def can_write(folder):
    """Whether a file can be created in the folder (root passes the permission check on a read-only drive)."""
    probe = folder / f".start-{os.getpid()}"
    try:
        probe.touch()
        probe.unlink()
    except OSError:
        return False
    return True


def file_system(folder):
    """Return the type of the file system that holds the folder, "" where the system does not list it."""
    try:
        mounts = [line.split()[1:3] for line in Path("/proc/mounts").read_text("utf-8").splitlines()]
    except OSError:
        return ""
    places = {str(folder), *map(str, folder.parents)}
    matches = [(len(place), kind) for place, kind in mounts if place.replace("\\040", " ") in places]
    return max(matches)[1] if matches else ""


def clean_environment():
    """Return the environment for subprocesses: the kit's programs first, no variable that bends Python or pip.

    With PYTHONDONTWRITEBYTECODE each start of fclocal would compile all of its modules again (0.15 s).
    """
    dropped = ("PYTHONHOME", "PYTHONPATH", "PYTHONDONTWRITEBYTECODE", "PIP_TARGET", "PIP_PREFIX")
    env = {k: v for k, v in os.environ.items() if k not in dropped}
    env.update(PATH=f"{VENV / 'bin'}{os.pathsep}{env.get('PATH', os.defpath)}", VIRTUAL_ENV=str(VENV),
               PIP_USER="0", PIP_DISABLE_PIP_VERSION_CHECK="1")
    language = env.get("LC_ALL") or env.get("LC_CTYPE") or env.get("LANG") or ""
    if "UTF-8" not in language.upper().replace("UTF8", "UTF-8"):
        # Else a build fails where the path of this folder has a letter outside ASCII.
        env["LC_ALL"] = "en_US.UTF-8" if sys.platform == "darwin" else "C.UTF-8"
    return env


# The environment .venv


def wanted_stamp(locks):
    """Return what .venv/kit.json contains when everything is in place: the Python, the folder, the locked packages."""
    files = [ROOT / name for name in (*locks, "pyproject.toml", "requirements.txt")]
    return {
        "python": "{}.{}.{}".format(*sys.version_info[:3]),
        "folder": str(ROOT),
        "packages": {str(path.relative_to(ROOT)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files},
    }


def read_stamp():
    """Return what the last complete installation wrote, {} if there is none."""
    try:
        return json.loads(STAMP.read_text("utf-8"))
    except (OSError, ValueError):
        return {}


def in_place(wanted):
    """Return whether the last installation is complete and covers `wanted`."""
    stamp = read_stamp()
    same = all(stamp.get(key) == wanted[key] for key in ("python", "folder"))
    return same and wanted["packages"].items() <= stamp.get("packages", {}).items() and PYTHON.exists()


def make_venv():
    """Create .venv; this also works on a Python that forbids installing beside the system (PEP 668)."""
    try:
        import ensurepip
        import venv
    except ImportError:
        raise Stop("Python lacks its venv module. Run: sudo apt install python3-venv") from None
    say(f"  creating .venv with Python {sys.version_info[0]}.{sys.version_info[1]} and pip {ensurepip.version()}")
    venv.EnvBuilder(clear=True, with_pip=True, symlinks=True).create(str(VENV))


def pip_install(locks):
    """Install the locked packages and this folder (editable), with a line of progress now and then."""
    lines = {line for name in locks for line in (ROOT / name).read_text("utf-8").splitlines()}  # some are in two locks
    total = sum(line[:1].isalnum() for line in lines)
    args = [str(PYTHON), "-m", "pip", "install", "--no-input", "--progress-bar", "off", "--editable", str(ROOT)]
    for name in locks:
        args += ["--requirement", str(ROOT / name)]
    say(f"  installing about {total} packages (one to three minutes the first time)")
    fetched, output = 0, []
    pip = subprocess.Popen(args, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=clean_environment())
    for line in pip.stdout:
        output.append(line.rstrip())
        if line.startswith(("Collecting ", "Processing ")):
            fetched += 1
            if fetched % 25 == 0:
                say(f"    {fetched} of {total} fetched")
        elif line.startswith("Installing collected packages"):
            say("    unpacking")
    if pip.wait() != 0:
        raise Stop(pip_failure(output))
    shorten_paths()


def shorten_paths():
    """Make the path of the kit's modules relative: with LC_ALL=C, Python 3.12 reads only ASCII there."""
    for path in VENV.glob("lib/*/site-packages/__editable__*.pth"):
        folder = path.read_text("utf-8").strip()
        path.write_text(os.path.relpath(folder, str(path.parent)) + "\n", "utf-8")


def pip_failure(output):
    """Return one line: pip's own reason and the fix for it."""
    whole = "\n".join(output)
    errors = re.findall(r"^ *((?:\w+\.)*\w+(?:Error|Exception): .+)", whole, re.M)  # of a build that pip has run
    errors += re.findall(r"^ *ERROR: (.+)", whole, re.M) or output[-1:]
    fix = next((fix for sign, fix in PIP_FIXES if sign in whole), "run the command again, or ask with this line")
    return f"pip could not install the packages: {errors[0].strip()[:300]}. The likely cause: {fix}."


def quiet_jupyter():
    """Make the lesson the first thing seen: no question about news, no check for updates, Markdown files as pages.

    A kernel listens on loopback and warns about eavesdropping each time it starts: it reports errors only.
    """
    settings = VENV / "share" / "jupyter" / "lab" / "settings"
    settings.mkdir(parents=True, exist_ok=True)
    choice = {"@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": False},
              "@jupyterlab/docmanager-extension:plugin": {"defaultViewers": {"markdown": "Markdown Preview"}}}
    (settings / "overrides.json").write_text(json.dumps(choice), "utf-8")
    ipython = VENV / "etc" / "ipython"
    ipython.mkdir(parents=True, exist_ok=True)
    (ipython / "ipython_kernel_config.py").write_text("c.IPKernelApp.log_level = 40\n", "utf-8")


def install(*locks):
    """Bring .venv to the state that `locks` describe; a failure leaves the previous environment as it was."""
    recover()
    wanted = wanted_stamp(locks)
    if in_place(wanted):
        return
    say("Setting up (only when something has changed)")
    check_machine()
    stamp = read_stamp()
    rebuild = not PYTHON.exists() or any(stamp.get(key) != wanted[key] for key in ("python", "folder"))
    if rebuild and VENV.exists():
        VENV.rename(PREVIOUS)
    try:
        if rebuild:
            make_venv()
        pip_install(locks)
        quiet_jupyter()
        STAMP.write_text(json.dumps(wanted, indent=1), "utf-8")
    finally:
        recover()
    say("  done")


def recover():
    """Finish or undo a rebuild: keep .venv if it is complete, else put the previous environment back."""
    if PREVIOUS.exists():
        if read_stamp():
            shutil.rmtree(str(PREVIOUS))
        else:
            shutil.rmtree(str(VENV), ignore_errors=True)
            PREVIOUS.rename(VENV)


# Programs and npm packages


def missing_programs():
    rows = [row for row in PROGRAMS if not any(shutil.which(name, path=system_path()) for name in row[0])]
    # Debian has a package of its own for the part of Python that makes .venv.
    if not PYTHON.exists() and importlib.util.find_spec("ensurepip") is None:
        rows.append((("python3-venv",), ("python3-venv",), "python"))
    return rows


def system_path():
    return os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin"))


def root_prefix():
    """Return the prefix that runs a command as root without a password: () or ("sudo", "-n"). None if neither works."""
    if os.geteuid() == 0:
        return ()
    if shutil.which("sudo") and subprocess.run(["sudo", "-n", "true"], capture_output=True).returncode == 0:
        return ("sudo", "-n")
    return None


def install_programs():
    """Install Redis, Chromium, nginx, curl and Node.js through apt-get if that is allowed, else say how."""
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
    apt_get(prefix, "update")  # a failure is harmless where the package lists are recent
    error = apt_get(prefix, "install", "-y", "--no-install-recommends", *apt_names)
    importlib.invalidate_caches()
    missing = missing_programs()
    if missing:
        names = ", ".join(row[0][0] for row in missing)
        raise Stop(f"apt-get did not install: {names}. {error or 'Install them yourself, then start again.'}")


def apt_get(prefix, *args):
    """Run apt-get; return the last line of its error, "" if it succeeded."""
    command = [*prefix, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq", *args]
    done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    if done.returncode == 0:
        return ""
    lines = done.stderr.strip().splitlines() or ["(no message)"]
    say(f"  apt-get {args[0]} failed: {lines[-1]}")
    return f"apt-get said: {lines[-1]}"


def npm_folders(patterns):
    """Return the folders whose package-lock.json is newer than their node_modules."""
    stale = []
    for lock in sorted(lock for pattern in patterns for lock in ROOT.glob(f"{pattern}/package-lock.json")):
        mark = lock.parent / "node_modules" / ".package-lock.json"
        fresh = mark.exists() and mark.stat().st_mtime >= lock.stat().st_mtime
        if "node_modules" not in lock.parts and not fresh:
            stale.append(lock.parent)
    return stale


def install_npm_packages(patterns, required):
    """Run npm ci where packages are missing or old. Without `required`, a failure prints one line only."""
    for folder in npm_folders(patterns):
        name = folder.relative_to(ROOT)
        if shutil.which("npm") is None:
            say(f"Node.js is not installed, so the packages of {name} are missing. Install Node.js, then start again.")
            continue
        say(f"Installing npm packages of {name}")
        npm = ["npm", "ci", "--no-audit", "--no-fund", "--loglevel=error"]
        if subprocess.run(npm, cwd=folder, env=clean_environment(), stdout=subprocess.DEVNULL).returncode != 0:
            text = f"npm ci failed in {name} (its message is above)"
            if required:
                raise Stop(text)
            say(f"{text}. The lessons run without it, except the part in Node.js.")


# Installation without a network


def install_from(folder):
    """Make pip and npm use a folder that `start.py pack` has filled, after a check of every file in it."""
    folder = Path(folder).expanduser().resolve()
    try:
        sums = (folder / "SHA256SUMS").read_text("utf-8").splitlines()
    except OSError:
        raise Stop(f"{folder} is not a packed folder (no SHA256SUMS). Make one: start.py pack FOLDER") from None
    for line in sums:
        digest, name = line.split("  ", 1)
        path = folder / name
        if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != digest:
            raise Stop(f"{path} is missing or damaged. Copy the packed folder again.")
    this = "cp{}{}".format(*sys.version_info[:2])
    if not any(re.search(f"-{this}-", path.name) for path in (folder / "wheels").glob("uvloop-*")):
        raise Stop(f"{folder} has no packages for Python {sys.version_info[0]}.{sys.version_info[1]}. "
                   f"Use another Python, or pack again with --python {sys.version_info[0]}.{sys.version_info[1]}")
    cache = ROOT / ".npm-cache"  # a copy: npm writes into its cache, and the packed folder may be read-only
    shutil.copytree(str(folder / "npm"), str(cache), dirs_exist_ok=True)
    os.environ.update(PIP_NO_INDEX="1", PIP_FIND_LINKS=(folder / "wheels").as_uri(),
                      npm_config_cache=str(cache), npm_config_offline="true")
    if (cache / "registry.txt").exists():
        os.environ.update(npm_config_registry=(cache / "registry.txt").read_text("utf-8").strip())


# The commands


def lab(args):
    """Open JupyterLab on the first notebook; this process becomes JupyterLab."""
    install("requirements.lock")
    install_npm_packages(LEARNER_NPM, required=False)
    say("Opening JupyterLab. To stop it, press Ctrl-C here twice.")
    as_root = ["--allow-root"] if os.geteuid() == 0 else []
    opened = [f"--ServerApp.root_dir={ROOT}", f"--LabApp.default_url=/lab/tree/{NOTEBOOK}", "--log-level=ERROR"]
    # Its terminals keep this PATH; started from a program, they would be login shells, which set another one.
    opened.append(f"--ServerApp.terminado_settings=shell_command={os.environ.get('SHELL') or 'sh'}")
    os.chdir(ROOT)
    os.execve(PYTHON, [str(PYTHON), "-m", "jupyterlab", *opened, *as_root, *args], clean_environment())


def install_only(args):
    """Install the kit, and what each of the named folders needs besides."""
    folders = [str(Path(folder).resolve().relative_to(ROOT)) for folder in args]
    install("requirements.lock", *(f"{folder}/requirements.lock" for folder in folders))
    install_npm_packages((*LEARNER_NPM, *folders), required=bool(folders))
    return 0


def run_module(module, *locks):
    """Return a command that installs the kit and runs one of its modules."""
    def command(args):
        install("requirements.lock", *locks)
        return subprocess.run([PYTHON, "-m", module, *args], cwd=ROOT, env=clean_environment()).returncode
    return command


def test(args):
    """Run ruff, mypy and pytest; return 0 only if all three pass."""
    install_programs()
    with ThreadPoolExecutor(1) as beside:  # npm beside pip: neither needs the other
        npm = beside.submit(install_npm_packages, TEST_NPM, required=True)
        install("requirements.lock", "requirements-test.lock", f"{CLASS_SERVER}/requirements.lock")
        npm.result()
    env = clean_environment()
    env["PATH"] = f"{VENV / 'bin'}{os.pathsep}{system_path()}"
    failed = []

    def passes(*words):
        say(f"== {' '.join(words)}")
        return subprocess.run([PYTHON, "-m", *words], cwd=ROOT, env=env).returncode == 0

    for words in (["ruff", "check"], ["mypy"]):
        if not passes(*words):
            failed.append(words[0])
    # Half of the time tests wait for something, so two workers for each core.
    workers = str(2 * (os.cpu_count() or 1))
    if not passes("pytest", "-n", workers, "--dist", "worksteal", *args):
        failed.append("pytest")
    say(f"FAILED: {', '.join(failed)}" if failed else "All passed.")
    return 1 if failed else 0


COMMANDS = {
    "lab": lab, "test": test, "install": install_only,
    "tour": run_module("workshop.tour"), "pack": run_module("workshop.pack"),
    "book": run_module("workshop.course.book.build", "requirements-test.lock"),
    "slides": run_module("workshop.course.slides.build", "requirements-test.lock"),
}


def main(args):
    args = list(args)
    if "-h" in args[:1] or "--help" in args[:1]:
        print(__doc__.strip())
        return 0
    try:
        check_machine()
        if "--from" in args:
            at = args.index("--from")
            if args[at + 1:] == []:
                raise Stop("--from needs the packed folder: python3 start.py --from FOLDER")
            install_from(args[at + 1])
            del args[at:at + 2]
        command = args.pop(0) if args and not args[0].startswith("-") else "lab"
        if command not in COMMANDS:
            print(f"Unknown command of start.py: {command!r}.\n\n{__doc__.strip()}")
            return 2
        return COMMANDS[command](args)
    except Stop as stop:
        print(stop, file=sys.stderr)
    except KeyboardInterrupt:
        print("\nStopped. The same command continues from here.", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
