"""Function instances as real processes: start, ports, output, freeze, stop, and the error when a start fails."""

import asyncio
import contextlib
import io
import itertools
import json
import os
import resource
import socket
import sys
import time
import uuid
import zipfile
from pathlib import Path
from typing import Any

import psutil
import pytest
import uvloop
from awaited import eventually

from fclocal.core.clock import SystemClock
from fclocal.core.errors import FcError
from fclocal.core.model import Code, FunctionConfig, Revision
from fclocal.runtime.instances import ports
from fclocal.runtime.instances.launcher import Launcher

# A server that hard-codes port 9000 and answers each connection with a line.
SERVER = """
import socket
server = socket.create_server(("0.0.0.0", 9000))
while True:
    peer, _ = server.accept()
    with peer:
        peer.sendall(b"hello from port %d" % server.getsockname()[1])
"""


class Bench:
    """A launcher with everything that it reports written down."""

    def __init__(self, state: Path, start_limit: float) -> None:
        self.state = state
        self.launcher = Launcher(state, SystemClock(), start_limit=start_limit)
        self.lines: list[tuple[str, str]] = []
        self.dropped: list[int] = []
        self.exits: list[int] = []
        self.changed = asyncio.Condition()

    async def start(self, files: dict[str, str], *args: str, mode: int = 0o755, **config):
        return await self.launcher.start(**self.prepared(files, *args, mode=mode, **config))

    def prepared(self, files: dict[str, str], *args: str, mode: int = 0o755, **config) -> dict[str, Any]:
        """What the launcher must be given to start these files; their package is written."""
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w") as archive:
            for name, text in files.items():
                info = zipfile.ZipInfo(name)
                info.external_attr = (0o100000 | mode) << 16
                archive.writestr(info, text)
        code_zip = self.state / f"{uuid.uuid4().hex}.zip"
        code_zip.write_bytes(out.getvalue())
        runtime = {"command": ["python3"], "args": ["main.py"]} if not args else {"command": list(args)}
        config["custom_runtime_config"] = runtime | config.get("custom_runtime_config", {})
        revision = Revision(generation=1, created=0, code=Code(checksum="0", size=0), config=FunctionConfig(
            function_name="echo", runtime="custom.debian12", **config))
        return {"instance_id": f"c-{uuid.uuid4().hex}", "revision": revision, "code_zip": code_zip,
                "qualifier": "LATEST", "on_line": lambda stream, text: self.lines.append((stream, text)),
                "on_dropped": self.dropped.append, "on_exit": self.exits.append}

    async def refused(self, files: dict[str, str], *args: str, **config) -> FcError:
        with pytest.raises(FcError) as error:
            await self.start(files, *args, **config)
        await eventually(lambda: self.folders() == [])
        assert not self.launcher._processes
        return error.value

    def folders(self) -> list[str]:
        return [path.name for path in (self.state / "instances").iterdir() if path.is_dir()]


@contextlib.asynccontextmanager
async def open_bench(state: Path, start_limit: float = 20.0):
    bench = Bench(state, start_limit)
    try:
        yield bench
    finally:
        await bench.launcher.close()
        assert bench.folders() == []


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request):
    """Run a coroutine on both kinds of loop."""
    def runner(coroutine):
        factory = uvloop.new_event_loop if request.param == "uvloop" else asyncio.new_event_loop
        with asyncio.Runner(loop_factory=factory) as loop:
            return loop.run(asyncio.wait_for(coroutine, 60))
    return runner


def ask(port: int) -> str:
    with socket.create_connection(("127.0.0.1", port), timeout=5) as client:
        return client.makefile().read()


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.mark.parity("instance.port-mapping")
def test_several_instances_of_a_function_that_hard_codes_its_port(run, tmp_path):
    async def scenario():
        async with open_bench(tmp_path) as bench:
            first, second = await asyncio.gather(bench.start({"main.py": SERVER}), bench.start({"main.py": SERVER}))
            assert first.port != second.port
            for process in (first, second):
                assert await asyncio.to_thread(ask, process.port) == f"hello from port {process.port}"
            assert await first.stop(2.0) == 128 + 15
            assert bench.exits == [128 + 15]
            assert not alive(first.pid) and alive(second.pid)
            await eventually(lambda: first.home.name not in bench.folders())
    run(scenario())


