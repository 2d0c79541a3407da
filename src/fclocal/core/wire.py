"""The JSON of API 2023-03-30: parse requests into shapes of the model, and write responses from them.

No field of a request is ignored: a field that the service has and fclocal does not emulate is NotEmulated, any
other field InvalidArgument, both with the field's path ("customRuntimeConfig.port"). Wire names are those of
the official SDK 4.8.3; parity.toml has the links to the pages.
"""

import base64
import binascii
import difflib
import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Literal, TypeVar

from pydantic import Field, ValidationError

from fclocal.core.affinity import Session
from fclocal.core.bounded import parse_integer, parse_json
from fclocal.core.errors import FcError, invalid
from fclocal.core.identifiers import ACCOUNT_ID, REGION
from fclocal.core.model import (
    LATEST,
    Alias,
    Certificate,
    CustomDomain,
    DomainAuth,
    DomainName,
    DomainProtocol,
    Function,
    HttpTriggerConfig,
    JsonString,
    LongName,
    Revision,
    RouteConfig,
    Shape,
    Trigger,
    Weights,
)

S = TypeVar("S", bound=Shape)
T = TypeVar("T")

MAX_PAGE = 100
DEFAULT_PAGE = 20

NOT_EMULATED = frozenset({
    # functions
    "customContainerConfig", "customDNS", "disableInjectCredentials", "disableOndemand", "enableLongLiving",
    "gpuConfig", "instanceIsolationMode", "juiceFsConfig", "layers", "logConfig", "microSandboxConfig",
    "nasConfig", "ossMountConfig", "polarFsConfig", "resourceGroupId", "role", "tags", "tracingConfig", "vpcConfig",
    "ossBucketName", "ossObjectName", "checksum", "sseEndpointPath", "command",
    # sessions
    "allowInternetAccess", "disableSessionIdReuse", "enableAutoPause", "enableAutoResume", "network", "snapshotId",
    # triggers and domains
    "invocationRole", "sourceArn", "corsConfig", "tlsConfig", "wafConfig", "isE2B", "rewriteConfig",
    # scaling
    "enableMixMode", "enableOnDemandScaling",
    "horizontalScalingPolicies", "requestDispatchPolicy", "residentPoolId", "scheduledPolicies",
    # queries
    "gpuType",
})
"""Fields the service documents and fclocal does not emulate."""

_CHOICES = frozenset({"runtime", "sessionAffinity", "triggerType", "authType"})
"""Fields for which the service accepts more values than fclocal emulates."""

_JSON_STRINGS = frozenset({"triggerConfig", "sessionAffinityConfig", "authInfo"})
"""Objects that the API sends as a JSON string inside the JSON."""


# Shapes of requests that are not shapes of the model. All fields are named as on the wire.

class TriggerInput(Shape):
    """CreateTriggerInput."""

    trigger_name: LongName
    trigger_type: Literal["http"]
    trigger_config: JsonString[HttpTriggerConfig]
    qualifier: str = LATEST
    description: str = ""


class TriggerUpdate(Shape):
    """UpdateTriggerInput: a field that is None stays unchanged."""

    trigger_config: JsonString[HttpTriggerConfig] | None = None
    qualifier: str | None = None
    description: str | None = None


class VersionInput(Shape):
    """PublishVersionInput."""

    description: str = ""


class AliasInput(Shape):
    """CreateAliasInput."""

    alias_name: LongName
    version_id: str
    description: str = ""
    additional_version_weight: Weights = Field({})


class AliasUpdate(Shape):
    """UpdateAliasInput: a field that is None stays unchanged; an empty map of weights ends the canary."""

    version_id: str | None = None
    description: str | None = None
    additional_version_weight: Weights | None = None


class DomainInput(Shape):
    """CreateCustomDomainInput."""

    domain_name: DomainName
    protocol: DomainProtocol = "HTTP"
    route_config: RouteConfig = RouteConfig()
    auth_config: DomainAuth = DomainAuth()
    cert_config: Certificate | None = None


class DomainUpdate(Shape):
    """UpdateCustomDomainInput: a field that is None stays unchanged."""

    protocol: DomainProtocol | None = None
    route_config: RouteConfig | None = None
    auth_config: DomainAuth | None = None
    cert_config: Certificate | None = None


class ConcurrencyInput(Shape):
    """PutConcurrencyInput. 0 blocks all calls."""

    reserved_concurrency: int = Field(ge=0)


class ScalingInput(Shape):
    """PutScalingConfigInput."""

    min_instances: int = Field(ge=0, le=10000)


class DisableInput(Shape):
    """DisableFunctionInvocationRequest."""

    reason: str = ""
    abort_ongoing_request: bool = False


