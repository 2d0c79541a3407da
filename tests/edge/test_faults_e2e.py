"""Faults, taps and session affinity on the real platform: each seen by a client and written into the journal."""

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
from alibabacloud_fc20230330 import models as m
from awaited import until
from service_kit import ROOT, call, kinds_since, last, records_since
from websockets.exceptions import ConnectionClosedError, InvalidStatus

from fclocal import FcError, Platform
from fclocal.testing import connect, running_platform, wait_for

ECHO, SHOW = ROOT / "functions" / "01-echo", ROOT / "functions" / "02-trigger"


@pytest.fixture(scope="module")
def fc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    with running_platform(tmp_path_factory.mktemp("faults")) as running:
        yield running


@pytest.fixture(scope="module")
def url(fc: Platform) -> str:
    """An echo server that runs already."""
    url = str(fc.deploy(ECHO, timeout=600).url).replace("https", "wss")
    with connect(url):
        return url


def hits(fc: Platform, since: int) -> list[tuple[str, str]]:
    return [(record.kind, record.data["what"]) for record in fc.events(since) if record.kind.startswith("fault.")]


@pytest.mark.parity("fault.reject")
@pytest.mark.parametrize(("status", "code"), [
    (429, "ResourceExhausted"), (500, "InternalServerError"), (503, "ResourceThrottled")])
def test_reject(fc: Platform, url: str, status: int, code: str) -> None:
    before = last(fc)
    with fc.fault("reject", status=status, times=2, function="echo"):
        for _ in range(2):
            with pytest.raises(InvalidStatus) as refused:
                connect(url)
            assert refused.value.response.status_code == status
            assert json.loads(refused.value.response.body)["Code"] == code
        with connect(url) as socket:
            socket.send("after two")
            assert socket.recv(timeout=10) == "after two"
    assert hits(fc, before) == [("fault.armed", "reject"), ("fault.hit", "reject"), ("fault.hit", "reject"),
                                ("fault.cleared", "reject")]
    assert [record.data["code"] for record in records_since(fc, before, "request.rejected")] == [code] * 2


def test_a_fault_for_another_function_or_another_time_does_not_hit(fc: Platform, url: str) -> None:
    before = last(fc)
    with fc.fault("reject", function="other"), fc.fault("reject", seconds=0.05):
        wait_for(fc, "fault.cleared", after=before, what="reject")
        with connect(url):
            pass
    assert ("fault.hit", "reject") not in hits(fc, before)


@pytest.mark.parity("fault.delay")
def test_delay(fc: Platform, url: str) -> None:
    before = last(fc)
    with fc.fault("delay", delay=0.3, function="echo"):
        began = time.monotonic()
        with connect(url):
            assert time.monotonic() - began >= 0.3
    assert ("fault.hit", "delay") in hits(fc, before)


@pytest.mark.parity("fault.slow-start")
def test_slow_start(fc: Platform) -> None:
    before = last(fc)
    cold = fc.deploy(ECHO, functionName="cold").url.replace("https", "wss")
    with fc.fault("slow_start", delay=0.5, function="cold"), connect(cold):
        pass
    assert records_since(fc, before, "instance.ready")[-1].data["seconds"] >= 0.5
    assert records_since(fc, before, "request.begin")[-1].data["waited"] >= 0.5
    assert ("fault.hit", "slow_start") in hits(fc, before)


def lost(url: str) -> int:
    """The close code that a client sees which says nothing itself."""
    with connect(url) as socket:
        with pytest.raises(ConnectionClosedError) as closed:
            socket.recv(timeout=10)
        assert closed.value.rcvd is None, "no Close frame came"
        return int(socket.protocol.close_code)


@pytest.mark.parity("fault.cut")
def test_cut_after_a_while_and_what_runs_already(fc: Platform, url: str) -> None:
    before = last(fc)
    with fc.fault("cut", after=0.2, function="echo", times=1):
        assert lost(url) == 1006
    with connect(url) as running, fc.fault("cut", function="echo"), pytest.raises(ConnectionClosedError):
        running.recv(timeout=10)
    assert hits(fc, before).count(("fault.hit", "cut")) == 2
    assert until(lambda: [r.data["why"] for r in records_since(fc, before, "request.end")][:2] == ["fault", "fault"])
    assert "instance.stopped" not in kinds_since(fc, before, "echo")


@pytest.mark.parity("fault.kill")
def test_kill_takes_the_instance_and_the_next_request_gets_another(fc: Platform, url: str) -> None:
    before = last(fc)
    with fc.fault("kill", after=0.2, function="echo", times=1):
        assert lost(url) == 1006
    stopped = wait_for(fc, "instance.stopped", after=before, function="echo")
    assert stopped.data["why"] == "fault"
    with connect(url) as socket:
        socket.send("back")
        assert socket.recv(timeout=10) == "back"
    assert wait_for(fc, "instance.ready", after=before, function="echo").instance != stopped.instance


@pytest.mark.parity("fault.silence")
def test_silence_informs_neither_side(fc: Platform, url: str) -> None:
    before = last(fc)
    with connect(url, ping_interval=None, close_timeout=0.2) as socket:
        socket.send("heard")
        assert socket.recv(timeout=10) == "heard"
        with fc.fault("silence", function="echo"):
            wait_for(fc, "fault.hit", after=before, what="silence")
            socket.send("unheard")
            with pytest.raises(TimeoutError):
                socket.recv(timeout=0.5)
            assert socket.protocol.close_code is None


