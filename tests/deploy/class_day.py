"""A class on one machine, played by Chromium: python3 tests/deploy/class_day.py --learners 6

Runs the shipped jupyterhub_config.py with configurable-http-proxy in a network namespace without any other network.
Each learner signs in, runs lesson 1 in JupyterLab up to PASS, and opens the chat of lesson 7; all meet in one room.
Then the first learner tries to reach the trigger of the second. Prints a JSON object with what each learner needed.
Needs root, Chromium, redis-server, and what `start.py install deploy/jupyterhub` installs.
"""

import argparse
import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from html import unescape
from pathlib import Path
from typing import Any

import psutil
from playwright.sync_api import Browser, Error, expect, sync_playwright

ROOT = Path(__file__).parents[2]
HUB = "http://127.0.0.1:8000"
REDIS = "redis://10.77.0.1:6379/0"  # of the class
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
         "--disable-sync", "--no-first-run"]
expect.set_options(timeout=60_000)  # two cores, several learners
INSIDE = "WORKSHOP_CLASS_DAY"  # set inside the namespaces: the folder for everything that the day writes
SHOTS = ROOT / "build" / "screenshots"
NAMES = ("ana", "bo", "cem", "dora", "emil", "fay", "gus", "hana", "ivo", "june")


def enter_namespaces(folder: Path) -> int:
    """Run this script again with its own network, mounts and processes: nothing of it survives or leaves a trace."""
    unshare = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
    return subprocess.run([*unshare, sys.executable, *sys.argv], env={**os.environ, INSIDE: str(folder)}).returncode


def hide_the_machine(folder: Path) -> None:
    """Keep the class's accounts, homes and namespaces out of the machine's, and let accounts read Python."""
    run("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", folder)
    for name in ("etc", "work", "homes"):
        (folder / name).mkdir()
    run("mount", "-t", "overlay", "overlay",
        "-o", f"lowerdir=/etc,upperdir={folder / 'etc'},workdir={folder / 'work'}", "/etc")
    run("useradd", "--defaults", "--base-dir", folder / "homes")
    # A Python or a checkout below a private folder, for example /root, is not readable for accounts.
    needed = {Path(sys.base_prefix).resolve(), ROOT}
    private = {parent for path in needed for parent in path.parents if not parent.stat().st_mode & 0o001}
    for number, parent in enumerate(sorted(private)):
        within = [path for path in needed if parent in path.parents]
        for index, path in enumerate(within):
            (place := folder / f"{number}-{index}").mkdir()
            run("mount", "--bind", path, place)
        run("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", parent)
        for index, path in enumerate(within):
            path.mkdir(parents=True)
            run("mount", "--bind", folder / f"{number}-{index}", path)
    Path("/run/netns").mkdir(exist_ok=True)
    run("mount", "-t", "tmpfs", "tmpfs", "/run/netns")
    run("ip", "link", "set", "lo", "up")


def run(*words: object) -> None:
    subprocess.run([str(word) for word in words], check=True)


def until(condition: Callable[[], Any], what: str, patience: float = 60) -> Any:
    """Wait for a true value, and return it."""
    end = time.monotonic() + patience
    while time.monotonic() < end:
        with contextlib.suppress(OSError, Error):
            if value := condition():
                return value
        time.sleep(0.5)
    raise AssertionError(f"{what}: not within {patience:.0f} s")


@contextlib.contextmanager
def process(folder: Path, *words: object, **variables: str) -> Iterator[subprocess.Popen[bytes]]:
    with (folder / f"{Path(str(words[0])).name}.log").open("wb") as log:
        started = subprocess.Popen([str(word) for word in words], cwd=folder, stdout=log, stderr=log,
                                   env={**os.environ, **variables})
    try:
        yield started
    finally:
        started.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            started.wait(20)


