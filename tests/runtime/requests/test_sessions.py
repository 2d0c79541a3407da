"""Sessions of functions that have several revisions at the same time."""

import asyncio
from typing import Any

import pytest
from engine_bench import Bench

from fclocal.core.model import AffinityConfig
from fclocal.core.request import Entry

VERSION_1 = Entry("invocation", "echo", "1")


def affinity(**rules: int) -> dict[str, Any]:
    return {"session_affinity": "GENERATED_COOKIE", "session_affinity_config": AffinityConfig(**rules)}


@pytest.mark.parity("affinity.lifetime")
@pytest.mark.parametrize("rules", [{}, {"session_ttl_in_seconds": 1, "session_idle_timeout_in_seconds": 1}])
def test_requests_to_latest_do_not_end_the_sessions_of_a_version(rules: dict[str, int]) -> None:
    async def story() -> None:
        bench = Bench(**affinity())
        bench.catalogue.publish(**affinity(**rules))
        client = await bench.open(entry=VERSION_1)
        assert client.lease is not None
        session_id, instance = client.lease.session_id, client.lease.instance
        client.close()
        await bench.advance(5)

        (await bench.open()).close()  # LATEST: another pool of instances, with limits of its own
        await bench.settle()
        instances = {existing.instance_id for existing in bench.engine.instances()}
        assert len(instances) == 2
        alive, over = bench.engine.sessions.list("echo", instances, bench.clock.now())  # judged by its own limits
        kept = {session.session_id: session.instance_id for session in alive}
        assert kept[session_id or ""] == instance.instance_id and not over
        await bench.engine.close()

    asyncio.run(asyncio.wait_for(story(), 30))


@pytest.mark.parity("api.sessions-expired")
def test_a_function_of_the_same_name_does_not_inherit_sessions() -> None:
    async def story() -> None:
        bench = Bench(**affinity(session_ttl_in_seconds=1, session_idle_timeout_in_seconds=1))
        (await bench.open()).close()
        await bench.advance(5)
        (await bench.open()).close()
        await bench.settle()
        instances = {existing.instance_id for existing in bench.engine.instances()}
        alive, over = bench.engine.sessions.list("echo", instances, bench.clock.now())
        assert (len(alive), len(over)) == (1, 1)
        bench.catalogue.functions.clear()
        bench.engine.changed("echo")
        assert bench.engine.sessions.list("echo", instances, bench.clock.now()) == ((), ())
        await bench.engine.close()

    asyncio.run(asyncio.wait_for(story(), 30))
