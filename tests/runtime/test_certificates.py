"""The local authority: kept, trusted through the bundle, and speaking for custom domains too."""

import socket
import ssl
import stat
import threading
from pathlib import Path

import certifi
import pytest

from fclocal.runtime.certificates import Certificates


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
    made = Certificates(tmp_path / "ca")
    text = made.bundle.read_text()
    assert Path(certifi.where()).read_text() in text
    assert made.authority.read_text() in text
    assert subject_names(made.context, ssl.create_default_context(cafile=made.bundle), "127.0.0.1")


def test_custom_domains_are_added(tmp_path: Path) -> None:
    made = Certificates(tmp_path / "ca")
    trust = ssl.create_default_context(cafile=made.authority)
    with pytest.raises(ssl.SSLCertVerificationError):
        subject_names(made.context, trust, "chat.example.com")
    made.add(["chat.example.com", "*.example.org"])
    assert "chat.example.com" in subject_names(made.context, trust, "chat.example.com")
    assert "*.example.org" in subject_names(made.context, trust, "www.example.org")
    assert subject_names(made.context, trust, "localhost")
