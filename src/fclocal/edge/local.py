"""The part of the API that only a local platform has, under /local.

Status and stop, the journal, bill, metrics, faults, taps. Same signature, same errors as the management
API; it is mounted in that application.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any, cast, get_args

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from fclocal.core import billing, metrics
from fclocal.core.bounded import parse_integer, parse_json
from fclocal.core.errors import FcError
from fclocal.core.faults import FaultRule
from fclocal.core.prices import Currency
from fclocal.core.records import Record
from fclocal.runtime.instances.redis_server import RedisServer
from fclocal.runtime.requests.engine import Engine
from fclocal.runtime.state.journal import Journal

MAX_KINDS = 50
"""Kinds of records that one call can ask for."""

_BATCH = 1000  # records read and sent at a time


@dataclass(frozen=True, slots=True)
class Local:
    """What the /local API needs. `status` describes the platform, `stop` ends it; `attached` is called with
    +1 and -1 as clients attach and leave."""

    engine: Engine
    journal: Journal
    redis: RedisServer
    status: Callable[[], dict[str, Any]]
    stop: Callable[[], None]
    keep: Callable[[], None]
    attached: Callable[[int], None]
    closing: asyncio.Event

    def routes(self) -> list[Route]:
        """The routes, without their prefix /local."""
        return [
            Route("/status", self._status),
            Route("/stop", self._stop, methods=["POST"]),
            Route("/keep", self._keep, methods=["POST"]),
            Route("/attach", self._attach),
            Route("/events", self._events),
            Route("/bill", self._bill),
            Route("/metrics/{function}", self._metrics),
            Route("/instances/{instance_id}/kill", self._kill, methods=["POST"]),
            Route("/faults", self._faults),
            Route("/faults", self._arm, methods=["POST"]),
            Route("/faults/{rule_id}", self._clear, methods=["DELETE"]),
            Route("/taps/{function}", self._tap, methods=["POST"]),
            Route("/taps/{function}", self._untap, methods=["DELETE"]),
            Route("/redis", self._redis, methods=["POST"]),
        ]

    async def _status(self, request: Request) -> Response:
        return JSONResponse(self.status())

    async def _stop(self, request: Request) -> Response:
        self.stop()
        return Response(status_code=204)

    async def _keep(self, request: Request) -> Response:
        """Keep the platform running until `stop` is called, with or without attached clients."""
        self.keep()
        return Response(status_code=204)

    async def _attach(self, request: Request) -> Response:
        """Open a stream without content: the platform counts the client as attached while it is open."""

        async def hold() -> AsyncIterator[bytes]:
            self.attached(+1)
            try:
                yield b"\n"
                await self.closing.wait()
            finally:
                self.attached(-1)

        return StreamingResponse(hold(), media_type="text/plain")

    async def _events(self, request: Request) -> Response:
        """Send the journal as JSON Lines.

        Header x-fclocal-cursor: all records up to this number are in the answer, so a client that wants only what
        comes next asks from there.
        """
        query = request.query_params
        after = _integer(query.get("after", "0"), "after")
        function = query.get("function")
        kinds = tuple(kind for kind in query.get("kinds", "").split(",") if kind)
        if len(kinds) > MAX_KINDS:
            raise FcError("InvalidArgument", reason=f"kinds: at most {MAX_KINDS} kinds")
        newest = self.journal.last()

        async def read(after: int) -> list[Record]:
            return await run_in_threadpool(
                lambda: list(self.journal.read(after, function=function, kinds=kinds, limit=_BATCH)))

        # The first records are read before the answer begins: an unreadable journal is an error, not an empty answer.
        first = await read(after)
        return StreamingResponse(
            self._lines(after, first, read, follow=query.get("follow") == "true"),
            media_type="application/jsonl", headers={"x-fclocal-cursor": str(max(after, newest))})

    async def _lines(self, after: int, batch: list[Record], read: Callable[[int], Awaitable[list[Record]]],
                     *, follow: bool) -> AsyncIterator[str]:
        """Yield each record after `after` once and in order, `batch` first; with `follow`, until the platform ends."""
        grown = asyncio.Event()
        grown.set()  # records may have come since `batch` was read
        unsubscribe = self.journal.subscribe(lambda record: grown.set())
        closing = asyncio.ensure_future(self.closing.wait())
        closing.add_done_callback(lambda done: grown.set())
        try:
            while True:
                while batch:
                    yield "".join(json.dumps(record.wire()) + "\n" for record in batch)
                    after = batch[-1].seq
                    batch = await read(after)
                if not follow or self.closing.is_set():
                    return
                await grown.wait()
                grown.clear()
                newest = self.journal.last()
                batch = await read(after)
                after = max(after, newest) if not batch else after
        finally:
            closing.cancel()
            unsubscribe()

    async def _bill(self, request: Request) -> Response:
        function = request.query_params.get("function")
        currency = _currency(request.query_params.get("currency", "CNY"))

        def compute() -> dict[str, Any]:
            now = self.engine.clock.now()
            bill = billing.bill(self.journal.usages(function, now=now), currency=currency, now=now)
            return {**bill.wire(), "text": bill.text()}

        return JSONResponse(await run_in_threadpool(compute))

    async def _metrics(self, request: Request) -> Response:
        """Compute the metrics of a function, under the names that CloudMonitor gives them."""
        name = request.path_params["function"]
        if name not in self.engine.catalogue.functions:
            raise FcError("FunctionNotFound", name=name)

        def compute() -> dict[str, Any]:
            records = self.journal.read(kinds=metrics.KINDS)
            return metrics.compute(records, name, self.engine.clock.now()).wire()

        return JSONResponse(await run_in_threadpool(compute))

    async def _kill(self, request: Request) -> Response:
        """Kill an instance. The answer comes when its processes are gone."""
        instance_id = request.path_params["instance_id"]
        for instance in self.engine.instances():
            if instance.instance_id == instance_id:
                self.engine.kill(instance, "fault")
                if instance.process is not None:
                    await instance.process.stop(0)
                return Response(status_code=204)
        raise FcError("InvalidArgument", reason=f"the instance '{instance_id}' does not exist")

    async def _faults(self, request: Request) -> Response:
        return JSONResponse([_rule(rule) for rule in self.engine.injection.rules])

    async def _arm(self, request: Request) -> Response:
        """Arm a fault: {"what": ..., and the fields of core.faults.rule}. The answer is the rule."""
        fields = await _object(request)
        what = fields.pop("what", "")
        after = self.journal.last()
        return JSONResponse({**_rule(await self.engine.arm(str(what), fields)), "after": after})

    async def _clear(self, request: Request) -> Response:
        self.engine.injection.clear(request.path_params["rule_id"])
        return Response(status_code=204)

    async def _tap(self, request: Request) -> Response:
        """Record frames from now on. The answer is the number of the newest record, to read from there."""
        name = request.path_params["function"]
        if name not in self.engine.catalogue.functions:
            raise FcError("FunctionNotFound", name=name)
        self.engine.taps.on(name)
        return JSONResponse({"after": self.journal.last()})

    async def _untap(self, request: Request) -> Response:
        self.engine.taps.off(request.path_params["function"])
        return Response(status_code=204)

    async def _redis(self, request: Request) -> Response:
        """Start the kit's Redis unless it runs. The answer is its URL and program."""
        url = await self.redis.start()
        return JSONResponse({"url": url, "program": self.redis.program})


def _rule(rule: FaultRule) -> dict[str, Any]:
    return {"rule": rule.id, "what": rule.what, "function": rule.function, "times": rule.times, "detail": rule.detail}


async def _object(request: Request) -> dict[str, Any]:
    try:
        value = parse_json(await request.body())
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise FcError("InvalidArgument", reason="the body must be a JSON object")
    return value


def _currency(text: str) -> Currency:
    for known in get_args(Currency):
        if text == known:
            return cast(Currency, known)
    raise FcError("InvalidArgument", reason=f"currency: CNY or USD, not '{text}'")


def _integer(text: str, name: str) -> int:
    try:
        return parse_integer(text)
    except ValueError:
        raise FcError("InvalidArgument", reason=f"{name}: must be a whole number of at most 64 bits") from None
