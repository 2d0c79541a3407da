"""`python3 start.py slides`: one file of slides for each lesson, which opens without a server and without a network.

The slides are cells of the notebook: the problem, the objectives, each picture, each prediction and its answer, the
tasks, the key points. The speaker's notes are the rows of `notebooks/teaching.md`. So a lesson has one source.
"""

import argparse
import importlib.util
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import nbformat
from nbconvert import SlidesExporter
from nbformat.v4 import new_markdown_cell, new_notebook

from workshop.course.catalog import Lesson, find_lesson, lessons
from workshop.errors import UserError
from workshop.workspace import root

TEMPLATES = Path(__file__).parent / "template"
WORDS = 90  # on one slide of the problem
# The rows of the instructor's page that belong to each kind of slide.
ROWS = {
    "problem": ("Idea", "Say"),
    "objectives": (),
    "picture": ("Show",),
    "predict": ("Ask",),
    "answer": ("Break",),
    "tasks": ("Do", "Wrong answers", "Stop", "Cut"),
    "key points": (),
}

Slide = tuple[str, str]
"""The kind of a slide, a key of ROWS, and its Markdown."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the slides; return the exit code."""
    parser = argparse.ArgumentParser(prog="start.py slides", description="Make slides from the lessons.")
    parser.add_argument("lesson", type=int, nargs="*", help="numbers of lessons (default: all)")
    parser.add_argument("--to", type=Path, default=root() / "build" / "slides", help="folder, default build/slides")
    options = parser.parse_args(arguments)
    try:
        for number in options.lesson or lessons():
            print(f"Open {write(root(), find_lesson(number), options.to.resolve())}", flush=True)
    except UserError as error:
        print(f"{error.message}\n{error.cure}".rstrip(), file=sys.stderr)
        return 1
    print("Press S for the notes, O for all slides. For a PDF, add ?print-pdf to the address and print the page.")
    return 0


def write(project: Path, lesson: Lesson, folder: Path) -> Path:
    """Write the slides of a lesson as one HTML file; return its path. Raises UserError."""
    book = nbformat.read(project / "notebooks" / lesson.notebook, as_version=4)
    texts = [cell.source for cell in book.cells if cell.cell_type == "markdown"]
    rows = notes((project / "notebooks" / "teaching.md").read_text("utf-8"), lesson.number)
    deck = new_notebook(cells=list(_cells(list(slides(texts, lesson)), rows)))
    exporter = SlidesExporter(template_name="workshop", extra_template_basedirs=[str(TEMPLATES)], embed_images=True,
                              exclude_anchor_links=True)
    resources = {"metadata": {"path": str(project / "notebooks")},
                 "slides": {"title": f"{lesson.number}. {lesson.title}", **_reveal()}}
    html, _ = exporter.from_notebook_node(deck, resources=resources)
    folder.mkdir(parents=True, exist_ok=True)
    page = folder / f"{lesson.slug}.html"
    page.write_text(html, encoding="utf-8")
    return page


def slides(texts: Sequence[str], lesson: Lesson) -> Iterator[Slide]:
    """Yield the slides of a lesson from the Markdown cells of its notebook."""
    yield from _opening(texts[0])
    heading = lesson.title
    tasks = [block for text in texts for block in blocks(text) if re.match(r"> \*\*\d+\.\d", block)]
    for text in texts:
        for block in blocks(text):
            if block.startswith("## "):
                heading = block.partition("\n")[0].removeprefix("## ")
            elif block.startswith("!["):
                yield "picture", f"## {heading}\n\n{block}"
            elif match := re.match(r"> \*\*Predict (\d\.[a-z])", block):
                yield "predict", f"## Predict\n\n{block}"
                yield "answer", _answer(match[1], lesson)
    if tasks:
        yield "tasks", "\n\n".join(["## Your turn", *tasks])
    yield "key points", _section(texts, "## Key points")


def blocks(text: str) -> list[str]:
    """Return the blocks of a Markdown text, which empty lines separate; a fenced listing is one block."""
    found, fenced = [""], False
    for line in text.splitlines():
        fenced ^= line.startswith("```")
        if line or fenced:
            found[-1] += f"{line}\n"
        elif found[-1]:
            found.append("")
    return [block.rstrip("\n") for block in found if block]


