"""Session affinity under traffic: the capacity that sessions share, the end of a session, and its id afterwards."""

import asyncio
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from alibabacloud_fc20230330 import models as fc
from awaited import until
from service_kit import ROOT, call
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from fclocal import App, Platform
from fclocal.testing import running_platform

FOLDER: Path = ROOT / "functions" / "07-sessions"
MINE = {"affinityHeaderFieldName": "my-session"}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    with running_platform(tmp_path_factory.mktemp("state")) as fc_:
        yield fc_


@pytest.mark.parity("affinity.concurrency", "affinity.full-instance")
def test_sessions_share_200_requests_and_the_next_one_is_rejected(running: Platform) -> None:
    app = running.deploy(FOLDER, sessionAffinity="HEADER_FIELD", sessionAffinityConfig=MINE)

    def dial(session: str) -> connect:
        return connect(app.url.replace("https", "ws"), additional_headers={"my-session": session}, open_timeout=30)

    async def story() -> None:
        first = await dial("a")
        others = [await dial("ab"[number % 2]) for number in range(199)]
        assert [instance["load"] for instance in running.instances(app.name)] == [200]
        for session in "ab":
            with pytest.raises(InvalidStatus) as refused:
                await dial(session)
            response = refused.value.response
            assert (response.status_code, json.loads(response.body or b"")["Code"]) == (429, "ResourceExhausted")
        new = await dial("c")
        assert sorted(instance["load"] for instance in running.instances(app.name)) == [1, 200]
        await asyncio.gather(*(connection.close() for connection in (first, *others, new)))

    asyncio.run(story())


def planted(app: App, session: str = "") -> str:
    """Send a request with the cookie of `session`, and return the id that its answer plants, "" for none."""
    answer = call(app.url, headers=[("cookie", f"x-fc-cookie-session-id={session}")] if session else [])
    assert answer.status == 200
    match = re.match("x-fc-cookie-session-id=([^;]+); Max-Age=[0-9]+", answer.headers.get("set-cookie", ""))
    return match[1] if match else ""


def alive(running: Platform, app: App) -> list[Any]:
    return list(running.sdk.list_sessions(app.name, fc.ListSessionsRequest(session_status="Active")).body.sessions)


@pytest.mark.parity("affinity.lifetime", "affinity.id-reuse", "affinity.id-reuse-disabled")
@pytest.mark.parametrize("disabled", [False, True])
def test_an_idle_session_ends_and_its_id_continues_unless_that_is_disabled(running: Platform, disabled: bool) -> None:
    app = running.deploy(FOLDER, sessionAffinity="GENERATED_COOKIE", sessionAffinityConfig={
        "sessionIdleTimeoutInSeconds": 1, "disableSessionIdReuse": disabled})
    session = planted(app)
    assert session and planted(app, session) == "", "the session lives: no cookie is planted again"
    until(lambda: not alive(running, app))
    again = planted(app, session)
    assert again and (again == session) is not disabled
    assert [one.session_id for one in alive(running, app)] == [again]


@pytest.mark.parity("affinity.lifetime")
def test_a_busy_session_ends_with_its_lifetime(running: Platform) -> None:
    app = running.deploy(FOLDER, sessionAffinity="GENERATED_COOKIE", sessionAffinityConfig={
        "sessionTTLInSeconds": 2, "sessionIdleTimeoutInSeconds": 1})
    session, began = planted(app), time.monotonic()
    until(lambda: planted(app, session))
    assert 1.5 < time.monotonic() - began < 4