NODE_FORMS = ["9000", "'9000'", "9000, () => {}", "9000, '0.0.0.0'", "9000, '0.0.0.0', 16, () => {}",
              "9000, undefined, 16", "9000, null", "{ port: 9000 }", "{ port: 9000, host: '::' }, () => {}",
              "process.env.FC_SERVER_PORT", "Number(process.env.FC_CUSTOM_LISTEN_PORT), '0.0.0.0'"]


def test_two_platforms_that_start_instances_at_the_same_moment_choose_different_ports(tmp_path, monkeypatch):
    slow = SERVER.replace("import socket\n", "import socket, time\ntime.sleep(0.3)\n")
    choices = itertools.chain([21_001, 21_001], itertools.count(21_002))
    monkeypatch.setattr("random.choice", lambda _: next(choices))

    async def scenario():
        async with open_bench(tmp_path / "a") as one, open_bench(tmp_path / "b") as other:
            for bench in (one, other):
                bench.state.mkdir(exist_ok=True)
            first, second = await asyncio.gather(one.start({"main.py": slow}), other.start({"main.py": slow}))
            assert first.port != second.port
            assert await asyncio.to_thread(ask, second.port) == f"hello from port {second.port}"
            reserved = socket.socket(type=socket.SOCK_DGRAM)
            reserved.bind(("", second.port))  # the reservation ended with the start
            reserved.close()

    asyncio.run(scenario())


@pytest.mark.parity("instance.port-mapping")
def test_every_form_of_listen_in_node(tmp_path):
    async def scenario():
        async with open_bench(tmp_path) as bench:
            async def one(form):
                code = f"require('net').createServer(s => s.end('form {{}}')).listen({form})"
                process = await bench.start({"main.js": code}, "node", "main.js")
                assert await asyncio.to_thread(ask, process.port) == "form {}"
                await process.stop(0)
            for form in NODE_FORMS:
                await one(form)
            http = "require('http').createServer((q, r) => r.end('x')).listen(9000, '0.0.0.0')"
            esm = "import net from 'node:net'; net.createServer(s => s.end('esm')).listen({port: 9000})"
            await bench.start({"main.js": http}, "node", "main.js")
            process = await bench.start({"main.mjs": esm}, "node", "/code/main.mjs")
            assert await asyncio.to_thread(ask, process.port) == "esm"
    asyncio.run(asyncio.wait_for(scenario(), 60))


PYTHON_FORMS = {
    "asyncio": "asyncio.run(serve({}))",
    "asyncio any": "asyncio.run(serve(None, 9000))",
    "http.server": "http.server.HTTPServer(('', 9000), http.server.BaseHTTPRequestHandler).serve_forever()",
    "dual stack": "s = socket.create_server(('::', 9000), family=socket.AF_INET6, dualstack_ipv6=True); time.sleep(60)",
    "variable": "asyncio.run(serve('0.0.0.0', int(os.environ['FC_SERVER_PORT'])))",
    "child": "subprocess.run(['python3', '-c', 'import http.server as h; "
             "h.HTTPServer((\"0.0.0.0\", 9000), h.BaseHTTPRequestHandler).serve_forever()'])",
}


@pytest.mark.parametrize("form", PYTHON_FORMS)
def test_ways_to_listen_in_python(form, tmp_path):
    async def scenario():
        code = ("import asyncio, http.server, os, socket, subprocess, time\n"
                "async def serve(host='0.0.0.0', port=9000):\n"
                "    await (await asyncio.start_server(lambda r, w: w.close(), host, port)).serve_forever()\n"
                + PYTHON_FORMS[form].format("")) + "\n"
        async with open_bench(tmp_path) as bench:
            process = await bench.start({"main.py": code})
            await asyncio.to_thread(lambda: socket.create_connection(("127.0.0.1", process.port), timeout=5).close())
            if form != "child":  # the mapping keeps learners' servers off the local network
                hosts = {c.laddr.ip for c in psutil.Process(process.pid).net_connections("tcp") if c.status == "LISTEN"}
                assert hosts <= {"127.0.0.1", "::1", "::ffff:127.0.0.1"}
    asyncio.run(asyncio.wait_for(scenario(), 60))


