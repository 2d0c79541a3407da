"""What to_wss and the client must do."""

import ssl
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import trustme
from websockets.asyncio.server import ServerConnection, serve

from workshop.checking import Mistake, Returned, Target, Unexpected, step


async def same(target: Target, table: dict[str, str]) -> None:
    """Require that to_wss returns the value of each row for its key. Raises Unexpected."""
    results = await target.call("urls.py", "to_wss", *([url] for url in table))
    for (url, wanted), got in zip(table.items(), results, strict=True):
        if got.error:
            trace = "" if got.error.startswith("ValueError") else got.trace
            raise Unexpected(f"to_wss({url!r}) raised {got.error}", trace)
        if got.value != wanted:
            raise Unexpected(f"to_wss({url!r}) returned {got.value!r}, not {wanted!r}")


@step("3.1", did="called to_wss with http, https, ws and wss", wanted="the schemes ws, wss, ws and wss", local=True)
async def schemes(target: Target) -> None:
    await same(target, {"https://room.example": "wss://room.example", "http://room.example": "ws://room.example",
                        "ws://room.example": "ws://room.example", "wss://room.example": "wss://room.example"})


@step("3.1", did="called to_wss with ports, paths and queries", wanted="the same ports, paths and queries", local=True)
async def parts(target: Target) -> None:
    await same(target, {
        "https://localhost:9443": "wss://localhost:9443", "https://room.example/a/b/": "wss://room.example/a/b/",
        "https://room.example/?back=http://home": "wss://room.example/?back=http://home",
        "http://[::1]:8080/x?y=1&y=2": "ws://[::1]:8080/x?y=1&y=2", "https://room.example/%7Eana%2Fbo?q=a%20b+c":
        "wss://room.example/%7Eana%2Fbo?q=a%20b+c"})


@step("3.1", did="called to_wss with a fragment", wanted="the URL without the fragment", local=True)
async def fragment(target: Target) -> None:
    await same(target, {"https://room.example/x#top": "wss://room.example/x"})


@step("3.1", did="called to_wss with HTTPS in capital letters", wanted="the scheme wss", local=True)
async def capitals(target: Target) -> None:
    await same(target, {"HTTPS://room.example/A": "wss://room.example/A"})


@step("3.1", did="called to_wss with ftp:, without a scheme, and with an empty text", wanted="ValueError each time",
      local=True)
async def refuses(target: Target) -> None:
    urls = ["ftp://room.example", "room.example:9443", "https://", ""]
    for url, got in zip(urls, await target.call("urls.py", "to_wss", *([url] for url in urls)), strict=True):
        if not got.error.startswith("ValueError"):
            raise Unexpected(f"to_wss({url!r}) " + (f"raised {got.error}" if got.error else f"returned {got.value!r}"))


@step("3.2", did="called ask with the URL of the function and its authority", wanted='"ready? yes"', local=True)
async def the_right_one(target: Target) -> None:
    url = (await target.url()).replace("https", "wss")
    got = await ask(target, url, target.fc.at.state / "ca" / "ca.pem")
    if got.value != "ready? yes":
        raise Unexpected(got.error or repr(got.value), "" if "CERTIFICATE" in got.error else got.trace)


@step("3.2", did="called ask with a server whose certificate is from a usual authority",
      wanted="the client rejects the certificate", local=True)
async def an_impostor(target: Target) -> None:
    with tempfile.TemporaryDirectory() as kept:
        usual = Path(kept, "usual.pem")
        other = trustme.CA()
        other.cert_pem.write_to_path(usual)
        async with impostor(other, "localhost") as url:
            got = await ask(target, url, target.fc.at.state / "ca" / "ca.pem", SSL_CERT_FILE=str(usual))
    refused(got, "the client accepted the other authority")


@step("3.2", did="called ask with a server whose certificate names another host", local=True,
      wanted="the client rejects the certificate")
async def another_host(target: Target) -> None:
    with tempfile.TemporaryDirectory() as kept:
        own = Path(kept, "own.pem")
        authority = trustme.CA()
        authority.cert_pem.write_to_path(own)
        async with impostor(authority, "other.example") as url:
            got = await ask(target, url, own)
    refused(got, "the client accepted the other host")


async def ask(target: Target, url: str, ca_file: Path, **env: str) -> Returned:
    """Call the learner's ask() in a process of its own."""
    [got] = await target.call("client.py", "ask", [url, str(ca_file), "ready"], env=env)
    return got


def refused(got: Returned, otherwise: str) -> None:
    """Require that the client rejected the certificate. Raises Unexpected."""
    if "CERTIFICATE_VERIFY_FAILED" not in got.error:
        raise Unexpected(got.error or otherwise, got.trace)


@asynccontextmanager
async def impostor(authority: trustme.CA, host: str) -> AsyncIterator[str]:
    """Run a server with a certificate of `authority`; yield its wss:// URL."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(host).configure_cert(context)

    async def handler(ws: ServerConnection) -> None:
        async for _ in ws:
            await ws.send("ready? no")

    async with serve(handler, "localhost", 0, ssl=context) as server:
        yield f"wss://localhost:{next(iter(server.sockets)).getsockname()[1]}"


MISTAKES = [
    Mistake("3.1", "the function returns None", saw="returned None",
            likely="`return` is missing in front of the result"),
    Mistake("3.1", "https became ws: the connection is not encrypted", saw=r"to_wss\('https.*returned 'ws:"),
    Mistake("3.1", "http became wss: that port does not use TLS", saw=r"to_wss\('http:.*returned 'wss:"),
    Mistake("3.1", "the scheme is changed although it is wss already", saw=r"'wsss|wss\w+://|'wss?://wss?:"),
    Mistake("3.1", "the scheme is cut at the wrong place", saw=r"returned 'w\w+/",
            likely="https has one letter more than http"),
    Mistake("3.1", "the query was changed too", saw=r"back=ws", likely="replace() changes every occurrence"),
    Mistake("3.1", "percent signs were decoded: this is another path", saw=r"~ana/bo"),
    Mistake("3.1", "the port is lost", saw=r"returned 'wss://localhost[/']",
            likely="hostname is without the port; netloc has both"),
    Mistake("3.1", "the query is lost", saw=r"returned '[^?]*', not '[^']*\?"),
    Mistake("3.1", "the fragment is still there", saw=r"returned '[^']*#top"),
    Mistake("3.1", "HTTPS in capital letters is not handled", saw=r"to_wss\('HTTPS"),
    Mistake("3.1", "an invalid URL is accepted", saw=r"to_wss\('(ftp:[^']*|room[^']*|https://|)'\) returned",
            likely="raise ValueError when the scheme is not in SCHEMES or netloc is empty"),
    Mistake("3.2", "the client accepts every certificate", saw="accepted the other authority",
            code="CERT_NONE|unverified",
            likely="without verification the encryption does not prove which server answers"),
    Mistake("3.2", "the usual authorities are trusted as well", saw="accepted the other authority",
            likely="load_verify_locations() adds a file to the authorities that are already trusted"),
    Mistake("3.2", "the host name is not checked", saw="accepted the other host",
            likely="leave check_hostname as create_default_context() sets it"),
    Mistake("3.2", "the file is passed as another argument", log=r"TypeError: \S+\.pem",
            likely="name the argument: cafile="),
    Mistake("3.2", "the certificate of the function is rejected", saw="CERTIFICATE_VERIFY_FAILED",
            likely="ca_file is not used"),
]
