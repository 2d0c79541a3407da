"""A client's connection to a public port: request after request, until it ends or becomes a tunnel."""

import asyncio
import contextlib
import os
import random
from collections.abc import Callable

from fclocal.core import identifiers, limits
from fclocal.core.clock import Clock
from fclocal.core.errors import FcError
from fclocal.core.request import Entry, RequestHead
from fclocal.edge import http1
from fclocal.edge.connection import Connection, HeadTooLong
from fclocal.edge.contract import Engine
from fclocal.edge.exchange import Exchange, error_answer

_UNREAD = RequestHead("-", "-")  # stands in the journal for a head that could not be read


class Visitor(Connection):
    """Reads heads, has each request carried out, and answers those that cannot be read.

    `refusal`: every request is answered with this error. `on_end` is called when the connection is closed or
    belongs to a tunnel.
    """

    def __init__(
        self,
        engine: Engine,
        entry: Entry,
        clock: Clock,
        *,
        refusal: FcError | None,
        on_end: Callable[["Visitor"], None],
    ) -> None:
        super().__init__()
        self._engine = engine
        self._entry = entry
        self._clock = clock
        self._refusal = refusal
        self._on_end = on_end
        self._task: asyncio.Task[None] | None = None
        self._busy = False  # a request is under way
        self._last = False  # no further request is read

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._task = asyncio.create_task(self._serve())

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._on_end(self)

    def retire(self) -> None:
        """Close once the request under way, if there is one, has its answer."""
        self._last = True
        if not self._busy:
            self.close()

    def close(self) -> None:
        """Stop at once, whatever is under way."""
        if self._task is not None:  # else its TLS handshake is not complete, and cancelled by the listener
            self._task.cancel()
            self.transport.abort()

    async def _serve(self) -> None:
        peername = self.transport.get_extra_info("peername")  # None when the client has already gone
        peer = peername[0] if peername else "-"
        again, tunnelled = True, False
        try:
            while again:
                try:
                    if (raw := await self._next_head()) is None:
                        break
                    if self._refusal is not None:
                        raise self._refusal
                    self._busy = True
                    request = http1.read_request(raw)
                except FcError as error:
                    self._reject(error)
                    break
                wall = self._clock.wall()
                exchange = Exchange(
                    self._engine,
                    self._entry,
                    self,
                    request,
                    peer=peer,
                    request_id=identifiers.request_id(wall, os.urandom(10)),
                    draw=random.random(),
                    wall=wall,
                )
                again = await exchange.run() and not self._last
                self._busy = False
                tunnelled = exchange.tunnelled
        finally:
            if tunnelled:
                self._on_end(self)
            else:
                self.finish()

    async def _next_head(self) -> bytes | None:
        """The next head; None when the client has no more to ask. Raises FcError InvalidArgument, RequestTimeout."""
        try:
            if (raw := self.whole_head(limits.REQUEST_HEAD)) is not None:
                return raw
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(limits.KEEP_ALIVE_SECONDS):
                    await self.arrival()
            if not self.waiting:
                return None
            async with asyncio.timeout(limits.HEAD_SECONDS):
                return await self.head(limits.REQUEST_HEAD)
        except TimeoutError:
            raise FcError("RequestTimeout", seconds=f"{limits.HEAD_SECONDS:g}") from None
        except HeadTooLong as error:
            raise limits.unfinished_head(error.args[0]) from None

    def _reject(self, error: FcError) -> None:
        wall = self._clock.wall()
        request_id = identifiers.request_id(wall, os.urandom(10))
        self._engine.reject(self._entry, _UNREAD, error, request_id=request_id)
        self.write(error_answer(error, _UNREAD, request_id=request_id, wall=wall, keep=False))
