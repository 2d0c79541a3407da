"""What canary.py must do to the alias, read through the official API."""

import asyncio
from typing import Any

from alibabacloud_fc20230330 import models as m
from Tea.exceptions import TeaException

from workshop.checking import Mistake, Target, Unexpected, step

FUNCTION, ALIAS = "greeting", "prod"


async def versions(target: Target) -> tuple[str, str]:
    """Return two versions, of an earlier check or new; the alias points to the first."""
    numbers = published(target)
    for greeting in ("hello", "good morning")[len(numbers):]:
        await asyncio.to_thread(target.fc.deploy, target.folder, environmentVariables={"GREETING": greeting})
        request = m.PublishFunctionVersionRequest(body=m.PublishVersionInput())
        numbers.append(str(target.fc.sdk.publish_function_version(FUNCTION, request).body.version_id))
    to: dict[str, Any] = {"version_id": numbers[0], "additional_version_weight": {}}
    try:
        target.fc.sdk.update_alias(FUNCTION, ALIAS, m.UpdateAliasRequest(body=m.UpdateAliasInput(**to)))
    except TeaException:  # the alias does not exist yet
        body = m.CreateAliasInput(alias_name=ALIAS, **to)
        target.fc.sdk.create_alias(FUNCTION, m.CreateAliasRequest(body=body))
    return numbers[0], numbers[1]


def published(target: Target) -> list[str]:
    """Return the first versions of the function, at most two."""
    try:
        listed = target.fc.sdk.list_function_versions(FUNCTION, m.ListFunctionVersionsRequest(direction="FORWARD"))
    except TeaException:  # the function is not deployed yet
        return []
    return [str(one.version_id) for one in listed.body.versions or []][:2]


async def call(target: Target, function: str, *arguments: Any) -> Any:
    """Call a function of canary.py and return its result. Raises Unexpected with the error of the function."""
    at = target.fc.at
    env = {"LIVE_KEY_ID": at.access_key_id, "LIVE_KEY_SECRET": at.access_key_secret, "LIVE_ENDPOINT": at.endpoint}
    [got] = await target.call("canary.py", function, [FUNCTION, *arguments], env=env)
    if got.error:
        # A rejection by the API is a result; any other error is a fault of the program, shown with its line.
        error = got.error.splitlines()[0].partition(" request id:")[0]
        raise Unexpected(error, "" if "ClientException" in error else got.trace)
    return got.value


def alias_is(target: Target, old: str, new: str, wanted: str, before: str = "") -> None:
    """Raise Unexpected, beginning with `before`, unless the alias is as wanted: "old", "new", or "old, new 0.25"."""
    alias = target.fc.sdk.get_alias(FUNCTION, ALIAS).body
    names = {old: "old", new: "new"}
    shares = (alias.additional_version_weight or {}).items()
    seen = ", ".join([names[alias.version_id], *(f"{names[one]} {share:g}" for one, share in shares if share)])
    if seen != wanted:
        raise Unexpected(f"{before}prod is: {seen}")


async def finish(target: Target, served: tuple[int, int], failed: tuple[int, int], result: str, wanted: str) -> None:
    """Start a canary with the share 0.25, call finish_canary() with these counts, and check result and alias."""
    old, new = await versions(target)
    body = m.UpdateAliasInput(version_id=old, additional_version_weight={new: 0.25})
    target.fc.sdk.update_alias(FUNCTION, ALIAS, m.UpdateAliasRequest(body=body))
    counts = [dict(zip((old, new), pair, strict=True)) for pair in (served, failed)]
    got = await call(target, "finish_canary", old, new, *counts)
    if got != result:
        raise Unexpected(f"after {served[1]} requests finish_canary() returned {got!r}")
    alias_is(target, old, new, wanted, f"finish_canary() returned {got!r}, and ")


@step("9.1", did="called start_canary with 25 percent for the new version", wanted="prod is: old, new 0.25", local=True)
async def a_quarter(target: Target) -> None:
    old, new = await versions(target)
    await call(target, "start_canary", new, 25)
    alias_is(target, old, new, "old, new 0.25")


@step("9.1", did="called start_canary with 5 percent", wanted="prod is: old, new 0.05", local=True)
async def one_in_twenty(target: Target) -> None:
    old, new = await versions(target)
    await call(target, "start_canary", new, 5)
    alias_is(target, old, new, "old, new 0.05")


@step("9.2", did="called finish_canary: 5 requests to the new version, all failed", local=True,
      wanted='"wait", and prod does not change')
async def too_few(target: Target) -> None:
    await finish(target, (100, 5), (0, 5), "wait", "old, new 0.25")


@step("9.2", did="called finish_canary: 1 of 100 failed with new, 4 of 400 with old", local=True,
      wanted='"release", and prod is: new')
async def good(target: Target) -> None:
    await finish(target, (400, 100), (4, 1), "release", "new")


@step("9.2", did="called finish_canary: 5 of 100 failed with new, 9 of 900 with old", local=True,
      wanted='"back", and prod is: old')
async def bad(target: Target) -> None:
    await finish(target, (900, 100), (9, 5), "back", "old")


MISTAKES = [
    Mistake("9.1", "the version of the alias has a share too", saw="AdditionalVersionContainsMajorVersion",
            likely="it receives the rest automatically: the only entry in `shares` is `new`"),
    Mistake("9.1", "the share is in percent, not a part of 1", saw="ClientException.*additionalVersionWeight",
            likely="a quarter is 0.25: the API takes 0 to 1"),
    Mistake("9.1", "the alias points to LATEST", saw="ClientException.*'LATEST'",
            likely="LATEST is not a version: read the current version with get_alias"),
    Mistake("9.1", "the update is sent without a version", saw="ClientException",
            likely="every update needs the version_id, even if it does not change"),
    Mistake("9.1", "most requests go to the new version", saw="^prod is: new, old",
            likely="the alias keeps the old version, and the new one receives the share"),
    Mistake("9.1", "all requests go to the new version", saw="^prod is: new$"),
    Mistake("9.1", "no request goes to the new version", saw="^prod is: old$",
            likely="`shares` needs an entry for `new`, above 0"),
    Mistake("9.2", "the decision is too early", saw=r"^after 5 requests finish_canary\(\) returned '(release|back)'",
            likely="below ENOUGH requests to the new version, return \"wait\""),
    Mistake("9.2", "counts are compared instead of rates",
            saw=r"^after 100 requests finish_canary\(\) returned 'release'",
            likely="divide the failed requests by the served ones, for each version"),
    Mistake("9.2", "the canary has ended, but it still has a share",
            saw="'(release|back)', and prod is: old, new", likely="move the alias with an empty dictionary"),
    Mistake("9.2", "the result is wait, but the canary has ended",
            saw=r"^finish_canary\(\) returned 'wait', and prod is:",
            likely='after "wait" do not change the alias'),
    Mistake("9.2", "the alias points to the wrong version",
            saw=r"^finish_canary\(\) returned '(release|back)', and prod is:"),
]
