"""Decide about one request, before an instance is asked for: is it accepted, and which revision serves it?

The order of the checks decides which error a request gets that breaks several rules: does the entry exist and is it
enabled, is the method configured, is the caller authenticated, does the qualifier exist. None of these is billed.
"""

from collections.abc import Mapping
from typing import NamedTuple

from fclocal.core import auth, headers, routes, rules
from fclocal.core.auth import Authentication
from fclocal.core.errors import FcError
from fclocal.core.model import HTTP_METHODS, CustomDomain, Function, Revision
from fclocal.core.request import IncomingRequest, RequestHead


class ResolvedTrigger(NamedTuple):
    """The trigger or the route of a custom domain that a request arrived at."""

    function: str
    qualifier: str
    methods: tuple[str, ...]
    authentication: Authentication


INVOCATION = Authentication("anonymous")
"""An InvokeFunction call: the management API has verified its signature."""


class Admission(NamedTuple):
    """A request that is accepted. `head` is what the function gets, with claims in it."""

    request: IncomingRequest
    qualifier: str
    revision: Revision
    head: RequestHead

    @property
    def timeout(self) -> float:
        """Return the execution timeout in seconds."""
        return float(self.revision.config.timeout)


def resolve(
    request: IncomingRequest,
    functions: Mapping[str, Function],
    domains: Mapping[str, CustomDomain],
    propagation: float = 0.0,
) -> ResolvedTrigger:
    """Return the trigger or route that the request arrived at. `propagation`: seconds until a new trigger answers.

    Raises FcError: no such trigger, domain or route, or disabled for the Internet.
    """
    entry, head = request.entry, request.head
    if entry.kind == "domain":
        if (domain := domains.get(entry.name)) is None:
            raise FcError("DomainNameNotFound", name=entry.name)
        if (route := routes.find(domain.route_config.routes, head.path)) is None:
            raise FcError("RouteNotFound", domain=entry.name, path=head.path)
        return ResolvedTrigger(route.function_name, route.qualifier, route.methods, domain.auth_config.authentication)
    if entry.kind == "invocation":
        return ResolvedTrigger(entry.function, entry.name, HTTP_METHODS, INVOCATION)
    if (function := functions.get(entry.function)) is None:
        raise FcError("FunctionNotFound", name=entry.function)
    trigger = function.triggers.get(entry.name)
    if trigger is None or trigger.created > request.at - propagation:
        raise FcError("TriggerNotFound", name=entry.name)
    config = trigger.config
    if config.disable_url_internet:
        raise FcError("AccessDenied", reason="access denied due to function internet URL is disable")
    return ResolvedTrigger(entry.function, trigger.qualifier, config.methods, config.authentication)


def admit(
    request: IncomingRequest, trigger: ResolvedTrigger, functions: Mapping[str, Function], keys: Mapping[str, str]
) -> Admission:
    """Accept the request, or raise FcError with the documented status and code. `keys`: access key id to secret."""
    head = request.head
    if (function := functions.get(trigger.function)) is None:
        raise FcError("FunctionNotFound", name=trigger.function)
    if function.disabled is not None:
        reason = function.disabled.reason or "no reason given"
        raise FcError("AccessDenied", reason=f"invocation of function '{function.name}' is disabled: {reason}")
    if head.method not in trigger.methods:
        allowed = ", ".join(trigger.methods)
        raise FcError("AccessDenied", reason=f"request method {head.method} is not configured here (only {allowed})")
    passed = auth.authenticate(trigger.authentication, head, keys=keys, wall=request.wall)
    if head.has_any(headers.OF_CALLER):
        headers.check_invocation({name.decode("latin-1"): value.decode("latin-1") for name, value in head.headers})
    revision = rules.revision(function, trigger.qualifier, request.canary_roll)
    if function.reserved_concurrency == 0:
        reason = "reservedConcurrency of the function is 0: all calls are blocked"
        raise FcError("ResourceExhausted", reason=reason)
    return Admission(request, trigger.qualifier, revision, passed)
