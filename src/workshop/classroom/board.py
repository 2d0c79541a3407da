"""An instructor's side of the class board: deploy functions/07-class-board, and let the room reach it.

fclocal listens on loopback only, and so do the functions of the instructor. One port for the room forwards to the
board's domain and to nothing else.
"""

import asyncio
import io
import os
import re
import secrets
import socket
from collections.abc import Callable
from contextlib import redirect_stdout, suppress
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from workshop.errors import UserError
from workshop.workspace import platform, root, state

FOLDER = "functions/07-class-board"
PORT = 8700
# On the trigger's own URL a browser downloads the page, as on the service.
DOMAIN = "class.example.com"
NAMES = ("badger", "bison", "crane", "falcon", "gecko", "heron", "lemur", "marten", "otter", "puffin", "walrus")


def open_board(word: str | None, port: int) -> None:
    """Open the board until Ctrl-C. Without a word it is that of the last time. Raises UserError and FcError."""
    word = keep_word(state(root()), word)
    os.environ["CLASS_WORD"] = word  # s.yaml reads it
    fc = platform()
    with redirect_stdout(io.StringIO()):  # notices about settings of the service
        domain = {"domainName": DOMAIN, "protocol": "HTTP,HTTPS", "route": {"path": "/*"}}
        app = fc.deploy(root() / FOLDER, customDomain=domain)
    inside = urlsplit(app.domains[DOMAIN]).port or 443
    with suppress(KeyboardInterrupt):
        asyncio.run(share(port, inside, lambda: print(invitation(word, port, addresses()), flush=True)))
    print("The board is closed. `workshop class open` opens it again with the same link.")


def keep_word(folder: Path, word: str | None) -> str:
    """Return the word of the class and store it, so that the link stays the same. Raises UserError."""
    file = folder / "class-word.txt"
    if word is None:
        word = file.read_text("utf-8").strip() if file.is_file() else (
            f"{secrets.choice(NAMES)}-{secrets.randbelow(9000) + 1000}")
    if not re.fullmatch("[a-z0-9-]{3,40}", word):
        raise UserError(f"{word!r} cannot be the word of a class.",
                        "Use 3 to 40 small letters, digits and hyphens, for example otter-42.")
    folder.mkdir(parents=True, exist_ok=True)
    file.write_text(f"{word}\n", "utf-8")
    return word


def invitation(word: str, port: int, reachable: list[str]) -> str:
    """Return what the instructor needs: the page to show, and the line that learners type."""
    link = f"http://{(reachable or ['localhost'])[0]}:{port}/{word}/"
    lines = [f"The board of the class {word} is open. Show this page:", f"  {link}",
             "Learners who want to take part type this line in a terminal, or with ! before it in a cell:",
             f"  workshop class join {link}"]
    if reachable[1:]:
        lines.append(f"Other addresses of this computer: {', '.join(reachable[1:])}")
    return "\n".join([*lines, "Ctrl-C closes the board."])


def addresses() -> list[str]:
    """Return the IPv4 addresses of this computer in its networks, without loopback."""
    up = {name for name, facts in psutil.net_if_stats().items() if facts.isup}
    addresses = [entry.address for name, entries in psutil.net_if_addrs().items() if name in up
                 for entry in entries if entry.family == socket.AF_INET and not entry.address.startswith("127.")]
    return sorted(addresses, key=lambda address: address.startswith("172."))  # containers' networks last


async def share(port: int, inside: int, opened: Callable[[], None]) -> None:
    """Forward every connection on `port` to the port `inside` of loopback until cancelled. Raises UserError."""
    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", inside)
        except OSError:
            writer.close()
            return
        await asyncio.gather(_pump(reader, inner_writer), _pump(inner_reader, writer))

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(task := asyncio.create_task(forward(reader, writer)))
        task.add_done_callback(tasks.discard)

    tasks: set[asyncio.Task[None]] = set()
    try:
        server = await asyncio.start_server(accept, "0.0.0.0", port)
    except OSError as error:
        raise UserError(f"Port {port} cannot be opened: {error.strerror}.",
                        f"Close the other program, or run: workshop class open --port {port + 1}") from None
    opened()
    try:
        await asyncio.Event().wait()
    finally:
        server.close()  # without wait_closed: since Python 3.12 that waits for every open page


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Copy bytes until one side ends."""
    with suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()
