"""lesson(n): begin a lesson."""

import asyncio
import os
import shutil
import sys
import time
from typing import TYPE_CHECKING

from fclocal.core.errors import FcError
from workshop.classroom import member
from workshop.course.catalog import find_lesson
from workshop.course.progress import boxes
from workshop.errors import UserError
from workshop.views.html import present
from workshop.views.progress_line import working
from workshop.views.progress_strip import strip, text
from workshop.workspace import Progress, platform, root, state, wrong_kernel

if TYPE_CHECKING:
    from fclocal import Platform


def lesson(number: int) -> "Platform | None":
    """Begin a lesson: start fclocal or attach to it, and return it (None when that failed, with the cure printed).

    Where it works, nest_asyncio is applied, so that a script with `asyncio.run` runs unchanged in a cell.
    """
    try:
        this = find_lesson(number)
        os.chdir(root())  # "functions/01-echo" then means the same in a notebook, in a terminal and in the text
        with working("Starting fclocal ..."):
            fc = platform()
        nested = nest()
    except (UserError, FcError) as error:
        print(f"Lesson {number} is not ready: {error.message}\n{error.cure}")
        return None
    except ModuleNotFoundError as missing:
        print(wrong_kernel(missing))
        return None
    with Progress(state(root())).change() as data:
        data["lessons"].setdefault(str(number), time.time())
    member.report(state(root()))  # what could not be sent the last time
    print(f"Setup complete. Lesson {number}: {this.title}. About {this.teach} min reading, {this.do} min doing.")
    print(f"Needs: {this.needs or 'nothing but this kit'}. Platform: fclocal, on this machine.")
    if this.redis:
        _report_missing_redis()
    present(text(boxes(), number), strip(boxes(), number))
    if not nested:
        print("Here asyncio.run() does not work in a cell: write `await main()` instead.")
    return fc


def _report_missing_redis() -> None:
    """Print a line with a fix where no Redis server is found; the first deployment would fail otherwise."""
    from fclocal.client import doctor

    check = doctor.redis(os.environ, apt=shutil.which("apt") is not None)
    if not check.ok:
        print(f"Redis: {check.found}. To fix it: {check.fix}")


def nest() -> bool:
    """Let asyncio.run() work inside the notebook's own loop; False where no library can."""
    try:
        running = asyncio.get_running_loop()
    except RuntimeError:
        return True
    try:
        if sys.version_info >= (3, 14):
            import nest_asyncio2 as nest_asyncio
        else:
            import nest_asyncio
        nest_asyncio.apply(running)
    except (ImportError, ValueError):
        return False
    return True