@pytest.mark.parametrize("isolated", [True, False])
def test_a_server_that_the_preload_does_not_see_is_found(isolated, tmp_path):
    async def scenario():
        async with open_bench(tmp_path) as bench:
            command = ["python3", "-I", "main.py"] if isolated else ["python3", "main.py"]
            process = await bench.start({"main.py": UVLOOP if not isolated else PLAIN}, *command)
            await asyncio.to_thread(lambda: socket.create_connection(("127.0.0.1", process.port), timeout=5).close())
    asyncio.run(asyncio.wait_for(scenario(), 60))


UVLOOP = """
import uvloop, asyncio
async def main():
    server = await asyncio.get_running_loop().create_server(asyncio.Protocol, "0.0.0.0", 9000)
    await server.serve_forever()
uvloop.run(main())
"""
PLAIN = """
import os, socket, time
server = socket.create_server(('0.0.0.0', int(os.environ['FC_SERVER_PORT'])))
time.sleep(60)
"""


@pytest.mark.parity("instance.wrong-port")
@pytest.mark.parametrize(("server", "option", "text"), [
    ("import socket, time; s = socket.create_server(('127.0.0.1', {port})); print('up'); time.sleep(60)", "-B",
     "It listens on 127.0.0.1:{port}: listen on 0.0.0.0:{port}.\nLogs:up"),
    ("import socket, time; s = socket.create_server(('127.0.0.1', {free})); time.sleep(60)", "-B",
     "It listens on 127.0.0.1:{free}: listen on 0.0.0.0:{port}."),
    ("import socket, time; s = socket.create_server(('', {port})); time.sleep(60)", "-I",
     "It listens on 0.0.0.0:{port}: read the port from the variable FC_SERVER_PORT (this server opens it where fclocal"
     " cannot give each instance its own)."),
])
def test_listening_in_the_wrong_place_is_reported_at_once(server, option, text, tmp_path):
    async def scenario():
        with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as two:
            port, free = one.getsockname()[1], two.getsockname()[1]
        async with open_bench(tmp_path, 120) as bench:
            begin = time.monotonic()
            error = await bench.refused({"main.py": server.format(port=port, free=free)}, "python3", option, "main.py",
                                     custom_runtime_config={"port": port})
            assert time.monotonic() - begin < 10
            assert (error.code, error.status) == ("FunctionNotStarted", 412)
            assert error.message.startswith(f"Function instance health check failed on port {port} in 120 seconds. ")
            assert text.format(port=port, free=free) in error.message
    asyncio.run(asyncio.wait_for(scenario(), 60))


@pytest.mark.parity("instance.start-limit", "instance.probe")
def test_never_listening_ends_at_the_limit(run, tmp_path):
    async def scenario():
        async with open_bench(tmp_path, 0.5) as bench:
            error = await bench.refused({"main.py": "import time; print('thinking'); time.sleep(60)"})
            assert error.code == "FunctionNotStarted"
            assert error.message == "Function instance health check failed on port 9000 in 0.5 seconds.\nLogs:thinking"
    run(scenario())


@pytest.mark.parity("instance.ca-exited")
@pytest.mark.parametrize(("files", "command", "text"), [
    ({"x": ""}, ("python3", "app.py"),
     "(code 2, message:no such file or directory) with start command 'python3 app.py'.\nLogs:"),
    ({"main.py": "print('bye')"}, ("python3", "/code/main.py"),
     "(code 0) with start command 'python3 /code/main.py'.\nLogs:bye"),
    ({"main.py": "import os; os.kill(os.getpid(), 9)"}, ("python3", "main.py"), "(code 137) with start command"),
    ({"run": "#!/bin/sh\r\nexit 0"}, ("./run",), "(code 127, message:key has expired) with start command './run'."),
    ({"run": "no first line"}, ("/code/run",), "(code 8, message:exec format error) with start command '/code/run'."),
    ({"main.py": "raise SystemExit(13)"}, ("python", "main.py"), "(code 13, message:permission denied)"),
])
def test_exiting_at_start(files, command, text, tmp_path):
    async def scenario():
        async with open_bench(tmp_path) as bench:
            error = await bench.refused(files, *command)
            assert (error.code, error.status) == ("CAExited", 412)
            assert error.message.startswith("Function instance exited unexpectedly" + text.partition(" with")[0])
            assert text in error.message
            assert bench.exits == []
    asyncio.run(asyncio.wait_for(scenario(), 60))


