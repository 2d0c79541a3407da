"""Functions, versions, aliases, triggers and custom domains.

The classes are the shapes of API 2023-03-30: `Shape` gives each field its camelCase wire name, rejects unknown fields
and checks the documented ranges. The management API, s.yaml and the database use the same classes. All values are
immutable; an update builds a new one.
"""

import json
from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, model_validator
from pydantic.alias_generators import to_camel

from fclocal.core import auth
from fclocal.core.bounded import parse_json

LATEST = "LATEST"


class Shape(BaseModel):
    """Base of every shape: camelCase on the wire, immutable, no unknown field."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True, extra="forbid",
                              protected_namespaces=())

    def wire(self) -> dict[str, Any]:
        """Return the JSON object as the API sends it, without unset fields."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


def _from_json_string(value: Any) -> Any:
    """Return the value of a field that the API sends as a JSON string; used before validation."""
    return parse_json(value) if isinstance(value, str) and value.strip() else value


def _to_json_string(value: Any) -> str:
    return json.dumps(value.wire() if isinstance(value, Shape) else value)


T = TypeVar("T")
JsonString = Annotated[T, BeforeValidator(_from_json_string), PlainSerializer(_to_json_string, return_type=str)]
"""A field that the API sends as a JSON string inside the JSON."""


Name = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_-]*$", min_length=1, max_length=64)]
LongName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_-]*$", min_length=1, max_length=128)]
DomainName = Annotated[str, Field(pattern=r"^(\*\.)?[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+$", max_length=253)]
DomainProtocol = Literal["HTTP", "HTTPS", "HTTP,HTTPS"]
Method = Literal["GET", "POST", "PUT", "DELETE", "HEAD", "PATCH", "OPTIONS"]
HTTP_METHODS: tuple[Method, ...] = ("GET", "POST", "PUT", "DELETE", "HEAD", "PATCH", "OPTIONS")

# A JSON string inside JSON becomes a list, which strict validation does not accept as a tuple.
Methods = Annotated[tuple[Method, ...], BeforeValidator(lambda v: tuple(v) if isinstance(v, list) else v)]


class HealthCheck(Shape):
    """customRuntimeConfig.healthCheckConfig; ranges of the page "CustomHealthCheckConfig"."""

    http_get_url: str = Field("", max_length=2048)
    initial_delay_seconds: int = Field(0, ge=0, le=120)
    period_seconds: int = Field(3, ge=1, le=120)
    timeout_seconds: int = Field(1, ge=1, le=3)
    failure_threshold: int = Field(3, ge=1, le=120)
    success_threshold: int = Field(1, ge=1, le=120)


class CustomRuntime(Shape):
    """How the function's program is started and which port it listens on."""

    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    port: int = Field(9000, ge=1, le=65535)
    health_check_config: HealthCheck | None = None


class LifecycleHook(Shape):
    """One lifecycle hook. `timeout` in seconds."""

    handler: str = ""
    timeout: int = Field(3, ge=1, le=300)


class LifecycleHooks(Shape):
    """instanceLifecycleConfig: what is called after the start and before the stop of an instance."""

    initializer: LifecycleHook | None = None
    pre_stop: LifecycleHook | None = None

    @model_validator(mode="after")
    def _pre_stop_limit(self) -> Self:
        if self.pre_stop and self.pre_stop.timeout > 90:
            raise ValueError("preStop.timeout is at most 90 seconds")
        return self


class AffinityConfig(Shape):
    """sessionAffinityConfig (a JSON string on the wire); times in seconds."""

    affinity_header_field_name: str | None = Field(None, pattern=r"^[A-Za-z][A-Za-z0-9_-]{4,39}$")
    session_concurrency_per_instance: int = Field(20, ge=1, le=200)
    session_ttl_in_seconds: int = Field(21600, ge=1, le=21600, alias="sessionTTLInSeconds")
    session_idle_timeout_in_seconds: int = Field(1800, ge=0, le=21600)
    disable_session_id_reuse: bool = False


class FunctionConfig(Shape):
    """The settable part of a function: what CreateFunction takes, without the code. Times in seconds."""

    function_name: Name
    description: str = Field("", max_length=256)
    runtime: Literal["custom", "custom.debian10", "custom.debian11", "custom.debian12"]
    handler: str = "index.handler"
    cpu: float = Field(0.35, ge=0.05, le=16)
    memory_size: int = Field(512, ge=128, le=32768, multiple_of=64)
    disk_size: Literal[512, 10240] = 512
    timeout: int = Field(3, ge=1, le=86400)
    instance_concurrency: int = Field(1, ge=1, le=200)
    idle_timeout: int | None = Field(None, ge=300, le=3600)
    internet_access: bool = True
    environment_variables: dict[str, str] = {}
    custom_runtime_config: CustomRuntime = CustomRuntime()
    instance_lifecycle_config: LifecycleHooks = LifecycleHooks()
    session_affinity: Literal["NONE", "HEADER_FIELD", "GENERATED_COOKIE"] = "NONE"
    session_affinity_config: JsonString[AffinityConfig] | None = None

    @model_validator(mode="after")
    def _rules(self) -> Self:
        if round(self.cpu * 100) % 5 or abs(self.cpu * 100 - round(self.cpu * 100)) > 1e-6:
            raise ValueError("cpu is a multiple of 0.05")
        ratio = self.memory_size / 1024 / self.cpu
        if not 1 - 1e-9 <= ratio <= 4 + 1e-9:
            raise ValueError(f"cpu : memory must be between 1:1 and 1:4 (vCPU : GB), this is 1:{ratio:.2f}")
        if sum(len(k) + len(v) for k, v in self.environment_variables.items()) > 4096:
            raise ValueError("environmentVariables are at most 4 KB in all")
        for key in self.environment_variables:
            if key.upper().startswith("FC_") or not key[:1].isalpha() or not key.replace("_", "a").isalnum():
                raise ValueError(f"environmentVariables: '{key}' must start with a letter, hold letters, digits"
                                 " and _ only, and not begin with FC_")
        return self

    @property
    def concurrency(self) -> int:
        """Requests one instance takes at a time: session affinity forces 200."""
        return 200 if self.session_affinity != "NONE" else self.instance_concurrency


