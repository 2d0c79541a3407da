"""Keys and tokens for the chat with authentication.

    pip install "pyjwt[crypto]"
    python3 tokens.py keys                     # writes keys/private.pem, prints the triggerConfig for s.yaml
    python3 tokens.py token Ana --minutes 60   # prints a token for Ana

Your login service issues such tokens in production. The private key stays with it; s.yaml has the public key only.
"""

import argparse
import json
import sys
import time
from pathlib import Path

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from jwt.algorithms import ECAlgorithm

KEYS = Path(__file__).parent / "keys"
PRIVATE = KEYS / "private.pem"
KEY_ID = "chat-1"
# The page's own files need no token; the WebSocket at /room does.
CONFIG = """authType: jwt
authConfig:
  jwks: {{keys: [{jwk}]}}
  tokenLookup: query:token
  claimPassBy: header:name:x-chat-name
  whitelist: [/, /index.html, /page.js, /connection.js, /chat.css, /icon.svg, /healthz]
"""


def make_keys() -> int:
    """Create a key pair, unless there is one, and print the trigger's configuration."""
    if not PRIVATE.exists():
        KEYS.mkdir(mode=0o700, exist_ok=True)
        PRIVATE.touch(mode=0o600)
        PRIVATE.write_bytes(generate_private_key(SECP256R1()).private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    key = ECAlgorithm(ECAlgorithm.SHA256).prepare_key(PRIVATE.read_bytes())
    jwk = {**ECAlgorithm.to_jwk(key.public_key(), as_dict=True), "kid": KEY_ID, "alg": "ES256", "use": "sig"}
    print(CONFIG.format(jwk=json.dumps(jwk)), end="")
    return 0


def make_token(name: str, minutes: float) -> int:
    """Print a token for one person."""
    if not PRIVATE.exists():
        print("The key is missing. Run first: python3 tokens.py keys", file=sys.stderr)
        return 1
    now = int(time.time())
    claims = {"sub": name, "name": name, "iat": now, "exp": now + int(60 * minutes)}
    print(jwt.encode(claims, PRIVATE.read_bytes(), algorithm="ES256", headers={"kid": KEY_ID}))
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(description="Keys and tokens for the chat.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("keys", help="create a key pair; print the triggerConfig for s.yaml")
    token = commands.add_parser("token", help="print a token")
    token.add_argument("name")
    token.add_argument("--minutes", type=float, default=60)
    args = parser.parse_args()
    return make_keys() if args.command == "keys" else make_token(args.name, args.minutes)


if __name__ == "__main__":
    sys.exit(main())
