"""One request from its head to its end: the engine's verdict carried out.

The engine decides (`admit`, `lease`); the exchange moves the bytes. Whatever ends it early, the engine's limits, the
client or an injected fault, comes through `abort`: a client that has not got an answer yet gets the documented JSON
error, a client in the middle of one loses its connection.
"""

import asyncio
import errno
import json
import logging
from http import HTTPStatus

from fclocal.core import headers, limits
from fclocal.core.admission import Admission
from fclocal.core.errors import FcError
from fclocal.core.request import Entry, RequestHead
from fclocal.edge import http1
from fclocal.edge.connection import Connection, HeadTooLong
from fclocal.edge.contract import Engine, Lease
from fclocal.runtime.tunnel import Tunnel

log = logging.getLogger("fclocal.gateway")


class Exchange:
    """One request on `client`. `run` returns when it is over, or when a tunnel has taken the connection over."""

    __slots__ = (
        "_admitted", "_bytes_in", "_bytes_out", "_client", "_draw", "_engine", "_entry", "_failure", "_lease", "_peer",
        "_request", "_request_id", "_status", "_task", "_tunnel", "_upload", "_upstream", "_wall", "_why",
    )  # fmt: skip

    def __init__(
        self,
        engine: Engine,
        entry: Entry,
        client: Connection,
        request: http1.Request,
        *,
        peer: str,
        request_id: str,
        draw: float,
        wall: float,
    ) -> None:
        self._engine = engine
        self._entry = entry
        self._client = client
        self._request = request
        self._peer = peer
        self._request_id = request_id
        self._draw = draw
        self._wall = wall
        self._task: asyncio.Task[object] | None = None
        self._admitted: Admission | None = None
        self._lease: Lease | None = None
        self._upstream: Connection | None = None
        self._upload: asyncio.Task[None] | None = None
        self._tunnel: Tunnel | None = None
        self._why: str | None = None  # why it was aborted
        self._failure: FcError | None = None  # of the upload
        self._status = 0  # of the answer, once its head has been sent
        self._bytes_in = 0
        self._bytes_out = 0

    @property
    def tunnelled(self) -> bool:
        """Whether the client's transport belongs to a tunnel now."""
        return self._tunnel is not None

    async def run(self) -> bool:
        """Carry the request out; whether the connection may carry another one."""
        self._task = asyncio.current_task()
        self._client.on_gone = self._client_gone
        try:
            return await self._serve()
        except FcError as error:
            return self._refuse(error)
        except asyncio.CancelledError:
            if self._failure is None and self._why is None:
                raise
            if self._task is not None:
                self._task.uncancel()
            return self._refuse(self._failure) if self._failure is not None else self._cut(self._why or "")
        except Exception:
            log.exception("request %s", self._request_id)
            return self._refuse(FcError("InternalServerError"))
        finally:
            self._task = None
            if self._tunnel is None:
                self._client.on_gone = None
                if self._upload is not None:
                    self._upload.cancel()
                self._end("shutdown")
                if self._upstream is not None:
                    self._upstream.transport.close()

    def abort(self, why: str) -> None:
        """End the request now. `why`: client | timeout | instance | fault | shutdown | disabled."""
        if self._why is not None:
            return
        if self._tunnel is not None:
            self._why = why
            end, code = (self._tunnel.leave, 1001) if why == "shutdown" else (self._tunnel.abort, 1006)
            end()
            self._end(why, close_code=code)
        elif self._task is not None:
            self._why = why
            self._task.cancel()

    def silence(self) -> None:
        """Move no more bytes, keep both connections open."""
        if self._tunnel is not None:
            self._tunnel.silence()
            return
        for side in (self._client, self._upstream):
            if side is not None and not side.transport.is_closing():
                side.transport.pause_reading()

    # From the verdict to the answer

    async def _serve(self) -> bool:
        request, head, engine = self._request, self._request.head, self._engine
        whole = not request.body.done and engine.needs_body(self._entry, head)
        content = await self._whole_body() if whole else b""
        self._admitted = admitted = engine.admit(
            self._entry, head, body=content, request_id=self._request_id, draw=self._draw
        )
        self._lease = await engine.lease(
            admitted,
            protocol="websocket" if request.websocket else "http",
            client=self._peer,
            on_abort=self.abort,
            on_silence=self.silence,
        )
        self._upstream = upstream = await _connect(self._lease)
        upstream.write(self._head_for_instance(admitted, whole))
        if whole:
            upstream.write(admitted.body)
        elif not request.body.done:
            if request.expects_continue:
                self._client.write(http1.CONTINUE)
            self._upload = asyncio.create_task(self._send_body(upstream))
        response = await self._response(upstream)
        if response.status != 101:
            return await self._answer(response, upstream)
        if not request.websocket:
            raise FcError("BadResponse", reason="the function switched protocols unasked")
        self._switch(response, upstream)
        return False

    def _head_for_instance(self, admitted: Admission, whole: bool) -> bytes:
        body, head = self._request.body, admitted.head
        framing: headers.Headers = ()
        if whole:
            framing = ((b"content-length", b"%d" % len(admitted.body)),)
        elif body.chunked:
            framing = ((b"transfer-encoding", b"chunked"),)
        elif (length := self._request.head.get(b"content-length")) is not None:
            framing = ((b"content-length", length),)
        common = headers.for_instance(
            admitted.revision,
            request_id=self._request_id,
            qualifier=admitted.qualifier,
            control_path="/http-invoke",
        )
        passed = headers.to_instance(head, (*common, *framing), client=self._peer, websocket=self._request.websocket)
        return http1.encode_head(f"{head.method} {head.target} HTTP/1.1", passed)

    async def _whole_body(self) -> bytes:
        """The body, where the verdict depends on it."""
        body, pieces = self._request.body, bytearray()
        if self._request.expects_continue:
            self._client.write(http1.CONTINUE)
        try:
            async with asyncio.timeout(limits.BODY_SECONDS):
                while not body.done:
                    pieces += await self._next_piece()
        except TimeoutError:
            raise FcError("RequestTimeout", seconds=f"{limits.BODY_SECONDS:g}") from None
        self._client.unread(body.rest)
        return bytes(pieces)

    async def _send_body(self, upstream: Connection) -> None:
        """The body piece by piece, as fast as the function takes it, while its answer may already come."""
        body = self._request.body
        try:
            while not body.done:
                piece = await self._next_piece()
                if piece:
                    upstream.write(http1.chunk(piece) if body.chunked else piece)
                    await upstream.drain()
            self._client.unread(body.rest)
            if body.chunked:
                upstream.write(http1.chunk(b""))
        except ConnectionError:
            return  # the function takes no more; what it answers counts
        except FcError as error:
            self._failure = error
            if self._task is not None:
                self._task.cancel()

    async def _next_piece(self) -> bytes:
        data = await self._client.read()
        if not data:
            raise FcError("ClientClosedRequest")
        piece = self._request.body.feed(data)
        self._bytes_in += len(piece)
        limits.check_body(self._bytes_in)
        return piece

    async def _response(self, upstream: Connection) -> http1.Response:
        while True:
            try:
                raw = await upstream.head(limits.RESPONSE_HEAD)
            except HeadTooLong:
                reason = f"the response headers exceed {limits.RESPONSE_HEADERS} bytes"
                raise FcError("BadResponse", reason=reason) from None
            if raw is None:
                raise FcError("BadResponse", reason="the function closed the connection before it answered")
            response = http1.read_response(raw, self._request.head.method)
            if response.status == 101 or response.status >= 200:
                return response

    async def _answer(self, response: http1.Response, upstream: Connection) -> bool:
        request, client, body = self._request, self._client, response.body
        rechunk = body.length is None and request.version == "1.1"
        keep = request.keep_alive and not request.websocket and (rechunk or body.length is not None)
        framing: headers.Headers = ((b"connection", b"keep-alive" if keep else b"close"),)
        if rechunk:
            framing += ((b"transfer-encoding", b"chunked"),)
        elif body.length:
            framing += ((b"content-length", b"%d" % body.length),)
        elif response.status not in (204, 304):  # to HEAD: what a GET would have got
            lengths = [value for name, value in response.headers if name == b"content-length"]
            if lengths or request.head.method != "HEAD":
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
                    async with asyncio.timeout(limits.STALL_SECONDS):
                        await client.drain()
        except (TimeoutError, ConnectionError):
            return self._cut("client")
        if rechunk:
            client.write(http1.chunk(b""))
        self._end("done")
        return keep and request.body.done and not request.body.surplus

    def _head_for_client(self, response: http1.Response, added: headers.Headers) -> bytes:
        passed = headers.to_client(
            self._request.head,
            response.headers,
            (*added, *(self._lease.response_headers if self._lease is not None else ())),
            request_id=self._request_id,
            default_domain=self._admitted is not None and self._admitted.default_domain,
            wall=self._wall,
            websocket=response.status == 101,
        )
        return http1.encode_head(b"HTTP/1.1 %d %b" % (response.status, response.reason), passed)

    # WebSocket

    def _switch(self, response: http1.Response, upstream: Connection) -> None:
        """Hand both transports to a tunnel; nothing of the connections' own work remains."""
        client, tap = self._client, None
        if self._lease is not None:
            extensions = b", ".join(value for name, value in response.headers if name == b"sec-websocket-extensions")
            tap = self._lease.tap(extensions)
        client.write(self._head_for_client(response, ()))
        self._status = 101
        self._tunnel = Tunnel(client.transport, upstream.transport, self._tunnel_ended, tap)
        self._tunnel.start(client.take(), upstream.take(), ended=upstream.ended, lost=upstream.lost)
        # A tunnel may last for hours and there may be thousands: keep only what its end needs.
        client.on_gone = None
        del self._client, self._request, self._upload, self._admitted, self._upstream
        del self._peer, self._draw, self._wall

    def _tunnel_ended(self, tunnel: Tunnel) -> None:
        code = tunnel.close_code
        if code is None and tunnel.first == "function":
            code = 1006
        self._end("done" if tunnel.close_code is not None else tunnel.first or "client", close_code=code)
        self._tunnel = None

    # Endings

    def _client_gone(self) -> None:
        self.abort("client")

    def _cut(self, why: str) -> bool:
        """The engine, the client or a fault ended the request."""
        if why == "fault" or self._status:
            self._end(why)
            self._client.transport.abort()
            return False
        seconds = f"{self._admitted.timeout:g}" if self._admitted is not None else ""
        errors = {
            "timeout": FcError("FunctionTimeout", seconds=seconds),
            "instance": FcError("BadResponse", reason="Process exited unexpectedly before completing request"),
            "disabled": FcError("AccessDenied", reason="invocation of the function was disabled"),
            "shutdown": FcError("ResourceThrottled", reason="the platform is shutting down"),
            "client": FcError("ClientClosedRequest"),
        }
        return self._refuse(errors.get(why) or FcError("InternalServerError"), why)

    def _refuse(self, error: FcError, why: str = "function") -> bool:
        """Answer with an error of the platform, if the client can still take one."""
        if self._lease is None:
            self._engine.reject(self._entry, self._request.head, error, request_id=self._request_id)
        if self._status or error.code == "ClientClosedRequest":
            self._end("client" if error.code == "ClientClosedRequest" else why, error.status)
            self._client.transport.abort()
            return False
        self._status = error.status
        self._end(why)
        keep = self._request.keep_alive and self._request.body.done and not self._request.websocket
        head = self._request.head
        self._client.write(error_answer(error, head, request_id=self._request_id, wall=self._wall, keep=keep))
        return keep

    def _end(self, why: str, status: int = 0, close_code: int | None = None) -> None:
        if self._lease is not None:
            into, out = self._bytes_in, self._bytes_out
            if self._tunnel is not None:
                into, out = self._tunnel.bytes_in, self._tunnel.bytes_out
            self._lease.end(status=self._status or status, close_code=close_code, why=why, bytes_in=into, bytes_out=out)


