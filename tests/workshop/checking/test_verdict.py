"""Verdicts: what is printed, and whose line a traceback blames."""

import pytest

from workshop.checking.client import Wire
from workshop.checking.verdict import Trace, Verdict, find_trace

LONG = "a harbour so long that " * 12


def test_a_verdict_is_ascii_and_at_most_76_columns() -> None:
    shown = Verdict("3.1", "NOT YET", f"caf\u00e9 {LONG}", (("I did", LONG), ("", "x = '\u20ac' " + LONG)),
                    wire=(Wire(0.1, "ana", "fn", "TEXT", LONG),))
    for text in (shown.text(), shown.details()):
        assert text.isascii()
        assert max(map(len, text.splitlines())) <= 76
    assert len(shown.text().splitlines()) <= 18


def test_word_first_then_what_was_done_wanted_and_seen() -> None:
    shown = Verdict("1.1", "NOT YET", "it comes back", (("I did", "ana sent"), ("I wanted", "an answer")),
                    ("Reloaded.",))
    assert shown.text() == "Reloaded.\n1.1 NOT YET  it comes back\n  I did    : ana sent\n  I wanted : an answer"


def test_details_mark_where_it_departed() -> None:
    frames = (Wire(0.0, "ana", "fn", "TEXT", '"hi"'), Wire(0.012, "fn", "ana", "TEXT", '"hi"'))
    shown = Verdict("1.1", "NOT YET", "x", (("I wanted", '"HI"'),), wire=frames).details()
    assert shown.splitlines()[2].split() == ["0.012", "fn", "->", "ana", "TEXT", '"hi"']
    assert shown.splitlines()[-1].strip() == '^-- the check expected: "HI"'


PYTHON = '''connection handler failed
Traceback (most recent call last):
  File "/usr/lib/python3/site-packages/websockets/asyncio/server.py", line 374, in conn_handler
    await self.handler(connection)
  File "/tmp/state/instances/c-1/code/main.py", line 14, in handler
    await ws.send(mesage)
                  ^^^^^^
NameError: name 'mesage' is not defined
'''


def test_the_learners_own_line() -> None:
    assert find_trace(PYTHON, ["main.py"]) == Trace("NameError: name 'mesage' is not defined", "main.py", 14)
    assert find_trace(PYTHON, ["other.py"]) is None


def test_module_names_of_exceptions_are_left_out() -> None:
    log = PYTHON.replace("NameError: name", "websockets.exceptions.ConnectionClosedError: no close name")
    trace = find_trace(log, ["main.py"])
    assert trace and trace.error.startswith("ConnectionClosedError: no close")


@pytest.mark.parametrize(("printed", "error", "advice"), [
    ("NameError: name 'mesage' is not defined", "NameError: name 'mesage' is not defined", ""),  # Python 3.11
    ("NameError: name 'mesage' is not defined. Did you mean: 'message'?",
     "NameError: name 'mesage' is not defined", "Did you mean: 'message'?"),
    ("NameError: name 'json' is not defined. Did you forget to import 'json'?",
     "NameError: name 'json' is not defined", "Did you forget to import 'json'?"),
])
def test_what_python_suggests_is_not_part_of_the_error(printed: str, error: str, advice: str) -> None:
    log = f'Traceback (most recent call last):\n  File "/x/main.py", line 3, in f\n{printed}\n'
    assert find_trace(log, ["main.py"]) == Trace(error, "main.py", 3, advice)


def test_the_last_traceback_counts_and_others_are_not_blamed() -> None:
    library = PYTHON.replace("/tmp/state/instances/c-1/code/main.py", "/usr/lib/python3/site-packages/other/main.py")
    assert find_trace(library, ["main.py"]) is None
    twice = PYTHON + PYTHON.replace("line 14", "line 20").replace("mesage", "massage")
    assert find_trace(twice, ["main.py"]) == Trace("NameError: name 'massage' is not defined", "main.py", 20)


def test_a_file_in_a_folder() -> None:
    log = PYTHON.replace("code/main.py", "code/rooms/main.py")
    trace = find_trace(log, ["main.py", "rooms/main.py"])
    assert trace and trace.file == "rooms/main.py"


def test_node() -> None:
    log = ("/tmp/code/server.js:7\n  socket.send(mesage)\n              ^\n\nReferenceError: mesage is not defined\n"
           "    at WebSocket.<anonymous> (/tmp/code/server.js:7:15)\n")
    assert find_trace(log, ["server.js"]) == Trace("ReferenceError: mesage is not defined", "server.js", 7)
