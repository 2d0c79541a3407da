"""Code packages from an untrusted source: only files inside the folder are unpacked."""

import contextlib
import io
import stat
import struct
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fclocal.core.errors import FcError
from fclocal.runtime.state import package
from fclocal.runtime.state.store import Store


def make(*entries: tuple[str, bytes, int]) -> bytes:
    """A zip of (name, content, mode) entries; names are taken as they are."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content, mode in entries:
            info = zipfile.ZipInfo("x")
            info.filename = info.orig_filename = name
            info.external_attr = mode << 16
            info.create_system = 3
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, content)
    return out.getvalue()


FILE = stat.S_IFREG | 0o644
LINK = stat.S_IFLNK | 0o777
FOLDER = stat.S_IFDIR | 0o755


def tree(root: Path) -> dict[str, str]:
    return {str(p.relative_to(root)): "link" if p.is_symlink() else "dir" if p.is_dir() else "file"
            for p in sorted(root.rglob("*"))}


def refused(data: bytes, tmp_path: Path, code: str = "CodeInvalid") -> str:
    """The check on arrival refuses `data`; nothing is kept of it."""
    with pytest.raises(FcError) as checked:
        package.check_zip(data)
    assert checked.value.code == code
    with contextlib.closing(Store(tmp_path / "state.sqlite")) as store, pytest.raises(FcError):
        store.put_code(data)
    assert list((tmp_path / "code").iterdir()) == []
    return checked.value.message


def test_unpacks_files_folders_links_and_execute_bits(tmp_path):
    data = make(("main.py", b"print(1)", FILE), ("bin/run", b"#!/bin/sh", stat.S_IFREG | 0o4755),
                ("lib/", b"", FOLDER), ("lib/a.so.1", b"elf", FILE), ("lib/a.so", b"a.so.1", LINK),
                ("bin/main", b"../main.py", LINK))
    package.check_zip(data)
    (tmp_path / "code.zip").write_bytes(data)
    package.unpack(tmp_path / "code.zip", tmp_path / "target")
    target = tmp_path / "target"
    assert sorted(tree(target)) == ["bin", "bin/main", "bin/run", "lib", "lib/a.so", "lib/a.so.1", "main.py"]
    assert (target / "bin/main").read_text() == "print(1)"
    assert stat.S_IMODE((target / "bin/run").stat().st_mode) == 0o755
    assert stat.S_IMODE((target / "main.py").stat().st_mode) == 0o644


@pytest.mark.parametrize("name", [
    "../evil", "a/../../evil", "/etc/evil", "C:\\evil", "C:/evil", "a\\..\\evil", "..", ".", "a//b", "a/./b", "",
    "x\0y", "a" * 300, "a/" * 600 + "b",
])
def test_names_outside_the_package_are_refused(name, tmp_path):
    placeholder = "z" * len(name)  # zipfile itself would correct some of these names
    data = make((placeholder, b"x", FILE))
    data = data.replace(placeholder.encode(), name.encode()) if name else make((name, b"x", FILE))
    assert "relative paths" in refused(data, tmp_path)


@pytest.mark.parametrize(("name", "where"), [
    ("link", b"/etc/passwd"), ("link", b".."), ("link", b"../x"), ("a/b/link", b"../../../x"),
    ("link", b"a/../../x"), ("link", b""), ("link", b"a\0b"), ("link", b"x" * 2000),
])
def test_links_that_lead_out_are_refused(name, where, tmp_path):
    assert "leads out" in refused(make((name, where, LINK)), tmp_path)


def test_a_link_cannot_borrow_another_links_dots(tmp_path):
    # p/q/up is the package itself; "p/q/up/.." reads like "p/q" but would be its parent.
    assert "leads out" in refused(make(("p/q/up", b"../..", LINK), ("out", b"p/q/up/..", LINK)), tmp_path)


def test_nothing_is_written_through_a_link(tmp_path):
    assert "a file and a folder" in refused(make(("d", b"e", LINK), ("d/evil", b"x", FILE)), tmp_path)


@pytest.mark.parametrize("kind", [stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO, stat.S_IFSOCK])
def test_devices_are_refused(kind, tmp_path):
    assert "neither file" in refused(make(("dev", b"", kind | 0o666)), tmp_path)


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("names", [("a", "a"), ("a/", "a/"), ("a", "a/")])
def test_duplicates_are_refused(names, tmp_path):
    refused(make(*((name, b"", FOLDER if name.endswith("/") else FILE) for name in names)), tmp_path)


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path):
    zeros = bytes(package.MAX_RATIO * 2**17)
    assert "grows more than" in refused(make(("zeros", zeros, FILE)), tmp_path)


def test_a_stored_package_that_was_damaged_since_leaves_nothing(tmp_path):
    data = make(("a", b"hello", FILE), ("b", b"hello " * 100, FILE))
    package.check_zip(data)
    at = data.index(b"PK\1\2") - 5
    (tmp_path / "code.zip").write_bytes(data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1:])
    with pytest.raises(FcError) as error:
        package.unpack(tmp_path / "code.zip", tmp_path / "target")
    assert error.value.code == "CodeInvalid" and not (tmp_path / "target").exists()


def test_more_than_the_limit_is_too_large(tmp_path):
    data = bytearray(make(("big", b"x", FILE)))
    for signature, offset in ((b"PK\1\2", 24), (b"PK\3\4", 22)):  # claim a size in both headers
        struct.pack_into("<L", data, data.index(signature) + offset, package.MAX_UNPACKED + 1)
    refused(bytes(data), tmp_path, "EntityTooLarge")


def test_a_lying_size_yields_no_more_than_it_says(tmp_path):
    data = bytearray(make(("big", b"x" * 100_000, FILE)))
    struct.pack_into("<L", data, data.index(b"PK\1\2") + 24, 10)
    refused(bytes(data), tmp_path)


def test_too_many_entries_are_refused_without_reading_them(tmp_path):
    data = bytearray(make(("a", b"x", FILE)))
    struct.pack_into("<HH", data, data.rindex(b"PK\5\6") + 8, package.MAX_ENTRIES + 1, package.MAX_ENTRIES + 1)
    assert "files" in refused(bytes(data), tmp_path)


def test_a_damaged_file_is_refused(tmp_path):
    data = make(("a", b"hello " * 100, FILE))
    at = data.index(b"PK\1\2") - 5
    refused(data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1:], tmp_path)


def test_encrypted_entries_are_refused(tmp_path):
    data = bytearray(make(("a", b"secret", FILE)))
    data[data.index(b"PK\1\2") + 8] |= 1
    refused(bytes(data), tmp_path)


def test_a_large_package_is_too_large(monkeypatch):
    monkeypatch.setattr(package, "MAX_PACKED", 10)
    with pytest.raises(FcError) as error:
        package.check_zip(make(("a", b"x", FILE)))
    assert error.value.code == "EntityTooLarge"


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_garbage_is_refused_and_never_raises_anything_else(data):
    sound = make(("a/b", b"hello", FILE), ("l", b"a/b", LINK), ("d/", b"", FOLDER))
    damaged = bytearray(sound)
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(sound) - 1))] = data.draw(st.integers(0, 255))
    for candidate in (bytes(damaged), bytes(damaged[:data.draw(st.integers(0, len(sound)))])):
        try:
            package.check_zip(candidate)
        except FcError as error:
            assert error.code in ("CodeInvalid", "EntityTooLarge")