class SessionUpdate(Shape):
    """UpdateSessionInput: a field that is None stays unchanged."""

    session_ttl_in_seconds: int | None = Field(None, ge=1, le=21600, alias="sessionTTLInSeconds")
    session_idle_timeout_in_seconds: int | None = Field(None, ge=0, le=21600)


class SessionInput(SessionUpdate):
    """CreateSessionInput."""

    session_id: str | None = None


def parse(shape: type[S], content: object) -> S:
    """Return a `shape` from decoded JSON.

    null, and an empty list in a field that the shape does not have, count as unset: the official SDKs send those.
    Raises FcError InvalidArgument or NotEmulated with the path of the field.
    """
    if not isinstance(content, Mapping):
        raise FcError("InvalidArgument", reason="the body must be a JSON object")
    known = {field.alias or name for name, field in shape.model_fields.items()}
    clean = {key: _clean(value, key) for key, value in content.items()
             if value is not None and (key in known or value != [])}
    if clean.get("internetAccess") is False:
        raise FcError("NotEmulated", field="internetAccess: false")
    try:
        return shape.model_validate_json(json.dumps(clean), strict=True, by_alias=True, by_name=False)
    except ValidationError as error:
        raise _refusal(error, known) from None


def _clean(value: Any, path: str) -> Any:
    """Return `value` without nulls; a field that must be a JSON string is checked to be one."""
    if path.rpartition(".")[2] in _JSON_STRINGS:
        _check_json_string(value, path)
    if isinstance(value, Mapping):
        return {key: _clean(item, f"{path}.{key}") for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_clean(item, f"{path}.{index}") for index, item in enumerate(value)]
    return value


def _check_json_string(value: object, path: str) -> None:
    if not isinstance(value, str):
        raise invalid(path, "must be a JSON string, not an object: use json.dumps(...)")
    try:
        inner = parse_json(value)
    except ValueError as error:
        raise invalid(path, f"is not valid JSON: {error}") from None
    if not isinstance(inner, dict):
        raise invalid(path, "must be the JSON of an object")
    if inner.get("authConfig") is not None:  # of a triggerConfig: a string within the string
        _check_json_string(inner["authConfig"], f"{path}.authConfig")


def _refusal(error: ValidationError, known: Iterable[str]) -> FcError:
    """Return the first error of a validation as FcError with the path of the field."""
    first = error.errors(include_url=False)[0]
    path = printable(".".join(str(part) for part in first["loc"]))
    name = path.rpartition(".")[2]
    if first["type"] == "extra_forbidden":
        if name in NOT_EMULATED:
            return FcError("NotEmulated", field=path)
        close = difflib.get_close_matches(name, known, n=1)
        return FcError("InvalidArgument", reason=f"unknown field '{path}'"
                                                 + (f"; did you mean '{close[0]}'?" if close else ""))
    if first["type"] == "literal_error" and name in _CHOICES:
        return FcError("NotEmulated", field=f"{path}: {printable(str(first['input']))}")
    text = first["msg"].removeprefix("Value error, ")
    text = text[:1].lower() + text[1:] if first["type"] != "value_error" else text
    return FcError("InvalidArgument", reason=f"{path}: {text}" if path else text)


def package(code: object) -> bytes | None:
    """Return the zip of the field `code`, None if the field is unset. Raises FcError as `parse` does."""
    if code is None:
        return None
    if not isinstance(code, Mapping):
        raise invalid("code", "must be an object")
    for key, value in code.items():
        if key in NOT_EMULATED and value is not None:
            raise FcError("NotEmulated", field=f"code.{key}")
        if key != "zipFile":
            raise FcError("InvalidArgument", reason=f"unknown field 'code.{printable(key)}'")
    try:
        return base64.b64decode(code.get("zipFile", ""), validate=True)
    except (binascii.Error, TypeError, ValueError):
        raise invalid("code.zipFile", "must be a zip in Base64") from None


def paginate(items: Iterable[tuple[str, T]], *, limit: str | None, token: str | None) -> tuple[list[T], str]:
    """Return one page of `items`, pairs (key, item) in order, and the token of the next page ("" at the end).

    `limit` and `token` are the query's values. Raises FcError InvalidArgument if they are invalid.
    """
    try:
        size = DEFAULT_PAGE if limit is None else parse_integer(limit, maximum=MAX_PAGE)
    except ValueError:
        size = 0
    if size < 1:
        raise invalid("limit", f"must be a whole number from 1 to {MAX_PAGE}")
    rest = list(items)
    if token:
        try:
            after = base64.urlsafe_b64decode(token.encode()).decode()
            rest = rest[[key for key, _ in rest].index(after) + 1:]
        except ValueError:
            raise invalid("nextToken", "is not a token of this list") from None
    page = rest[:size]
    more = base64.urlsafe_b64encode(page[-1][0].encode()).decode() if len(rest) > size else ""
    return [item for _, item in page], more


