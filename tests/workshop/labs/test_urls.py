"""URLs of triggers turned into URLs of WebSockets."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workshop.labs.urls import browser_url, to_wss
from workshop.views.page_links import page_links


@pytest.mark.parametrize(("url", "expected"), [
    ("https://localhost:9443", "wss://localhost:9443"),
    ("http://localhost:9443/", "ws://localhost:9443/"),
    ("HTTPS://echo-abc.cn-hangzhou.fcapp.run/chat", "wss://echo-abc.cn-hangzhou.fcapp.run/chat"),
    ("https://h/a%20b/%E8%81%8A?x=%2F&y=1+2&empty=", "wss://h/a%20b/%E8%81%8A?x=%2F&y=1+2&empty="),
    ("https://h/chat#top", "wss://h/chat"),
    ("https://[::1]:9443/x", "wss://[::1]:9443/x"),
    ("https://user:p%40ss@h/x", "wss://user:p%40ss@h/x"),
    ("ws://h/x?y", "ws://h/x?y"),
    ("wss://h", "wss://h"),
    ("https://h/http://other", "wss://h/http://other"),
])
def test_urls(url: str, expected: str) -> None:
    assert to_wss(url) == expected


@pytest.mark.parametrize(("url", "reason"), [
    ("", "must begin with"), ("localhost:9443", "must begin with"), ("ftp://h", "must begin with"),
    ("https:/h", "must begin with"), ("https:h", "must begin with"), ("//h/x", "must begin with"),
    ("https://", "names no host"), ("https://:9443", "names no host"), ("https:///chat", "names no host"),
    (" https://h", "blank"), ("https://h/a b", "blank"), ("https://h\n", "blank"),
    ("https://h:99999", "not a URL"), ("https://h:port", "not a URL"), ("https://[::1", "not a URL"),
])
def test_anything_else_is_an_error_that_says_why(url: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        to_wss(url)


@given(st.text(max_size=60))
def test_twice_is_once(text: str) -> None:
    try:
        once = to_wss("https://h/" + text)
    except ValueError:
        return
    assert to_wss(once) == once and once.startswith("wss://h/")


@pytest.mark.parametrize(("url", "expected"), [
    ("https://localhost:9443", "/user/ana/proxy/9443/"),
    ("http://127.0.0.1:9443/chat?room=tea#top", "/user/ana/proxy/9443/chat?room=tea#top"),
    ("https://echo.example.com/chat", "https://echo.example.com/chat"),
])
def test_on_a_hub_the_browser_reaches_local_ports_through_the_learners_server(
        monkeypatch: pytest.MonkeyPatch, url: str, expected: str) -> None:
    monkeypatch.delenv("JUPYTERHUB_SERVICE_PREFIX", raising=False)
    assert browser_url(url) == url
    monkeypatch.setenv("JUPYTERHUB_SERVICE_PREFIX", "/user/ana/")
    assert browser_url(url) == expected


def test_pages_are_shown_as_links_for_the_browser(
        monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    pages = ("https://localhost:9445/?room=tea", "http://localhost:9445/?room=tea")
    monkeypatch.delenv("JUPYTERHUB_SERVICE_PREFIX", raising=False)
    page_links(*pages)
    assert capsys.readouterr().out.splitlines() == list(pages)
    monkeypatch.setenv("JUPYTERHUB_SERVICE_PREFIX", "/user/ana/")
    page_links(*pages)
    assert capsys.readouterr().out.splitlines() == ["/user/ana/proxy/9445/?room=tea"]
