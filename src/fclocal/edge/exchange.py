"""One HTTP request from its head to its end.

The engine decides (`admit`, `lease`); the exchange moves the bytes. Every early end, by a limit, the client or an
injected fault, comes through `abort`: a client that has no answer yet gets the documented JSON error, a client in the
middle of one loses its connection. An answer of 101 ends the exchange and begins a `WebSocketSession`.
"""

import asyncio
import errno
import json
import logging
from enum import Enum, auto
from http import HTTPStatus
from typing import cast

from fclocal.core import ending, headers, limits, startup
from fclocal.core.admission import Admission
from fclocal.core.clock import timeout
from fclocal.core.ending import TABLE, Ending
from fclocal.core.errors import FcError
from fclocal.core.request import Headers, IncomingRequest
from fclocal.edge import http1
from fclocal.edge.connection import HeadTooLong, StreamConnection
from fclocal.edge.websocket import WebSocketSession
from fclocal.runtime.instances.instance import Lease
from fclocal.runtime.requests.engine import Engine

log = logging.getLogger("fclocal.gateway")


_REPEATABLE = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})


class ClosedBeforeAnswerError(FcError):
    """The function closed the connection before the first byte of its answer."""

    def __init__(self) -> None:
        super().__init__("BadResponse", reason="the function closed the connection before it answered")


class Next(Enum):
    """What happens to the client's connection after an exchange."""

    REQUEST = auto()  # it may carry another request
    CLOSE = auto()
    SWITCHED = auto()  # it belongs to a WebSocket session


