"""What the three triggers must accept and reject."""

import base64
from datetime import UTC, datetime, timedelta

import jwt

from workshop.checking import Mistake, Response, Target, Unexpected, step

KEY = base64.urlsafe_b64decode("dGhlIGtleSBvZiBwaWVyIG9uZSBpcyBrZXB0IGhlcmU=")
DOMAIN = "files.example.com"


def token(name: str, key: bytes = KEY, minutes: int = 5) -> str:
    """Return a token for `name`, valid for some minutes (negative: expired)."""
    claims = {"sub": name, "exp": datetime.now(UTC) + timedelta(minutes=minutes)}
    return jwt.encode(claims, key, algorithm="HS256", headers={"kid": "key-1"})


async def url_of(target: Target, function: str) -> str:
    """Return the URL of one of the functions of s.yaml. Raises Unexpected without a trigger."""
    await target.deploy()
    rows = {row["functionName"]: row for row in target.fc.status()["functions"]}
    triggers = rows.get(function, {"triggers": []})["triggers"]
    if not triggers:
        raise Unexpected(f"the HTTP trigger of function {function} is missing")
    return str(triggers[0]["url"])


def must(answer: Response, status: int) -> None:
    """Raise Unexpected unless the response has this status."""
    if answer.status != status:
        raise Unexpected(f"{answer.status}: {answer.text[:120]}")


@step("2.1", did="ana connected with a token in the query", wanted='status 101, then the message "welcome, ana"',
      local=True)
async def with_token(target: Target) -> None:
    ana = await target.connect("ana", f"/?token={token('ana')}", url=await url_of(target, "token-only"))
    await ana.expect("welcome, ana")


@step("2.1", did="bo sent a request without a token", wanted="status 403", local=True)
async def without_token(target: Target) -> None:
    must(await target.request("/", url=await url_of(target, "token-only")), 403)


@step("2.1", did="bo sent a token that was signed with another key", wanted="status 403", local=True)
async def forged(target: Target) -> None:
    path = f"/?token={token('bo', b'another key, long enough for HS256')}"
    must(await target.request(path, url=await url_of(target, "token-only")), 403)


@step("2.1", did="ana sent GET and POST with her token", wanted="status 200 for both", local=True)
async def allowed(target: Target) -> None:
    url = await url_of(target, "token-only")
    for method in ("GET", "POST"):
        must(await target.request(f"/?token={token('ana')}", method=method, url=url), 200)


@step("2.1", did="ana sent PUT and DELETE with her token", wanted="status 403 for both", local=True)
async def not_allowed(target: Target) -> None:
    url = await url_of(target, "token-only")
    for method in ("PUT", "DELETE"):
        must(await target.request(f"/?token={token('ana')}", method=method, url=url), 403)


@step("2.2", did="ana sent a request to the public URL of domain-only",
      wanted="status 403: the public URL is disabled", local=True)
async def closed(target: Target) -> None:
    must(await target.request("/", url=await url_of(target, "domain-only")), 403)


@step("2.2", did=f"ana sent requests to {DOMAIN}", wanted='"welcome, stranger", on every path', local=True)
async def own_domain(target: Target) -> None:
    if DOMAIN in [row["domainName"] for row in target.fc.status()["customDomains"]]:
        target.fc.sdk.delete_custom_domain(DOMAIN)  # an earlier answer may have created it
        target.apps.clear()
    await target.deploy()
    domains = {row["domainName"]: row["url"] for row in target.fc.status()["customDomains"]}
    if DOMAIN not in domains:
        raise Unexpected(f"the custom domain {DOMAIN} does not exist")
    for path in ("/", "/files/1926"):
        answer = await target.request(path, url=domains[DOMAIN], headers={"host": DOMAIN})
        must(answer, 200)
        if answer.text != "welcome, stranger":
            raise Unexpected(answer.text)


@step("2.3", did="called signed_headers with a key whose signature is known", wanted="the known signature", local=True)
async def known_answer(target: Target) -> None:
    known = ["GET", "/ws", "testAK", "testSecret", "2026-01-02T03:04:05Z"]
    [got] = await target.call("sign.py", "signed_headers", known)
    if got.error:
        raise Unexpected(got.error, got.trace)
    signature = got.value["authorization"].rpartition("Signature=")[2][:64]
    if not signature:
        raise Unexpected("the signature is empty")
    if signature != "e66abc77c9a65612795cd728a89731dfeb517f8b0179636180f9e5ac496c7b02":
        raise Unexpected(f'the signature "{signature[:27]}"')


@step("2.3", did="ana sent a signed handshake to signed-only", wanted="status 101", local=True)
async def signed(target: Target) -> None:
    at = target.fc.at
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    [got] = await target.call("sign.py", "signed_headers", ["GET", "/", at.access_key_id, at.access_key_secret, now])
    if got.error:
        raise Unexpected(got.error, got.trace)
    ana = await target.connect("ana", url=await url_of(target, "signed-only"), headers=got.value)
    await ana.expect("welcome, stranger")


MISTAKES = [
    Mistake("2.1", "the key of the tokens is another one", saw="was rejected: 403.*(?:token|JWT|signature)",
            code="tokenLookup: query:token",
            likely="copy the whole key of the TODO into jwks, with kty, alg, kid and k"),
    Mistake("2.1", "the trigger reads the token from another place", saw="ana was rejected: 403",
            code="tokenLookup: header",
            likely="the TODO names the query; write tokenLookup: query:token"),
    Mistake("2.1", "the trigger reads the token from another place", saw="ana was rejected: 403",
            code="^(?!.*tokenLookup)",
            likely="without tokenLookup the trigger reads the header Authorization"),
    Mistake("2.1", "the function does not receive the claim", saw="welcome, stranger", code="authType: jwt",
            likely="claimPassBy passes a claim to the function: position:claim:name"),
    Mistake("2.1", "the trigger requires a signature, not a token", saw="MissingRequiredHeader",
            code="authType: function",
            likely="for tokens use authType: jwt"),
    Mistake("2.1", "every request is accepted", saw="welcome, stranger", likely="authType is still anonymous"),
    Mistake("2.1", "the trigger rejects every WebSocket: GET is missing", saw="ana was rejected: 403",
            code=r"methods: \[POST\]",
            likely="a WebSocket handshake is a GET request"),
    Mistake("2.1", "the trigger accepts too many methods", saw="^200",
            likely="`methods` must list GET and POST only"),
    Mistake("2.2", "the public URL is still open", saw="^200: welcome, stranger",
            likely="set disableURLInternet to true"),
    Mistake("2.2", "the custom domain is missing", saw="custom domain .* does not exist",
            likely="customDomain is a property of the resource, with the same indentation as triggers"),
    Mistake("2.2", "the route covers one path only", saw="^404",
            likely="the path /* covers every path"),
    Mistake("2.3", "the function returns without a signature", saw="the signature is empty"),
    Mistake("2.3", "the signature is not in hex", saw=r'signature "(?![0-9a-f.]{27}")'),
    Mistake("2.3", "the secret and the text are swapped", saw='signature "5027e935cc2952c0f7f3cc35497"',
            likely="the first argument of hmac.new is the key: here the secret"),
    Mistake("2.3", "the signed text is wrong", saw=r'signature "',
            likely="sign three parts: ACS3-HMAC-SHA256, a line end, and the SHA-256 of `canonical` in hex"),
]
