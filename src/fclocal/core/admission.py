"""Who may come in, and to which revision: the verdict on one request before an instance is asked for.

The order of the checks decides which error a request gets that breaks several rules: the door (does it exist, is it
open), the rules of HTTP (method), who calls (authentication), and last where it leads. None of these is billed.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from fclocal.core import auth, routes
from fclocal.core.errors import FcError
from fclocal.core.model import CustomDomain, Function, Revision, snapshot
from fclocal.core.request import Entry, RequestHead


@dataclass(frozen=True, slots=True)
class Admission:
    """A request that may come in.

    `head` and `body` are what the function is to get, with rewrites and claims in them. `timeout`: execution
    timeout in seconds. `default_domain`: it came by a trigger's own URL, where pages are answered as attachments.
    """

    entry: Entry
    request_id: str
    function: Function
    qualifier: str
    revision: Revision
    head: RequestHead
    body: bytes
    default_domain: bool

    @property
    def timeout(self) -> float:
        return float(self.revision.config.timeout)


@dataclass(frozen=True, slots=True)
class _Door:
    """What a trigger or a route of a custom domain says about requests."""

    function: str
    qualifier: str
    methods: tuple[str, ...]
    auth_type: str
    auth_config: Mapping[str, Any] | None
    target: str


def admit(
    entry: Entry,
    head: RequestHead,
    *,
    functions: Mapping[str, Function],
    domains: Mapping[str, CustomDomain],
    keys: Mapping[str, str],
    now: float,
    wall: float,
    propagation: float,
    body: bytes,
    request_id: str,
    draw: float,
) -> Admission:
    """Let the request in, or raise FcError with the documented status and code.

    keys: access key id to secret. now, wall: seconds since 1970, steady and as the clock on the wall has them.
    propagation: seconds until a new trigger answers. draw in [0, 1) decides an alias's canary.
    """
    door = _door(entry, head, functions, domains, now - propagation)
    if (function := functions.get(door.function)) is None:
        raise FcError("FunctionNotFound", name=door.function)
    if function.disabled is not None:
        reason = function.disabled.reason or "no reason given"
        raise FcError("AccessDenied", reason=f"invocation of function '{function.name}' is disabled: {reason}")
    if head.method not in door.methods:
        allowed = ", ".join(door.methods)
        raise FcError("AccessDenied", reason=f"request method {head.method} is not configured here (only {allowed})")
    grant = auth.authenticate(door.auth_type, door.auth_config, head, now=wall, keys=keys, body=body)
    revision = snapshot(function, door.qualifier, draw)
    if revision is None:
        raise no_such_qualifier(function, door.qualifier)
    passed = grant.apply(replace(head, target=door.target))
    return Admission(
        entry=entry,
        request_id=request_id,
        function=function,
        qualifier=door.qualifier,
        revision=revision,
        head=passed,
        body=grant.apply_body(head, body),
        default_domain=entry.kind == "trigger",
    )


def needs_body(
    entry: Entry,
    head: RequestHead,
    functions: Mapping[str, Function],
    domains: Mapping[str, CustomDomain],
) -> bool:
    """Whether the verdict depends on the body (a token in a form): the caller must read it before `admit`."""
    if entry.kind == "domain":
        domain = domains.get(entry.name)
        return domain is not None and auth.needs_body(domain.auth_config.auth_type, domain.auth_config.auth_info)
    function = functions.get(entry.function)
    trigger = function.triggers.get(entry.name) if function else None
    return trigger is not None and auth.needs_body(trigger.config.auth_type, trigger.config.auth_config)


def function_of(entry: Entry, head: RequestHead, domains: Mapping[str, CustomDomain]) -> str:
    """The function that a request is meant for, "" if no route of the domain fits."""
    if entry.kind == "trigger":
        return entry.function
    domain = domains.get(entry.name)
    route = routes.find(domain.route_config.routes, head.path) if domain else None
    return route.function_name if route else ""


def _door(
    entry: Entry,
    head: RequestHead,
    functions: Mapping[str, Function],
    domains: Mapping[str, CustomDomain],
    known: float,
) -> _Door:
    """The trigger or route behind `entry`; triggers made after `known` (seconds since 1970) are not yet there."""
    if entry.kind == "domain":
        if (domain := domains.get(entry.name)) is None:
            raise FcError("DomainNameNotFound", name=entry.name)
        if (route := routes.find(domain.route_config.routes, head.path)) is None:
            raise FcError("RouteNotFound", domain=entry.name, path=head.path)
        return _Door(
            function=route.function_name,
            qualifier=route.qualifier,
            methods=route.methods,
            auth_type=domain.auth_config.auth_type,
            auth_config=domain.auth_config.auth_info,
            target=routes.rewrite(route, head.target),
        )
    if (function := functions.get(entry.function)) is None:
        raise FcError("FunctionNotFound", name=entry.function)
    trigger = function.triggers.get(entry.name)
    if trigger is None or trigger.created > known:
        raise FcError("TriggerNotFound", name=entry.name)
    if trigger.config.disable_url_internet:
        raise FcError("AccessDenied", reason="access denied due to function internet URL is disable")
    return _Door(
        function=entry.function,
        qualifier=trigger.qualifier,
        methods=trigger.config.methods,
        auth_type=trigger.config.auth_type,
        auth_config=trigger.config.auth_config,
        target=head.target,
    )


def no_such_qualifier(function: Function, qualifier: str) -> FcError:
    """The error for a qualifier that names no version and no alias."""
    if qualifier.isdecimal():
        return FcError("VersionNotFound", name=qualifier, function=function.name)
    return FcError("AliasNotFound", name=qualifier, function=function.name)
