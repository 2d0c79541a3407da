"""The local certificate authority: kept in the state directory, trusted through bundle.pem.

A stolen key of the authority must be worth little. So it may sign no other authority (path length 0), its certificate
ends after 13 months, and name constraints limit it to localhost, loopback and the custom domains in use. A new custom
domain therefore needs a new certificate of the authority, with the same key and the same name. The certificate of
localhost never names a domain, so a program that read the older ca.pem still accepts it.

Certificates of servers are issued at each start and are never written to disk with their keys.
"""

import ipaddress
import os
import ssl
import tempfile
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import certifi
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from fclocal.runtime.state.storage import storage_errors

LOCAL_NAMES = ("localhost", "127.0.0.1", "::1")
_LOOPBACK = ("127.0.0.0/8", "::1/128")
_SUBJECT = x509.Name([
    x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, "fclocal"),
    x509.NameAttribute(x509.NameOID.ORGANIZATIONAL_UNIT_NAME, "local CA")])
_LIFE = timedelta(days=397)  # the longest that browsers accept
_RENEW = timedelta(days=30)  # before its end
_LOST = "programs that trust the old certificate authority must be started again"


class Certificates:
    """Certificates of one platform, in `folder` (created when missing), for localhost and the custom `domains`.

    `bundle` is a PEM file of the usual authorities and the local one, for SSL_CERT_FILE; `authority` the local
    one alone, for NODE_EXTRA_CA_CERTS. `context` serves all names: the client's SNI selects the certificate.
    Raises FcError StateDamaged or StateNotWritten.
    """

    def __init__(self, folder: Path, domains: Iterable[str] = ()) -> None:
        self.authority = folder / "ca.pem"
        self.bundle = folder / "bundle.pem"
        self._key_file = folder / "ca.key"
        self._domains: dict[str, ssl.SSLContext | None] = dict.fromkeys(domains)
        with storage_errors(folder, _LOST):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        key, kept = self._load()
        if key is None or kept is None or not _acceptable(kept):
            self._create(ec.generate_private_key(ec.SECP256R1()))
        elif _permitted(kept) != _constraints(self._domains):
            self._create(key)
        else:
            self._use(key, kept)
        self.context = self._context(LOCAL_NAMES)
        self.context.sni_callback = self._select

    def add(self, names: Iterable[str]) -> None:
        """Serve these domain names too, from the next handshake on."""
        if new := set(names) - self._domains.keys():
            self._domains |= dict.fromkeys(new)
            self._create(self._key)

    def _load(self) -> tuple[ec.EllipticCurvePrivateKey | None, x509.Certificate | None]:
        key, certificate = None, None
        if self._key_file.exists():
            with storage_errors(self._key_file, _LOST):
                loaded = serialization.load_pem_private_key(self._key_file.read_bytes(), None)
                if not isinstance(loaded, ec.EllipticCurvePrivateKey):
                    raise ValueError("it is not an elliptic curve key")
                key = loaded
        if self.authority.exists():
            with storage_errors(self.authority, _LOST):
                certificate = x509.load_pem_x509_certificate(self.authority.read_bytes())
        if key is not None and certificate is not None and key.public_key() != certificate.public_key():
            certificate = None  # the platform was killed between the two files
        return key, certificate

    def _create(self, key: ec.EllipticCurvePrivateKey) -> None:
        """Issue and store a certificate of the authority for `key` and the domains in use."""
        begin = datetime.now(UTC) - timedelta(days=1)
        usage = dict.fromkeys(("digital_signature", "content_commitment", "key_encipherment", "data_encipherment",
                               "key_agreement", "encipher_only", "decipher_only"), False)
        certificate = (
            x509.CertificateBuilder(issuer_name=_SUBJECT, subject_name=_SUBJECT, public_key=key.public_key())
            .serial_number(x509.random_serial_number()).not_valid_before(begin).not_valid_after(begin + _LIFE)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(x509.KeyUsage(**usage, key_cert_sign=True, crl_sign=True), critical=True)
            .add_extension(x509.NameConstraints(_constraints(self._domains), None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .sign(key, hashes.SHA256()))
        pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                serialization.NoEncryption())
        _write(self._key_file, pem, 0o600)
        _write(self.authority, certificate.public_bytes(serialization.Encoding.PEM), 0o644)
        self._use(key, certificate)

    def _use(self, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> None:
        self._key, self._end = key, certificate.not_valid_after_utc
        with storage_errors(self._key_file, _LOST):
            self._ca = trustme.CA.from_pem(self.authority.read_bytes(), self._key_file.read_bytes())
        _write(self.bundle, Path(certifi.where()).read_bytes() + b"\n" + self.authority.read_bytes(), 0o644)

    def _context(self, names: Iterable[str]) -> ssl.SSLContext:
        """Return a TLS server context with a new certificate for `names`."""
        leaf = self._ca.issue_cert(*names, not_before=datetime.now(UTC) - timedelta(days=1), not_after=self._end,
                                   key_type=trustme.KeyType.ECDSA)
        context = _server_context()
        leaf.configure_cert(context)
        return context

    def _select(self, connection: ssl.SSLSocket | ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
        """Serve the certificate of the domain that the client asks for; any other name gets that of localhost."""
        for domain in (name, f"*.{name.partition('.')[2]}") if name else ():
            if domain in self._domains:
                if (context := self._domains[domain]) is None:
                    context = self._domains[domain] = self._context([domain])
                connection.context = context
                return


def server_context(certificate: str, private_key: str) -> ssl.SSLContext:
    """Return a TLS server context for a certificate chain and its private key (PEM text). Raises ssl.SSLError."""
    context = _server_context()
    with tempfile.NamedTemporaryFile("w", suffix=".pem") as file:  # mode 0600; ssl reads files only
        file.write(f"{private_key.strip()}\n{certificate.strip()}\n")
        file.flush()
        context.load_cert_chain(file.name)
    return context


def _server_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context


def _acceptable(authority: x509.Certificate) -> bool:
    """Report whether a stored certificate has the path length and the validity that this module gives."""
    left = authority.not_valid_after_utc - datetime.now(UTC)
    try:
        basic = authority.extensions.get_extension_for_class(x509.BasicConstraints).value
    except x509.ExtensionNotFound:
        return False
    return basic.path_length == 0 and _RENEW < left <= _LIFE


def _permitted(authority: x509.Certificate) -> list[x509.GeneralName] | None:
    try:
        return authority.extensions.get_extension_for_class(x509.NameConstraints).value.permitted_subtrees
    except x509.ExtensionNotFound:
        return None


def _constraints(domains: Iterable[str]) -> list[x509.GeneralName]:
    """Return the names that the authority may sign; a domain's name stands for its subdomains too."""
    names = sorted({"localhost", *(domain.removeprefix("*.") for domain in domains)})
    return [*map(x509.DNSName, names), *(x509.IPAddress(ipaddress.ip_network(network)) for network in _LOOPBACK)]


def _write(path: Path, data: bytes, mode: int) -> None:
    """Write a file as a whole or not at all, never readable by more than `mode` allows."""
    draft = path.with_suffix(".new")
    with storage_errors(path, _LOST):
        draft.unlink(missing_ok=True)
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            file.write(data)
        draft.replace(path)