@pytest.mark.parity("instance.ca-file", "instance.ca-file-unknown")
def test_start_files_that_cannot_be_executed(tmp_path):
    async def scenario():
        async with open_bench(tmp_path) as bench:
            bootstrap = {"custom_runtime_config": {"command": [], "args": []}}
            missing = await bench.refused({"main.py": ""}, "", **bootstrap)
            assert missing.code == "CAFileNotFound"
            assert missing.message == ("The function cannot be started. Failed to start function instance. "
                                       "Error: the file /code/bootstrap is not exist")
            locked = await bench.refused({"bootstrap": "#!/bin/sh"}, "", mode=0o644, **bootstrap)
            assert locked.code == "CAFilePermission"
            assert locked.message == (
                "The function cannot be started. Function instance exited unexpectedly(code 13, message:permission "
                "denied) with start command '/code/bootstrap '.")
            unknown = await bench.refused({"main.py": ""}, "no-such-program", "main.py")
            assert "the file no-such-program is not exist" in unknown.message
    asyncio.run(asyncio.wait_for(scenario(), 60))


def test_bootstrap_is_the_start_command_when_none_is_given(tmp_path):
    async def scenario():
        async with open_bench(tmp_path) as bench:
            files = {"bootstrap": "#!/bin/sh\nexec python3 ${FC_FUNC_CODE_PATH}main.py", "main.py": SERVER}
            process = await bench.start(files, "", custom_runtime_config={"command": [], "args": []})
            assert "hello" in await asyncio.to_thread(ask, process.port)
    asyncio.run(asyncio.wait_for(scenario(), 60))


@pytest.mark.parity("instance.environment", "instance.environment-more", "instance.code-path")
def test_an_instance_sees_a_clean_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("ALIBABA_CLOUD_ACCESS_KEY_SECRET", "canary-secret")
    monkeypatch.setenv("CANARY", "canary-secret")
    code = """
import json, os, sys
of_parent = f"/proc/{os.getppid()}/environ"
parent = open(of_parent).read() if os.path.exists(of_parent) else ""
print(json.dumps({"env": dict(os.environ), "parent": parent, "cwd": os.getcwd(), "args": sys.argv}))
"""

    async def scenario():
        async with open_bench(tmp_path) as bench:
            process = await bench.start({"main.py": code + SERVER}, "python3", "main.py", "--data=/code/data", "/codes",
                                     environment_variables={"LEVEL": "info", "PYTHONPATH": "/code/lib:/code"})
            seen = json.loads(bench.lines[0][1])
            assert "canary-secret" not in bench.lines[0][1]
            env, home = seen["env"], process.home
            assert env.pop("PATH").endswith(os.environ["PATH"])
            expected = {
                "LANG", "HOME", "TMPDIR", "PYTHONUNBUFFERED", "PYTHONPATH", "NODE_OPTIONS", "FCLOCAL_PORTS",
                "FCLOCAL_READY", "LEVEL", "FC_FUNC_CODE_PATH", "FC_ACCOUNT_ID", "FC_REGION", "FC_FUNCTION_NAME",
                "FC_FUNCTION_HANDLER", "FC_FUNCTION_MEMORY_SIZE", "FC_FUNCTION_VERSION", "FC_QUALIFIER",
                "FC_INSTANCE_ID", "FC_CUSTOM_LISTEN_PORT", "FC_SERVER_PORT",
            }
            assert set(env) - {"LC_CTYPE", "__CF_USER_TEXT_ENCODING"} == expected
            assert env["FC_SERVER_PORT"] == env["FC_CUSTOM_LISTEN_PORT"] == str(process.port)
            assert env["FC_INSTANCE_ID"] == home.name and env["FC_FUNCTION_NAME"] == "echo"
            assert env["PYTHONPATH"].endswith(f":{home}/code/lib:{home}/code")
            assert seen["cwd"] == str(home / "code")
            assert seen["args"] == ["main.py", f"--data={home}/code/data", "/codes"]
    asyncio.run(asyncio.wait_for(scenario(), 60))