# Responses.

def printable(text: str) -> str:
    """Return at most 200 characters of a client's text, with "?" for those that could break a line or a terminal."""
    return "".join(c if c.isprintable() else "?" for c in text[:200])


def time_text(at: float) -> str:
    """Return seconds since 1970 as the API writes them: 2026-01-02T03:04:05Z."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def arn(name: str) -> str:
    """Return the resource name of a function."""
    return f"acs:fc:{REGION}:{ACCOUNT_ID}:functions/{name}"


def function_view(function: Function, revision: Revision | None = None) -> dict[str, Any]:
    """Return a Function of the API with the configuration of `revision` (LATEST if None)."""
    shown = revision or function.latest
    view = shown.config.wire() | {
        "functionId": function.function_id,
        "functionArn": arn(function.name),
        "codeChecksum": shown.code.checksum,
        "codeSize": shown.code.size,
        "createdTime": time_text(function.created),
        "lastModifiedTime": time_text(function.modified),
        "state": "Active",
        "lastUpdateStatus": "Successful",
    }
    if function.disabled:
        view["invocationRestriction"] = {"disable": True, "reason": function.disabled.reason,
                                         "lastModifiedTime": time_text(function.disabled.since)}
    return view


def trigger_view(function: str, trigger: Trigger) -> dict[str, Any]:
    """Return a Trigger of the API, its configuration as a JSON string."""
    return {
        "triggerName": trigger.trigger_name,
        "triggerId": trigger.trigger_id,
        "triggerType": "http",
        "triggerConfig": json.dumps(trigger.config.wire()),
        "qualifier": trigger.qualifier,
        "description": trigger.description,
        "status": "OK",
        "targetArn": arn(function),
        "httpTrigger": {"urlInternet": trigger.url, "urlIntranet": trigger.url},
        "createdTime": time_text(trigger.created),
        "lastModifiedTime": time_text(trigger.modified),
    }


def version_view(revision: Revision) -> dict[str, Any]:
    """Return a Version of the API."""
    return {"versionId": revision.version_id, "description": revision.description,
            "createdTime": time_text(revision.created), "lastModifiedTime": time_text(revision.created)}


def alias_view(alias: Alias) -> dict[str, Any]:
    """Return an Alias of the API."""
    return {"aliasName": alias.alias_name, "versionId": alias.version_id, "description": alias.description,
            "additionalVersionWeight": alias.additional_version_weight,
            "createdTime": time_text(alias.created), "lastModifiedTime": time_text(alias.modified)}


def domain_view(domain: CustomDomain) -> dict[str, Any]:
    """Return a CustomDomain of the API: the certificate without its private key."""
    view = {} if domain.cert_config is None else {
        "certConfig": {"certName": domain.cert_config.cert_name, "certificate": domain.cert_config.certificate}}
    return view | {
        "accountId": ACCOUNT_ID,
        "apiVersion": "2023-03-30",
        "domainName": domain.domain_name,
        "protocol": domain.protocol,
        "routeConfig": domain.route_config.wire(),
        "authConfig": domain.auth_config.wire(),
        "createdTime": time_text(domain.created),
        "lastModifiedTime": time_text(domain.modified),
    }


def concurrency_view(function: Function) -> dict[str, Any]:
    """Return a ConcurrencyConfig of the API."""
    return {"functionArn": arn(function.name), "reservedConcurrency": function.reserved_concurrency}


def session_view(function: str, session: Session, status: Literal["Active", "Expired"] = "Active") -> dict[str, Any]:
    """Return a Session of the API."""
    return {
        "sessionId": session.session_id,
        "functionName": function,
        "qualifier": session.qualifier,
        "containerId": session.instance_id,
        "sessionAffinityType": session.kind,
        "sessionStatus": status,
        "sessionTTLInSeconds": session.ttl,
        "sessionIdleTimeoutInSeconds": session.idle_timeout,
        "createdTime": time_text(session.created),
        "lastModifiedTime": time_text(session.created if session.modified is None else session.modified),
    }


def scaling_view(function: Function, qualifier: str, current: int) -> dict[str, Any]:
    """Return a ScalingConfigStatus of the API; `current` instances exist."""
    target = function.min_instances[qualifier]
    return {"functionArn": f"{arn(function.name)}/{qualifier}", "minInstances": target, "targetInstances": target,
            "currentInstances": current}
