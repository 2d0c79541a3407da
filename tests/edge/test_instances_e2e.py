"""Instances as a client meets them: scaling, freeze, timeout, updates, hooks, memory, crashes."""

import json
import math
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest
import requests
from alibabacloud_fc20230330 import models
from websockets.exceptions import ConnectionClosed, InvalidStatus

from fclocal.testing import connect, wait_for

# One function for all: what it does is asked of it in the path.
PROGRAM = '''
import asyncio, http, os, sys, time
from websockets.asyncio.server import serve

STARTED = time.monotonic()
ticks = 0

async def tick():
    global ticks
    while True:
        await asyncio.sleep(0.05)
        ticks += 1

def burn():
    end = time.monotonic() + 1.5
    while time.monotonic() < end:
        pass

async def handler(ws):
    async for message in ws:
        if message == "who":
            await ws.send(os.environ["FC_INSTANCE_ID"])
        elif message == "ticks":
            await ws.send(str(ticks))
        elif message == "eat":
            hoard = bytearray(400 * 1024 * 1024)
            hoard[::4096] = b"x" * len(hoard[::4096])
            await ws.send("full")
        elif message == "die":
            os._exit(3)
        elif message == "work":
            asyncio.get_running_loop().run_in_executor(None, burn)
        elif message == "env":
            await ws.send(os.environ.get("MARK", "-"))

async def plain(connection, request):
    if request.path == "/slow":
        await asyncio.sleep(30)
    if request.path in ("/initialize", "/pre-stop"):
        print(request.path, flush=True)
        return connection.respond(http.HTTPStatus.OK, "")
    if request.path == "/ill":
        return connection.respond(http.HTTPStatus.SERVICE_UNAVAILABLE, "")
    if "upgrade" not in request.headers:
        return connection.respond(http.HTTPStatus.OK, os.environ["FC_INSTANCE_ID"])

async def main():
    ticking = asyncio.create_task(tick())
    async with serve(handler, "0.0.0.0", int(os.environ["FC_SERVER_PORT"]), process_request=plain):
        await asyncio.get_running_loop().create_future()

asyncio.run(main())
'''

MANIFEST = """
edition: 3.0.0
name: probe
access: default
resources:
  probe:
    component: fc3
    props:
      region: cn-hangzhou
      functionName: probe
      runtime: custom.debian12
      code: .
      cpu: 0.35
      memorySize: 512
      timeout: 60
      instanceConcurrency: 2
      customRuntimeConfig: {command: [python3, main.py], port: 9000}
      triggers:
        - triggerName: http
          triggerType: http
          triggerConfig: {methods: [GET, POST], authType: anonymous}
"""


@pytest.fixture
def probe(tmp_path):
    folder = tmp_path / "probe"
    folder.mkdir()
    (folder / "main.py").write_text(PROGRAM)
    (folder / "s.yaml").write_text(MANIFEST)
    return folder


def dial(app):
    return connect(app.url.replace("https", "wss"), open_timeout=15)


def ask(ws, question):
    ws.send(question)
    return ws.recv(timeout=10)


@pytest.mark.parity("dispatch.fill-first")
def test_two_connections_share_an_instance_and_the_third_gets_another(fc, probe):
    app = fc.deploy(probe)
    with dial(app) as a, dial(app) as b, dial(app) as c:
        who = [ask(ws, "who") for ws in (a, b, c)]
        assert who[0] == who[1] != who[2]
        assert sorted(i["load"] for i in fc.instances("probe")) == [1, 2]


@pytest.mark.parity("dispatch.cold-start-shared")
def test_connections_during_a_cold_start_all_succeed(fc, probe):
    app = fc.deploy(probe)
    who, lock = [], threading.Lock()

    def visit():
        with dial(app) as ws:
            answer = ask(ws, "who")
            with lock:
                who.append(answer)

    visitors = [threading.Thread(target=visit) for _ in range(6)]
    for visitor in visitors:
        visitor.start()
    for visitor in visitors:
        visitor.join(30)
    assert len(who) == 6 and len(set(who)) <= 3


