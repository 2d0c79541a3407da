"""The local authority: kept, trusted through the bundle, and speaking for custom domains too."""

import socket
import ssl
import stat
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import certifi
import pytest
import trustme
from cryptography import x509

from fclocal.core.errors import FcError
from fclocal.runtime.state.certificates import Certificates


def subject_names(server: ssl.SSLContext, trust: ssl.SSLContext, name: str) -> set[str]:
    """Names in the certificate that a client which asks for `name` is shown. Raises ssl.SSLError."""
    left, right = socket.socketpair()
    with left, right:
        left.settimeout(5)
        right.settimeout(5)

        def serve() -> None:
            try:
                server.wrap_socket(left, server_side=True).close()
            except OSError:
                left.close()

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            with trust.wrap_socket(right, server_hostname=name) as sock:
                shown = sock.getpeercert() or {}
        finally:
            thread.join(5)
        return {str(value) for _, value in shown["subjectAltName"]}  # type: ignore[misc]


def test_the_authority_is_made_once_and_its_key_is_private(tmp_path: Path) -> None:
    first = Certificates(tmp_path / "ca")
    before = first.authority.read_bytes()
    again = Certificates(tmp_path / "ca")
    assert again.authority.read_bytes() == before
    assert stat.S_IMODE((tmp_path / "ca" / "ca.key").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "ca").stat().st_mode) == 0o700
    trust = ssl.create_default_context(cafile=first.authority)
    names = subject_names(again.context, trust, "localhost")
    assert {"localhost", "127.0.0.1"} <= names


def test_the_bundle_holds_the_usual_authorities_and_ours(tmp_path: Path) -> None:
    certificates = Certificates(tmp_path / "ca")
    text = certificates.bundle.read_text()
    assert Path(certifi.where()).read_text() in text
    assert certificates.authority.read_text() in text
    assert subject_names(certificates.context, ssl.create_default_context(cafile=certificates.bundle), "127.0.0.1")


def authority(folder: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate((folder / "ca.pem").read_bytes())


def test_custom_domains_are_added(tmp_path: Path) -> None:
    certificates = Certificates(tmp_path / "ca")
    before = ssl.create_default_context(cafile=certificates.authority)
    with pytest.raises(ssl.SSLCertVerificationError):
        subject_names(certificates.context, before, "chat.example.com")
    certificates.add(["chat.example.com", "*.example.org"])
    after = ssl.create_default_context(cafile=certificates.authority)
    assert subject_names(certificates.context, after, "chat.example.com") == {"chat.example.com"}
    assert subject_names(certificates.context, after, "www.example.org") == {"*.example.org"}
    assert subject_names(certificates.context, after, "localhost") == {"localhost", "127.0.0.1", "0:0:0:0:0:0:0:1"}
    assert subject_names(certificates.context, before, "localhost"), "a program that read the older ca.pem goes on"


@pytest.mark.parity("kit.authority")
def test_the_authority_can_sign_little_and_not_for_long(tmp_path: Path) -> None:
    Certificates(tmp_path / "ca", ["*.example.org"])
    certificate = authority(tmp_path / "ca")
    basic = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    assert (basic.critical, basic.value.ca, basic.value.path_length) == (True, True, 0)
    assert certificate.not_valid_after_utc - datetime.now(UTC) <= timedelta(days=397)
    names = certificate.extensions.get_extension_for_class(x509.NameConstraints)
    assert names.critical
    assert [str(name.value) for name in names.value.permitted_subtrees or ()] == [
        "example.org", "localhost", "127.0.0.0/8", "::1/128"]


def test_a_certificate_for_another_name_is_refused_though_the_authority_signed_it(tmp_path: Path) -> None:
    certificates = Certificates(tmp_path / "ca")
    stolen = trustme.CA.from_pem((tmp_path / "ca" / "ca.pem").read_bytes(), (tmp_path / "ca" / "ca.key").read_bytes())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    stolen.issue_cert("bank.example").configure_cert(context)
    with pytest.raises(ssl.SSLCertVerificationError, match="permitted subtree violation"):
        subject_names(context, ssl.create_default_context(cafile=certificates.authority), "bank.example")


def test_domains_in_use_are_in_the_constraints_at_the_next_start_and_others_are_not(tmp_path: Path) -> None:
    certificates = Certificates(tmp_path / "ca", ["old.example.com"])
    key = (tmp_path / "ca" / "ca.key").read_bytes()
    again = Certificates(tmp_path / "ca", ["new.example.com"])
    assert (tmp_path / "ca" / "ca.key").read_bytes() == key
    trust = ssl.create_default_context(cafile=again.authority)
    assert subject_names(again.context, trust, "new.example.com")
    assert "old.example.com" not in str(authority(tmp_path / "ca").extensions)
    assert subject_names(certificates.context, trust, "localhost")


@pytest.mark.parametrize("old", ["soon", "unconstrained"])
def test_an_authority_that_ends_soon_or_may_sign_anything_is_replaced_at_the_start(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, old: str) -> None:
    if old == "soon":
        with monkeypatch.context() as patch:
            patch.setattr("fclocal.runtime.state.certificates._LIFE", timedelta(days=30))
            Certificates(tmp_path / "ca")
    else:
        (tmp_path / "ca").mkdir()
        unconstrained = trustme.CA()
        (tmp_path / "ca" / "ca.pem").write_bytes(unconstrained.cert_pem.bytes())
        (tmp_path / "ca" / "ca.key").write_bytes(unconstrained.private_key_pem.bytes())
    before = (tmp_path / "ca" / "ca.key").read_bytes()
    certificates = Certificates(tmp_path / "ca")
    assert (tmp_path / "ca" / "ca.key").read_bytes() != before
    assert authority(tmp_path / "ca").not_valid_after_utc > datetime.now(UTC) + timedelta(days=390)
    assert subject_names(certificates.context, ssl.create_default_context(cafile=certificates.authority), "localhost")


@pytest.mark.parametrize("name", ["ca.pem", "ca.key"])
def test_a_damaged_file_of_the_authority_is_named_with_its_fix(tmp_path: Path, name: str) -> None:
    Certificates(tmp_path / "ca")
    (tmp_path / "ca" / name).write_bytes(b"-----BEGIN nothing-----")
    with pytest.raises(FcError) as caught:
        Certificates(tmp_path / "ca")
    assert caught.value.code == "StateDamaged"
    assert f"{tmp_path}/ca/{name} is damaged" in caught.value.message
    (tmp_path / "ca" / name).unlink()
    Certificates(tmp_path / "ca")
