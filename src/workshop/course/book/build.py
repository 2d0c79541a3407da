"""`python3 start.py book`: build the course as a static site that opens without a server and without a network.

The repository's layout is repeated below the build folder, so that each relative link works as it does in JupyterLab:
a link to a lesson or a README leads to its page, a link to any other file to a copy of it.
"""

import argparse
import asyncio
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Collection, Sequence
from contextlib import suppress
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, DeadKernelError

import fclocal
from fclocal.core.errors import FcError
from workshop.course.catalog import Lesson, lessons
from workshop.errors import UserError
from workshop.workspace import root

FOLDERS = ("notebooks", "functions", "exercises", "solutions")
LEFT_OUT = shutil.ignore_patterns("node_modules", "__pycache__", ".*", "mine")
AT_ONCE = 2  # lessons that run at the same time
CELL_LIMIT = 120  # seconds for one cell


def main(arguments: Sequence[str] | None = None) -> int:
    """Build the site; return the exit code."""
    parser = argparse.ArgumentParser(prog="start.py book", description="Build the course as a static site.")
    parser.add_argument("--to", type=Path, default=root() / "build" / "book", help="folder, default build/book")
    target = parser.parse_args(arguments).to.resolve()
    try:
        page = build(root(), target, list(lessons()))
    except UserError as error:
        print(f"{error.message}\n{error.cure}".rstrip(), file=sys.stderr)
        return 1
    print(f"Open {page}")
    return 0


