"""A client's connection to a public port: one request after another, until it ends or becomes a WebSocket session."""

import asyncio
import contextlib
from collections.abc import Callable

from fclocal.core import limits
from fclocal.core.clock import timeout
from fclocal.core.errors import FcError
from fclocal.core.request import Entry, RequestHead
from fclocal.edge import http1
from fclocal.edge.connection import HeadTooLong, StreamConnection
from fclocal.edge.exchange import Exchange, Next, error_answer
from fclocal.runtime.requests.engine import Engine

_UNREADABLE = RequestHead("-", "-")  # in the journal, in place of a head that could not be parsed


class ClientConnection(StreamConnection):
    """Reads heads, has each request carried out, and answers those that cannot be parsed.

    `refusal`: every request is answered with this error. `on_end` is called when the connection is closed or belongs
    to a WebSocket session.
    """

    def __init__(
        self,
        engine: Engine,
        entry: Entry,
        *,
        refusal: FcError | None,
        on_end: Callable[["ClientConnection"], None],
    ) -> None:
        super().__init__()
        self._engine = engine
        self._entry = entry
        self._refusal = refusal
        self._on_end = on_end
        self._task: asyncio.Task[None] | None = None
        self._busy = False  # a request is under way
        self._retired = False  # no further request is read

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._task = asyncio.create_task(self._serve())

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._on_end(self)

    def retire(self) -> None:
        """Close once the request under way, if there is one, has its answer."""
        self._retired = True
        if not self._busy:
            self.close()

    def close(self) -> None:
        """Close at once, also in the middle of a request."""
        if self._task is not None:  # else its TLS handshake is not complete, and cancelled by the listener
            self._task.cancel()
            self.transport.abort()

    async def _serve(self) -> None:
        peername = self.transport.get_extra_info("peername")  # None when the client has already left
        client = peername[0] if peername else "-"
        following = Next.REQUEST
        try:
            while following is Next.REQUEST and not self._retired:
                try:
                    if (raw := await self._next_head()) is None:
                        break
                    if self._refusal is not None:
                        raise self._refusal
                    message = http1.read_request(raw)
                except FcError as error:
                    self._reject(error, client)
                    break
                self._busy = True
                request = self._engine.receive(
                    self._entry, message.head, "websocket" if message.websocket else "http", client
                )
                following = await Exchange(self._engine, self, message, request).run()
                self._busy = False
        finally:
            if following is Next.SWITCHED:
                self._on_end(self)
            else:
                self.finish(self._engine.clock)

    async def _next_head(self) -> bytes | None:
        """Return the next head, None when the client has closed. Raises FcError InvalidArgument, RequestTimeout."""
        clock = self._engine.clock
        try:
            if (raw := self.whole_head(limits.REQUEST_HEAD)) is not None:
                return raw
            with contextlib.suppress(TimeoutError):
                async with timeout(clock, limits.KEEP_ALIVE_SECONDS):
                    await self.arrival()
            if not self.waiting:
                return None
            async with timeout(clock, limits.HEAD_SECONDS):
                return await self.head(limits.REQUEST_HEAD)
        except TimeoutError:
            raise FcError("RequestTimeout", seconds=f"{limits.HEAD_SECONDS:g}") from None
        except HeadTooLong as error:
            raise limits.unfinished_head(error.args[0]) from None

    def _reject(self, error: FcError, client: str) -> None:
        request = self._engine.receive(self._entry, _UNREADABLE, "http", client)
        self._engine.reject(request, error, self._entry.function)
        self.write(error_answer(error, request, keep=False))