def test_garbage_in_the_pipe_of_the_preload_does_no_harm(tmp_path):
    async def scenario():
        async with open_bench(tmp_path) as bench:
            garbage = ("import os\nwith open(os.environ['FCLOCAL_READY'], 'wb') as pipe:\n"
                       "    pipe.write(b'listen 0.0.0.0\\n\\xff\\nlisten 0.0.0.0 x\\n' * 50)\n")
            process = await bench.start({"main.py": garbage + SERVER})
            assert "hello" in await asyncio.to_thread(ask, process.port)
    asyncio.run(asyncio.wait_for(scenario(), 60))


def test_a_functions_own_sitecustomize_still_runs(tmp_path):
    async def scenario():
        async with open_bench(tmp_path) as bench:
            await bench.start({"sitecustomize.py": "print('mine')", "main.py": SERVER},
                           environment_variables={"PYTHONPATH": "/code"})
            assert ("stdout", "mine") in bench.lines
    asyncio.run(asyncio.wait_for(scenario(), 60))


@pytest.mark.parity("instance.log-line", "instance.log-split")
def test_output_is_complete_in_order_and_bounded_per_line(run, tmp_path):
    async def scenario():
        async with open_bench(tmp_path) as bench:
            code = "import sys\nprint('begin'); print('x' * 80_000); print('\\u20ac' * 20_000, file=sys.stderr)\n"
            process = await bench.start({"main.py": code + SERVER})
            await process.stop(0)
            out = [text for stream, text in bench.lines if stream == "stdout"]
            err = [text for stream, text in bench.lines if stream == "stderr"]
            assert [len(text) for text in out] == [5, 32768, 32768, 80_000 - 65536]
            assert "".join(err) == "\u20ac" * 20_000 and all(len(text.encode()) <= 32768 for text in err)
    run(scenario())


def test_the_last_lines_before_an_exit_are_not_lost(run, tmp_path):
    async def scenario():
        async with open_bench(tmp_path) as bench:
            code = ("import socket, os\ns = socket.create_server(('0.0.0.0', 9000))\ns.accept()\n"
                    "for n in range(500): print('line', n)\n"
                    "os.write(2, b'last words'); os._exit(7)\n")
            process = await bench.start({"main.py": code})
            await asyncio.to_thread(ask, process.port)
            await eventually(lambda: bench.exits)
            assert bench.exits == [7]
            assert [text for stream, text in bench.lines if stream == "stdout"] == [f"line {n}" for n in range(500)]
            assert ("stderr", "last words") in bench.lines
    run(scenario())


@pytest.mark.parity("instance.log-flood")
def test_a_flood_of_output_does_not_starve_others(run, tmp_path):
    async def scenario():
        async with open_bench(tmp_path) as bench:
            started = time.monotonic()
            flood = ("import threading, os\n"
                     "threading.Thread(target=lambda: [os.write(1, b'y\\n' * 8192) for _ in iter(int, 1)]).start()\n")
            process = await bench.start({"main.py": flood + SERVER})
            before = psutil.Process().memory_info().rss
            longest = 0.0
            begin = time.monotonic()
            while time.monotonic() - begin < 2.5:
                used = time.thread_time()
                await asyncio.sleep(0.01)
                longest = max(longest, time.thread_time() - used)
            assert "hello" in await asyncio.to_thread(ask, process.port)
            assert longest < 0.1  # seconds of CPU in which nothing else had its turn, however busy the machine is
            assert len(bench.lines) <= 2000 * (time.monotonic() - started + 2)
            assert bench.dropped and min(bench.dropped) > 1000
            assert psutil.Process().memory_info().rss - before < 32 * 2**20
            await process.stop(0)
    run(scenario())


