"""What the doors of the customs house must do."""

import base64
from datetime import UTC, datetime, timedelta

import jwt

from workshop.checking import Mistake, Response, Target, Unexpected, step

KEY = base64.urlsafe_b64decode("dGhlIGtleSBvZiBwaWVyIG9uZSBpcyBrZXB0IGhlcmU=")
DOMAIN = "archive.harbour.example"


def token(name: str, key: bytes = KEY, minutes: int = 5) -> str:
    """A pass for `name`, good for some minutes (negative: expired)."""
    claims = {"sub": name, "exp": datetime.now(UTC) + timedelta(minutes=minutes)}
    return jwt.encode(claims, key, algorithm="HS256", headers={"kid": "pier-1"})


async def url_of(target: Target, function: str) -> str:
    """The URL of one of the functions of s.yaml."""
    await target.deploy()
    rows = {row["functionName"]: row for row in target.fc.status()["functions"]}
    triggers = rows.get(function, {"triggers": []})["triggers"]
    if not triggers:
        raise Unexpected(f"function {function} has no HTTP trigger")
    return str(triggers[0]["url"])


def must(answer: Response, status: int) -> None:
    """Raise Unexpected unless the answer has this status."""
    if answer.status != status:
        raise Unexpected(f"{answer.status}: {answer.text[:120]}")


@step("2.1", did="ana came with a token in the query", wanted='101, and "welcome, ana"', local=True)
async def with_token(target: Target) -> None:
    ana = await target.connect("ana", f"/?token={token('ana')}", url=await url_of(target, "customs-gate"))
    await ana.expect("welcome, ana")


@step("2.1", did="bo came without a token", wanted="403", local=True)
async def without_token(target: Target) -> None:
    must(await target.request("/", url=await url_of(target, "customs-gate")), 403)


@step("2.1", did="bo came with a token that somebody else signed", wanted="403", local=True)
async def forged(target: Target) -> None:
    path = f"/?token={token('bo', b'another key, long enough for HS256')}"
    must(await target.request(path, url=await url_of(target, "customs-gate")), 403)


@step("2.1", did="ana sent GET and POST with her token", wanted="200 both times", local=True)
async def allowed(target: Target) -> None:
    gate = await url_of(target, "customs-gate")
    for method in ("GET", "POST"):
        must(await target.request(f"/?token={token('ana')}", method=method, url=gate), 200)


@step("2.1", did="ana sent PUT and DELETE with her token", wanted="403 both times", local=True)
async def not_allowed(target: Target) -> None:
    gate = await url_of(target, "customs-gate")
    for method in ("PUT", "DELETE"):
        must(await target.request(f"/?token={token('ana')}", method=method, url=gate), 403)


@step("2.2", did="ana asked the archive at its public URL", wanted="403: the public URL is closed", local=True)
async def closed(target: Target) -> None:
    must(await target.request("/", url=await url_of(target, "customs-archive")), 403)


@step("2.2", did=f"ana asked the archive at {DOMAIN}", wanted='"welcome, stranger", on every path', local=True)
async def own_domain(target: Target) -> None:
    if DOMAIN in [row["domainName"] for row in target.fc.status()["customDomains"]]:
        target.fc.sdk.delete_custom_domain(DOMAIN)  # perhaps left by an earlier answer: does this one make it?
        target.apps.clear()
    await target.deploy()
    domains = {row["domainName"]: row["url"] for row in target.fc.status()["customDomains"]}
    if DOMAIN not in domains:
        raise Unexpected(f"there is no custom domain {DOMAIN}")
    for path in ("/", "/ships/1926"):
        answer = await target.request(path, url=domains[DOMAIN], headers={"host": DOMAIN})
        must(answer, 200)
        if answer.text != "welcome, stranger":
            raise Unexpected(answer.text)


@step("2.3", did="signed a request to /ws with known keys", wanted="the service's signature", local=True)
async def known_answer(target: Target) -> None:
    known = ["GET", "/ws", "testAK", "testSecret", "2026-01-02T03:04:05Z"]
    [got] = await target.call("sign.py", "signed_headers", known)
    if got.error:
        raise Unexpected(got.error, got.trace)
    signature = str(got.value).rpartition("Signature=")[2][:64]
    if signature != "e66abc77c9a65612795cd728a89731dfeb517f8b0179636180f9e5ac496c7b02":
        raise Unexpected(f'the signature "{signature[:27]}"')


@step("2.3", did="ana opened the safe with her signature", wanted="101", local=True)
async def signed(target: Target) -> None:
    at = target.fc.at
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    [got] = await target.call("sign.py", "signed_headers", ["GET", "/", at.access_key_id, at.access_key_secret, now])
    if got.error:
        raise Unexpected(got.error, got.trace)
    ana = await target.connect("ana", url=await url_of(target, "customs-safe"), headers=got.value)
    await ana.expect("welcome, stranger")


MISTAKES = [
    Mistake("2.1", "the token is looked for in the wrong place", saw="ana was refused: 403", code="tokenLookup: header",
            likely="the TODO says query; without tokenLookup it is the header Authorization"),
    Mistake("2.1", "the token is looked for in the wrong place", saw="ana was refused: 403", code="^(?!.*tokenLookup)",
            likely="without tokenLookup the token is looked for in the header Authorization"),
    Mistake("2.1", "the function does not learn who came", saw="welcome, stranger", code="authType: jwt",
            likely="claimPassBy hands a claim on: position, claim, name"),
    Mistake("2.1", "a signature is asked for, not a token", saw="MissingRequiredHeader", code="authType: function",
            likely="callers that bring a JWT need authType: jwt"),
    Mistake("2.1", "anybody is let in", saw="welcome, stranger", likely="authType is still anonymous"),
    Mistake("2.1", "a WebSocket cannot come in without GET", saw="ana was refused: 403", code=r"methods: \[POST\]"),
    Mistake("2.1", "a method is let in that must not be", saw="^200"),
    Mistake("2.2", "the public URL is still open", saw="^200: welcome, stranger"),
    Mistake("2.2", "there is no custom domain", saw="no custom domain"),
    Mistake("2.2", "the route does not lead everywhere", saw="^404",
            likely="a path that ends in * leads everything below it"),
    Mistake("2.3", "the signature is not in hex", saw=r'signature "(?![0-9a-f.]{27}")'),
    Mistake("2.3", "the secret and the text have changed places", saw='signature "5027e935cc2952c0f7f3cc35497"',
            likely="hmac.new takes the key first: here the secret"),
    Mistake("2.3", "the text to sign is another one", saw=r'signature "', likely="hash `canonical` first"),
]
