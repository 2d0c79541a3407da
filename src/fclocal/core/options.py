"""The options of the platform: the one place that names them, for `fclocal.start`, the command line and the server."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, TypeVar

from fclocal.core.errors import FcError, invalid

T = TypeVar("T", bool, int, float)


def _option(default: T, text: str, *, least: float = 0.0) -> T:
    """Return a field with its default, the sentence that explains it, and its least value."""
    value: T = field(default=default, metadata={"text": text, "least": least})
    return value


@dataclass(frozen=True, slots=True)
class Options:
    """The options of a platform, fixed when it starts. Times in seconds."""

    freeze: bool = _option(True, "freeze instances between requests")
    freeze_after: float = _option(0.05, "seconds from the last request to the freeze (0: at once)")
    idle_release: float = _option(60.0, "seconds without a request after which an instance is released")
    minimum_active: bool = _option(True, "minimum instances keep their CPU between requests")
    websocket_cancel: bool = _option(True, "a WebSocket whose client vanishes counts as a canceled request")
    instance_quota: int = _option(100, "instances that can exist at the same time (429 beyond)", least=1)
    scale_burst: int = _option(300, "instances that can be started at once (429 beyond)", least=1)
    scale_per_minute: float = _option(300.0, "instances that can be started per minute after the burst")
    memory_sweep: float = _option(0.5, "seconds between two checks of memory and idle instances", least=0.01)
    propagation: float = _option(0.0, "seconds until a new trigger answers (about 10 on the service)")
    start_limit: float = _option(120.0, "seconds that a function has until it listens", least=0.01)


def parse(values: Mapping[str, Any]) -> Options:
    """Return the options with `values` in place of the defaults. Raises FcError InvalidArgument, naming the option."""
    known = {option.name: option for option in fields(Options)}
    if unknown := sorted(values.keys() - known.keys()):
        raise FcError("InvalidArgument", reason=f"unknown option '{unknown[0]}'; the options are {', '.join(known)}")
    parsed = {}
    for name, value in values.items():
        default, least = known[name].default, known[name].metadata["least"]
        if isinstance(default, bool):
            if not isinstance(value, bool):
                raise invalid(f"option {name}", "must be True or False")
        else:
            kinds = (int,) if isinstance(default, int) else (int, float)
            if isinstance(value, bool) or not isinstance(value, kinds) or not least <= value < float("inf"):
                kind = "a whole number" if isinstance(default, int) else "a number"
                raise invalid(f"option {name}", f"must be {kind} of at least {least:g}")
            value = value if isinstance(default, int) else float(value)
        parsed[name] = value
    return Options(**parsed)
