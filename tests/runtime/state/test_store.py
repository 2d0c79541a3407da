"""The store: what it keeps survives a restart and a kill, and packages that nothing uses go away."""

import contextlib
import errno
import json
import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from management import package

from fclocal.core.errors import FcError
from fclocal.core.model import (
    Alias,
    CustomDomain,
    DomainAuth,
    Function,
    FunctionConfig,
    HttpTriggerConfig,
    InvocationRestriction,
    Revision,
    Trigger,
)
from fclocal.runtime.state.store import Store


def function(store: Store, name: str = "echo", code: bytes | None = None) -> Function:
    """A function that uses every field."""
    config = FunctionConfig.model_validate({
        "functionName": name, "runtime": "custom", "sessionAffinity": "HEADER_FIELD", "timeout": 7,
        "sessionAffinityConfig": '{"affinityHeaderFieldName": "x-session", "sessionTTLInSeconds": 60}',
        "instanceLifecycleConfig": {"initializer": {"timeout": 9}}, "environmentVariables": {"A": "b\nö"}})
    latest = Revision(generation=3, config=config, code=store.put_code(code or package()), created=1.5)
    trigger = Trigger(trigger_name="t", trigger_id="id", port=9443, created=1, modified=2, config=HttpTriggerConfig(
        auth_type="jwt", methods=("GET",), disable_url_internet=True, auth_config={"jwks": {"keys": []}}))
    return Function(
        function_id="id", latest=latest, created=1, modified=2, triggers={"t": trigger}, last_version=4,
        versions={"4": latest.model_copy(update={"version_id": "4"})}, reserved_concurrency=0,
        aliases={"prod": Alias(alias_name="prod", version_id="4", additional_version_weight={"3": 0.1}, created=1,
                               modified=1)},
        min_instances={"LATEST": 2}, disabled=InvocationRestriction(reason="r", since=3))


def domain() -> CustomDomain:
    return CustomDomain(domain_name="*.example.com", port=9444, created=1, modified=2,
                        auth_config=DomainAuth(auth_type="jwt", auth_info={"jwks": {}}))


def test_everything_survives_a_restart(tmp_path: Path) -> None:
    store = Store(tmp_path / "state.sqlite")
    kept = function(store)
    store.save(kept)
    store.save_domain(domain())
    store.control_port = 9400
    keys = (store.access_key_id, store.access_key_secret)
    store.close()

    again = Store(tmp_path / "state.sqlite")
    assert dict(again.functions) == {"echo": kept}
    assert dict(again.domains) == {"*.example.com": domain()}
    assert again.control_port == 9400
    assert (again.access_key_id, again.access_key_secret) == keys
    assert again.code_path(kept.latest.code.checksum).read_bytes() == package()
    again.remove("echo")
    again.remove_domain("*.example.com")
    again.close()

    with_nothing = Store(tmp_path / "state.sqlite")
    assert not with_nothing.functions and not with_nothing.domains
    assert not list((tmp_path / "code").iterdir()), "nothing uses the package any more"
    with_nothing.close()


WRITER = """
import sys
from pathlib import Path
sys.path[:0] = [{tests!r}, {here!r}]
from fclocal.runtime.state.store import Store
from test_store import function
store = Store(Path({state!r}) / "state.sqlite")
made = function(store)
for number in range(1, 10**9):
    store.save(made.model_copy(update={{"last_version": number}}))
    print(number, flush=True)
"""


@pytest.mark.parity("state.survives-kill")
def test_what_was_answered_survives_kill_9(tmp_path: Path) -> None:
    here = Path(__file__).parent
    program = WRITER.format(tests=str(here.parents[1]), here=str(here), state=str(tmp_path))
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout
        for line in writer.stdout:
            if int(line) == 50:
                writer.kill()
                break
        answered = max([50, *map(int, writer.stdout.read().split("\n")[:-1])])
    assert writer.returncode == -signal.SIGKILL

    store = Store(tmp_path / "state.sqlite")
    assert store.functions["echo"].last_version in (answered, answered + 1)
    assert store.code_path(store.functions["echo"].latest.code.checksum).read_bytes() == package()
    store.close()


