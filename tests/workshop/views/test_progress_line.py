"""The line that says what takes a while: there while it lasts, gone afterwards."""

import sys

import nbformat
import pytest
from nbclient import NotebookClient

from workshop.views.progress_line import working

CELL = """from workshop.views.progress_line import working
with working("Connecting ...") as say:
    say("Cutting 60 connections ...")
"""


def test_a_terminal_shows_each_line_in_the_same_place_and_a_pipe_nothing(monkeypatch: pytest.MonkeyPatch,
                                                                         capsys: pytest.CaptureFixture[str]) -> None:
    with working("Connecting ..."):
        pass
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with working("Connecting ...") as say:
        say("Cutting ...")
    assert capsys.readouterr().err == "\r\x1b[KConnecting ...\r\x1b[KCutting ...\r\x1b[K"


def test_a_notebook_shows_the_line_while_it_lasts() -> None:
    """In a real kernel: the messages that the notebook receives, and what is left of them."""
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(CELL)])
    client, seen = NotebookClient(book, timeout=60, kernel_name="python3"), list[str]()
    receive = client.process_message

    def process(message, cell, number):  # type: ignore[no-untyped-def]
        if message["msg_type"] == "update_display_data":
            seen.append(message["content"]["data"]["text/plain"])
        return receive(message, cell, number)

    client.process_message = process  # type: ignore[method-assign]
    client.execute()
    assert seen == ["Connecting ...", "Cutting 60 connections ...", ""]
    assert [output["data"]["text/plain"] for output in book.cells[0].outputs] == [""]
