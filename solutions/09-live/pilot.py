"""Release a new version of a function through its alias."""

import os

from alibabacloud_fc20230330 import models as m
from alibabacloud_fc20230330.client import Client
from alibabacloud_tea_openapi.models import Config

ALIAS = "prod"
ENOUGH = 20  # requests to a new version before a decision


def client() -> Client:
    """Return the official client, with the key that is named here and no other."""
    at = os.environ["PILOT_ENDPOINT"]
    return Client(Config(access_key_id=os.environ["PILOT_KEY_ID"], access_key_secret=os.environ["PILOT_KEY_SECRET"],
                         endpoint=at, protocol="http" if at.startswith("127.0.0.1:") else "https"))


def move(fc: Client, function: str, version: str, shares: dict[str, float]) -> None:
    """Point the alias to `version`; other versions receive a share (0 to 1) of the requests."""
    body = m.UpdateAliasInput(version_id=version, additional_version_weight=shares)
    fc.update_alias(function, ALIAS, m.UpdateAliasRequest(body=body))


def try_out(function: str, new: str, percent: float) -> None:
    """Send `percent` of the requests to the version `new`; the alias keeps its version."""
    fc = client()
    # 9.1: set `now` to the present version of the alias (ask the API), and `shares` to the share of `new`.
    now = fc.get_alias(function, ALIAS).body.version_id
    shares = {new: percent / 100}
    move(fc, function, now, shares)


def settle(function: str, old: str, new: str, served: dict[str, int], failed: dict[str, int]) -> str:
    """End the trial of `new`, or wait. `served` and `failed`: number of requests by version.

    "wait": `new` had fewer than ENOUGH requests; change nothing. "back": its failure rate is higher than that of `old`.
    "on": it is not higher, so all requests go to `new`. After "back" and "on" the alias has no shares.
    """
    fc = client()
    # 9.2: decide, move the alias, and return "wait", "back" or "on".
    if served[new] < ENOUGH:
        return "wait"
    worse = failed[new] / served[new] > failed[old] / served[old]
    move(fc, function, old if worse else new, {})
    return "back" if worse else "on"
