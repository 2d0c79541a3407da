"""What a learner reads when a file of the state directory cannot be read or written."""

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from fclocal.core.errors import FcError


@contextlib.contextmanager
def storage_errors(path: Path, lost: str) -> Iterator[None]:
    """Turn an error of the file `path` into FcError StateDamaged or StateNotWritten, which name it and the fix.

    `lost` completes the sentence "Delete the file to start with a new one; ...".
    """
    try:
        yield
    except (OSError, sqlite3.OperationalError) as error:
        raise FcError("StateNotWritten", file=path, reason=getattr(error, "strerror", None) or error) from error
    except (sqlite3.DatabaseError, ValueError, KeyError, TypeError) as error:
        raise FcError("StateDamaged", file=path, reason=str(error).splitlines()[0], lost=lost) from error
