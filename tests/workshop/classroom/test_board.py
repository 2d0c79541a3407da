"""An instructor's side of the class board: one command, one link that stays, and nothing else open to the room."""

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from free_port import free_port
from websockets.sync.client import connect

from workshop.classroom import board, member
from workshop.errors import UserError

ROOT = Path(__file__).parents[3]
# A shell starts programs in the background with SIGINT ignored, and the tests may be such a program.
COMMAND = """import signal, sys
from workshop.cli import main
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.exit(main())"""


@contextmanager
def opened(state: Path, port: int) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """`workshop class open` as a process, and the link that it prints."""
    words = [sys.executable, "-u", "-c", COMMAND, "class", "open", "--port", str(port)]
    process = subprocess.Popen(words, cwd=ROOT, env={**os.environ, "FCLOCAL_STATE": str(state)}, text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        assert process.stdout
        printed = ""
        for line in process.stdout:
            printed += line
            if "Ctrl-C" in line:
                break
        links = re.findall(r"http://\S+", printed)
        assert len(links) == 2 and links[0] == links[1], printed
        yield process, links[0]
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=30)
        assert "Traceback" not in output


def test_a_class_from_the_link_to_the_page(tmp_path: Path) -> None:
    port = free_port()
    with opened(tmp_path / "instructor", port) as (process, link):
        link = link.replace(httpx.URL(link).host, "127.0.0.1")  # the machine of the tests may have no network
        page = httpx.get(link, trust_env=False)
        assert "Class board" in page.text
        assert "content-disposition" not in page.headers  # a browser shows the page, and does not download it
        with connect(link.replace("http", "ws") + "watch", proxy=None) as ws:
            assert '"learners": 0' in str(ws.recv(timeout=20))
            assert member.join(tmp_path / "learner", link).startswith("You take part in the class.\n")
            assert '"learners": 1' in str(ws.recv(timeout=20))
            process.send_signal(signal.SIGINT)  # while a page is open
            assert process.wait(20) == 0


def test_a_port_in_use_is_one_line_with_a_fix() -> None:
    with socket.create_server(("0.0.0.0", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UserError) as error:
            asyncio.run(board.share(port, 1, lambda: None))
    assert error.value.message.startswith(f"Port {port} cannot be opened: ")
    assert error.value.cure.endswith(f"workshop class open --port {port + 1}")


def test_the_word_is_kept_and_can_be_chosen(tmp_path: Path) -> None:
    word = board.keep_word(tmp_path, None)
    assert re.fullmatch(r"[a-z]+-\d{4}", word)
    assert board.keep_word(tmp_path, None) == word
    assert board.keep_word(tmp_path, "tea-room") == board.keep_word(tmp_path, None) == "tea-room"
    with pytest.raises(UserError, match="cannot be the word of a class"):
        board.keep_word(tmp_path, "Tea Room")


def test_the_invitation_names_one_address_and_the_others() -> None:
    text = board.invitation("otter-42", 8700, ["192.168.1.20", "172.17.0.1"])
    assert text.count("http://192.168.1.20:8700/otter-42/") == 2
    assert "Other addresses of this computer: 172.17.0.1" in text
    assert "http://localhost:8700/otter-42/" in board.invitation("otter-42", 8700, [])
