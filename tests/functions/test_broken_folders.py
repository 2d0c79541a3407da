"""functions/08-errors: each folder fails as its name says, and one change fixes it."""

import shutil
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosedError, InvalidStatus

from fclocal import Platform
from fclocal.testing import connect

FOLDER = Path(__file__).parents[2] / "functions" / "08-errors"
BOOTSTRAP = "      customRuntimeConfig:\n        command: [python3, main.py]\n      triggers:\n"
# folder: code, words of the message, and the fix: file, wrong text, correct text
BROKEN = {
    "1-never-ready": ("FunctionNotStarted", "127.0.0.1", "main.py", '"127.0.0.1"', '"0.0.0.0"'),
    "2-never-ready-either": ("FunctionNotStarted", "on port 8080", "s.yaml", "port: 8080", "port: 9000"),
    "3-ends-at-once": ("CAExited", "No module named 'shortuuid'", "main.py", "import shortuuid",
                       "from uuid import uuid4 as new"),
    "4-no-such-file": ("CAFileNotFound", "/code/bootstrap is not exist", "s.yaml", "      triggers:\n", BOOTSTRAP),
    "5-closes-with-1011": ("", "", "main.py", "int(message)", "message"),
}


def outcome(url: str) -> str:
    """What became of one connection: the answer, the body of a refusal, or the close code."""
    try:
        with connect(url.replace("https", "wss"), open_timeout=20) as socket:
            socket.send("hello")
            return str(socket.recv(timeout=10))
    except InvalidStatus as refusal:
        return (refusal.response.body or b"").decode()
    except ConnectionClosedError as closed:
        return str(closed.rcvd.code if closed.rcvd else 1006)


@pytest.mark.parity("instance.wrong-port", "instance.ca-exited", "instance.ca-file")
@pytest.mark.parametrize("name", BROKEN)
def test_it_fails_as_its_name_says_and_one_change_fixes_it(fc: Platform, name: str, tmp_path: Path) -> None:
    code, words, file, old, new = BROKEN[name]
    first = outcome(fc.deploy(FOLDER / name).url)
    assert first == "1011" if not code else f'"Code": "{code}"' in first and words in first
    mended = tmp_path / name
    shutil.copytree(FOLDER / name, mended)
    text = (mended / file).read_text()
    assert text.count(old) == 1
    (mended / file).write_text(text.replace(old, new))
    if name.startswith("3"):
        (mended / file).write_text((mended / file).read_text().replace("shortuuid.uuid()", "new()"))
    assert "hello" in outcome(fc.deploy(mended).url)


def test_every_folder_is_tried() -> None:
    assert sorted(BROKEN) == sorted(path.name for path in FOLDER.iterdir() if path.is_dir())
