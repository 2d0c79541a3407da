"""Sign a request for a trigger whose authType is "function" (ACS3-HMAC-SHA256)."""

import hashlib
import hmac


def signed_headers(method: str, path: str, key_id: str, secret: str, date: str) -> dict[str, str]:
    """Return the headers of a signed request without a query. `date` is UTC, like 2026-01-02T03:04:05Z."""
    canonical = f"{method}\n{path}\n\nx-acs-date:{date}\n\nx-acs-date\n"
    # TODO 2.3: the text to sign is "ACS3-HMAC-SHA256", a line end, and the SHA-256 of `canonical` in hex.
    # The signature is the HMAC-SHA256 of that text in hex. Its key is the secret.
    #: begin solution 2.3
    to_sign = f"ACS3-HMAC-SHA256\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    signature = hmac.new(secret.encode(), to_sign.encode(), hashlib.sha256).hexdigest()
    #: else
    signature = ""  # <- your code here
    #: end
    credential = f"Credential={key_id},SignedHeaders=x-acs-date,Signature={signature}"
    return {"x-acs-date": date, "authorization": f"ACS3-HMAC-SHA256 {credential}"}