@pytest.mark.parity("dispatch.reserved-concurrency")
def test_beyond_the_cap_the_client_reads_429(fc, probe):
    app = fc.deploy(probe, instanceConcurrency=1)
    fc.sdk.put_concurrency_config("probe", models.PutConcurrencyConfigRequest(
        body=models.PutConcurrencyInput(reserved_concurrency=1)))
    with dial(app):
        with pytest.raises(InvalidStatus) as refused:
            dial(app)
        body = json.loads(refused.value.response.body)
        assert (refused.value.response.status_code, body["Code"]) == (429, "ResourceExhausted")
    rejected = wait_for(fc, "request.rejected", function="probe")
    assert rejected.data["status"] == 429
    assert fc.bill("probe").data["requests"] == 1


@pytest.mark.parity("instance.freeze")
def test_between_requests_nothing_runs(fc, probe):
    app = fc.deploy(probe)
    with dial(app) as ws:
        before = int(ask(ws, "ticks"))
    frozen = wait_for(fc, "instance.frozen", function="probe")
    wait_for(fc, "instance.frozen", function="probe", after=frozen.seq - 1)
    time.sleep(0.6)  # twelve ticks of a function that runs; a frozen one makes none
    with dial(app) as ws:
        assert int(ask(ws, "ticks")) - before < 10
    assert wait_for(fc, "instance.thawed", function="probe")


def test_without_freezing_code_goes_on(platform_factory, probe):
    fc = platform_factory(freeze=False)
    app = fc.deploy(probe)
    with dial(app) as ws:
        before = int(ask(ws, "ticks"))
    end = time.monotonic() + 10
    while time.monotonic() < end:
        with dial(app) as ws:
            if int(ask(ws, "ticks")) - before >= 10:
                return
    pytest.fail("the instance did not run on")


@pytest.mark.parity("instance.background-work", "instance.delayed-release", "bill.delayed-release")
def test_with_idle_timeout_background_work_runs_after_the_last_request(fc, probe):
    app = fc.deploy(probe, idleTimeout=300)
    assert fc.sdk.get_function("probe", models.GetFunctionRequest()).body.idle_timeout == 300
    with dial(app) as ws:
        ask(ws, "who")
        ws.send("work")
    ended = wait_for(fc, "request.end", function="probe")
    frozen = wait_for(fc, "instance.frozen", function="probe")
    assert frozen.at - ended.at > 1.0
    kept = wait_for(fc, "instance.kept", function="probe")
    assert kept.data["until"] == pytest.approx(ended.at + 300, abs=1)
    units = {unit["unit"]: unit["amount"] for unit in fc.bill("probe").data["units"]}
    assert units["vCPU-seconds, background work (guess)"] == pytest.approx((frozen.at - ended.at) * 0.35, abs=0.01)
    assert units["GB-seconds, hibernating"] == pytest.approx((kept.data["until"] - frozen.at) * 0.5, abs=0.1)


CHECKED = {"customRuntimeConfig.healthCheckConfig": {"httpGetUrl": "/ready"}}


@pytest.mark.parity("instance.canceled-request", "gateway.client-gone-499")
@pytest.mark.parametrize(("overrides", "replaced"), [
    ({}, True), (CHECKED, False), ({"instanceConcurrency": 2}, False)])
def test_a_canceled_request_replaces_the_instance_without_a_health_check(fc, probe, overrides, replaced):
    app = fc.deploy(probe, **{"instanceConcurrency": 1, **overrides})
    address = ("127.0.0.1", int(app.url.rpartition(":")[2]))
    with socket.create_connection(address) as client:
        client.sendall(b"GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n")
        begun = wait_for(fc, "request.begin", function="probe")
    ended = wait_for(fc, "request.end", function="probe")
    assert (ended.data["status"], ended.data["why"]) == (499, "client")
    if replaced:
        wait_for(fc, "instance.stopped", function="probe", instance=begun.instance, why="canceled")
        wait_for(fc, "instance.ready", function="probe", after=ended.seq)
    with dial(app) as ws:
        assert (ask(ws, "who") != begun.instance) is replaced