FORKING = """
import os, sys, subprocess, time
child = "import time, os; open(os.environ['TMPDIR'] + '/' + str(os.getpid()), 'w').close(); time.sleep(600)"
subprocess.Popen([sys.executable, "-c", child])
subprocess.Popen([sys.executable, "-c", child], start_new_session=True)
if os.fork() == 0:  # a daemon: its parent is gone, its session is its own
    os.setsid()
    if os.fork() == 0:
        os.chdir("/")
        subprocess.Popen([sys.executable, "-c", child], start_new_session=True)
        os.execv(sys.executable, [sys.executable, "-c", child])
    os._exit(0)
os.wait()
while len(os.listdir(os.environ["TMPDIR"])) < 4:
    time.sleep(0.01)
"""


def forked(process) -> list[int]:
    return sorted(int(path.name) for path in (process.home / "tmp").iterdir())


def states(pids: list[int]) -> set[str]:
    return {psutil.Process(pid).status() for pid in pids}


@pytest.mark.parity("instance.freeze")
def test_freeze_thaw_and_stop_reach_the_whole_tree(run, tmp_path):
    async def scenario():
        async with open_bench(tmp_path) as bench:
            process = await bench.start({"main.py": FORKING + SERVER})
            family = [process.pid, *forked(process)]
            assert len(family) == 5 and set(family) <= set(process.tree())
            assert process.memory() > 5 * 3 * 2**20
            process.freeze()
            await eventually(lambda: states(family) == {psutil.STATUS_STOPPED})
            process.thaw()
            await eventually(lambda: psutil.STATUS_STOPPED not in states(family))
            process.freeze()
            assert await process.stop(5.0) == 128 + 15  # a frozen process receives SIGTERM too
            await eventually(lambda: not any(map(alive, family)))
    run(scenario())


@pytest.mark.parametrize("how", ["kill", "exit", "close"])
def test_whatever_ends_an_instance_ends_its_tree(how, run, tmp_path):
    async def scenario():
        async with open_bench(tmp_path) as bench:
            process = await bench.start({"main.py": FORKING + SERVER})
            family = [process.pid, *forked(process)]
            if how == "kill":
                process.kill()
            elif how == "exit":
                os.kill(process.pid, 9)
            else:
                await bench.launcher.close()
            await eventually(lambda: not any(map(alive, family)), 2.0)
            await eventually(lambda: bench.exits)
            assert bench.exits == [137]
    run(scenario())


def test_one_that_ignores_sigterm_is_killed_after_its_grace(tmp_path):
    async def scenario():
        async with open_bench(tmp_path) as bench:
            process = await bench.start({"main.py": "import signal; signal.signal(15, signal.SIG_IGN)\n" + SERVER})
            begin = time.monotonic()
            assert await process.stop(0.3) == 137
            assert 0.3 <= time.monotonic() - begin < 3
    asyncio.run(asyncio.wait_for(scenario(), 60))


def test_a_start_that_is_cancelled_leaves_nothing(run, tmp_path):
    async def scenario():
        async with open_bench(tmp_path) as bench:
            for pause in (0, 0.001, 0.005, 0.02, 0.08, 0.3):
                start = asyncio.create_task(bench.start({"main.py": "import time; time.sleep(600)"}))
                await asyncio.sleep(pause)
                start.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await start
                await eventually(lambda: bench.folders() == [])
                assert not bench.launcher._processes
                family = psutil.Process().children(recursive=True)
                assert [p for p in family if "guardian.py" not in " ".join(p.cmdline())] == []
    run(scenario())


def test_closing_in_the_middle_of_a_start_ends_it(run, tmp_path):
    async def scenario():
        for pause in (0, 0.001, 0.005, 0.02, 0.08):
            async with open_bench(tmp_path) as bench:
                start = asyncio.create_task(bench.start({"main.py": "import time; time.sleep(600)"}))
                await asyncio.sleep(pause)
                await bench.launcher.close()
                with pytest.raises(FcError) as error:
                    await start
                assert error.value.code == "CAExited"
                assert psutil.Process().children(recursive=True) == []
    run(scenario())


def test_when_the_guardian_dies_the_platform_goes_on(run, tmp_path):
    async def scenario():
        async with open_bench(tmp_path) as bench:
            process = await bench.start({"main.py": FORKING + SERVER})
            family = [process.pid, *forked(process)]
            guardian = psutil.Process(process.pid).parent()
            guardian.kill()
            await eventually(lambda: bench.exits)
            assert bench.exits == [137]
            await eventually(lambda: not any(map(alive, family)), 2.0)
            again = await bench.start({"main.py": SERVER})
            assert "hello" in await asyncio.to_thread(ask, again.port)
    run(scenario())