async def _connect(lease: Lease) -> Connection:
    """A new connection to the instance. Raises FcError BadResponse, ResourceThrottled without descriptors."""
    try:
        _, upstream = await asyncio.get_running_loop().create_connection(Connection, lease.host, lease.port)
    except OSError as error:
        if error.errno in (errno.EMFILE, errno.ENFILE, errno.EADDRNOTAVAIL):
            raise FcError("ResourceThrottled", reason="the gateway has no descriptors or ports left") from None
        raise FcError("BadResponse", reason=f"the function does not accept the connection: {error}") from None
    return upstream


def error_answer(error: FcError, head: RequestHead, *, request_id: str, wall: float, keep: bool) -> bytes:
    """The documented answer of an error: status, X-Fc-Request-Id, and a JSON object unless the method is HEAD."""
    content = json.dumps(error.body(request_id)).encode()
    fields = headers.to_client(
        head,
        ((b"content-type", b"application/json"),),
        (
            (b"content-length", b"%d" % len(content)),
            (b"connection", b"keep-alive" if keep else b"close"),
            (b"x-fc-error-type", error.error_type.encode()),
        ),
        request_id=request_id,
        default_domain=False,
        wall=wall,
    )
    phrase = HTTPStatus(error.status).phrase if error.status in set(HTTPStatus) else "Client Closed Request"
    return http1.encode_head(f"HTTP/1.1 {error.status} {phrase}", fields) + (b"" if head.method == "HEAD" else content)