@pytest.mark.parity("instance.health-check-error")
def test_a_start_whose_first_health_check_fails_is_answered_with_its_reason(fc, probe):
    check = {"httpGetUrl": "/ill", "periodSeconds": 1, "failureThreshold": 1}
    app = fc.deploy(probe, **{"customRuntimeConfig.healthCheckConfig": check})
    answer = requests.get(app.url, verify=str(fc.at.state / "ca" / "bundle.pem"), timeout=10)
    assert (answer.status_code, answer.json()["Code"]) == (412, "FunctionNotStarted")
    assert answer.json()["Message"].startswith(
        "Function instance health check failed on port 9000: GET /ill answered 503.")
    assert answer.headers["X-Fc-Error-Type"] == "FcCommonError"
    stopped = wait_for(fc, "instance.stopped", function="probe")
    assert stopped.data["why"] == "failed"


@pytest.mark.parity("instance.canceled-websocket")
@pytest.mark.parametrize("counts", [True, False])
def test_a_vanished_websocket_replaces_the_instance_unless_an_option_says_otherwise(platform_factory, probe, counts):
    fc = platform_factory(websocket_cancel=counts)
    app = fc.deploy(probe, instanceConcurrency=1)
    address = ("127.0.0.1", int(app.url.rpartition(":")[2]))
    with socket.create_connection(address) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                       b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
        assert b" 101 " in client.recv(4096)
    ended = wait_for(fc, "request.end", function="probe", why="client")
    with dial(app) as ws:
        assert (ask(ws, "who") != ended.instance) is counts


@pytest.mark.parity("timeout.websocket-1006")
def test_at_the_execution_timeout_the_client_sees_1006(fc, probe):
    app = fc.deploy(probe, timeout=1)
    with dial(app) as ws:
        began = time.monotonic()
        with pytest.raises(ConnectionClosed) as closed:
            ws.recv(timeout=10)
        assert closed.value.rcvd is None and ws.close_code == 1006
        assert 0.8 < time.monotonic() - began < 2.0
    ended = wait_for(fc, "request.end", function="probe")
    assert (ended.data["why"], ended.data["closeCode"]) == ("timeout", 1006)
    billed = fc.bill("probe").data
    assert 1.0 <= billed["seconds"] < 1.1
    assert "Function time out after 1 seconds" in fc.logs("probe")


@pytest.mark.parity("instance.update")
def test_a_new_deployment_serves_new_requests_and_leaves_running_ones(fc, probe):
    app = fc.deploy(probe, environmentVariables={"MARK": "old"})
    with dial(app) as old:
        assert ask(old, "env") == "old"
        fc.deploy(probe, environmentVariables={"MARK": "new"})
        with dial(app) as new:
            assert (ask(new, "env"), ask(old, "env")) == ("new", "old")
    stopped = wait_for(fc, "instance.stopped", function="probe")
    assert stopped.data["why"] == "update"


@pytest.mark.parity("instance.crash")
def test_a_crash_is_1006_for_all_and_the_next_request_gets_a_new_instance(fc, probe):
    app = fc.deploy(probe)
    with dial(app) as victim, dial(app) as neighbour:
        first = ask(victim, "who")
        victim.send("die")
        for ws in (victim, neighbour):
            with pytest.raises(ConnectionClosed):
                ws.recv(timeout=5)
            assert ws.close_code == 1006
    with dial(app) as ws:
        assert ask(ws, "who") != first
    stopped = wait_for(fc, "instance.stopped", function="probe")
    assert (stopped.data["why"], stopped.data["exitCode"]) == ("exit", 3)


@pytest.mark.parity("instance.memory", "instance.memory-clients")
def test_too_much_memory_is_killed_with_137(fc, probe):
    app = fc.deploy(probe, memorySize=384)
    with dial(app) as ws:
        ws.send("eat")
        with pytest.raises(ConnectionClosed):
            while True:
                ws.recv(timeout=10)
        assert ws.close_code == 1006
    stopped = wait_for(fc, "instance.stopped", function="probe")
    assert (stopped.data["why"], stopped.data["exitCode"]) == ("memory", 137)