PLATFORM = """
import asyncio, io, sys, uuid, zipfile
from pathlib import Path
from fclocal.core.clock import SystemClock
from fclocal.core.model import Code, FunctionConfig, Revision
from fclocal.runtime.instances import ports
from fclocal.runtime.instances.launcher import Launcher

async def main(state):
    code = state / "code.zip"
    launcher = Launcher(state, SystemClock(), start_limit=120.0)
    for n in range(2):
        process = await launcher.start(
            instance_id=f"c-{uuid.uuid4().hex}", code_zip=code, qualifier="LATEST",
            on_line=print, on_dropped=print, on_exit=print,
            revision=Revision(generation=1, created=0, code=Code(checksum="0", size=0), config=FunctionConfig(
                function_name="forks", runtime="custom", custom_runtime_config={"command": ["python3", "main.py"]})))
        pids = [process.pid] + [int(path.name) for path in (process.home / "tmp").iterdir()]
        print("PIDS", *pids, flush=True)
    await asyncio.sleep(600)

asyncio.run(main(Path(sys.argv[1])))
"""


async def platform(state: Path) -> tuple[asyncio.subprocess.Process, list[int]]:
    """A platform in a process of its own, with two functions that fork."""
    with zipfile.ZipFile(state / "code.zip", "w") as archive:
        archive.writestr("main.py", FORKING + SERVER)
    pipe = asyncio.subprocess.PIPE
    bench = await asyncio.create_subprocess_exec(sys.executable, "-c", PLATFORM, str(state), stdout=pipe)
    pids = []
    while len(pids) < 10:
        pids += [int(word) for word in (await bench.stdout.readline()).split()[1:]]
    return bench, pids


@pytest.mark.parity("instance.orphans")
def test_nothing_outlives_a_platform_that_is_killed(tmp_path):
    async def scenario():
        bench, pids = await platform(tmp_path)
        assert all(map(alive, pids))
        bench.kill()
        await bench.wait()
        await eventually(lambda: not any(map(alive, pids)), 2.0)
    asyncio.run(asyncio.wait_for(scenario(), 60))


@pytest.mark.parity("instance.orphans")
def test_the_next_platform_ends_what_a_killed_guardian_left(tmp_path):
    async def scenario():
        bench, pids = await platform(tmp_path)
        guardian = psutil.Process(pids[0]).parent()
        bench.send_signal(19)  # so that it cannot react
        guardian.kill()
        bench.kill()
        await bench.wait()
        assert any(map(alive, pids))
        async with open_bench(tmp_path) as next_platform:
            await next_platform.launcher.open()
            await eventually(lambda: not any(map(alive, pids)), 2.0)
            assert next_platform.folders() == []
    asyncio.run(asyncio.wait_for(scenario(), 60))


HEALTHY = """
import http.server
answers = iter({answers})
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(next(answers) if self.path == "/ready" else 404)
        self.end_headers()
http.server.HTTPServer(("0.0.0.0", 9000), Handler).serve_forever()
"""


@pytest.mark.parity("instance.health-check")
def test_a_health_check_decides_when_an_instance_is_ready(tmp_path):
    async def scenario():
        async with open_bench(tmp_path) as bench:
            check = {"http_get_url": "/ready", "period_seconds": 1, "failure_threshold": 2}
            config = {"custom_runtime_config": {"health_check_config": check}}
            process = await bench.start({"main.py": HEALTHY.format(answers=[503, 204])}, **config)
            await process.check_health()
            await process.stop(0)
            process = await bench.start({"main.py": HEALTHY.format(answers=[503, 500])}, **config)
            with pytest.raises(FcError, match="on port 9000: GET /ready answered 500") as refused:
                await process.check_health()
            assert refused.value.code == "FunctionNotStarted"
    asyncio.run(asyncio.wait_for(scenario(), 60))