class Exchange:
    """One request on the connection `client`."""

    __slots__ = (
        "_bytes_in", "_bytes_out", "_client", "_ending", "_engine", "_lease", "_message", "_request", "_status",
        "_task", "_upload_error", "_upstream",
    )  # fmt: skip

    def __init__(
        self, engine: Engine, client: StreamConnection, message: http1.RequestMessage, request: IncomingRequest
    ) -> None:
        self._engine = engine
        self._client = client
        self._message = message
        self._request = request
        self._task: asyncio.Task[object] | None = None
        self._lease: Lease | None = None
        self._upstream: StreamConnection | None = None
        self._ending: Ending | None = None  # why it was aborted
        self._upload_error: FcError | None = None
        self._status = 0  # of the answer, once its head has been sent
        self._bytes_in = 0
        self._bytes_out = 0

    async def run(self) -> Next:
        """Carry out the request, and return what happens to the connection."""
        self._task = asyncio.current_task()
        self._client.on_gone = self._client_gone
        following = Next.CLOSE
        try:
            admission = self._engine.admit(self._request)
            self._lease = await self._engine.lease(admission, self)
            following = await self._carry_out(admission, self._lease)
        except FcError as error:
            following = self._refuse(error)
        except asyncio.CancelledError:
            if self._upload_error is None and self._ending is None:
                raise
            following = self._cancelled()
        except Exception:
            log.exception("request %s", self._request.request_id)
            following = self._refuse(FcError("InternalServerError"))
        finally:
            self._task = None
            self._client.on_gone = None
            if self._upstream is not None and following is not Next.SWITCHED:
                self._upstream.transport.close()
            if self._lease is not None:
                self._lease.leave()
        return following

    def abort(self, ending: Ending) -> None:
        """End the request now, for this reason."""
        if self._ending is None and self._task is not None:
            self._ending = ending
            self._task.cancel()

    def silence(self) -> None:
        """Move no more bytes, but keep both connections open."""
        for side in (self._client, self._upstream):
            if side is not None and not side.transport.is_closing():
                side.transport.pause_reading()

    # From the head to the answer

    async def _carry_out(self, admission: Admission, lease: Lease) -> Next:
        """Send the request on a connection that an earlier request has left open, else on a new one.

        The function may have closed the first: then requests that may be repeated are, on a new one.
        """
        if self._message.websocket or (kept := lease.kept()) is None:
            return await self._forward(admission, lease, await _connect(lease))
        reused = cast(StreamConnection, kept)
        reused.on_gone = None
        try:
            return await self._forward(admission, lease, reused)
        except ClosedBeforeAnswerError:
            self._engine.reused_in_vain(lease)
            if self._request.head.method not in _REPEATABLE or self._bytes_in:
                raise FcError("BadResponse", reason=startup.CLOSED_IDLE) from None
            return await self._forward(admission, lease, await _connect(lease))

    async def _forward(self, admission: Admission, lease: Lease, upstream: StreamConnection) -> Next:
        message = self._message
        if self._upstream is not None:
            self._upstream.transport.close()
        self._upstream = upstream
        upstream.write(self._head_for_instance(admission))
        upload = None
        if not message.body.done:
            if message.expects_continue:
                self._client.write(http1.CONTINUE)
            upload = asyncio.create_task(self._send_body(upstream))
        try:
            response = await self._response(upstream)
            if response.status != 101:
                return await self._answer(response, upstream)
        finally:
            if upload is not None:
                upload.cancel()
        if not message.websocket:
            raise FcError("BadResponse", reason="the function switched protocols unasked")
        self._switch(response, lease, upstream)
        return Next.SWITCHED

    def _head_for_instance(self, admission: Admission) -> bytes:
        head, body = admission.head, self._message.body
        framing: Headers = ()
        if body.chunked:
            framing = ((b"transfer-encoding", b"chunked"),)
        elif (length := self._request.head.get(b"content-length")) is not None:
            framing = ((b"content-length", length),)
        common = headers.for_instance(
            admission.revision,
            request_id=self._request.request_id,
            qualifier=admission.qualifier,
            control_path="/http-invoke",
        )
        passed = headers.to_instance(
            head,
            (*common, *framing),
            options=self._message.options,
            client=self._request.client,
            websocket=self._message.websocket,
        )
        return http1.encode_head(f"{head.method} {head.target} HTTP/1.1".encode(), passed)

    async def _send_body(self, upstream: StreamConnection) -> None:
        """Send the body piece by piece, as fast as the function reads it, while its answer may already arrive."""
        body = self._message.body
        try:
            while not body.done:
                data = await self._client.read()
                if not data:
                    raise ending.error(Ending.CLIENT, 0)
                piece = body.feed(data)
                self._bytes_in += len(piece)
                limits.check_body(self._bytes_in)
                if piece:
                    upstream.write(http1.chunk(piece) if body.chunked else piece)
                    await upstream.drain()
            self._client.unread(body.rest)
            if body.chunked:
                upstream.write(http1.chunk(b""))
        except ConnectionError:
            return  # the function reads no more; its answer counts
        except FcError as error:
            self._upload_error = error
            if self._task is not None:
                self._task.cancel()

    async def _response(self, upstream: StreamConnection) -> http1.ResponseMessage:
        while True:
            try:
                raw = await upstream.head(limits.RESPONSE_HEAD)
            except HeadTooLong:
                reason = f"the response headers exceed {limits.RESPONSE_HEADERS} bytes"
                raise FcError("BadResponse", reason=reason) from None
            if raw is None:
                raise ClosedBeforeAnswerError
            response = http1.read_response(raw, self._request.head.method)
            if response.status == 101 or response.status >= 200:
                return response

    async def _answer(self, response: http1.ResponseMessage, upstream: StreamConnection) -> Next:
        message, client, body = self._message, self._client, response.body
        rechunk = body.length is None and message.version == "1.1"
        keep = message.keep_alive and not message.websocket and (rechunk or body.length is not None)
        framing: Headers = ((b"connection", b"keep-alive" if keep else b"close"),)
        if rechunk:
            framing += ((b"transfer-encoding", b"chunked"),)
        elif body.length:
            framing += ((b"content-length", b"%d" % body.length),)
        elif response.status not in (204, 304):  # to HEAD: what a GET would have got
            lengths = [value for name, value in response.headers if name == b"content-length"]
            if lengths or self._request.head.method != "HEAD":
                framing += ((b"content-length", lengths[0] if lengths else b"0"),)
        client.write(self._head_for_client(response, framing))
        self._status = response.status
        try:
            while not body.done:
                data = await upstream.read()
                if not data and (body.chunked or body.length is not None):
                    raise FcError("BadResponse", reason="the function's answer ended early")
                if not data:
                    break
                if piece := body.feed(data):
                    self._bytes_out += len(piece)
                    client.write(http1.chunk(piece) if rechunk else piece)
                    async with timeout(self._engine.clock, limits.STALL_SECONDS):
                        await client.drain()
        except (TimeoutError, ConnectionError):
            return self._cut(Ending.CLIENT)
        if rechunk:
            client.write(http1.chunk(b""))
        if self._lease is not None and response.keep_alive and message.body.done and not body.rest and not body.surplus:
            self._keep(upstream, self._lease)
        self._end(Ending.DONE, self._status)
        return Next.REQUEST if keep and message.body.done and not message.body.surplus else Next.CLOSE

    def _keep(self, upstream: StreamConnection, lease: Lease) -> None:
        """Leave the connection for the next request. One that the function closes stays in the list, closed."""
        self._upstream = None
        upstream.on_gone = upstream.transport.close
        if upstream.ended:
            upstream.transport.close()
        lease.keep(upstream)

    def _head_for_client(self, response: http1.ResponseMessage, added: Headers) -> bytes:
        passed = headers.to_client(
            self._request.head,
            response.headers,
            (*added, *(self._lease.response_headers if self._lease is not None else ())),
            request_id=self._request.request_id,
            default_domain=self._request.entry.kind == "trigger",
            wall=self._request.wall,
            options=response.options,
            websocket=response.status == 101,
        )
        return http1.encode_head(b"HTTP/1.1 %d %b" % (response.status, response.reason), passed)

    def _switch(self, response: http1.ResponseMessage, lease: Lease, upstream: StreamConnection) -> None:
        """Send the 101 and hand both connections and the lease over to a WebSocket session."""
        client, engine = self._client, self._engine
        client.write(self._head_for_client(response, ()))
        tap = engine.tap(lease, response.headers)
        session = WebSocketSession(lease, client.transport, upstream.transport, engine.clock, tap)
        session.start(client.take(), upstream.take(), ended=upstream.ended, lost=upstream.lost)

    # Endings

    def _client_gone(self) -> None:
        self.abort(Ending.CLIENT)

    def _cancelled(self) -> Next:
        """Handle the cancellation of the task by `abort` or by a failed upload."""
        if self._task is not None:
            self._task.uncancel()
        if self._upload_error is not None:
            return self._refuse(self._upload_error)
        return self._cut(self._ending or Ending.CLIENT)

    def _cut(self, reason: Ending) -> Next:
        """End the request for `reason`, with an answer if the client can still take one."""
        timeout = self._lease.timeout if self._lease is not None else 0.0
        return self._refuse(ending.error(reason, timeout), reason)

    def _refuse(self, error: FcError, reason: Ending = Ending.FUNCTION) -> Next:
        """Answer with an error of the platform, or cut the connection where that is too late or not wanted."""
        if error.code == TABLE[Ending.CLIENT].code:
            reason = Ending.CLIENT
        if self._status or not TABLE[reason].answers:
            self._end(reason, self._status or (error.status if reason is Ending.CLIENT else 0))
            self._client.transport.abort()
            return Next.CLOSE
        self._end(reason, error.status)
        message = self._message
        keep = message.keep_alive and message.body.done and not message.websocket
        self._client.write(error_answer(error, self._request, keep=keep))
        return Next.REQUEST if keep else Next.CLOSE

    def _end(self, reason: Ending, status: int) -> None:
        if self._lease is not None:
            self._lease.end(reason, status=status, bytes_in=self._bytes_in, bytes_out=self._bytes_out)


