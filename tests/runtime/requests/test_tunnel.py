"""How a tunnel reports its end. How bytes flow through it: tests/edge/test_gateway_websocket.py."""

import asyncio
import socket

import pytest

from fclocal.core.clock import SystemClock
from fclocal.runtime.requests.tunnel import Tunnel


def close(code: int | None, reason: str = "") -> bytes:
    """A Close frame as a server sends it."""
    payload = b"" if code is None else code.to_bytes(2) + reason.encode()
    return bytes([0x88, len(payload)]) + payload


ENDS = [
    (b"", None),
    (b"\x81\x05hello", None),
    (close(1000), 1000),
    (close(None), 1005),
    (b"\x81\x05hello" + close(1001, "going away"), 1001),
    (close(4999, "x" * 123), 4999),
    (close(1008, "h\u00f6\u00c8"), 1008),
    (close(999), None),
    (b"\x88", None),
    (b"\x82\x7e\x01\x00" + bytes(256), None),
]


@pytest.mark.parametrize(("sent", "code"), ENDS)
@pytest.mark.parametrize("step", [1, 3, 10_000])
def test_the_close_code_that_the_client_saw(sent: bytes, code: int | None, step: int) -> None:
    """Known when the last thing that came is a Close frame, however the stream is cut into pieces."""

    async def pass_through() -> int | None:
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[Tunnel] = loop.create_future()
        client, gateway_client = socket.socketpair()
        gateway_instance, instance = socket.socketpair()
        left, _ = await loop.connect_accepted_socket(asyncio.Protocol, gateway_client)
        right, _ = await loop.connect_accepted_socket(asyncio.Protocol, gateway_instance)
        tunnel = Tunnel(left, right, ended.set_result, SystemClock())
        tunnel.start(b"", b"")
        for sock in (client, instance):
            sock.setblocking(False)
        received = b""
        for at in range(0, len(sent), step):
            await loop.sock_sendall(instance, sent[at : at + step])
            received += await loop.sock_recv(client, 65536)
        instance.shutdown(socket.SHUT_WR)
        while data := await loop.sock_recv(client, 65536):
            received += data
        client.close()
        await asyncio.wait_for(ended, 5)
        instance.close()
        assert received == sent
        assert (tunnel.bytes_in, tunnel.bytes_out, tunnel.first) == (0, len(sent), "function")
        return tunnel.close_code

    assert asyncio.run(pass_through()) == code
