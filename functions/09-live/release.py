"""Release a function by version and alias: publish, try a version on a part of the traffic, go back, remove.

    export LIVE_KEY_ID=... LIVE_KEY_SECRET=... LIVE_ENDPOINT=fcv3.cn-hangzhou.aliyuncs.com
    python3 release.py live publish
    python3 release.py live point 1 2 0.1

Runs on your machine, needs alibabacloud-fc20230330, and is not part of the package (.fcignore).
"""

import argparse
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

from alibabacloud_fc20230330 import models as m
from alibabacloud_fc20230330.client import Client
from alibabacloud_tea_openapi.models import Config
from Tea.exceptions import TeaException

ALIAS = "prod"


# region client
def client(key_id: str, key_secret: str, endpoint: str) -> Client:
    """Create the official client with the key and the endpoint of these three environment variables.

    Without an explicit key the SDK would search this machine's files, variables and metadata for one.
    """
    missing = [name for name in (key_id, key_secret, endpoint) if not os.environ.get(name)]
    if missing:
        raise LookupError(f"set the environment variables {', '.join(missing)}")
    at = os.environ[endpoint]
    return Client(Config(
        access_key_id=os.environ[key_id], access_key_secret=os.environ[key_secret], endpoint=at,
        protocol="http" if at.startswith("127.0.0.1:") else "https", read_timeout=600_000))
# endregion


# region publish
def publish(fc: Client, name: str) -> str:
    """Publish the deployed program as a version, and return its number."""
    body = m.PublishVersionInput()
    return str(fc.publish_function_version(name, m.PublishFunctionVersionRequest(body=body)).body.version_id)
# endregion


# region point
def point(fc: Client, name: str, version: str, canary: str = "", share: float = 0.0) -> None:
    """Point the alias to `version`. The version `canary` gets the part `share` (0 to 1) of the requests."""
    to = {"version_id": version, "additional_version_weight": {canary: share} if canary else {}}
    if any(one.alias_name == ALIAS for one in aliases(fc, name)):
        fc.update_alias(name, ALIAS, m.UpdateAliasRequest(body=m.UpdateAliasInput(**to)))
    else:
        fc.create_alias(name, m.CreateAliasRequest(body=m.CreateAliasInput(alias_name=ALIAS, **to)))
# endregion


def trigger(fc: Client, name: str) -> str:
    """Return the URL of the alias. Create its HTTP trigger like that of LATEST, if it is missing."""
    have = [t for t in triggers(fc, name) if t.trigger_type == "http"]
    for one in have:
        if one.qualifier == ALIAS:
            return str(one.http_trigger.url_internet)
    if not have:
        raise LookupError(f"{name} does not have an HTTP trigger to copy the settings from: deploy it first")
    body = m.CreateTriggerInput(trigger_name=ALIAS, trigger_type="http", qualifier=ALIAS,
                                trigger_config=have[0].trigger_config)
    created = fc.create_trigger(name, m.CreateTriggerRequest(body=body))
    return str(created.body.http_trigger.url_internet)


# The state of the service

def pages(call: Callable[[str | None], Any], field: str) -> Iterator[Any]:
    """Yield all items of a list operation, page by page."""
    token = None
    while True:
        page = call(token).body
        yield from getattr(page, field) or []
        token = page.next_token
        if not token:
            return


def triggers(fc: Client, name: str) -> list[Any]:
    return list(pages(lambda t: fc.list_triggers(name, m.ListTriggersRequest(limit=100, next_token=t)), "triggers"))


def aliases(fc: Client, name: str) -> list[Any]:
    return list(pages(lambda t: fc.list_aliases(name, m.ListAliasesRequest(limit=100, next_token=t)), "aliases"))


def versions(fc: Client, name: str) -> list[Any]:
    return list(pages(lambda t: fc.list_function_versions(
        name, m.ListFunctionVersionsRequest(limit=100, next_token=t)), "versions"))


def domains(fc: Client, name: str) -> list[Any]:
    """Return the custom domains with a route to the function."""
    every = pages(lambda t: fc.list_custom_domains(m.ListCustomDomainsRequest(limit=100, next_token=t)),
                  "custom_domains")
    return [one for one in every if any(route.function_name == name for route in one.route_config.routes or [])]


# region left
def left(fc: Client, name: str) -> list[str]:
    """Return one line for each resource of the function that exists."""
    resources = [f"custom domain {one.domain_name}" for one in domains(fc, name)]
    try:
        fc.get_function(name, m.GetFunctionRequest())
    except TeaException as error:
        if error.status_code != 404:
            raise
        return resources
    return [f"function {name}",
            *(f"trigger {one.trigger_name} of {one.qualifier}" for one in triggers(fc, name)),
            *(f"alias {one.alias_name}: version {one.version_id} {one.additional_version_weight or ''}".rstrip()
              for one in aliases(fc, name)),
            *(f"version {one.version_id}" for one in versions(fc, name)), *resources]
# endregion


def remove(fc: Client, name: str) -> list[str]:
    """Delete the function, its domains, triggers, aliases and versions. Return what is left.

    A domain with a route to another function stays.
    """
    for one in domains(fc, name):
        if all(route.function_name == name for route in one.route_config.routes):
            fc.delete_custom_domain(one.domain_name)
    for one in triggers(fc, name):
        fc.delete_trigger(name, one.trigger_name)
    for one in aliases(fc, name):
        fc.delete_alias(name, one.alias_name)
    for one in versions(fc, name):
        fc.delete_function_version(name, one.version_id)
    fc.delete_function(name)
    return left(fc, name)


def main() -> int:
    """Run one command. Return 1 after an error, and when something is left after `remove`."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("name", help="the function")
    parser.add_argument("act", choices=("publish", "point", "status", "remove"))
    parser.add_argument("version", nargs="?", help="for point: the version for the alias")
    parser.add_argument("canary", nargs="?", default="", help="for point: another version, for a part of the requests")
    parser.add_argument("share", nargs="?", type=float, default=0.0, help="the part of the requests, from 0 to 1")
    arguments = parser.parse_args()
    if arguments.act == "point" and not arguments.version:
        parser.error("point needs a version")
    if arguments.canary and not arguments.share:
        parser.error("a canary needs a share: 0.1 is one request in ten")
    try:
        fc = client("LIVE_KEY_ID", "LIVE_KEY_SECRET", "LIVE_ENDPOINT")
        if arguments.act == "publish":
            print("version", publish(fc, arguments.name))
        elif arguments.act == "point":
            point(fc, arguments.name, arguments.version, arguments.canary, arguments.share)
            print(ALIAS, "at", trigger(fc, arguments.name))
        else:
            rest = left(fc, arguments.name)
            if rest and arguments.act == "remove":
                rest = remove(fc, arguments.name)
            print(*rest or ["nothing is left"], sep="\n")
            return 1 if rest and arguments.act == "remove" else 0
    except (LookupError, TeaException) as error:
        print(error.args[0] if isinstance(error, LookupError) else error.message, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
