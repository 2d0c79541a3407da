"""One public port: plain and TLS on the same number, on both loopback addresses."""

import asyncio
import errno
import resource
import socket
import ssl
from typing import cast

from fclocal.core import limits
from fclocal.core.request import Entry
from fclocal.edge.client_connection import ClientConnection
from fclocal.runtime.requests.engine import Engine

_ADDRESSES = ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"))
_BACKLOG = 1024
_TLS_GOODBYE_SECONDS = 2.0


class Listener:
    """The port of `entry`, open after `open`. Connections outlive `retire` until their requests are answered."""

    def __init__(self, engine: Engine, entry: Entry, context: ssl.SSLContext) -> None:
        self._engine = engine
        self._entry = entry
        self.context = context
        self._servers: list[asyncio.Server] = []
        self._connections: set[ClientConnection] = set()
        self._handshakes: set[asyncio.Task[None]] = set()
        ceiling = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        # The last descriptors stay free for answers, for the journal and for starting instances.
        self._last_descriptor = ceiling - min(256, ceiling // 4)

    async def open(self, port: int) -> None:
        """Listen on `port`. Raises OSError if it is taken on either address."""
        sockets = _bind(port)
        loop = asyncio.get_running_loop()
        for sock in sockets:
            self._servers.append(await loop.create_server(self._connection, sock=sock, backlog=_BACKLOG))

    @property
    def busy(self) -> bool:
        """Whether the listener still has connections that are not WebSocket sessions."""
        return bool(self._connections)

    def retire(self) -> None:
        """Accept no new connection and no new request; requests under way are answered."""
        self._stop()
        for connection in tuple(self._connections):
            connection.retire()

    def close(self) -> None:
        """Accept no new connection and end at once those that are not tunnels."""
        self._stop()
        for connection in tuple(self._connections):
            connection.close()

    def _stop(self) -> None:
        for server in self._servers:
            server.close()
        for handshake in self._handshakes:
            handshake.cancel()

    def _connection(self) -> ClientConnection:
        connection = ClientConnection(
            self._engine,
            self._entry,
            last_descriptor=self._last_descriptor,
            on_tls=self._begin_tls,
            on_end=self._connections.discard,
        )
        self._connections.add(connection)
        return connection

    def _begin_tls(self, connection: ClientConnection, first: bytes) -> None:
        connection.transport.pause_reading()
        task = asyncio.create_task(self._secure(connection, first))
        self._handshakes.add(task)
        task.add_done_callback(self._handshakes.discard)

    async def _secure(self, connection: ClientConnection, first: bytes) -> None:
        """Make the connection a TLS connection. `first`: the bytes of it that have been read."""
        loop = asyncio.get_running_loop()
        transport = connection.transport
        loop.call_soon(_replay, transport, first)  # runs before the transport is read again
        secured: asyncio.Transport | None = None
        try:
            secured = await loop.start_tls(
                transport,
                connection,
                self.context,
                server_side=True,
                ssl_handshake_timeout=limits.HEAD_SECONDS,
                ssl_shutdown_timeout=_TLS_GOODBYE_SECONDS,
            )
        except OSError:  # not TLS, closed, or too slow; ssl.SSLError and TimeoutError are OSErrors
            transport.abort()
        if secured is None or secured.is_closing():
            self._connections.discard(connection)
        else:
            connection.connection_made(secured)


def _replay(transport: asyncio.Transport, data: bytes) -> None:
    """Give `data`, which was read too early, to the transport's buffered protocol."""
    protocol = cast(asyncio.BufferedProtocol, transport.get_protocol())
    while data:
        room = memoryview(protocol.get_buffer(len(data)))
        size = min(len(room), len(data))
        room[:size] = data[:size]
        protocol.buffer_updated(size)
        data = data[size:]


def _bind(port: int) -> list[socket.socket]:
    """Sockets on `port` of every loopback address there is. Raises OSError if one is taken."""
    sockets: list[socket.socket] = []
    try:
        for family, address in _ADDRESSES:
            try:
                sock = socket.socket(family, socket.SOCK_STREAM)
            except OSError:  # a machine without IPv6
                continue
            sockets.append(sock)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            try:
                sock.bind((address, port))
                sock.listen(_BACKLOG)
            except OSError as error:
                if error.errno != errno.EADDRNOTAVAIL:
                    raise
                sockets.pop().close()  # IPv6 without ::1
    except OSError:
        for sock in sockets:
            sock.close()
        raise
    return sockets
