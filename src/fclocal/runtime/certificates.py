"""The local certificate authority: kept in the state directory, trusted through bundle.pem.

`ca.pem` and `ca.key` are made once. The certificate for localhost and the custom domains is made new at each start
and whenever a domain comes, and is never written to disk with its key.
"""

import os
import ssl
import tempfile
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import certifi
import trustme

LOCAL_NAMES = ("localhost", "127.0.0.1", "::1")
_LIFE = timedelta(days=397)  # the longest that browsers accept


class Certificates:
    """Certificates of one platform, in `folder` (made when missing).

    `bundle` is a PEM file of the usual authorities and the local one, for SSL_CERT_FILE; `authority` the local
    one alone, for NODE_EXTRA_CA_CERTS.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.authority = folder / "ca.pem"
        self.bundle = folder / "bundle.pem"
        key = folder / "ca.key"
        if not key.exists() or not self.authority.exists():
            made = trustme.CA(organization_name="fclocal", organization_unit_name="local CA")
            _write(self.authority, made.cert_pem.bytes(), 0o644)
            _write(key, made.private_key_pem.bytes(), 0o600)
        self._ca = trustme.CA.from_pem(self.authority.read_bytes(), key.read_bytes())
        _write(self.bundle, Path(certifi.where()).read_bytes() + b"\n" + self.authority.read_bytes(), 0o644)
        self._names: set[str] = set(LOCAL_NAMES)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2
        self.context.set_alpn_protocols(["http/1.1"])
        self._issue()

    def add(self, names: Iterable[str]) -> None:
        """Make `context` answer for these domain names too, from the next handshake on."""
        if new := set(names) - self._names:
            self._names |= new
            self._issue()

    def _issue(self) -> None:
        now = datetime.now(UTC)
        leaf = self._ca.issue_cert(
            *sorted(self._names),
            not_before=now - timedelta(days=1),
            not_after=now + _LIFE,
            key_type=trustme.KeyType.ECDSA,
        )
        leaf.configure_cert(self.context)


def server_context(certificate: str, private_key: str) -> ssl.SSLContext:
    """Return a TLS server context for a certificate chain and its private key (PEM text). Raises ssl.SSLError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    with tempfile.NamedTemporaryFile("w", suffix=".pem") as file:  # mode 0600; ssl reads files only
        file.write(f"{private_key.strip()}\n{certificate.strip()}\n")
        file.flush()
        context.load_cert_chain(file.name)
    return context


def _write(path: Path, data: bytes, mode: int) -> None:
    """Write a file as a whole or not at all, never readable by more than `mode` allows."""
    draft = path.with_suffix(".new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(data)
    draft.replace(path)