@pytest.mark.parity("instance.no-room")
def test_when_descriptors_run_out_the_platform_says_so_and_recovers(run, tmp_path):
    async def scenario():
        async with open_bench(tmp_path) as bench:
            process = await bench.start({"main.py": SERVER})
            limits = resource.getrlimit(resource.RLIMIT_NOFILE)
            free = os.dup(0)  # the lowest number that is free: more are, if there are gaps above it
            os.close(free)
            refusals = 0
            for spare in range(12):
                prepared = bench.prepared({"main.py": SERVER})
                resource.setrlimit(resource.RLIMIT_NOFILE, (free + spare, limits[1]))
                try:
                    more = await bench.launcher.start(**prepared)
                except FcError as error:
                    assert (error.code, error.status) == ("ResourceThrottled", 503)
                    refusals += 1
                else:
                    await more.stop(0)
                finally:
                    resource.setrlimit(resource.RLIMIT_NOFILE, limits)
            assert refusals
            await eventually(lambda: bench.folders() == [process.home.name])
            again = await bench.start({"main.py": SERVER})
            assert "hello" in await asyncio.to_thread(ask, again.port)
    run(scenario())


@pytest.mark.parity("instance.no-room")
def test_without_a_free_port_no_instance_starts(tmp_path, monkeypatch):
    async def scenario():
        async with open_bench(tmp_path) as bench:
            with socket.create_server(("", 0)) as taken:
                port = taken.getsockname()[1]
                monkeypatch.setattr(ports, "RANGE", range(port, port + 1))
                error = await bench.refused({"main.py": SERVER})
            assert (error.code, error.status) == ("ResourceThrottled", 503)
            assert error.message == f"no free port between {port} and {port}"
            process = await bench.start({"main.py": SERVER})
            assert process.port == port
    asyncio.run(asyncio.wait_for(scenario(), 60))


@pytest.mark.parity("instance.no-room")
def test_without_room_for_the_files_no_instance_starts(tmp_path):
    """The limit of a file's size stands for a full disk: the unpacking fails at a write."""
    async def scenario():
        async with open_bench(tmp_path) as bench:
            files = {"main.py": SERVER, "data.txt": "x" * 2_000_000}
            prepared = bench.prepared(files)
            limits = resource.getrlimit(resource.RLIMIT_FSIZE)
            resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, limits[1]))
            try:
                with pytest.raises(FcError) as error:
                    await bench.launcher.start(**prepared)
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, limits)
            assert (error.value.code, error.value.status) == ("ResourceThrottled", 503)
            assert error.value.message == "no instance can be started: File too large"
            await eventually(lambda: bench.folders() == [])
            assert "hello" in await asyncio.to_thread(ask, (await bench.start(files)).port)
    asyncio.run(asyncio.wait_for(scenario(), 60))


def test_a_package_that_is_not_sound_starts_nothing(tmp_path):
    async def scenario():
        async with open_bench(tmp_path) as bench:
            prepared = bench.prepared({"main.py": SERVER})
            prepared["code_zip"].write_bytes(b"damaged")
            with pytest.raises(FcError) as error:
                await bench.launcher.start(**prepared)
            assert error.value.code == "CodeInvalid"
            await eventually(lambda: bench.folders() == [])
    asyncio.run(asyncio.wait_for(scenario(), 60))


def test_a_busy_platform_does_not_miss_what_the_preload_tells(run, tmp_path, monkeypatch):
    """The function binds while the platform is busy. Its server listens below Python, so only bind is reported."""
    from fclocal.runtime.instances.readiness import Readiness

    wait = Readiness.wait

    async def late(self):
        time.sleep(0.8)  # noqa: ASYNC251 - the loop is held up, that is the point
        await wait(self)

    monkeypatch.setattr(Readiness, "wait", late)
    server = (
        "import os, asyncio, uvloop\n"
        "async def main():\n"
        "    loop = asyncio.get_running_loop()\n"
        "    await (await loop.create_server(asyncio.Protocol, '0.0.0.0', int(os.environ['FC_SERVER_PORT'])))"
        ".serve_forever()\n"
        "uvloop.run(main())\n"
    )

    async def scenario():
        async with open_bench(tmp_path) as bench:
            process = await bench.start({"main.py": server})
            assert process.port

    run(scenario())