class Learner:
    """A person with a browser of their own."""

    def __init__(self, browser: Browser, name: str) -> None:
        self.name, self.account = name, f"fc-{name}"
        self.server = f"{HUB}/user/{name}"
        self.page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
        self.home = Path(os.environ[INSIDE], "homes", self.account)
        self.page.set_default_timeout(60_000)
        self.used: dict[str, float] = {}
        self.peak = 0.0

    def sign_in(self) -> None:
        """Choose a password, and wait until JupyterLab shows lesson 0."""
        self.page.goto(f"{HUB}/hub/login")
        self.page.get_by_label("Username").fill(self.name)
        self.page.get_by_label("Password").fill(f"{self.name}-has-a-password")
        self.page.get_by_role("button", name="Sign in").click()
        shown = self.page.locator(".jp-Notebook, .error").first
        expect(shown).to_be_visible(timeout=120_000)
        expect(shown).to_have_class(re.compile("jp-Notebook"))

    def show_all_cells(self) -> None:
        """Make JupyterLab keep cells in the page that are outside the window, from the next notebook on."""
        folder = "$HOME/.jupyter/lab/user-settings/@jupyterlab/notebook-extension"
        setting = json.dumps({"windowingMode": "none"})
        done = self.inside("sh", "-c", f"mkdir -p {folder} && echo '{setting}' > {folder}/tracker.jupyterlab-settings")
        assert done.returncode == 0, done.stderr

    def run_lesson(self, notebook: str) -> dict[str, Any]:
        """Run all cells of a notebook in JupyterLab and save it; return the saved notebook."""
        self.page.goto(f"{self.server}/lab/tree/notebooks/{notebook}?reset")  # without the tabs of the last visit
        expect(self.page.get_by_role("button", name="Python 3 (ipykernel) | Idle")).to_be_visible()
        self.page.get_by_role("menuitem", name="Run", exact=True).click()
        self.page.get_by_role("menuitem", name=re.compile("^Run All Cells")).first.click()
        return until(lambda: self.sample() and self.saved(notebook), f"{self.name} runs {notebook}", 180)

    def saved(self, notebook: str) -> dict[str, Any] | None:
        """Save the notebook and return it as it is on the server, None while its last cell has not run."""
        with self.page.expect_response(lambda response: response.request.method == "PUT" and notebook in response.url):
            self.page.keyboard.press("Control+s")
        content = self.page.request.get(f"{self.server}/api/contents/notebooks/{notebook}").json()["content"]
        errors = ["\n".join(out["traceback"]) for out in outputs(content) if out["output_type"] == "error"]
        assert not errors, f"{self.name}, {notebook}: {errors[0]}"
        last = [cell for cell in content["cells"] if cell["cell_type"] == "code"][-1]
        return content if last["execution_count"] else None

    def write_the_solution(self, path: str) -> None:
        """Save the solution of an exercise as the learner's own file, through the API that JupyterLab's editor uses."""
        self.page.evaluate("""async ([server, path]) => {
            const headers = {"X-XSRFToken": document.cookie.match(/_xsrf=([^;]+)/)[1]}
            const call = async (folder, options) => {
                const answer = await fetch(`${server}/api/contents/${folder}/${path}`, {headers, ...options})
                if (!answer.ok) throw new Error(await answer.text())
                return answer.json()
            }
            const {content} = await call("solutions")
            await call("exercises", {method: "PUT", body: JSON.stringify({type: "file", format: "text", content})})
        }""", [self.server, path])

    def verdict(self, task: str) -> str:
        """Return the last verdict of a task, from the learner's own progress."""
        file = self.home / "workshop/.fclocal/progress.json"
        return str(json.loads(file.read_text())["tasks"][task]["verdict"])

    def processes(self) -> list[psutil.Process]:
        return [found for found in psutil.process_iter(["username"]) if found.info["username"] == self.account]

    def sample(self) -> float:
        """Return the memory of all processes of the learner in MB, a page that they share counted once (PSS)."""
        total = 0.0
        for found in self.processes():
            with contextlib.suppress(psutil.Error, OSError):
                total += found.memory_full_info().pss / 1e6
        self.peak = max(self.peak, total)
        return total

    def note(self, label: str) -> None:
        self.used[label] = round(self.sample())

    def cpu(self) -> float:
        """Return the CPU seconds that the learner's processes have used."""
        return sum(sum(found.cpu_times()[:2]) for found in self.processes())

    def inside(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command as the learner could in a terminal of JupyterLab."""
        return subprocess.run(["ip", "netns", "exec", self.account, "setpriv", f"--reuid={self.account}",
                               f"--regid={self.account}", "--init-groups", ROOT / "deploy/jupyterhub/learner.sh",
                               *words], capture_output=True, text=True,
                              env={**os.environ, "HOME": str(self.home), "REDIS_URL": REDIS})

    def listening(self) -> dict[int, str]:
        """Return the ports on which programs of the learner listen, with the address of each."""
        lines = subprocess.run(["ip", "netns", "exec", self.account, "ss", "-ltnH"], capture_output=True, text=True,
                               check=True).stdout.splitlines()
        pairs = (line.split()[3].rpartition(":") for line in lines)
        return {int(port): address for address, _, port in pairs}


def outputs(notebook: dict[str, Any]) -> list[dict[str, Any]]:
    return [out for cell in notebook["cells"] for out in cell.get("outputs", [])]


def links(notebook: dict[str, Any]) -> list[str]:
    """Return the addresses of functions' pages to which a notebook's outputs link."""
    html = "".join("".join(out.get("data", {}).get("text/html", "")) for out in outputs(notebook))
    return list(dict.fromkeys(map(unescape, re.findall(r'href="(/user/[^"]+/proxy/[^"]+)"', html))))


CONNECT = """
import contextlib, json, socket, sys
for host, port in json.loads(sys.argv[1]):
    with contextlib.suppress(OSError):
        socket.create_connection((host, port), 1).close()
        print(host, port)
"""


def reaches(learner: Learner, *targets: tuple[str, int]) -> set[tuple[str, int]]:
    """Return those of the targets to which a program of this learner can open a TCP connection."""
    lines = learner.inside(sys.executable, "-c", CONNECT, json.dumps(targets)).stdout.splitlines()[1:]
    return {(host, int(port)) for host, port in map(str.split, lines)}


def nobody_reaches_another(ana: Learner, bo: Learner, function: int) -> None:
    """Ana tries every way to the ports that only Bo has, `function` among them: through the hub, through her own
    server, and from a program."""
    (address,) = {host for host in bo.listening().values() if host.startswith("10.77.")}
    only_bo = bo.listening().keys() - ana.listening().keys()
    ways = [(host, port) for port in sorted(only_bo) for host in ("127.0.0.1", address)]
    of_bo = reaches(bo, *ways)
    assert ("127.0.0.1", function) in of_bo and any(host == address for host, _ in of_bo), of_bo
    assert reaches(ana, *ways) == set()
    statuses = {path: ana.page.request.get(f"{HUB}/user/{path}/").status for path in (
        f"bo/proxy/{function}", f"ana/proxy/{function}", f"ana/proxy/{address}:{function}")}
    assert list(statuses.values()) == [403, 500, 403], statuses  # 500: nothing listens on her own localhost
    assert ana.inside("ls", str(bo.home)).returncode != 0


def meet_in_one_room(class_: list[Learner], pages: dict[str, str]) -> None:
    """Each learner restarts fclocal with the Redis of the class and opens the chat. All see a message of the first."""
    for learner in class_:
        for command in ("stop", "start"):  # start: with REDIS_URL
            done = learner.inside("fclocal", command)
            assert done.returncode == 0, done.stderr
        learner.page.goto(f"{HUB}{pages[learner.name]}")
        learner.page.get_by_label("Your name").fill(learner.name)
        learner.page.keyboard.press("Enter")
        expect(learner.page.locator("#state")).to_have_text("Connected")
    class_[0].page.get_by_label("Message", exact=True).fill("hello from ana")
    class_[0].page.keyboard.press("Enter")
    for learner in class_:
        expect(learner.page.locator("#log .text").get_by_text("hello from ana")).to_be_visible()


def day(folder: Path, count: int) -> dict[str, Any]:
    """Play the day; return what each learner needed."""
    with (
        process(folder, shutil.which("redis-server"), "--save", "", "--bind", "0.0.0.0", "--protected-mode", "no"),
        process(folder, Path(sys.executable).with_name("jupyterhub"), "-f",
                ROOT / "deploy/jupyterhub/jupyterhub_config.py",
                WORKSHOP_HUB_STATE=str(folder / "hub"), WORKSHOP_HUB_URL=HUB),
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=QUIET)
        class_ = [Learner(browser, name) for name in NAMES[:count]]
        until(lambda: class_[0].page.request.get(f"{HUB}/hub/health").ok, "the hub starts")
        pages: dict[str, str] = {}
        for learner in class_:
            learner.sign_in()
            time.sleep(5)  # an idle learner: nothing to await
            learner.note("idle")
            began, before = time.monotonic(), learner.cpu()
            learner.write_the_solution("01-echo/main.py")
            learner.run_lesson("01-echo.ipynb")
            if SHOTS.is_dir():
                learner.page.screenshot(path=SHOTS / "class-day-lesson.png")
            assert learner.verdict("1.1") == "PASS"
            learner.note("lesson 1")
            (pages[learner.name],) = links(learner.run_lesson("07-chat.ipynb"))
            learner.used |= {"peak": round(learner.peak), "CPU seconds": round(learner.cpu() - before),
                             "seconds": round(time.monotonic() - began)}
        if count > 1:
            ana, bo, *_ = class_
            bo.show_all_cells()
            (page,) = links(bo.run_lesson("03-wss.ipynb"))
            with bo.page.expect_popup() as opened:
                bo.page.get_by_role("link", name=page).click()
            expect(opened.value.locator("#state")).to_have_text("open")
            if SHOTS.is_dir():
                bo.page.screenshot(path=SHOTS / "class-day-link.png")
                opened.value.screenshot(path=SHOTS / "class-day-page.png")
            nobody_reaches_another(ana, bo, int(page.split("/proxy/")[1].split("/")[0]))
        meet_in_one_room(class_, pages)
        rest = {learner.name: learner.cpu() for learner in class_}
        time.sleep(20)  # the class listens to the instructor
        for learner in class_:
            learner.note("at rest")
            learner.used["CPU at rest, %"] = round((learner.cpu() - rest[learner.name]) / 20 * 100, 1)
        browser.close()
    return {learner.name: learner.used for learner in class_}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--learners", type=int, default=2, choices=range(1, len(NAMES) + 1))
    options = parser.parse_args()
    if INSIDE not in os.environ:
        with tempfile.TemporaryDirectory() as folder:
            return enter_namespaces(Path(folder))
    folder = Path(os.environ[INSIDE])
    hide_the_machine(folder)
    try:
        print(json.dumps(day(folder, options.learners), indent=1))
    except BaseException:
        for log in folder.glob("*.log"):
            print(f"--- {log.name}", log.read_text()[-6000:], sep="\n", file=sys.stderr)
        raise
    return 0


if __name__ == "__main__":
    sys.exit(main())