def build(project: Path, target: Path, run: Collection[int]) -> Path:
    """Build the site in `target` and return its first page; only the lessons in `run` are executed.

    Raises UserError if a cell of a lesson fails or Sphinx finds something wrong, for example a link to nowhere.
    """
    shutil.rmtree(target, ignore_errors=True)
    source = target / "source"
    for folder in FOLDERS:
        shutil.copytree(project / folder, source / folder, ignore=LEFT_OUT)
    for page in project.glob("[A-Z]*"):  # README.md and what it links to
        if page.is_file():
            shutil.copy(page, source)
    _split_teaching(source / "notebooks" / "teaching.md")
    _resolve_folder_links(source)
    began = time.monotonic()
    print(f"[1/2] Run {len(run)} lessons", flush=True)
    try:
        asyncio.run(_execute_all(source, [lessons()[number] for number in run]))
    except* UserError as failed:  # the first failure cancels the other lessons
        raise failed.exceptions[0] from None
    print(f"[2/2] Write the pages ({time.monotonic() - began:.0f} s so far)", flush=True)
    with (source / "README.md").open("a", encoding="utf-8") as readme:
        readme.write(_contents(source))
    words = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-j", "auto", "-b", "html"]
    words += ["-c", str(Path(__file__).parent), str(source), str(target / "html")]
    done = subprocess.run(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        raise UserError("Sphinx found something wrong:", done.stderr.replace(f"{source}{os.sep}", "").strip())
    pages = shutil.ignore_patterns("*.md", "*.ipynb")
    for folder in FOLDERS:  # what the outputs of the lessons link to: programs, settings, pictures
        shutil.copytree(source / folder, target / "html" / folder, ignore=pages, dirs_exist_ok=True)
    shutil.copy(target / "html" / "README.html", target / "html" / "index.html")  # the page that a web server looks for
    return target / "html" / "index.html"


async def _execute_all(source: Path, chosen: Sequence[Lesson]) -> None:
    free = asyncio.Semaphore(AT_ONCE)

    async def execute(lesson: Lesson) -> None:
        async with free:
            await _execute(source, lesson)

    async with asyncio.TaskGroup() as group:
        for lesson in chosen:
            group.create_task(execute(lesson))


async def _execute(source: Path, lesson: Lesson) -> None:
    """Execute a lesson in place, on a platform of its own that is stopped afterwards."""
    began = time.monotonic()
    path = source / "notebooks" / lesson.notebook
    state = source.parent / "state" / path.stem
    book = nbformat.read(path, as_version=4)
    client = NotebookClient(book, timeout=CELL_LIMIT, kernel_name="python3",
                            coalesce_streams=True,  # one line can come in two messages; JupyterLab joins them, too
                            extra_arguments=["--IPKernelApp.log_level=40"],  # no warning of the kernel's local port
                            resources={"metadata": {"path": str(path.parent)}})
    try:
        await client.async_execute(env={**os.environ, "FCLOCAL_STATE": str(state)})
    except (CellExecutionError, DeadKernelError) as error:
        raise UserError(f"A cell of {lesson.notebook} failed:", str(error).strip().splitlines()[-1]) from None
    finally:
        with suppress(FcError):
            await asyncio.to_thread(lambda: fclocal.attach(state).stop())
    book.metadata.pop("widgets", None)
    for output in (output for cell in book.cells for output in cell.get("outputs", [])):
        data = output.get("data", {})
        data.pop("application/vnd.jupyter.widget-view+json", None)  # shown as its text
        if "text/html" in data:  # its links lead to pages here
            link = r'href="(?!\w+:)([^"#]+)\.(?:ipynb|md)(?=["#])'
            data["text/html"] = re.sub(link, r'href="\1.html', data["text/html"])
    nbformat.write(book, path)
    print(f"      {path.stem} {time.monotonic() - began:.0f} s", flush=True)


def _split_teaching(page: Path) -> None:
    """Give each lesson of the instructor's page a page of its own, to print or to keep open while teaching it."""
    before, heading, rest = page.read_text("utf-8").partition("## Lesson by lesson\n")
    lessons_part, after = re.split(r"^(?=## )", rest, maxsplit=1, flags=re.M)
    introduction, *sections = re.split(r"^### ", lessons_part, flags=re.M)
    names, links = [], []
    for section in sections:
        title, _, text = section.partition("\n")
        names.append(f"teaching-{int(title.partition('.')[0]):02}")
        links.append(f"- [{title}]({names[-1]}.md)\n")
        page.with_name(f"{names[-1]}.md").write_text(f"# Teach lesson {title}\n{text}", encoding="utf-8")
    pages = "\n".join(names)
    contents = f"\n```{{toctree}}\n:hidden:\n\n{pages}\n```\n\n"
    page.write_text("".join((before, heading, introduction, *links, contents, after)), encoding="utf-8")


def _resolve_folder_links(source: Path) -> None:
    """Rewrite each page and notebook below `source`, see `_without_folder_links`."""
    for page in source.rglob("*.md"):
        page.write_text(_without_folder_links(page, page.read_text("utf-8")), encoding="utf-8")
    for path in source.rglob("*.ipynb"):
        book = nbformat.read(path, as_version=4)
        for cell in book.cells:
            if cell.cell_type == "markdown":
                cell.source = _without_folder_links(path, cell.source)
        nbformat.write(book, path)


def _without_folder_links(page: Path, text: str) -> str:
    """Return the text with each link to a folder leading to the folder's README, or without the link."""
    def resolve(match: re.Match[str]) -> str:
        words, place = match[1], page.parent / match[2]
        if (place / "README.md").is_file():
            return f"[{words}]({match[2].rstrip('/')}/README.md)"
        outside = not place.exists() and "://" not in match[2]  # the source code is not part of the site
        return words if place.is_dir() or outside else match[0]

    return re.sub(r"(?<!!)\[([^\]]+)\]\(([^)#\s]+)\)", resolve, text)


def _contents(source: Path) -> str:
    """Return the tables of contents, for the end of the first page."""
    def table(caption: str, *patterns: str) -> str:
        pages = sorted(page.relative_to(source) for pattern in patterns for page in source.glob(pattern)
                       if not page.name.startswith("teaching-"))  # those are below teaching.md
        names = "\n".join(page.with_suffix("").as_posix() for page in pages)
        return f"\n```{{toctree}}\n:hidden:\n:caption: {caption}\n\n{names}\n```\n"

    return "".join((
        table("Lessons", "notebooks/0*.ipynb"),
        table("Look up", "notebooks/*.md", "notebooks/[!0]*.ipynb", "CHANGELOG.md"),
        table("Function folders", "functions/*/README.md"),
        table("Exercises", "exercises/*/README.md"),
    ))


if __name__ == "__main__":
    sys.exit(main())