class Code(Shape):
    """A stored package: SHA-256 of the zip (hex) and its size in bytes."""

    checksum: str
    size: int


class Revision(Shape):
    """One deployable state of a function: its configuration and code, frozen.

    `version_id` is "" for LATEST. `generation` counts the updates of the function; instances of one
    (function, version_id, generation) are interchangeable, others never serve for them.
    """

    version_id: str = ""
    generation: int
    config: FunctionConfig
    code: Code
    description: str = ""
    created: float

    @property
    def key(self) -> tuple[str, str, int]:
        """Identity of the pool of instances that may serve this revision."""
        return (self.config.function_name, self.version_id, self.generation)


Weights = dict[str, Annotated[float, Field(ge=0, le=1)]]


class Alias(Shape):
    """A name for a version, with an optional canary: weights (0..1) of other versions."""

    alias_name: LongName
    version_id: str
    description: str = ""
    additional_version_weight: Weights = {}
    created: float
    modified: float


class HttpTriggerConfig(Shape):
    """triggerConfig of an HTTP trigger (a JSON string on the wire)."""

    auth_type: auth.AuthType = "function"
    methods: Methods = Field(min_length=1)
    disable_url_internet: bool = Field(False, alias="disableURLInternet")
    auth_config: JsonString[dict[str, Any]] | None = None

    @cached_property
    def authentication(self) -> auth.Authentication:
        """The parsed authentication. Raises FcError InvalidArgument, naming the field, if it cannot work."""
        return auth.parse(self.auth_type, self.auth_config)


class Trigger(Shape):
    """An HTTP trigger of a function. `port` is the localhost port that stands for its public URL."""

    trigger_name: LongName
    trigger_id: str
    qualifier: str = LATEST
    description: str = ""
    config: HttpTriggerConfig
    port: int
    created: float
    modified: float

    @property
    def url(self) -> str:
        """The public URL, which is on this machine."""
        return f"https://localhost:{self.port}"


class InvocationRestriction(Shape):
    """Why and since when a function's invocation is disabled. `since`: seconds since 1970."""

    reason: str = ""
    since: float


class Function(Shape):
    """A function with its versions, aliases and triggers; the unit of storage."""

    function_id: str
    latest: Revision
    created: float
    modified: float
    versions: dict[str, Revision] = {}
    last_version: int = 0
    aliases: dict[str, Alias] = {}
    triggers: dict[str, Trigger] = {}
    reserved_concurrency: int | None = None
    min_instances: dict[str, int] = {}
    disabled: InvocationRestriction | None = None

    @property
    def name(self) -> str:
        return self.latest.config.function_name


class Route(Shape):
    """One path of a custom domain and the function it leads to."""

    path: str = Field(pattern=r"^/")
    function_name: Name
    qualifier: str = LATEST
    methods: tuple[Method, ...] = HTTP_METHODS


class RouteConfig(Shape):
    routes: tuple[Route, ...] = Field((), max_length=100)


class DomainAuth(Shape):
    """authConfig of a custom domain; `auth_info` is a JSON string on the wire."""

    auth_type: auth.AuthType = "anonymous"
    auth_info: JsonString[dict[str, Any]] | None = None

    @cached_property
    def authentication(self) -> auth.Authentication:
        """The parsed authentication. Raises FcError InvalidArgument, naming the field, if it cannot work."""
        return auth.parse(self.auth_type, self.auth_info)


class Certificate(Shape):
    """certConfig of a custom domain: a certificate chain and its private key, both PEM text."""

    cert_name: str = Field("", max_length=256)
    certificate: str
    private_key: str


class CustomDomain(Shape):
    """A custom domain; `port` is the localhost port that stands for it."""

    domain_name: DomainName
    protocol: DomainProtocol = "HTTP"
    route_config: RouteConfig = RouteConfig()
    auth_config: DomainAuth = DomainAuth()
    cert_config: Certificate | None = None
    port: int
    created: float
    modified: float

    @property
    def url(self) -> str:
        """The public URL, which is on this machine."""
        return f"https://localhost:{self.port}"


def snapshot(function: Function, qualifier: str, canary_roll: float) -> Revision | None:
    """Return the revision that `qualifier` (LATEST, a version id or an alias) means for one request, or None.

    `canary_roll` in [0, 1) decides between an alias's own version and its canary; infinity means its own version.
    """
    if qualifier in ("", LATEST):
        return function.latest
    if (alias := function.aliases.get(qualifier)) is None:
        return function.versions.get(qualifier)
    for version_id, weight in sorted(alias.additional_version_weight.items()):
        if canary_roll < weight:
            return function.versions.get(version_id)
        canary_roll -= weight
    return function.versions.get(alias.version_id)


def changed(shape: Shape, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the wire object of `shape` with the fields of `changes` in place of its own, to be validated again."""
    return {**shape.wire(), **{key: value for key, value in changes.items() if value is not None}}