async def _connect(lease: Lease) -> StreamConnection:
    """Return a new connection to the instance. Raises FcError BadResponse, ResourceThrottled without descriptors."""
    try:
        _, upstream = await asyncio.get_running_loop().create_connection(StreamConnection, lease.host, lease.port)
    except OSError as error:
        if error.errno in (errno.EMFILE, errno.ENFILE, errno.EADDRNOTAVAIL):
            raise FcError("ResourceThrottled", reason="the gateway has no descriptors or ports left") from None
        raise FcError("BadResponse", reason=f"the function does not accept the connection: {error}") from None
    return upstream


def error_answer(error: FcError, request: IncomingRequest, *, keep: bool) -> bytes:
    """Return the documented answer of an error: status, X-Fc-Request-Id, and a JSON object unless it is for HEAD."""
    content = json.dumps(error.body(request.request_id)).encode()
    fields = headers.to_client(
        request.head,
        ((b"content-type", b"application/json"),),
        (
            (b"content-length", b"%d" % len(content)),
            (b"connection", b"keep-alive" if keep else b"close"),
            (b"x-fc-error-type", error.error_type.encode()),
        ),
        request_id=request.request_id,
        default_domain=False,
        wall=request.wall,
    )
    phrase = HTTPStatus(error.status).phrase if error.status in set(HTTPStatus) else "Client Closed Request"
    head = http1.encode_head(f"HTTP/1.1 {error.status} {phrase}".encode(), fields)
    return head if request.head.method == "HEAD" else head + content
