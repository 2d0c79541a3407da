"""Bring a new version of a function to the ships, by way of its alias."""

import os

from alibabacloud_fc20230330 import models as m
from alibabacloud_fc20230330.client import Client
from alibabacloud_tea_openapi.models import Config

ALIAS = "prod"
ENOUGH = 20  # visits of a new version before anything is decided


def client() -> Client:
    """The official client, with the key that is named here and no other."""
    at = os.environ["PILOT_ENDPOINT"]
    return Client(Config(access_key_id=os.environ["PILOT_KEY_ID"], access_key_secret=os.environ["PILOT_KEY_SECRET"],
                         endpoint=at, protocol="http" if at.startswith("127.0.0.1:") else "https"))


def move(fc: Client, function: str, version: str, shares: dict[str, float]) -> None:
    """Let the alias be `version`; other versions get a share (0 to 1) of the requests."""
    body = m.UpdateAliasInput(version_id=version, additional_version_weight=shares)
    fc.update_alias(function, ALIAS, m.UpdateAliasRequest(body=body))


def try_out(function: str, new: str, percent: float) -> None:
    """Give the version `new` so many percent of the requests; the alias stays the version it is."""
    fc = client()
    # TODO 9.1: `now` is the version that the alias is now (ask the API), `shares` what `new` gets.
    #: begin solution 9.1
    now = fc.get_alias(function, ALIAS).body.version_id
    shares = {new: percent / 100}
    #: else
    now, shares = "", {}  # <- your code here
    #: end
    move(fc, function, now, shares)


def settle(function: str, old: str, new: str, served: dict[str, int], failed: dict[str, int]) -> str:
    """End the trial of `new`, or not yet. `served` and `failed`: number of visits by version.

    "wait": `new` had fewer than ENOUGH visits; nothing changes. "back": a larger part of them failed than with `old`.
    "on": it did not, so everybody gets `new`. Once settled, nobody has a share any more.
    """
    fc = client()
    # TODO 9.2: decide, move the alias, and return "wait", "back" or "on".
    #: begin solution 9.2
    if served[new] < ENOUGH:
        return "wait"
    worse = failed[new] / served[new] > failed[old] / served[old]
    move(fc, function, old if worse else new, {})
    return "back" if worse else "on"
    #: else
    return ""  # <- your code here
    #: end
