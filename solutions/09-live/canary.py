"""Try a new version of a function on a part of the traffic: a canary. Then release it, or go back."""

import os

from alibabacloud_fc20230330 import models as m
from alibabacloud_fc20230330.client import Client
from alibabacloud_tea_openapi.models import Config

ALIAS = "prod"
ENOUGH = 20  # requests to a new version before a decision


def client() -> Client:
    """Return the official client. It uses the key of these environment variables and no other."""
    endpoint = os.environ["LIVE_ENDPOINT"]
    return Client(Config(access_key_id=os.environ["LIVE_KEY_ID"], access_key_secret=os.environ["LIVE_KEY_SECRET"],
                         endpoint=endpoint, protocol="http" if endpoint.startswith("127.0.0.1:") else "https"))


def move(fc: Client, function: str, version: str, shares: dict[str, float]) -> None:
    """Point the alias to `version`. Each version in `shares` receives that part (0 to 1) of the requests."""
    body = m.UpdateAliasInput(version_id=version, additional_version_weight=shares)
    fc.update_alias(function, ALIAS, m.UpdateAliasRequest(body=body))


def start_canary(function: str, new: str, percent: float) -> None:
    """Send `percent` of the requests to the version `new`; the alias keeps its version."""
    fc = client()
    # 9.1: set `current` to the version of the alias (ask the API), and `shares` to the share of `new`.
    current = fc.get_alias(function, ALIAS).body.version_id
    shares = {new: percent / 100}
    move(fc, function, current, shares)


def finish_canary(function: str, old: str, new: str, served: dict[str, int], failed: dict[str, int]) -> str:
    """Decide about `new` by its failure rate. `served` and `failed` have the number of requests by version.

    "wait": `new` had fewer than ENOUGH requests, so change nothing. "back": its failure rate is higher than that of
    `old`. "release": its rate is not higher, so all requests go to `new`. After "back" and "release" the alias has no
    shares.
    """
    fc = client()
    # 9.2: decide, move the alias, and return "wait", "back" or "release".
    if served[new] < ENOUGH:
        return "wait"
    worse = failed[new] / served[new] > failed[old] / served[old]
    move(fc, function, old if worse else new, {})
    return "back" if worse else "release"
