"""A learner's side of the class board: join, leave, and report after each check. Before a join nothing is sent.

A report is the learner's progress file as a whole: task, verdict, and the verdict's first line. What the board did not
receive is part of the next report, so progress.json is the queue and nothing else has to be kept. The board identifies
a computer by a random code.
"""

import json
import re
import secrets
import threading
from pathlib import Path

import httpx

from workshop.errors import UserError
from workshop.workspace import Progress

TIMEOUT = 3.0  # seconds for one report
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0  # seconds between two attempts while the board does not answer
ASK = "Ask your instructor for the link."
LATER = "It gets your reports later; compare the link with your instructor's page."
PRIVACY = "Sent after each check: the task, its verdict and the verdict's first line. No name, no file."


class NotReported(Exception):
    """The board did not accept a report; the message says why. `final`: the same report would be refused again."""

    def __init__(self, reason: str, *, final: bool) -> None:
        super().__init__(reason)
        self.final = final


def join(state: Path, link: str) -> str:
    """Take part in the class at `link` and send a first report; return the message to print. Raises UserError."""
    if not _is_link(link):
        raise UserError(f"{link} is not the link of a class board.",
                        "It looks like http://192.168.1.20:8700/otter-42/ and is on your instructor's page.")
    learner = _membership(state).get("learner") or secrets.token_hex(16)  # the same after leaving: one computer
    membership = {"link": link.rstrip("/"), "learner": learner}
    lines = ["You take part in the class.", PRIVACY, "To end it: workshop class leave"]
    try:
        _post(membership, state)
    except NotReported as failed:
        if failed.final:
            raise UserError(f"The board refused: {failed}", ASK) from None
        lines.append(f"The board does not answer ({failed}). {LATER}")
    _write(state, membership)
    return "\n".join(lines)


def _is_link(text: str) -> bool:
    """Return whether the text is an address with the word of a class at its end."""
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL:
        return False
    return bool(url.scheme in ("http", "https") and url.host and re.search("/[a-z0-9-]{3,40}/*$", url.path))


def leave(state: Path) -> str:
    """End the reports of this computer; return the message to print."""
    membership = _membership(state)
    _write(state, {"learner": membership["learner"]} if membership else {})
    return "Your computer sends no more reports."


def describe(state: Path) -> str:
    """Send a report now, and return whether this computer takes part and whether the board has the report."""
    membership = _membership(state)
    if "link" not in membership:
        return "You take part in no class. Your instructor's page has the line to type: workshop class join LINK"
    try:
        _post(membership, state)
    except NotReported as failed:
        problem = f"refused: {failed}\n{ASK}" if failed.final else f"does not answer ({failed}). {LATER}"
        return f"You take part in {membership['link']}/\nThe board {problem}"
    return f"You take part in {membership['link']}/\nThe board has all your verdicts."


class Reporter:
    """Sends the reports of one state folder in the background, and repeats them until the board has them."""

    def __init__(self, state: Path) -> None:
        self._state = state
        self._news, self._idle = threading.Event(), threading.Event()
        threading.Thread(target=self._run, name="workshop-class", daemon=True).start()

    def report(self) -> None:
        """Send the present state soon. Returns at once."""
        self._idle.clear()
        self._news.set()

    def wait(self, seconds: float) -> bool:
        """Wait until the board has everything; return False if it does not after `seconds`."""
        return self._idle.wait(seconds)

    def _run(self) -> None:
        pause = FIRST_PAUSE
        while True:
            self._news.wait()
            self._news.clear()
            try:
                if "link" in (membership := _membership(self._state)):
                    _post(membership, self._state)
            except NotReported as failed:
                if not failed.final:
                    if not self._news.wait(pause):  # a new report is a reason to try at once
                        pause = min(2 * pause, LONGEST_PAUSE)
                    self._news.set()
                    continue
            pause = FIRST_PAUSE
            if not self._news.is_set():
                self._idle.set()


_reporters: dict[Path, Reporter] = {}


def report(state: Path) -> None:
    """Report in the background if this computer takes part in a class. Returns at once."""
    if "link" in _membership(state):
        state = state.resolve()
        if state not in _reporters:
            _reporters[state] = Reporter(state)
        _reporters[state].report()


def wait(state: Path, seconds: float) -> None:
    """Wait at most so long for a report on its way: for a process that ends after its check."""
    if reporter := _reporters.get(state.resolve()):
        reporter.wait(seconds)


def _post(membership: dict[str, str], state: Path) -> None:
    """Send one report. Raises NotReported."""
    tasks = {task: {"verdict": facts.get("verdict", "NOT STARTED"), "line": facts.get("line", "")}
             for task, facts in Progress(state).read()["tasks"].items()}
    link = membership["link"]
    try:
        # A board in the room (http) is reached directly; a proxy may stand before the service (https).
        answer = httpx.post(f"{link}/report", json={"learner": membership["learner"], "tasks": tasks},
                            timeout=TIMEOUT, trust_env=link.startswith("https:"))
    except httpx.HTTPError as error:
        reason = re.sub(r"^\[Errno -?\d+\] ", "", str(error)) or type(error).__name__
        raise NotReported(reason, final=False) from None
    if answer.status_code >= 300:
        text = answer.text.strip().partition("\n")[0][:120] or answer.reason_phrase
        refused = answer.status_code < 500 and answer.status_code != 429
        raise NotReported(f"{text}, status {answer.status_code}", final=refused)


def _membership(state: Path) -> dict[str, str]:
    """Return link and learner; without a link this computer takes no part."""
    try:
        membership: dict[str, str] = json.loads((state / "class.json").read_text(encoding="utf-8"))
        return membership
    except (OSError, ValueError):
        return {}


def _write(state: Path, membership: dict[str, str]) -> None:
    state.mkdir(parents=True, exist_ok=True)
    new = state / "class.json.new"
    new.write_text(json.dumps(membership), encoding="utf-8")
    new.replace(state / "class.json")
