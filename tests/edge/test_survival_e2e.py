"""What happens to clients and processes when something is killed, restarted or floods."""

import asyncio
import os
import signal
import ssl
import time
from pathlib import Path

import psutil
import pytest
from jupyter_client import KernelManager
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from fclocal.testing import wait_for

ECHO = Path(__file__).parents[2] / "functions" / "01-echo"
FLOOD = '''
import asyncio, os
from websockets.asyncio.server import serve

def health(connection, request):
    return connection.respond(200, "ok") if request.path == "/healthz" else None

async def handler(ws):
    size = int(await ws.recv())
    block = b"x" * 65536
    for _ in range(size // len(block)):
        await ws.send(block)
    await ws.send("done")

async def main():
    async with serve(handler, "0.0.0.0", int(os.environ["FC_SERVER_PORT"]), process_request=health, compression=None):
        await asyncio.get_running_loop().create_future()

asyncio.run(main())
'''


def url(app):
    return app.url.replace("https", "wss")


def dialer():
    """Connect with one TLS context: a hundred contexts with all the world's authorities cost a client many seconds."""
    context = ssl.create_default_context()

    def dial(where):
        return connect(where, ssl=context if where.startswith("wss") else None, open_timeout=30)

    return dial


def listens_elsewhere(trigger_url, platform):
    """Whether a process other than `platform` has the port: a test beside this one may take it during the restart."""
    port = int(trigger_url.rpartition(":")[2])
    return any(c.laddr.port == port and c.status == psutil.CONN_LISTEN and c.pid != platform.at.pid
               for c in psutil.net_connections("tcp") if c.laddr)


@pytest.mark.parity("instance.crash")
def test_a_killed_instance_cuts_its_hundred_connections_within_a_second_and_no_others(fc):
    app = fc.deploy(ECHO, instanceConcurrency=100)
    neighbour = fc.deploy(ECHO, functionName="neighbour")

    async def story():
        dial = dialer()
        async with dial(url(neighbour)) as other:
            held = await asyncio.gather(*(dial(url(app)).__aenter__() for _ in range(100)))
            for ws in held:
                await ws.send("x")
                await ws.recv()
            pid = fc.instances("echo")[0]["pid"]
            began = time.monotonic()
            os.kill(pid, signal.SIGKILL)

            async def closed(ws):
                with pytest.raises(ConnectionClosed):
                    await ws.recv()
                return ws.close_code, time.monotonic() - began

            ends = await asyncio.gather(*map(closed, held))
            assert [code for code, _ in ends] == [1006] * 100
            assert max(seconds for _, seconds in ends) < 1.0
            async with dial(url(app)) as fresh:
                await fresh.send("again")
                assert await fresh.recv() == "again"
            await other.send("still here")
            assert await other.recv() == "still here"

    asyncio.run(asyncio.wait_for(story(), 90))
    ends = [r.data for r in fc.events(function="echo", kinds="request.end")]
    # The sockets of a dead process may close before its parent receives the signal: then the reason is "function".
    assert sum(end["why"] in ("instance", "function") and end["closeCode"] == 1006 for end in ends) == 100


def test_a_function_that_floods_its_client_is_held_back(fc, tmp_path):
    folder = tmp_path / "flood"
    folder.mkdir()
    (folder / "main.py").write_text(FLOOD)
    (folder / "s.yaml").write_text((ECHO / "s.yaml").read_text().replace("echo", "flood"))
    app = fc.deploy(folder)
    platform = psutil.Process(fc.at.pid)

    async def story():
        flooded = connect(url(app), max_size=None, compression=None)
        async with flooded as slow, connect(url(app)) as other:
            await other.send("0")
            assert await other.recv() == "done"
            before = platform.memory_info().rss
            await slow.send(str(256 * 1024 * 1024))
            await slow.recv()
            slow.transport.pause_reading()  # from here on the client takes nothing
            await asyncio.sleep(0.3)  # time for a hundred MiB to arrive, if nothing held them back
            assert platform.memory_info().rss - before < 8 * 1024 * 1024
            slow.transport.abort()

    asyncio.run(asyncio.wait_for(story(), 60))


