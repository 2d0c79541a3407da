"""Rules that hold between functions, versions, aliases, triggers and custom domains.

Each check raises FcError and changes nothing. Sources: the service's pages on aliases, HTTP triggers and custom
domains; parity.toml marks each rule as documented or guessed.
"""

import math
from collections.abc import Mapping

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from fclocal.core import routes
from fclocal.core.errors import FcError, invalid
from fclocal.core.model import LATEST, Alias, Certificate, CustomDomain, Function, Revision, Trigger, snapshot


def revision(function: Function, qualifier: str, canary_roll: float = math.inf) -> Revision:
    """Return the revision of `qualifier`; of an alias without `canary_roll`, that of its own version.

    Raises FcError VersionNotFound or AliasNotFound.
    """
    if (named := snapshot(function, qualifier, canary_roll)) is None:
        code = "VersionNotFound" if qualifier.isdecimal() else "AliasNotFound"
        raise FcError(code, name=qualifier, function=function.name)
    return named


def check_alias(function: Function, alias: Alias) -> None:
    """Check that an alias names published versions that exist, and that its canary is another version."""
    if alias.alias_name == LATEST:
        raise invalid("aliasName", f"must not be {LATEST}")
    if alias.version_id in alias.additional_version_weight:
        raise FcError("AdditionalVersionContainsMajorVersion", version=alias.version_id)
    canary = [("additionalVersionWeight", version_id) for version_id in alias.additional_version_weight]
    for field, version_id in [("versionId", alias.version_id), *canary]:
        if version_id == LATEST or version_id in function.aliases:
            raise invalid(field, f"an alias names a published version, not '{version_id}'")
        if version_id not in function.versions:
            raise FcError("VersionNotFound", name=version_id, function=function.name)
    if sum(alias.additional_version_weight.values()) > 1 + 1e-9:
        raise invalid("additionalVersionWeight", "the sum of the weights is more than 1")


def check_trigger(function: Function, trigger: Trigger) -> None:
    """Check that the qualifier exists without another HTTP trigger, and that the authentication is complete."""
    revision(function, trigger.qualifier)
    for other in function.triggers.values():
        if other.qualifier == trigger.qualifier and other.trigger_name != trigger.trigger_name:
            raise FcError("TriggerAlreadyExists", reason=f"qualifier '{trigger.qualifier}' has the HTTP trigger"
                                                         f" '{other.trigger_name}' already: one per version or alias")
    _ = trigger.config.authentication  # parsed once, here


def check_unused(function: Function, qualifier: str) -> None:
    """Check that aliases and triggers do not use the version or alias `qualifier`."""
    for alias in function.aliases.values():
        if qualifier == alias.version_id or qualifier in alias.additional_version_weight:
            raise FcError("PreconditionFailed", reason=f"version '{qualifier}' is used by alias '{alias.alias_name}'")
    for trigger in function.triggers.values():
        if trigger.qualifier == qualifier:
            raise FcError("PreconditionFailed", reason=f"'{qualifier}' is used by trigger '{trigger.trigger_name}'")


def check_domain(domain: CustomDomain, functions: Mapping[str, Function]) -> None:
    """Check the routes of a domain, that their functions exist, its certificate and its authentication."""
    _ = domain.auth_config.authentication  # parsed once, here
    if domain.cert_config is not None:
        _check_certificate(domain.cert_config)
    routes.check(domain.route_config.routes)
    for route in domain.route_config.routes:
        if (function := functions.get(route.function_name)) is None:
            raise FcError("FunctionNotFound", name=route.function_name)
        revision(function, route.qualifier)


def _check_certificate(config: Certificate) -> None:
    """Raise FcError InvalidArgument unless certificate and private key are PEM texts that belong together."""
    try:
        certificate = x509.load_pem_x509_certificate(config.certificate.encode())
    except ValueError:
        raise invalid("certConfig.certificate", "must be a PEM certificate") from None
    try:
        key = load_pem_private_key(config.private_key.encode(), None)
    except (TypeError, ValueError, UnsupportedAlgorithm):
        raise invalid("certConfig.privateKey", "must be a PEM private key without a password") from None
    if key.public_key() != certificate.public_key():
        raise invalid("certConfig.privateKey", "does not belong to the certificate")
