"""The console's models on a running platform, and the view that shows them."""

import json
import threading
from pathlib import Path

import pytest

from fclocal import App, Platform
from workshop.labs.urls import to_wss
from workshop.views.console import Console, TriggerTab
from workshop.views.console_model import Observer, Probe, TriggerForm

ROOT = Path(__file__).parents[3]


@pytest.fixture
def app(fc: Platform) -> App:
    return fc.deploy(ROOT / "functions" / "01-echo")


class Told:
    """Counts calls and lets a test wait for what they lead to."""

    def __init__(self) -> None:
        self._condition = threading.Condition()

    def __call__(self, *_: object) -> None:
        with self._condition:
            self._condition.notify_all()

    def until(self, met: object, seconds: float = 10) -> bool:
        with self._condition:
            return self._condition.wait_for(met, seconds)  # type: ignore[arg-type]


def checked(form: TriggerTab) -> list[str]:
    return [method for method, box in form.methods.items() if box.value]


def test_the_form_creates_modifies_and_deletes(fc: Platform, app: App) -> None:
    form = TriggerForm(fc, app.name, name="http-trigger", methods=("GET",))
    assert form.create().startswith("TriggerAlreadyExists") or "already" in form.create()  # s.yaml made one for LATEST
    form.name = "http"
    assert form.delete() == "Deleted."
    assert form.text() == "(no trigger)"
    form.name = "http-trigger"
    message = form.create()
    assert message.startswith("Created. https://localhost:")
    form.disable_internet = True
    assert form.modify().startswith("Modified.")
    [row] = form.rows()
    assert row["disableURLInternet"] is True
    assert row["methods"] == ["GET"]


def test_the_form_says_what_is_wrong_with_a_jwt_configuration(fc: Platform, app: App) -> None:
    form = TriggerForm(fc, app.name, name="http", auth="JWT Authentication", jwt="{")
    assert form.modify().startswith("The JWT configuration is not JSON")
    form.jwt = json.dumps({"jwks": {"keys": []}})
    assert "jwks" in form.modify()


def test_the_form_shows_the_trigger_that_there_is_and_follows_it(fc: Platform, app: App) -> None:
    panel = Console(fc, app)
    messages, form = Told(), panel.trigger
    assert (form.name.value, checked(form), form.auth.value) == ("http", ["GET"], "No Authentication")
    form.jwt.observe(messages, "value")
    key = {"kty": "oct", "kid": "k1", "alg": "HS256", "k": "dGhlIGtleSBvZiBwaWVyIG9uZSBpcyBrZXB0IGhlcmU"}
    code = TriggerForm(fc, app.name, name="http", methods=("GET", "POST"), disable_internet=True,
                       auth="JWT Authentication", jwt=json.dumps({"jwks": {"keys": [key]}}))
    assert code.modify().startswith("Modified.")
    assert messages.until(lambda: "k1" in form.jwt.value)
    assert form.internet.value == "Yes" and checked(form) == ["GET", "POST"]
    form._act(panel.form.modify)
    assert form.said.value.startswith("Modified.")
    form._act(panel.form.delete)
    assert form.said.value == "Deleted."
    assert form.name.value == "http"
    panel.close()


def test_the_tester_shows_every_frame_and_the_close_code(fc: Platform, app: App) -> None:
    messages = Told()
    probe = Probe(messages, url=to_wss(app.url))
    probe.connect()
    assert probe.connected
    probe.send("hello")
    probe.send(b"\x00\x01")
    probe.ping()
    assert messages.until(lambda: "PONG" in probe.text())
    probe.close()
    assert messages.until(lambda: "closed with 1000" in probe.text())
    kinds = [line.split()[1:3] for line in probe.lines]
    for wanted in (["->", "TEXT"], ["<-", "TEXT"], ["->", "BINARY"], ["<-", "BINARY"], ["->", "PING"], ["->", "CLOSE"]):
        assert wanted in kinds
    probe.send("too late")
    assert probe.lines[-1].endswith("not connected")
    probe.end()


def test_the_tester_tells_why_it_was_refused(fc: Platform, app: App) -> None:
    form = TriggerForm(fc, app.name, name="http", methods=("POST",))
    form.modify()
    probe = Probe(url=to_wss(app.url))
    probe.connect()
    assert not probe.connected
    assert "GET /\n" in probe.text() and "the client was rejected: 403" in probe.text()
    probe.url = "localhost"
    probe.connect()
    assert "the client could not connect: InvalidURI" in probe.text()
    probe.end()


def test_the_observer_follows_until_the_platform_ends(fc: Platform, app: App) -> None:
    messages = Told()
    observer = Observer(fc, messages)
    observer.follow()
    probe = Probe(url=to_wss(app.url))
    probe.connect()
    assert messages.until(lambda: observer.busy(app.name))
    probe.end()
    assert messages.until(lambda: not observer.busy(app.name))
    assert "<svg" in observer.timeline(app.name).svg
    assert "FC Invoke Start" in observer.logs(app.name)
    assert app.name in observer.timeline(app.name).text
    observer.close()


def test_the_console_is_also_text(fc: Platform, app: App) -> None:
    panel = Console(fc, app)
    text = str(panel)
    for title in ("Trigger", "Test", "Timeline", "Logs", "Bill"):
        assert f"--- {title}: echo" in text
    assert app.url in text
    assert text.isascii()
    assert panel.test.url.value == to_wss(app.url)
    panel.close()


def test_the_console_redraws_when_something_happens(fc: Platform, app: App) -> None:
    panel = Console(fc, app)
    messages = Told()
    panel.timeline.observe(messages, "value")
    panel.bill.observe(messages, "value")
    panel.test._connect()
    panel.probe.send("hello")
    assert messages.until(lambda: "connection" in panel.timeline.value)
    panel.probe.close()
    assert messages.until(lambda: "1000" in panel.timeline.value)
    panel.close()


def test_only_what_can_be_done_is_enabled(fc: Platform, app: App) -> None:
    panel = Console(fc, app)
    form, test = panel.trigger, panel.test
    assert (form.create.disabled, form.modify.disabled, form.delete.disabled) == (True, False, False)
    assert form.modify.button_style == "primary"
    form.name.value = "another"
    assert (form.create.disabled, form.modify.disabled, form.delete.disabled) == (False, True, True)
    assert all(button.disabled for button in test.connected) and not test.connect.disabled
    test._connect()
    assert not any(button.disabled for button in test.connected) and test.connect.disabled
    panel.close()


def test_enter_sends_the_message(fc: Platform, app: App) -> None:
    panel = Console(fc, app)
    panel.test._connect()
    panel.test._typed(None, {"event": "submit"}, [])
    assert any('TEXT    "hello"' in line and "->" in line for line in panel.probe.lines)
    panel.close()


def test_a_trigger_that_exists_is_not_created_again(fc: Platform, app: App) -> None:
    assert TriggerForm(fc, app.name, name="http").create() == (
        "echo has a trigger named http already. Modify it, or choose another name.")


def test_the_urls_of_the_triggers_are_links_for_the_browser(
        fc: Platform, app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    form = TriggerForm(fc, app.name)
    tab = TriggerTab(form, lambda: None)
    tab.refresh()
    assert f'<a href="{app.url}" target="_blank" rel="noopener">{app.url}</a>' in tab.listing.value
    monkeypatch.setenv("JUPYTERHUB_SERVICE_PREFIX", "/user/ana/")
    tab.refresh()
    assert f'<a href="/user/ana/proxy/{app.url.rpartition(":")[2]}/"' in tab.listing.value and app.url in form.text()