def test_credentials_are_the_owners_alone(tmp_path: Path) -> None:
    one, other = Store(tmp_path / "a" / "state.sqlite"), Store(tmp_path / "b" / "state.sqlite")
    assert one.access_key_secret != other.access_key_secret
    assert (tmp_path / "a" / "credentials.json").stat().st_mode & 0o777 == 0o600
    kept = json.loads((tmp_path / "a" / "credentials.json").read_text())
    assert kept == {"accessKeyId": one.access_key_id, "accessKeySecret": one.access_key_secret}
    one.close(), other.close()


def test_a_package_is_kept_once_and_goes_two_minutes_after_its_last_use(tmp_path: Path) -> None:
    store = Store(tmp_path / "state.sqlite")
    old, new = package({"a": "1"}), package({"a": "2"})
    first, second = function(store, "first", old), function(store, "second", old)
    store.save(first), store.save(second)
    assert [path.name for path in (tmp_path / "code").iterdir()] == [f"{first.latest.code.checksum}.zip"]

    store.save(function(store, "first", new))
    store.sweep(1000.0)
    store.save(function(store, "second", new))
    store.sweep(2000.0)  # unused since now
    store.sweep(2119.0)
    assert store.code_path(first.latest.code.checksum).exists()
    store.sweep(2121.0)
    assert not store.code_path(first.latest.code.checksum).exists()
    assert store.code_path(store.functions["first"].latest.code.checksum).exists()

    assert store.put_code(old) == first.latest.code, "a package that went may come back"
    assert store.code_path(first.latest.code.checksum).read_bytes() == old
    store.close()


def test_a_bad_package_leaves_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path / "state.sqlite")
    for data in (b"", b"no zip", package({"../evil": "x"}), package()[:-10]):
        with pytest.raises(FcError) as refused:
            store.put_code(data)
        assert refused.value.code == "CodeInvalid"
    assert not list((tmp_path / "code").iterdir())
    store.close()


def test_drafts_of_a_killed_process_are_removed(tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "abc.1234").write_bytes(b"half a pack")
    Store(tmp_path / "state.sqlite").close()
    assert not list((tmp_path / "code").iterdir())


def test_damaged_credentials_are_named_with_their_fix(tmp_path: Path) -> None:
    Store(tmp_path / "state.sqlite").close()
    (tmp_path / "credentials.json").write_text('{"accessKeyId": "x"')
    with pytest.raises(FcError, match=r"credentials\.json is damaged .* Delete the file"):
        Store(tmp_path / "state.sqlite")


def test_a_full_disk_names_the_file_and_leaves_the_store_as_it_was(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path / "state.sqlite")
    store.save(function(store))
    pages = store._db.execute("PRAGMA page_count").fetchone()[0]
    store._db.execute(f"PRAGMA max_page_count={pages}")  # what a full disk looks like to SQLite
    with pytest.raises(FcError, match=r"state\.sqlite cannot be written \(database or disk is full\)\. Free space"):
        for number in range(50):
            store.save(function(store, f"another-{number}"))
    assert set(store.functions) == {"echo", *(f"another-{n}" for n in range(len(store.functions) - 1))}

    def full(path: Path, data: bytes) -> int:
        path.touch()
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    before = sorted((tmp_path / "code").iterdir())
    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(FcError, match="cannot be written \\(No space left on device\\)"):
        store.put_code(package({"new": "code"}))
    assert sorted((tmp_path / "code").iterdir()) == before, "no part of the package stays"
    store.close()


def test_a_state_that_cannot_be_read_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "state.sqlite").write_bytes(b"this is not a database, whatever its name says" * 100)
    with pytest.raises(FcError) as refused:
        Store(tmp_path / "state.sqlite")
    assert refused.value.code == "StateDamaged" and f"{tmp_path}/state.sqlite is damaged" in refused.value.message

    (newer := tmp_path / "newer").mkdir()
    with contextlib.closing(sqlite3.connect(newer / "state.sqlite")) as db, db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(FcError, match="format 99"):
        Store(newer / "state.sqlite")
