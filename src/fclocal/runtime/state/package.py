"""Code packages: what a zip may hold, and how it is unpacked.

A package is checked once, when the platform receives it: every name, size and type in it. Plain files, folders and
symlinks that stay inside the package are accepted; everything else is refused. Later it is unpacked as it was stored.
"""

import io
import re
import shutil
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from fclocal.core.errors import FcError

MAX_PACKED = 100 * 2**20  # bytes; the service takes 100 MB through its API
MAX_UNPACKED = 500 * 2**20  # bytes; the service's largest code package
MAX_ENTRIES = 50_000
MAX_RATIO = 200  # unpacked : packed, looked at above FREE_UNPACKED only
FREE_UNPACKED = 16 * 2**20  # bytes; a small package is not checked for its ratio
_MAX_DIRECTORY = 16 * 2**20  # bytes of the zip's own table of contents
_MAX_PATH = 1024  # bytes of one name
_MAX_PART = 255  # bytes of one part of a name
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_END = struct.Struct("<4s4H2LH")  # the zip's end record (APPNOTE 4.3.16)
_CHUNK = 2**16


def check_zip(data: bytes) -> None:
    """Check a package that has arrived; nothing is written.

    Raises FcError CodeInvalid (a name, type or checksum that is not acceptable) or EntityTooLarge.
    """
    if len(data) > MAX_PACKED:
        raise FcError("EntityTooLarge", limit=MAX_PACKED)
    file = io.BytesIO(data)
    with _readable():
        _check_end(file)
    with _opened(file) as archive:
        _check_entries(archive, len(data))
        if (broken := archive.testzip()) is not None:
            raise FcError("CodeInvalid", reason=f"the zip is damaged at '{broken}'")


def unpack(zip_path: Path, target: Path) -> None:
    """Unpack a package that `check_zip` accepted into the new folder `target`.

    Raises FcError CodeInvalid if it was damaged since, OSError when the disk fails; `target` is gone after either.
    """
    target.mkdir(parents=True)
    try:
        with zip_path.open("rb") as file, _opened(file) as archive:
            links = []
            for entry in archive.infolist():
                path = target / entry.filename
                if entry.is_dir():
                    path.mkdir(parents=True, exist_ok=True)
                    continue
                path.parent.mkdir(parents=True, exist_ok=True)
                if _is_link(entry):
                    links.append((path, archive.read(entry).decode()))
                    continue
                with archive.open(entry) as source, path.open("xb") as out:
                    shutil.copyfileobj(source, out, _CHUNK)
                path.chmod(0o755 if (entry.external_attr >> 16) & 0o111 else 0o644)
            for path, where in links:  # last, so that no file is written through a link
                path.symlink_to(where)
    except BaseException:
        shutil.rmtree(target, ignore_errors=True)
        raise


@contextmanager
def _opened(file: IO[bytes]) -> Iterator[zipfile.ZipFile]:
    """Open the archive in `file`; an error of zipfile becomes FcError CodeInvalid."""
    with _readable(), zipfile.ZipFile(file) as archive:
        yield archive


@contextmanager
def _readable() -> Iterator[None]:
    try:
        yield
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError, struct.error) as error:
        raise FcError("CodeInvalid", reason=f"the package is not a sound zip: {error}") from error


def _check_end(file: IO[bytes]) -> None:
    """Refuse an oversized table of contents before zipfile builds an object for each entry."""
    size = file.seek(0, io.SEEK_END)
    file.seek(max(0, size - _END.size - 0xFFFF))
    tail = file.read()
    file.seek(0)
    at = tail.rfind(b"PK\5\6")
    if at < 0:
        raise zipfile.BadZipFile("the end record is missing")
    _, _, _, _, entries, directory, _, _ = _END.unpack_from(tail, at)
    if entries > MAX_ENTRIES or directory > _MAX_DIRECTORY:  # zip64 says 0xFFFF here, which is too many as well
        raise FcError("CodeInvalid", reason=f"the package has more than {MAX_ENTRIES} files")


def _check_entries(archive: zipfile.ZipFile, packed: int) -> None:
    """Check every entry of `archive`. zipfile never yields more bytes than an entry declares."""
    entries = archive.infolist()
    if len(entries) > MAX_ENTRIES:
        raise FcError("CodeInvalid", reason=f"the package has more than {MAX_ENTRIES} files")
    total = sum(entry.file_size for entry in entries)
    if total > MAX_UNPACKED:
        raise FcError("EntityTooLarge", limit=MAX_UNPACKED)
    if total > FREE_UNPACKED and total > MAX_RATIO * packed:
        raise FcError("CodeInvalid", reason=f"the package grows more than {MAX_RATIO} times when it is unpacked")
    names: dict[str, bool] = {}  # name -> whether it is a folder
    parents: set[str] = set()
    for entry in entries:
        _check_name(entry.orig_filename)
        _check_type(archive, entry)
        name = entry.filename.removesuffix("/")
        if name in names:
            raise FcError("CodeInvalid", reason=f"'{name}' is in the package twice")
        names[name] = entry.is_dir()
        parts = name.split("/")
        parents.update("/".join(parts[:n]) for n in range(1, len(parts)))
    if clash := {name for name in parents if not names.get(name, True)}:
        raise FcError("CodeInvalid", reason=f"'{min(clash)}' is a file and a folder in the package")


def _check_name(name: str) -> None:
    parts = name.removesuffix("/").split("/")
    if (any(part in ("", ".", "..") or len(part.encode()) > _MAX_PART for part in parts)
            or len(name.encode()) > _MAX_PATH or "\\" in name or "\0" in name or re.match(r"[A-Za-z]:", name)):
        shown = ascii(name if len(name) <= 80 else name[:80] + "...")
        raise FcError("CodeInvalid", reason=f"the package names a file {shown}: only relative paths are accepted")


def _check_type(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> None:
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK) or (kind == stat.S_IFDIR and not entry.is_dir()):
        raise FcError("CodeInvalid", reason=f"'{entry.filename}' is neither file, folder nor symlink")
    if entry.is_dir() and (kind not in (0, stat.S_IFDIR) or entry.file_size):
        raise FcError("CodeInvalid", reason=f"'{entry.filename}' has a directory name but is not a directory")
    if entry.flag_bits & 1 or entry.compress_type not in _METHODS:
        raise FcError("CodeInvalid", reason=f"'{entry.filename}' is encrypted or uses another compression than deflate")
    if _is_link(entry):
        where = archive.read(entry).decode() if entry.file_size <= _MAX_PATH else ""
        if not _stays_inside(entry.filename, where):
            raise FcError("CodeInvalid", reason=f"the symlink '{entry.filename}' leads out of the package")


def _is_link(entry: zipfile.ZipInfo) -> bool:
    return stat.S_ISLNK(entry.external_attr >> 16)


def _stays_inside(name: str, where: str) -> bool:
    """Return whether a symlink `name` to `where` stays inside the package together with any other links.

    ".." is accepted at the beginning only: there its parents are real folders. After another link, ".." would be the
    parent of that link's target.
    """
    parts = where.split("/")
    climb = next((n for n, part in enumerate(parts) if part != ".."), len(parts))
    return bool(where) and "\0" not in where and not where.startswith("/") and ".." not in parts[climb:] \
        and climb <= name.count("/")
