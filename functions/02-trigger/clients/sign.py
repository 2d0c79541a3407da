"""Call a trigger whose authType is "function": sign the request, then send it.

    export FC_KEY_ID=... FC_KEY_SECRET=...
    python3 sign.py https://localhost:9443/hello       # HTTP
    python3 sign.py wss://localhost:9443/hello         # WebSocket (needs: pip install websockets)
"""

import asyncio
import hashlib
import hmac
import os
import sys
import urllib.request
from datetime import UTC, datetime
from urllib.parse import parse_qsl, quote, urlsplit


# region sign
def signed_headers(url: str, key_id: str, key_secret: str, method: str = "GET") -> dict[str, str]:
    """Return the headers of a signed request, valid for 15 minutes. The body is not signed."""
    parts = urlsplit(url)
    path = (parts.path or "/").replace("$", "%24")
    pairs = sorted(parse_qsl(parts.query, keep_blank_values=True))
    query = "&".join(f"{name}={quote(value, safe='~')}" for name, value in pairs)
    date = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    request = f"{method}\n{path}\n{query}\nx-acs-date:{date}\n\nx-acs-date\n"
    to_sign = "ACS3-HMAC-SHA256\n" + hashlib.sha256(request.encode()).hexdigest()
    signature = hmac.new(key_secret.encode(), to_sign.encode(), hashlib.sha256).hexdigest()
    return {"x-acs-date": date,
            "authorization": f"ACS3-HMAC-SHA256 Credential={key_id},SignedHeaders=x-acs-date,Signature={signature}"}
# endregion


async def over_websocket(url: str, headers: dict[str, str]) -> str:
    from websockets.asyncio.client import connect

    async with connect(url, additional_headers=headers) as socket:
        return str(await socket.recv())


def main() -> None:
    if len(sys.argv) != 2 or not {"FC_KEY_ID", "FC_KEY_SECRET"} <= os.environ.keys():
        sys.exit("usage: sign.py URL, with the access key in FC_KEY_ID and FC_KEY_SECRET")
    url = sys.argv[1]
    headers = signed_headers(url, os.environ["FC_KEY_ID"], os.environ["FC_KEY_SECRET"])
    if url.startswith("ws"):
        print(asyncio.run(over_websocket(url, headers)))
    else:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=30) as answer:
            print(answer.read().decode())


if __name__ == "__main__":
    main()
