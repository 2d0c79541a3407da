"""How a function instance is started, and the errors of a start that fails.

Start command, environment and the documented texts of custom runtimes ("Principles", "Environment variables",
"Error handling" of the custom runtime pages; parity.toml has the links).
"""

import re
from collections.abc import Collection, Iterable, Mapping
from ipaddress import ip_address
from urllib.parse import urlsplit

from fclocal.core.errors import FcError
from fclocal.core.identifiers import ACCOUNT_ID, REGION
from fclocal.core.model import LATEST, CustomRuntime, Revision

CLOSED_IDLE = ("the function had closed a keep-alive connection, without 'Connection: close' in its last answer or "
               "after too short a time; keep idle connections open for more than 15 minutes")
CODE = "/code"  # where the service puts the code
EVERYWHERE = frozenset({"0.0.0.0", "::", "*"})
Address = tuple[str, int]
"""Host and port of a socket that listens."""

_CODE_PATH = re.compile(r"(?<![\w./~-])/code(?=$|[/\s'\":;,)])")
_ERRNO = (  # noqa: SIM905
    "operation not permitted|no such file or directory|no such process|interrupted system call|"
    "input/output error|no such device or address|argument list too long|exec format error|bad file descriptor|"
    "no child processes|resource temporarily unavailable|cannot allocate memory|permission denied|bad address|"
    "block device required|device or resource busy|file exists|invalid cross-device link|no such device|"
    "not a directory|is a directory|invalid argument|too many open files in system|too many open files|"
    "inappropriate ioctl for device|text file busy|file too large|no space left on device|illegal seek|"
    "read-only file system|too many links|broken pipe|numerical argument out of domain|"
    "numerical result out of range"
).split("|")  # Linux, from 1 on


def words(runtime: CustomRuntime) -> tuple[str, ...]:
    """Return the start command: command and args, else the file bootstrap."""
    return (*runtime.command, *runtime.args) or (f"{CODE}/bootstrap",)


def shown(runtime: CustomRuntime) -> str:
    """Return the start command as error messages quote it; after bootstrap alone, the service prints a blank."""
    return " ".join(words(runtime)) if runtime.command or runtime.args else f"{CODE}/bootstrap "


def local(text: str, code: str) -> str:
    """Return `text` with the folder `code` in place of /code in its paths."""
    return _CODE_PATH.sub(lambda _: code, text)


def environment(
    revision: Revision,
    *,
    instance_id: str,
    qualifier: str,
    port: int,
    code: str,
    home: str,
    path: str,
    preload: str,
    ready: str,
) -> dict[str, str]:
    """Return the whole environment of an instance; of the user's own environment it has `path` only.

    `port` is the instance's own, `home` its folder, `preload` the folder of the port mapping, `ready` the pipe on
    which the port mapping reports an open port.
    """
    config = revision.config
    own = {name: local(value, code) for name, value in config.environment_variables.items()}
    debian11 = config.runtime in ("custom.debian11", "custom.debian12")
    return {
        "LANG": "C.UTF-8",
        "HOME": home,
        "TMPDIR": f"{home}/tmp",
        "PYTHONUNBUFFERED": "1",
        **own,
        "PATH": f"{own['PATH']}:{path}" if own.get("PATH") else path,
        "FC_FUNC_CODE_PATH": f"{code}/",
        "FC_ACCOUNT_ID": ACCOUNT_ID,
        "FC_REGION": REGION,
        "FC_FUNCTION_NAME": config.function_name,
        "FC_FUNCTION_HANDLER": config.handler,
        "FC_FUNCTION_MEMORY_SIZE": str(config.memory_size),
        "FC_FUNCTION_VERSION" if debian11 else "FC_VER_ID": revision.version_id or LATEST,
        "FC_QUALIFIER": qualifier,
        "FC_INSTANCE_ID": instance_id,
        "FC_CUSTOM_LISTEN_PORT": str(port),
        "FC_SERVER_PORT": str(port),
        "FCLOCAL_PORTS": f"{config.custom_runtime_config.port}:{port}",
        "FCLOCAL_READY": ready,
        "PYTHONPATH": f"{preload}:{own['PYTHONPATH']}" if own.get("PYTHONPATH") else preload,
        "NODE_OPTIONS": f'--require "{_quoted(preload)}/listen.cjs" {own.get("NODE_OPTIONS", "")}'.rstrip(),
    }


def on_this_machine(url: str) -> bool:
    """Return whether a REDIS_URL names a server on this machine, which an instance can reach as it is."""
    try:
        host = urlsplit(url).hostname or ""
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _quoted(path: str) -> str:
    return path.replace("\\", "\\\\").replace('"', '\\"')


def reachable(listeners: Collection[Address], port: int) -> bool:
    """Return whether one of `listeners` is what the service requires: 0.0.0.0 or *, and the instance's port."""
    return any(host in EVERYWHERE and number == port for host, number in listeners)


def exited(runtime: CustomRuntime, code: int, logs: Iterable[str]) -> FcError:
    """Return the error of a start command that ended instead of serving."""
    reason = (f"Function instance exited unexpectedly(code {code}{_errno_text(code)}) with start command"
              f" '{shown(runtime)}'.{_tail(logs)}")
    return FcError("CAExited", reason=reason)


def refused(runtime: CustomRuntime, error: OSError) -> FcError:
    """Return the error of a start command that cannot be executed."""
    if isinstance(error, PermissionError):
        return FcError("CAFilePermission", command=shown(runtime))
    if isinstance(error, FileNotFoundError) and error.filename:
        return FcError("CAFileNotFound", file=words(runtime)[0])
    if isinstance(error, FileNotFoundError):  # the file is there, the interpreter of its first line is not
        return exited(runtime, 127, ())
    return exited(runtime, error.errno or 1, ())


def not_started(
    runtime: CustomRuntime, *, limit: float, own: int, seen: Mapping[Address, bool], logs: Iterable[str]
) -> FcError:
    """Return the error of a start command that runs but does not serve on its port.

    `seen` says where it listens, and whether it does so through the port mapping; `own` is the instance's port.
    """
    listening = ""
    if seen:
        shown_at = {f"{_bracketed(host)}:{runtime.port if port == own else port}" for (host, port) in seen}
        below = any(port == runtime.port and not mapped for (_, port), mapped in seen.items())
        cure = ("read the port from the variable FC_SERVER_PORT (this server opens it where fclocal cannot give each "
                "instance its own)") if below else f"listen on 0.0.0.0:{runtime.port}"
        listening = f" It listens on {', '.join(sorted(shown_at))}: {cure}."
    reason = f"Function instance health check failed on port {runtime.port} in {limit:g} seconds."
    return FcError("FunctionNotStarted", reason=f"{reason}{listening}{_tail(logs)}")


def unhealthy(runtime: CustomRuntime, what: str, logs: Iterable[str] = ()) -> FcError:
    """Return the error of a failed health check; `what` was the last answer."""
    url = runtime.health_check_config.http_get_url if runtime.health_check_config else ""
    reason = f"Function instance health check failed on port {runtime.port}: GET {url} {what}.{_tail(logs)}"
    return FcError("FunctionNotStarted", reason=reason)


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host and not host.startswith("[") else host


def _errno_text(code: int) -> str:
    """Return the text for an exit code; the documented messages print it as if it were an errno."""
    text = _ERRNO[code - 1] if 0 < code <= len(_ERRNO) else "key has expired" if code == 127 else ""
    return f", message:{text}" if text else ""


def _tail(logs: Iterable[str]) -> str:
    text = "\n".join(logs)
    return f"\nLogs:{text}" if text else ""
