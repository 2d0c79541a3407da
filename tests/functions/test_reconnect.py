"""functions/05-reconnect: when to come back, and that nothing is lost on the way."""

import asyncio
import contextlib
import itertools
import random
import ssl
import sys
import urllib.error
import urllib.request
from http import HTTPStatus

import pytest
import trustme
from awaited import awaited
from functions.standalone import FUNCTIONS, module, running
from hypothesis import given
from hypothesis import strategies as st
from websockets.asyncio.client import connect
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed

retry = module("05-reconnect", "retry")
client = module("05-reconnect", "client")
QUICK = {"base": 0.01, "longest": 0.1}


@pytest.mark.parametrize(("cause", "when"), [
    *(({"status": status}, "never") for status in (400, 401, 403, 404, 405)),
    *(({"status": status}, "backoff") for status in (429, 500, 502, 503, 504, 599)),
    ({"status": 412}, "later"),
    *(({"close_code": code}, "never") for code in (1000, 1002, 1003, 1007, 1008, 1009)),
    *(({"close_code": code}, "at once") for code in (1001, 1006)),
    *(({"close_code": code}, "backoff") for code in (1011, 4999)),
    *(({"close_code": code}, "later") for code in (1012, 1013)),
    ({}, "backoff"),
])
def test_the_rule_for_each_cause(cause, when):
    assert retry.rule(**cause).when == when
    assert retry.rule(**cause).why


WHENS = st.sampled_from(["at once", "backoff", "later"])


@given(WHENS, st.integers(0, 2000), st.floats(0, 1, exclude_max=True))
def test_waits_are_drawn_from_a_span_that_doubles_up_to_a_limit(when, failures, random_number):
    assert 0 <= retry.wait(when, failures, random_number) <= 30
    assert retry.wait(when, failures, 0.0) == 0
    if retry.wait(when, failures + 1, 0.5) < 15:
        assert retry.wait(when, failures + 1, 0.5) == 2 * retry.wait(when, failures, 0.5)


def test_at_once_is_sooner_than_backoff_and_that_sooner_than_later():
    waits = [retry.wait(when, 0, 0.5) for when in ("at once", "backoff", "later")]
    assert waits == sorted(waits) and waits[0] <= 0.5
    assert retry.wait("never", 0, 0.5) is None


@pytest.mark.parametrize(("url", "resumed"), [
    ("wss://a/", "wss://a/?after=7"),
    ("wss://a/b?room=tea&after=3", "wss://a/b?room=tea&after=7"),
    ("ws://a:1/?q=%C3%A9+1", "ws://a:1/?q=%C3%A9+1&after=7"),
])
def test_the_resume_url_keeps_everything_else(url, resumed):
    assert client.resume_url(url, 7) == resumed


async def ids(stream) -> list[int]:
    return [message["id"] async for message in stream]


@awaited
async def test_crashes_and_restarts_lose_and_repeat_nothing():
    states: list[str] = []
    async with running("05-reconnect", SECONDS_PER_MESSAGE="0.005", LAST_MESSAGE="150") as program:
        stream = client.Stream(program.url, on_state=states.append, attempts=200, **QUICK)
        received = []
        async for message in stream:
            received.append(message["id"])
            if message["id"] in (40, 80, 120):
                await program.kill()
                await program.start()
        assert received == list(range(1, 151))
    assert stream.connections >= 4
    assert states[:2] == ["connecting", "open"] and states[-1] == "done"
    assert any(state.startswith("waiting 0.0 s (1006:") for state in states)


@contextlib.asynccontextmanager
async def scripted(*acts):
    """A server whose connections go as scripted: an int refuses with that status, a coroutine function serves."""
    left = list(acts)

    def act(connection, request):
        if isinstance(left[0], int):
            return connection.respond(HTTPStatus(left.pop(0)), "")
        return None

    async def handler(ws):
        await left.pop(0)(ws)

    async with serve(handler, "127.0.0.1", 0, process_request=act) as server:
        yield f"ws://localhost:{server.sockets[0].getsockname()[1]}/"


def sends(*numbers, code=1000):
    async def act(ws):
        for number in numbers:
            await ws.send(f'{{"id": {number}, "text": ""}}')
        await ws.close(code)
    return act


