"""Which headers pass and which are added, for any headers a client or a function may send."""

from hypothesis import given
from hypothesis import strategies as st

from fclocal.core import headers
from fclocal.core.identifiers import ACCOUNT_ID
from fclocal.core.model import Code, FunctionConfig, Revision
from fclocal.core.request import Headers, RequestHead, list_members

REVISION = Revision(
    version_id="3",
    generation=7,
    config=FunctionConfig(function_name="echo", runtime="custom.debian12", timeout=9, memory_size=1024, cpu=1),
    code=Code(checksum="0" * 64, size=1),
    created=0.0,
)
NAMES = st.sampled_from(
    [b"connection", b"upgrade", b"x-fc-request-id", b"x-fc-other", b"te", b"host", b"cookie", b"x-mine", b"keep-alive",
     b"transfer-encoding", b"content-length", b"x-forwarded-for", b"expect", b"date", b"server", b"set-cookie"]
)  # fmt: skip
VALUES = st.sampled_from([b"", b"a", b"x-fc-request-id", b"x-fc-account-id, host", b"close, x-mine", b"websocket"])
ANY = st.lists(st.tuples(NAMES, VALUES)).map(tuple)


def common(request_id: str = "1-2-3") -> Headers:
    return headers.for_instance(REVISION, request_id=request_id, qualifier="prod", control_path="/http-invoke")


def test_the_common_headers() -> None:
    got = dict(common())
    assert got[b"x-fc-request-id"] == b"1-2-3"
    assert got[b"x-fc-control-path"] == b"/http-invoke"
    assert got[b"x-fc-account-id"] == ACCOUNT_ID.encode()
    assert got[b"x-fc-qualifier"] == b"prod"
    assert got[b"x-fc-version-id"] == b"3"
    assert got[b"x-fc-function-memory"] == b"1024"
    assert got[b"x-fc-function-timeout"] == b"9"
    assert got[b"x-fc-access-key-id"] == got[b"x-fc-access-key-secret"] == got[b"x-fc-security-token"] == b""


@given(ANY, st.booleans())
def test_the_platforms_headers_reach_the_function_whatever_the_client_sends(sent: Headers, ws: bool) -> None:
    head = RequestHead("GET", "/", sent)
    options = head.members(b"connection")
    got = headers.to_instance(head, common(), options=options, client="127.0.0.1", websocket=ws)
    assert [pair for pair in got if pair[0].startswith(b"x-fc-")] == list(common())
    names = [name for name, _ in got]
    assert names.count(b"connection") == 1
    assert (b"upgrade" in names) == ws
    assert not {b"te", b"keep-alive", b"expect", b"transfer-encoding", b"content-length"} & set(names)
    assert names.count(b"x-forwarded-for") == 1
    assert names.count(b"host") == [name for name, _ in sent].count(b"host")


@given(ANY, ANY, st.booleans())
def test_the_platforms_headers_reach_the_client_whatever_the_function_sends(
    asked: Headers, sent: Headers, default_domain: bool
) -> None:
    got = headers.to_client(
        RequestHead("GET", "/", asked),
        sent,
        (),
        request_id="1-2-3",
        default_domain=default_domain,
        wall=0.0,
        options=list_members([value for name, value in sent if name == b"connection"]),
    )
    assert [value for name, value in got if name.startswith(b"x-fc-")] == [b"1-2-3"]
    names = [name for name, _ in got]
    assert names.count(b"date") == 1
    assert not {b"server", b"connection", b"upgrade", b"keep-alive", b"content-length"} & set(names)
    assert ((b"content-disposition", b"attachment") in got) == default_domain


def test_a_preview_of_the_target_holds_no_whole_token() -> None:
    head = RequestHead("GET", f"/rooms/tea?after=9&token={'x' * 40}&name=Ana")
    assert head.preview() == f"/rooms/tea?after=9&token={'x' * 16}...&name=Ana"
    assert RequestHead("GET", "/rooms/tea").preview() == "/rooms/tea"