@pytest.mark.parity("instance.hooks", "bill.hooks")
def test_initializer_before_the_first_request_and_pre_stop_before_the_end(fc, probe):
    hooks = {"initializer": {"handler": "index.initializer", "timeout": 5},
             "preStop": {"handler": "index.preStop", "timeout": 5}}
    app = fc.deploy(probe, instanceLifecycleConfig=hooks)
    with dial(app) as ws:
        ask(ws, "who")
    fc.remove("probe")
    wait_for(fc, "instance.stopped", function="probe")
    executed = [r.data for r in fc.events(function="probe", kinds="instance.hook")]
    assert [data["hook"] for data in executed] == ["Initialize", "PreStop"]
    bill = fc.bill("probe").data
    assert (bill["requests"], [unit["amount"] for unit in bill["units"] if unit["unit"] == "invocations"]) == (1, [3])
    hooks_ms = [span["billedMs"] for span in bill["spans"] if not span["requests"]]
    assert hooks_ms == [math.ceil(data["seconds"] * 1000) for data in executed]
    texts = fc.logs("probe").splitlines()
    order = [next(i for i, text in enumerate(texts) if text.startswith(start)) for start in
             ("FC Initialize Start", "/initialize", "FC Initialize End", "FC Invoke Start", "FC PreStop Start",
              "/pre-stop", "FC PreStop End")]
    assert order == sorted(order)


@pytest.mark.parity("instance.hooks")
def test_a_function_removed_under_an_open_connection_is_stopped_once(fc, probe):
    app = fc.deploy(probe, instanceLifecycleConfig={"preStop": {"handler": "index.preStop", "timeout": 5}})
    with dial(app) as ws:
        ask(ws, "who")
        fc.remove("probe")
        with pytest.raises(ConnectionClosed):
            ws.recv(timeout=5)
    wait_for(fc, "instance.stopped", function="probe")
    kinds = [r.kind for r in fc.events(function="probe", kinds="instance.*") if "stop" in r.kind]
    assert kinds == ["instance.stopping", "instance.stopped"]
    texts = [r.data["text"] for r in fc.events(function="probe", kinds="log")]
    assert texts.count("/pre-stop") == 1
    assert "Traceback" not in (fc.at.state / "platform.log").read_text()


def test_a_client_that_waits_for_a_cold_start_is_answered_when_the_function_is_removed(fc, probe):
    app = fc.deploy(probe)
    with fc.fault("slow_start", delay=30), ThreadPoolExecutor() as pool:
        answer = pool.submit(requests.get, app.url, verify=str(fc.at.state / "ca" / "bundle.pem"), timeout=15)
        wait_for(fc, "instance.starting", function="probe")
        fc.remove("probe")
        assert (answer.result().status_code, answer.result().json()["Code"]) == (503, "ResourceThrottled")


@pytest.mark.parity("instance.hooks")
def test_an_initializer_that_fails_is_answered_as_documented(fc, probe):
    source = (probe / "main.py").read_text()
    (probe / "main.py").write_text(source.replace("HTTPStatus.OK, \"\")", "HTTPStatus.INTERNAL_SERVER_ERROR, \"\")"))
    app = fc.deploy(probe, instanceLifecycleConfig={"initializer": {"handler": "index.initializer", "timeout": 5}})
    answer = requests.get(app.url, verify=str(fc.at.state / "ca" / "bundle.pem"), timeout=15)
    assert (answer.status_code, answer.headers["x-fc-error-type"]) == (200, "InitializationError")
    assert "/initialize answered with status 500" in answer.json()["errorMessage"]
    wait_for(fc, "instance.failed", function="probe", code="InitializationError")
    assert not [i for i in fc.instances("probe") if i["state"] != "starting"]


