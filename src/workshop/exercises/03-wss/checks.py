"""What the pilots' program must do."""

import ssl
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import trustme
from websockets.asyncio.server import ServerConnection, serve

from workshop.checking import Mistake, Returned, Target, Unexpected, step


async def same(target: Target, table: dict[str, str]) -> None:
    """to_wss must give the right side of each row for the left side."""
    given = await target.call("urls.py", "to_wss", *([url] for url in table))
    for (url, wanted), got in zip(table.items(), given, strict=True):
        if got.error:
            trace = "" if got.error.startswith("ValueError") else got.trace
            raise Unexpected(f"to_wss({url!r}) raised {got.error}", trace)
        if got.value != wanted:
            raise Unexpected(f"to_wss({url!r}) gave {got.value!r}, not {wanted!r}")


@step("3.1", did="called to_wss for http, https, ws and wss", wanted="ws, wss, ws and wss", local=True)
async def schemes(target: Target) -> None:
    await same(target, {"https://pier.example": "wss://pier.example", "http://pier.example": "ws://pier.example",
                        "ws://pier.example": "ws://pier.example", "wss://pier.example": "wss://pier.example"})


@step("3.1", did="called to_wss with ports, paths and queries", wanted="the same ports, paths and queries", local=True)
async def parts(target: Target) -> None:
    await same(target, {
        "https://localhost:9443": "wss://localhost:9443", "https://pier.example/a/b/": "wss://pier.example/a/b/",
        "https://pier.example/?back=http://home": "wss://pier.example/?back=http://home",
        "http://[::1]:8080/x?y=1&y=2": "ws://[::1]:8080/x?y=1&y=2", "https://pier.example/%7Eana%2Fbo?q=a%20b+c":
        "wss://pier.example/%7Eana%2Fbo?q=a%20b+c"})


@step("3.1", did="called to_wss with a fragment", wanted="the same without the fragment", local=True)
async def fragment(target: Target) -> None:
    await same(target, {"https://pier.example/x#top": "wss://pier.example/x"})


@step("3.1", did="called to_wss with HTTPS in capitals", wanted="wss", local=True)
async def capitals(target: Target) -> None:
    await same(target, {"HTTPS://pier.example/A": "wss://pier.example/A"})


@step("3.1", did="called to_wss with ftp:, with no scheme, with nothing", wanted="ValueError each time", local=True)
async def refuses(target: Target) -> None:
    urls = ["ftp://pier.example", "pier.example:9443", "https://", ""]
    for url, got in zip(urls, await target.call("urls.py", "to_wss", *([url] for url in urls)), strict=True):
        if not got.error.startswith("ValueError"):
            raise Unexpected(f"to_wss({url!r}) " + (f"raised {got.error}" if got.error else f"gave {got.value!r}"))


@step("3.2", did="asked the harbour with its own authority", wanted='"harbour office: tide? yes"', local=True)
async def the_right_one(target: Target) -> None:
    url = (await target.url()).replace("https", "wss")
    got = await ask(target, url, target.fc.at.state / "ca" / "ca.pem")
    if got.value != "harbour office: tide? yes":
        raise Unexpected(got.error or repr(got.value), "" if "CERTIFICATE" in got.error else got.trace)


@step("3.2", did="an impostor, whom all the usual authorities vouch for, took the call",
      wanted="the certificate is refused", local=True)
async def an_impostor(target: Target) -> None:
    with tempfile.TemporaryDirectory() as kept:
        usual = Path(kept, "usual.pem")
        other = trustme.CA()
        other.cert_pem.write_to_path(usual)
        async with impostor(other, "localhost") as url:
            got = await ask(target, url, target.fc.at.state / "ca" / "ca.pem", SSL_CERT_FILE=str(usual))
    refused(got, "the impostor's answer was taken")


@step("3.2", did="somebody with a certificate for another host took the call", wanted="the certificate is refused",
      local=True)
async def another_host(target: Target) -> None:
    with tempfile.TemporaryDirectory() as kept:
        own = Path(kept, "own.pem")
        authority = trustme.CA()
        authority.cert_pem.write_to_path(own)
        async with impostor(authority, "smuggler.example") as url:
            got = await ask(target, url, own)
    refused(got, "the answer of another host was taken")


async def ask(target: Target, url: str, ca_file: Path, **env: str) -> Returned:
    """Let the pilot ask in a process of its own."""
    [got] = await target.call("pilot.py", "ask", [url, str(ca_file), "tide"], env=env)
    return got


def refused(got: Returned, otherwise: str) -> None:
    """The pilot must have refused the certificate."""
    if "CERTIFICATE_VERIFY_FAILED" not in got.error:
        raise Unexpected(got.error or otherwise, got.trace)


@asynccontextmanager
async def impostor(authority: trustme.CA, host: str) -> AsyncIterator[str]:
    """A server that answers for somebody else; its wss:// address."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(host).configure_cert(context)

    async def handler(ws: ServerConnection) -> None:
        async for _ in ws:
            await ws.send("harbour office: send money")

    async with serve(handler, "localhost", 0, ssl=context) as server:
        yield f"wss://localhost:{next(iter(server.sockets)).getsockname()[1]}"


MISTAKES = [
    Mistake("3.1", "nothing is returned", saw="gave None"),
    Mistake("3.1", "https became ws: the encryption is gone", saw=r"to_wss\('https.*gave 'ws:"),
    Mistake("3.1", "http became wss: nobody speaks TLS there", saw=r"to_wss\('http:.*gave 'wss:"),
    Mistake("3.1", "the address becomes longer each time", saw=r"'wsss|wss\w+://"),
    Mistake("3.1", "the scheme is cut off at the wrong place", saw=r"gave 'w\w+/",
            likely="https has one letter more than http"),
    Mistake("3.1", "the query was changed too", saw=r"back=ws", likely="replace() changes every place where it fits"),
    Mistake("3.1", "percent signs were decoded: the path means something else now", saw=r"~ana/bo"),
    Mistake("3.1", "the port is lost", saw=r"gave 'wss://localhost[/']"),
    Mistake("3.1", "the query is lost", saw=r"gave '[^?]*', not '[^']*\?"),
    Mistake("3.1", "the fragment is still there", saw=r"gave '[^']*#top"),
    Mistake("3.1", "HTTPS in capitals is not known", saw=r"to_wss\('HTTPS"),
    Mistake("3.1", "an address that is none is let through", saw=r"to_wss\('(ftp:[^']*|pier[^']*|https://|)'\) gave"),
    Mistake("3.2", "the usual authorities are trusted as well", saw="impostor's answer was taken",
            likely="load_verify_locations() adds to what is trusted already"),
    Mistake("3.2", "the host's name is not compared", saw="another host was taken",
            likely="leave check_hostname as create_default_context() sets it"),
    Mistake("3.2", "the file is taken for something else", log=r"TypeError: \S+\.pem",
            likely="the file of authorities needs the name of its argument"),
    Mistake("3.2", "the harbour's own certificate is refused", saw="CERTIFICATE_VERIFY_FAILED",
            likely="ca_file is not used"),
]
