"""What the pilot must do. The alias is looked at through the official API."""

import asyncio
from typing import Any

from alibabacloud_fc20230330 import models as m
from Tea.exceptions import TeaException

from workshop.checking import Mistake, Target, Unexpected, step

FUNCTION, ALIAS = "fog-horn", "prod"


async def versions(target: Target) -> tuple[str, str]:
    """Two versions of the horn (of an earlier check, or new); the alias is the first. Their numbers."""
    made = published(target)
    for tone in ("low", "high")[len(made):]:
        await asyncio.to_thread(target.fc.deploy, target.folder, environmentVariables={"TONE": tone})
        request = m.PublishFunctionVersionRequest(body=m.PublishVersionInput())
        made.append(str(target.fc.sdk.publish_function_version(FUNCTION, request).body.version_id))
    to: dict[str, Any] = {"version_id": made[0], "additional_version_weight": {}}
    try:
        target.fc.sdk.update_alias(FUNCTION, ALIAS, m.UpdateAliasRequest(body=m.UpdateAliasInput(**to)))
    except TeaException:  # there is none yet
        body = m.CreateAliasInput(alias_name=ALIAS, **to)
        target.fc.sdk.create_alias(FUNCTION, m.CreateAliasRequest(body=body))
    return made[0], made[1]


def published(target: Target) -> list[str]:
    """The first versions of the horn, two at most."""
    try:
        listed = target.fc.sdk.list_function_versions(FUNCTION, m.ListFunctionVersionsRequest(direction="FORWARD"))
    except TeaException:  # it is not deployed yet
        return []
    return [str(one.version_id) for one in listed.body.versions or []][:2]


async def pilot(target: Target, function: str, *arguments: Any) -> Any:
    """What a function of pilot.py returns. Raises Unexpected with the error that it raised."""
    at = target.fc.at
    env = {"PILOT_KEY_ID": at.access_key_id, "PILOT_KEY_SECRET": at.access_key_secret, "PILOT_ENDPOINT": at.endpoint}
    [got] = await target.call("pilot.py", function, [FUNCTION, *arguments], env=env)
    if got.error:
        # What the API refuses is an answer; any other error is a fault of the program, told with its line.
        said = got.error.splitlines()[0].partition(" request id:")[0]
        raise Unexpected(said, "" if "ClientException" in said else got.trace)
    return got.value


def stands(target: Target, old: str, new: str, wanted: str, told: str = "") -> None:
    """Raise Unexpected, beginning with `told`, unless the alias is as wanted: "old", "new", or "old, new 0.25"."""
    alias = target.fc.sdk.get_alias(FUNCTION, ALIAS).body
    names = {old: "old", new: "new"}
    shares = (alias.additional_version_weight or {}).items()
    seen = ", ".join([names[alias.version_id], *(f"{names[one]} {share:g}" for one, share in shares if share)])
    if seen != wanted:
        raise Unexpected(f"{told}prod is: {seen}")


async def settled(target: Target, served: tuple[int, int], failed: tuple[int, int], says: str, wanted: str) -> None:
    """Begin a trial with 0.25 for the new version, let it be settled by these numbers, and look."""
    old, new = await versions(target)
    body = m.UpdateAliasInput(version_id=old, additional_version_weight={new: 0.25})
    target.fc.sdk.update_alias(FUNCTION, ALIAS, m.UpdateAliasRequest(body=body))
    counts = [dict(zip((old, new), pair, strict=True)) for pair in (served, failed)]
    got = await pilot(target, "settle", old, new, *counts)
    if got != says:
        raise Unexpected(f"after {served[1]} visits it says {got!r}")
    stands(target, old, new, wanted, f"it says {got!r}, and ")


@step("9.1", did="the pilot lets a quarter of the ships hear the new tone", wanted="prod is: old, new 0.25", local=True)
async def a_quarter(target: Target) -> None:
    old, new = await versions(target)
    await pilot(target, "try_out", new, 25)
    stands(target, old, new, "old, new 0.25")


@step("9.1", did="then only one in twenty", wanted="prod is: old, new 0.05", local=True)
async def one_in_twenty(target: Target) -> None:
    old, new = await versions(target)
    await pilot(target, "try_out", new, 5)
    stands(target, old, new, "old, new 0.05")


@step("9.2", did="5 ships heard it, all 5 complain", wanted='"wait": too few; prod stays as it is', local=True)
async def too_few(target: Target) -> None:
    await settled(target, (100, 5), (0, 5), "wait", "old, new 0.25")


@step("9.2", did="1 of 100 failed with the new, 4 of 400 with the old", wanted='"on", and prod is: new', local=True)
async def good(target: Target) -> None:
    await settled(target, (400, 100), (4, 1), "on", "new")


@step("9.2", did="5 of 100 failed with the new, 9 of 900 with the old", wanted='"back", and prod is: old', local=True)
async def bad(target: Target) -> None:
    await settled(target, (900, 100), (9, 5), "back", "old")


MISTAKES = [
    Mistake("9.1", "the alias's own version has a share, too", saw="AdditionalVersionContainsMajorVersion",
            likely="it gets the rest by itself: the only entry in `shares` is `new`"),
    Mistake("9.1", "percent are not parts of 1", saw="ClientException.*additionalVersionWeight",
            likely="a quarter is 0.25: the API takes 0 to 1"),
    Mistake("9.1", "the alias is told LATEST", saw="ClientException.*'LATEST'",
            likely="LATEST is no version: ask the API which one the alias is now"),
    Mistake("9.1", "the alias is told no version", saw="ClientException",
            likely="an update has the version_id, even if it stays as it was"),
    Mistake("9.1", "most ships hear the new tone", saw="^prod is: new, old",
            likely="the alias stays the old version, and the new one gets the share"),
    Mistake("9.1", "all ships hear the new tone", saw="^prod is: new$"),
    Mistake("9.1", "no ship hears the new tone", saw="^prod is: old$",
            likely="`shares` needs an entry for `new`, above 0"),
    Mistake("9.2", "it decides too early", saw="^after 5 visits it says '(on|back)'",
            likely="below ENOUGH visits of the new version, return \"wait\""),
    Mistake("9.2", "numbers are compared instead of parts", saw="^after 100 visits it says 'on'",
            likely="divide what failed by what was served, for each version"),
    Mistake("9.2", "the trial is settled, and the new version has a share still",
            saw="'(on|back)', and prod is: old, new", likely="move the alias with an empty dictionary"),
    Mistake("9.2", "it says wait, and ends the trial all the same", saw="^it says 'wait', and prod is:",
            likely="while you wait, leave the alias as it is"),
    Mistake("9.2", "it went the wrong way", saw="^it says '(on|back)', and prod is:"),
]