@pytest.mark.parity("instance.minimum")
def test_minimum_instances_are_there_before_any_request_and_come_back(fc, probe):
    fc.deploy(probe, scalingConfig={"minInstances": 1})
    ready = wait_for(fc, "instance.ready", function="probe")
    (pid,) = [instance["pid"] for instance in fc.instances("probe") if instance["instanceId"] == ready.instance]
    fc.kill(ready.instance)
    assert not psutil.pid_exists(pid)
    again = wait_for(fc, "instance.ready", function="probe", after=ready.seq)
    assert again.instance != ready.instance


def test_idle_instances_are_released(platform_factory, probe):
    fc = platform_factory(idle_release=0.2)
    app = fc.deploy(probe)
    with dial(app) as ws:
        ask(ws, "who")
    assert wait_for(fc, "instance.stopped", function="probe", why="idle")
    assert fc.instances("probe") == []


@pytest.mark.parity("api.invoke")
def test_an_event_call_is_a_post_to_invoke(fc, probe):
    (probe / "main.py").write_text('''
import http.server, os

class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        event = self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.path.encode() + b" " + event + b" " + self.headers["x-fc-control-path"].encode())

http.server.HTTPServer(("0.0.0.0", 9000), Handler).serve_forever()
''')
    fc.deploy(probe)
    answer = fc.sdk.invoke_function("probe", models.InvokeFunctionRequest(body=b"event"))
    assert answer.body.read() == b"/invoke event /invoke"
    begin = wait_for(fc, "request.begin", function="probe")
    assert begin.data["protocol"] == "invoke"


@pytest.mark.parity("fault.connections")
@pytest.mark.parametrize(("what", "options", "code"), [("cut", {}, 1006), ("kill", {}, 1006)])
def test_a_fault_meets_connections_that_are_open(fc, probe, what, options, code):
    app = fc.deploy(probe)
    with dial(app) as ws:
        ask(ws, "who")
        with fc.fault(what, function="probe", **options):
            with pytest.raises(ConnectionClosed):
                ws.recv(timeout=5)
            assert ws.close_code == code
    kinds = [r.kind for r in fc.events(kinds="fault.*")]
    assert kinds == ["fault.armed", "fault.hit", "fault.cleared"]


@pytest.mark.parity("fault.connections")
def test_a_silent_connection_stays_open_and_carries_nothing(fc, probe):
    app = fc.deploy(probe)
    with dial(app) as ws:
        ask(ws, "who")
        with fc.fault("silence", function="probe"):
            ws.send("who")
            with pytest.raises(TimeoutError):
                ws.recv(timeout=0.5)


def test_messages_cost_the_journal_nothing(fc, probe):
    app = fc.deploy(probe)
    with dial(app) as ws:
        ask(ws, "who")
        before = fc.status()["journal"]
        for _ in range(500):
            ask(ws, "who")
        assert fc.status()["journal"] == before


@pytest.mark.parity("fault.reject", "fault.connections")
def test_rejections_count_down_and_a_slow_start_is_slow(fc, probe):
    app = fc.deploy(probe)
    with fc.fault("reject", function="probe", status=503, times=2):
        for _ in range(2):
            with pytest.raises(InvalidStatus) as refused:
                dial(app)
            assert refused.value.response.status_code == 503
        with fc.fault("slow_start", delay=0.5), dial(app) as ws:
            ask(ws, "who")
    assert wait_for(fc, "request.begin", function="probe").data["waited"] >= 0.5


@pytest.mark.parity("fault.tap")
def test_a_tap_sees_frames_and_close_codes_compressed_ones_too(fc, probe):
    app = fc.deploy(probe)
    with fc.tap(app) as tap, dial(app) as ws:
        instance = ask(ws, "who")
        ws.close(1001, "enough")
        wait_for(fc, "request.end", function="probe")
    seen = [(f.data["direction"], f.data["opcode"], f.data["closeCode"]) for f in tap.frames]
    assert seen == [("in", "text", None), ("out", "text", None), ("in", "close", 1001), ("out", "close", 1001)]
    assert tap.frames[0].data["preview"] == "who" and tap.frames[1].data["preview"] == instance
    assert tap.frames[0].data["compressed"]
    with dial(app) as ws:
        ask(ws, "who")
    assert len(tap.frames) == 4