@pytest.mark.parity("fault.pause-redis")
def test_pause_redis(fc: Platform) -> None:
    client = redis.Redis.from_url(fc.redis(), socket_timeout=0.3)
    try:
        assert client.ping()
        before = last(fc)
        with fc.fault("pause_redis"), pytest.raises(redis.exceptions.TimeoutError):
            client.ping()
        assert hits(fc, before)[0] == ("fault.armed", "pause_redis")
        assert until(lambda: answers(client))
    finally:
        client.close()


@pytest.mark.parity("fault.pause-redis")
def test_two_pauses_of_redis_end_with_the_second(fc: Platform) -> None:
    client = redis.Redis.from_url(fc.redis(), socket_timeout=0.3)
    try:
        with fc.fault("pause_redis"):
            with fc.fault("pause_redis"):
                assert not answers(client)
            assert not answers(client)
        assert until(lambda: answers(client))
    finally:
        client.close()


@pytest.mark.parity("fault.pause-redis")
def test_only_the_kits_own_redis_is_paused(
    platform_factory: Callable[..., Platform], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(FcError, match="no function has asked for it yet"), platform_factory().fault("pause_redis"):
        pass
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1/0")
    other = platform_factory(state="other")
    assert other.redis() == "redis://127.0.0.1:1/0"
    with pytest.raises(FcError, match="REDIS_URL names another one"), other.fault("pause_redis"):
        pass


def answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.exceptions.TimeoutError:
        return False


@pytest.mark.parametrize(("what", "options"), [("explode", {}), ("reject", {"status": 404}), ("cut", {"delay": 1})])
def test_a_fault_that_cannot_be_is_refused(fc: Platform, what: str, options: dict[str, Any]) -> None:
    with pytest.raises(Exception, match=r"fault|status|delay"), fc.fault(what, **options):
        pass


@pytest.mark.parity("fault.tap")
def test_a_tap_shows_compressed_frames_both_ways(fc: Platform, url: str) -> None:
    with fc.tap("echo") as tap, connect(url) as socket:
        assert "permessage-deflate" in socket.response.headers["Sec-WebSocket-Extensions"]
        for text in ("hello hello hello hello", "hello hello hello hello"):
            socket.send(text)
            socket.recv(timeout=10)
        socket.send(b"\x00\x01")
        socket.recv(timeout=10)
        socket.close(1000, "bye")
        frames = until(lambda: tap.frames if len(tap.frames) >= 8 else None)
    seen = [(frame.data["direction"], frame.data["opcode"], frame.data["preview"]) for frame in frames]
    hello = "hello hello hello hello"
    assert seen[:6] == [("in", "text", hello), ("out", "text", hello), ("in", "text", hello), ("out", "text", hello),
                        ("in", "binary", "00 01"), ("out", "binary", "00 01")]
    assert {(frame.data["opcode"], frame.data["closeCode"]) for frame in frames[6:]} == {("close", 1000)}
    assert frames[0].data["compressed"] and frames[0].data["length"] < len(hello)


# Session affinity

def sticky(fc: Platform, name: str, kind: str, **config: Any) -> str:
    """A function whose instances take one session each."""
    url = str(fc.deploy(SHOW, functionName=name).url)
    rules = {"sessionConcurrencyPerInstance": 1, **config}
    fc.sdk.update_function(name, m.UpdateFunctionRequest(body=m.UpdateFunctionInput(
        session_affinity=kind, session_affinity_config=json.dumps(rules))))
    return url


@pytest.mark.parity("affinity.header", "affinity.limit")
def test_a_header_keeps_a_session_on_its_instance(fc: Platform) -> None:
    url = sticky(fc, "by-header", "HEADER_FIELD", affinityHeaderFieldName="my-session")
    first = call(url, headers=[("My-Session", "ana")])
    assert first.headers["my-session"] == "ana"
    second = call(url, headers=[("My-Session", "bo")])
    assert first.json["instance"] != second.json["instance"], "an instance takes one session"
    for session, answer in (("ana", first), ("bo", second)) * 2:
        assert call(url, headers=[("My-Session", session)]).json["instance"] == answer.json["instance"]
    session = call(url).headers["my-session"]
    assert session and session not in ("ana", "bo")
    assert call(url, headers=[("My-Session", "-bad")]).error == (400, "InvalidArgument")


@pytest.mark.parity("affinity.cookie")
def test_a_cookie_keeps_a_websocket_with_its_page(fc: Platform) -> None:
    url = sticky(fc, "by-cookie", "GENERATED_COOKIE")
    page = call(url)
    cookie = page.headers["set-cookie"].partition(";")[0]
    assert cookie.startswith("x-fc-cookie-session-id=") and "Max-Age=21600" in page.headers["set-cookie"]
    assert call(url).json["instance"] != page.json["instance"]
    with connect(url.replace("https", "wss"), additional_headers={"Cookie": cookie}) as socket:
        assert json.loads(socket.recv(timeout=10))["instance"] == page.json["instance"]
        assert "set-cookie" not in socket.response.headers
    with connect(url.replace("https", "wss")) as socket:
        assert socket.response.headers["set-cookie"].startswith("x-fc-cookie-session-id=")


def test_an_affinity_that_cannot_work_is_refused(fc: Platform) -> None:
    fc.deploy(SHOW, functionName="refused")
    with pytest.raises(Exception, match="affinityHeaderFieldName"):
        fc.sdk.update_function("refused", m.UpdateFunctionRequest(body=m.UpdateFunctionInput(
            session_affinity="HEADER_FIELD")))