@awaited
async def test_throttling_is_waited_out_and_repeats_are_dropped():
    async with scripted(429, 503, sends(1, 2, 3, code=1012), sends(2, 3, 4)) as url:
        stream = client.Stream(url, **QUICK)
        assert await ids(stream) == [1, 2, 3, 4]
        assert stream.repeats == 2


@awaited
@pytest.mark.parametrize(("act", "reason"), [(403, "403: access denied"), (404, "404: no function"),
                                             (sends(code=1008), "1008: the server's policy")])
async def test_it_gives_up_at_once_where_trying_again_cannot_help(act, reason):
    states: list[str] = []
    async with scripted(act) as url:
        with pytest.raises(client.GaveUp, match=reason):
            await ids(client.Stream(url, on_state=states.append, **QUICK))
    assert states[-1].startswith(f"gave up: {reason}")


@awaited
async def test_it_gives_up_at_once_where_it_does_not_trust_the_certificate():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("localhost").configure_cert(context)
    async with serve(sends(1), "127.0.0.1", 0, ssl=context) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(client.GaveUp, match="SSLCertVerificationError: the certificate is for another name"):
            await ids(client.Stream(f"wss://localhost:{port}/", **QUICK))


@awaited
async def test_it_gives_up_after_its_limit_and_says_how_long_it_waits():
    waits: list[float] = []
    states: list[str] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    async with scripted(*[503] * 20) as url:
        stream = client.Stream(url, attempts=4, random_source=lambda: 0.5, sleep=sleep, on_state=states.append)
        with pytest.raises(client.GaveUp, match="4 failures in a row, the last 503"):
            await ids(stream)
    assert waits == [1.0, 2.0, 4.0, 8.0]
    assert "waiting 1.0 s (503: the service is throttling)" in states


@awaited
async def test_an_unreachable_server_counts_as_a_failure():
    async with scripted() as url:
        pass
    with pytest.raises(client.GaveUp, match="2 failures in a row"):
        await ids(client.Stream(url, attempts=2, **QUICK))


@awaited
async def test_without_jitter_all_come_back_in_the_same_moment_and_with_it_spread():
    draws = random.Random(5)
    together = {retry.wait("at once", 0, 1.0) for _ in range(200)}
    spread = sorted(retry.wait("at once", 0, draws.random()) for _ in range(200))
    assert len(together) == 1
    assert spread[-1] - spread[0] > 0.9 and max(b - a for a, b in itertools.pairwise(spread)) < 0.1


@awaited
async def test_a_client_that_leaves_early_is_no_error():
    async with running("05-reconnect", SECONDS_PER_MESSAGE="0.02") as program:
        async with connect(program.url) as ws:
            await ws.recv()
        assert '"code": 1000' in await program.printed('"event": "closed"')


@awaited
async def test_the_server_refuses_nonsense_with_1008():
    async with running("05-reconnect") as program, connect(program.url + "?after=soon") as ws:
        with pytest.raises(ConnectionClosed):
            await ws.recv()
        assert (ws.close_code, ws.close_reason) == (1008, "after must be a number")


@awaited
async def test_a_client_that_has_enough_leaves_with_1000():
    async with running("05-reconnect", SECONDS_PER_MESSAGE="0.02") as program:
        process = await asyncio.create_subprocess_exec(
            sys.executable, str(FUNCTIONS / "05-reconnect" / "client.py"), program.url, "--until", "3")
        assert await process.wait() == 0
        assert '"code": 1000' in await program.printed('"event": "closed"')


@awaited
@pytest.mark.parametrize(("control", "code"), [("/pre-stop", 1001), ("/http-invoke", None)])
async def test_only_the_service_can_call_pre_stop(control, code):
    async with running("05-reconnect", SECONDS_PER_MESSAGE="0.02") as program, connect(program.url) as ws:
        hook = urllib.request.Request(program.url.replace("ws", "http") + "pre-stop",
                                      headers={"x-fc-control-path": control})
        try:
            await asyncio.to_thread(lambda: urllib.request.urlopen(hook, timeout=10).close())
        except urllib.error.HTTPError as refused:
            refused.close()
        with contextlib.suppress(ConnectionClosed):
            for _ in range(20):
                await ws.recv()
        assert ws.close_code == code