@pytest.mark.parity("gateway.stop-1001", "api.ports-stable")
@pytest.mark.parametrize("number, code", [(signal.SIGTERM, 1001), (signal.SIGKILL, 1006)])
def test_a_platform_that_ends_tells_its_clients_if_it_can_and_comes_back_on_its_ports(platform_factory, number, code):
    fc = platform_factory()
    app = fc.deploy(ECHO, instanceConcurrency=100)

    async def held(app_url):
        dial, urls = dialer(), [app_url.replace("https", scheme) for scheme in ("wss", "ws")]
        sockets = await asyncio.gather(*(dial(urls[n % 2]).__aenter__() for n in range(200)))
        for ws in sockets:
            await ws.send("x")
            assert await ws.recv() == "x"
        return sockets

    async def story():
        clients, began = await held(app.url), time.monotonic()
        os.kill(fc.at.pid, number)
        await asyncio.gather(*(ws.wait_closed() for ws in clients))
        assert {ws.close_code for ws in clients} == {code} and time.monotonic() - began < 10
        again = await asyncio.to_thread(platform_factory)  # the same state directory
        assert again.at.pid != fc.at.pid
        restored = again.status()["functions"][0]["triggers"][0]["url"]
        assert restored == app.url or listens_elsewhere(app.url, again)
        await asyncio.gather(*(ws.close() for ws in await held(restored)))

    asyncio.run(asyncio.wait_for(story(), 60))


def test_ctrl_c_ends_a_platform_in_the_foreground_and_all_it_runs(platform_factory):
    fc = platform_factory()
    app = fc.deploy(ECHO)

    async def story():
        async with connect(url(app)) as ws:
            await ws.send("x")
            await ws.recv()
            pids = [fc.at.pid, fc.instances()[0]["pid"]]
            processes = [psutil.Process(pid) for pid in pids]
            os.kill(fc.at.pid, signal.SIGINT)
            with pytest.raises(ConnectionClosed):
                await ws.recv()
            return processes

    processes = asyncio.run(asyncio.wait_for(story(), 60))
    _, alive = psutil.wait_procs(processes, timeout=15)
    assert all(p.status() == psutil.STATUS_ZOMBIE for p in alive)


def test_a_kernel_may_be_interrupted_and_restarted_and_leaves_nothing_when_it_ends(tmp_path):
    manager = KernelManager()
    manager.start_kernel(cwd=str(tmp_path))
    client = manager.client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=60)

        def run(code):
            answer = client.execute_interactive(code, timeout=60, output_hook=lambda message: None,
                                                user_expressions={"pid": "fc.at.pid"})
            return int(answer["content"]["user_expressions"]["pid"]["data"]["text/plain"])

        begin = f"import fclocal; fc = fclocal.start({str(tmp_path / 'state')!r}); fc.deploy({str(ECHO)!r})"
        pid = run(begin)
        manager.interrupt_kernel()
        assert run("fc.status()['pid']") == pid
        manager.restart_kernel(now=True)
        client.wait_for_ready(timeout=60)
        assert run(begin) == pid, "a kernel that is back in time finds its platform as it was"
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    _, alive = psutil.wait_procs([psutil.Process(pid)], timeout=20)
    assert all(p.status() == psutil.STATUS_ZOMBIE for p in alive)


def test_a_client_that_trusts_only_the_usual_authorities_is_refused_by_its_own_side(fc):
    app = fc.deploy(ECHO)

    async def story():
        import certifi

        usual = ssl.create_default_context(cafile=certifi.where())
        with pytest.raises(ssl.SSLCertVerificationError):
            await connect(url(app), ssl=usual)

    asyncio.run(asyncio.wait_for(story(), 30))
    assert not list(fc.events(function="echo", kinds="request.begin"))
    assert wait_for(fc, "trigger.changed", function="echo")
