"""variant(): a copy of a function folder with one change, to see what that change does."""

import shutil
from pathlib import Path

from workshop.errors import UserError
from workshop.workspace import root, state


def variant(folder: str, old: str, new: str, file: str = "main.py") -> Path:
    """Copy `folder` of the project and put `new` for `old` in one of its files; say so; return the copy's path.

    The copy replaces the last variant of that folder; the folder itself stays as it is. Raises UserError if the file
    is not there or `old` does not occur in it exactly once.
    """
    project = root()
    source = project / folder
    if not (source / file).is_file():
        raise UserError(f"There is no file {folder}/{file}.")
    text = (source / file).read_text(encoding="utf-8")
    if text.count(old) != 1:
        raise UserError(f"{folder}/{file} has {text.count(old)} places with {old}; exactly one is needed.")
    copy = state(project) / "variants" / source.name
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(source, copy, ignore=shutil.ignore_patterns("__pycache__"))
    (copy / file).write_text(text.replace(old, new), encoding="utf-8")
    print(f"A copy of {folder}, changed in {file} line {text[:text.index(old)].count(chr(10)) + 1}:")
    print(f"  - {old.strip()}\n  + {new.strip()}")
    return copy
