"""A client's connection to a public port: one request after another, until it ends or becomes a WebSocket session."""

import asyncio
from collections.abc import Callable

from fclocal.core import limits
from fclocal.core.clock import Timer
from fclocal.core.errors import FcError
from fclocal.core.request import Entry, RequestHead
from fclocal.edge import http1
from fclocal.edge.connection import HeadTooLong, StreamConnection
from fclocal.edge.exchange import Exchange, Next, error_answer
from fclocal.runtime.requests.engine import Engine

_TLS_HANDSHAKE = 0x16  # first byte of every TLS connection; no HTTP method starts with it
_UNREADABLE = RequestHead("-", "-")  # in the journal, in place of a head that could not be parsed


class ClientConnection(StreamConnection):
    """Reads heads, has each request carried out, and answers those that cannot be parsed.

    `on_tls(connection, first)` is called when the first bytes begin a TLS handshake; `connection_made` must then be
    called again with the encrypted transport. `on_end` is called when the connection is closed or belongs to a
    WebSocket session. Requests on a descriptor from `last_descriptor` on are rejected.
    """

    def __init__(
        self,
        engine: Engine,
        entry: Entry,
        *,
        last_descriptor: int,
        on_tls: Callable[["ClientConnection", bytes], None],
        on_end: Callable[["ClientConnection"], None],
    ) -> None:
        super().__init__()
        self._engine = engine
        self._entry = entry
        self._last_descriptor = last_descriptor
        self._on_tls: Callable[[ClientConnection, bytes], None] | None = on_tls
        self._on_end = on_end
        self._timer: Timer | None = None  # set while no request is under way
        self._head_began = False
        self._task: asyncio.Task[None] | None = None  # carries out the request under way
        self._retired = False  # no further request is read

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._await_request(limits.HEAD_SECONDS)
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        if data and self._on_tls is not None:
            on_tls, self._on_tls = self._on_tls, None
            if data[0] == _TLS_HANDSHAKE:
                self._made = False
                self._stop_waiting()
                on_tls(self, data)
                return
        super().data_received(data)
        if self._made and self._task is None and self._buffer:
            self._read_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)
        self._on_end(self)

    def retire(self) -> None:
        """Close once the request under way, if there is one, has its answer."""
        self._retired = True
        if self._task is None:
            self.close()

    def close(self) -> None:
        """Close at once, also in the middle of a request."""
        if self._task is not None:
            self._task.cancel()
        self.transport.abort()

    def _await_request(self, seconds: float) -> None:
        """Close the connection unless a request begins within `seconds`."""
        self.on_gone = self._finish
        self._head_began = False
        self._timer = self._engine.clock.call_later(seconds, self._finish)

    def _read_head(self) -> None:
        """Begin a request if its head has arrived as a whole; otherwise give the head its time to arrive."""
        try:
            if (raw := self.whole_head(limits.REQUEST_HEAD)) is not None:
                self._begin(raw)
            elif self.ended:
                self._finish()
            elif not self._head_began:
                self._head_began = True
                self._stop_waiting()
                late = FcError("RequestTimeout", seconds=f"{limits.HEAD_SECONDS:g}")
                self._timer = self._engine.clock.call_later(limits.HEAD_SECONDS, self._reject, late)
        except HeadTooLong as error:
            self._reject(limits.unfinished_head(error.args[0]))
        except FcError as error:
            self._reject(error)

    def _begin(self, raw: bytes) -> None:
        """Begin the request with the head `raw`. Raises FcError."""
        self._stop_waiting()
        if self.transport.get_extra_info("socket").fileno() >= self._last_descriptor:
            raise FcError("ResourceThrottled", reason="the platform has no descriptors left for connections")
        message = http1.read_request(raw)
        request = self._engine.receive(
            self._entry, message.head, "websocket" if message.websocket else "http", self._client()
        )
        self._task = asyncio.create_task(self._serve(Exchange(self._engine, self, message, request)))

    async def _serve(self, exchange: Exchange) -> None:
        following = Next.CLOSE
        try:
            following = await exchange.run()
        finally:
            self._task = None
            if following is Next.SWITCHED:
                self._on_end(self)
            elif following is Next.CLOSE or self._retired:
                self._finish()
            else:
                self._await_request(limits.KEEP_ALIVE_SECONDS)
                if self._buffer or self.ended:
                    self._read_head()

    def _reject(self, error: FcError) -> None:
        """Answer a head that cannot be parsed, and close."""
        request = self._engine.receive(self._entry, _UNREADABLE, "http", self._client())
        self._engine.reject(request, error, self._entry.function)
        self.write(error_answer(error, request, keep=False))
        self._finish()

    def _client(self) -> str:
        peername = self.transport.get_extra_info("peername")  # None when the client has already left
        return peername[0] if peername else "-"

    def _finish(self) -> None:
        self._stop_waiting()
        self.finish(self._engine.clock)

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