def notes(page: str, number: int) -> dict[str, str]:
    """Return the rows of a lesson on the instructor's page, by their names: Idea, Say, Show, ... Raises UserError."""
    match = re.search(rf"^### {number}\. .*?\n(.*?)(?=^##|\Z)", page, re.S | re.M)
    if match is None:
        raise UserError(f"notebooks/teaching.md has no section for lesson {number}.", "Add it: ### NUMBER. TITLE")
    return {name: text.strip() for name, text in
            re.findall(r"^- (?=\*\*(\w[\w ]*?)(?: \(\d+ min\))?:\*\*)(.*?)(?=^- \*\*|\Z)", match[1], re.S | re.M)}


def _opening(text: str) -> Iterator[Slide]:
    """Yield the problem, in as many slides as its words need, and the list that follows it."""
    title, *rest = blocks(text)
    place = next(at for at, block in enumerate(rest) if re.match("- ", block))
    story = [block for block in rest[:place] if not block.startswith(("Time:", "!["))]
    lead = story.pop()
    page = [title]
    for block in story:
        if len(page) > 1 and sum(len(part.split()) for part in (*page[1:], block)) > WORDS:
            yield "problem", "\n\n".join(page)
            page = [f"## {title.lstrip('# ')}"]
        page.append(block)
    yield "problem", "\n\n".join(page)
    yield "objectives", f"## What you learn\n\n{lead}\n\n{rest[place]}"


def _answer(question: str, lesson: Lesson) -> str:
    prediction = lesson.predictions[question]
    others = [f"**Not {choice}:** {reason}" for choice, reason in prediction.why_not.items()]
    return "\n\n".join([f"## Predict {question}: the answer is {prediction.answer}", prediction.why, *others])


def _section(texts: Sequence[str], heading: str) -> str:
    """Return the section with this heading, without the links to other lessons below it."""
    text = next(text for text in texts if heading in text)
    found: list[str] = []
    for block in blocks(text[text.index(heading):]):
        if found and block.startswith(("## ", "Next:", "Back:")):
            break
        found.append(block)
    return "\n\n".join(found)


def _cells(deck: Sequence[Slide], rows: Mapping[str, str]) -> Iterator[nbformat.NotebookNode]:
    """Yield a cell for each slide, followed by its notes. An answer lies below its question."""
    for kind, text in deck:
        place = "subslide" if kind == "answer" else "slide"
        yield _cell(place, _without_local_links(text))
        if spoken := [rows[name] for name in ROWS[kind] if name in rows]:
            yield _cell("notes", _without_local_links("\n\n".join(spoken)))


def _cell(kind: str, text: str) -> nbformat.NotebookNode:
    cell: nbformat.NotebookNode = new_markdown_cell(text)
    cell.metadata.slideshow = {"slide_type": kind}
    return cell


def _without_local_links(text: str) -> str:
    """Return the text with the words of each link to another page of the course, without the link."""
    return re.sub(r"(?<!!)\[([^\]]+)\]\((?!https?:)[^)]+\)", r"\1", text)


def _reveal() -> dict[str, object]:
    """Return style and scripts of reveal.js, from a package that ships them. Raises UserError."""
    found = importlib.util.find_spec("sphinx_revealjs")
    if found is None or not found.submodule_search_locations:
        raise UserError("The package sphinx-revealjs is not installed.", "Run: python3 start.py slides")
    folder = Path(found.submodule_search_locations[0]) / "_static" / "revealjs"
    style = [folder / "dist" / "reset.css", folder / "dist" / "reveal.css", TEMPLATES / "workshop" / "slides.css"]
    scripts = [folder / "dist" / "reveal.js", folder / "plugin" / "notes" / "notes.js"]
    # Inside a script element "</script" would end it; in JavaScript "<\/script" is the same text.
    return {"style": "\n".join(path.read_text("utf-8") for path in style),
            "scripts": [path.read_text("utf-8").replace("</script", r"<\/script") for path in scripts]}


if __name__ == "__main__":
    sys.exit(main())
