"""The table of errors: owner and status of each code, and the two forms of a body."""

from pathlib import Path

import pytest

import fclocal
from fclocal.core.errors import KINDS, FcError

# A literal copy, so that a changed status is noticed. Documented codes: error codes of API 2023-03-30.
TABLE = {
    "InvalidArgument": ("learner", 400),
    "MissingRequiredHeader": ("learner", 400),
    "PathNotSupported": ("learner", 400),
    "PathNotFound": ("learner", 404),
    "MethodNotAllowed": ("learner", 405),
    "RequestTooLarge": ("learner", 413),
    "EntityTooLarge": ("learner", 400),
    "AdditionalVersionContainsMajorVersion": ("learner", 400),
    "NotEmulated": ("learner", 400),
    "NotImplemented": ("platform", 501),
    "AccessDenied": ("learner", 403),
    "SignatureNotMatch": ("learner", 403),
    "InvalidAccessKeyID": ("learner", 403),
    "FunctionNotFound": ("learner", 404),
    "TriggerNotFound": ("learner", 404),
    "AliasNotFound": ("learner", 404),
    "VersionNotFound": ("learner", 404),
    "DomainNameNotFound": ("learner", 404),
    "RouteNotFound": ("learner", 404),
    "ProvisionConfigNotFound": ("learner", 404),
    "SessionNotFound": ("learner", 404),
    "SessionAlreadyExists": ("learner", 409),
    "FunctionAlreadyExists": ("learner", 409),
    "TriggerAlreadyExists": ("learner", 409),
    "AliasAlreadyExists": ("learner", 409),
    "DomainNameAlreadyExists": ("learner", 409),
    "FunctionNotEmpty": ("learner", 409),
    "PreconditionFailed": ("learner", 412),
    "CAExited": ("function", 412),
    "CAFileNotFound": ("function", 412),
    "CAFilePermission": ("function", 412),
    "FunctionNotStarted": ("function", 412),
    "InitializationError": ("function", 200),
    "BadResponse": ("function", 502),
    "FunctionTimeout": ("function", 502),
    "RequestTimeout": ("learner", 408),
    "ClientClosedRequest": ("learner", 499),
    "ResourceExhausted": ("learner", 429),
    "ResourceThrottled": ("platform", 503),
    "InternalServerError": ("platform", 500),
    "RemoteError": ("learner", 400),
    "ManifestInvalid": ("learner", 400),
    "CodeNotFound": ("learner", 400),
    "CodeInvalid": ("learner", 400),
    "PlatformNotRunning": ("learner", 503),
    "PlatformStartFailed": ("platform", 500),
    "StateDamaged": ("platform", 500),
    "StateNotWritten": ("platform", 500),
    "RedisNotAvailable": ("learner", 503),
    "RedisStartFailed": ("platform", 500),
}


def test_each_code_is_raised_somewhere():
    src = Path(fclocal.__file__).parent
    code = "".join(path.read_text() for path in src.rglob("*.py") if path.name != "errors.py")
    assert [name for name in KINDS if f'"{name}"' not in code] == []


def test_each_code_has_its_owner_and_status():
    assert {code: (kind.owner, kind.status) for code, kind in KINDS.items()} == TABLE


def test_an_error_fills_its_sentence_and_its_fix():
    error = FcError("NotEmulated", field="vpcConfig")
    assert (error.code, error.owner, error.status, error.facts) == ("NotEmulated", "learner", 400, {
        "field": "vpcConfig"})
    assert str(error) == error.message == "fclocal does not emulate 'vpcConfig'"
    assert error.cure == (
        "Remove 'vpcConfig'. A field of s.yaml can also be left out with a warning: deploy with --loose.")
    with pytest.raises(KeyError):
        FcError("NotEmulated")


def test_the_body_of_an_error_has_the_documented_names():
    error = FcError("FunctionNotFound", name="echo")
    assert error.body("1-2") == {
        "RequestId": "1-2", "Code": "FunctionNotFound", "Message": "function 'echo' does not exist"}
    assert error.error_type == "FcCommonError"
    failed = FcError("InitializationError", reason="it answered 500")
    assert failed.body("1-2") == {"errorMessage": "it answered 500", "requestId": "1-2"}
    assert failed.error_type == "InitializationError"


@pytest.mark.parity("gateway.error-type")
def test_the_error_type_says_whether_the_function_failed():
    facts = dict.fromkeys(("reason", "header", "field", "name", "seconds", "limit"), "x")
    listed = ("InvalidArgument", "NotEmulated", "AccessDenied", "TriggerNotFound", "ResourceExhausted",
              "InternalServerError", "ResourceThrottled")
    assert {FcError(code, **facts).status for code in listed} == {400, 403, 404, 429, 500, 503}
    assert {FcError(code, **facts).error_type for code in listed} == {"FcCommonError"}
    failures = [FcError(code, **facts) for code in ("BadResponse", "FunctionTimeout")]
    assert {(error.status, error.error_type) for error in failures} == {(502, "UnhandledInvocationError")}
