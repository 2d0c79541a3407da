"""What every notebook keeps to, read from the files without running them."""

import ast
import json
import re
import statistics
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from workshop.course.catalog import CHOICES, lessons

ROOT = Path(__file__).parents[2]
GLOSSARY = (ROOT / "notebooks" / "glossary.md").read_text("utf-8")
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)")

Notebook = dict[str, Any]
Cell = dict[str, Any]


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def path(request: pytest.FixtureRequest) -> Path:
    lesson: Path = request.param
    return lesson


@pytest.fixture
def notebook(path: Path) -> Notebook:
    lesson: Notebook = json.loads(path.read_text("utf-8"))
    return lesson


def source(cell: Cell) -> str:
    return "".join(cell["source"])


def cells(notebook: Notebook, kind: str) -> list[Cell]:
    return [cell for cell in notebook["cells"] if cell["cell_type"] == kind]


def prose(notebook: Notebook) -> str:
    """All text outside code blocks."""
    text = "\n\n".join(source(cell) for cell in cells(notebook, "markdown"))
    return re.sub(r"```.*?```", "", text, flags=re.DOTALL)


def python(cell: Cell) -> str:
    """The cell as Python: without the lines for the shell and for IPython."""
    return "\n".join("pass" if line.lstrip()[:1] in ("!", "%") else line for line in source(cell).splitlines())


def test_every_notebook_is_a_lesson_and_has_its_number_alone() -> None:
    described = {path.stem for path in (ROOT / "src" / "workshop" / "lessons").glob("*.toml")}
    assert {path.stem for path in NOTEBOOKS} <= described
    assert len({path.stem[:2] for path in NOTEBOOKS}) == len(NOTEBOOKS)


def test_it_comes_clean(notebook: Notebook) -> None:
    """No outputs, no counts, cells with ids, the kernel of the kit: git shows only what an author changed."""
    assert (notebook["nbformat"], notebook["nbformat_minor"]) >= (4, 5)
    assert notebook["metadata"]["kernelspec"]["name"] == "python3"
    ids = [cell["id"] for cell in notebook["cells"]]
    assert len(set(ids)) == len(ids)
    for cell in cells(notebook, "code"):
        assert cell["outputs"] == [] and cell["execution_count"] is None
        assert "execution" not in cell["metadata"]


def test_it_has_the_size_of_a_lesson(notebook: Notebook) -> None:
    assert 20 <= len(notebook["cells"]) <= 45
    lines = [len(source(cell).splitlines()) for cell in cells(notebook, "code")]
    assert max(lines) <= 8
    assert statistics.median(lines) <= 4


def test_its_headings_make_one_tree(notebook: Notebook) -> None:
    levels = [len(mark) for mark in re.findall(r"^(#+) ", prose(notebook), flags=re.MULTILINE)]
    assert levels.count(1) == 1 and levels[0] == 1
    assert all(deeper - level <= 1 for level, deeper in pairwise(levels)), "a level is skipped"


def test_pictures_and_links_say_what_they_are(notebook: Notebook) -> None:
    text = prose(notebook)
    assert "<img" not in text, "write ![what it shows](file)"
    for picture, words, target in LINK.findall(text):
        term = target.startswith("glossary.md#")  # its words are the term, and NAT has three letters
        assert term or "://" in target or len(words) >= (20 if picture else 4), f"{target}: say what it shows"
        assert words.lower() not in ("here", "link", "this", "click here"), target


def test_its_links_lead_somewhere(notebook: Notebook, path: Path) -> None:
    for _, _, target in LINK.findall(prose(notebook)):
        if "://" not in target:
            assert (path.parent / target.split("#")[0]).exists(), target


def test_a_prediction_offers_three_choices(notebook: Notebook) -> None:
    for question in re.findall(r"^> \*\*Predict .*?(?=^[^>]|\Z)", prose(notebook), flags=re.MULTILINE | re.DOTALL):
        assert tuple(re.findall(r"^> (\w)\) ", question, flags=re.MULTILINE)) == CHOICES, question


def test_a_link_to_a_lesson_has_its_title(notebook: Notebook, path: Path) -> None:
    for _, words, target in LINK.findall(prose(notebook)):
        if target.endswith(".ipynb") and words != f"lesson {int(target[:2])}":
            other = json.loads((path.parent / target).read_text("utf-8"))
            assert source(other["cells"][0]).startswith(f"# {words}\n"), f"{words}: {target}"


def test_no_port_is_written_out(notebook: Notebook) -> None:
    """Ports differ from machine to machine; a cell takes the URL from what was deployed."""
    for cell in cells(notebook, "code"):
        assert not re.search(r"(localhost|127\.0\.0\.1|\[::1\]):\d", source(cell)), source(cell)


def test_no_cell_is_a_server_or_waits_for_the_keyboard(notebook: Notebook) -> None:
    """Programs live in files; a cell that never ends stops Run All."""
    for cell in cells(notebook, "code"):
        for node in ast.walk(ast.parse(python(cell))) if not source(cell).startswith("%%") else ():
            if isinstance(node, ast.Call):
                assert ast.unparse(node.func).split(".")[-1] not in ("serve", "serve_forever", "run_forever", "input")


def test_answers_of_predictions_are_spread() -> None:
    answers = [prediction.answer for lesson in lessons().values() for prediction in lesson.predictions.values()]
    assert set(answers) == set(CHOICES)
    assert max(map(answers.count, CHOICES)) * 2 <= len(answers), Counter(answers)


def test_the_first_code_cell_sets_up_and_the_last_looks_back(notebook: Notebook, path: Path) -> None:
    code = cells(notebook, "code")
    number = int(path.stem[:2])
    assert f"lesson({number})" in source(code[0])
    assert any("recap(" in source(cell) for cell in code[-2:])


def test_nothing_personal_or_far_away(notebook: Notebook) -> None:
    for cell in cells(notebook, "code"):
        assert not re.search(r"https?://(?!localhost)", source(cell)), "a cell needs no network"


def terms() -> list[tuple[str, str, int, tuple[str, ...]]]:
    """Each glossary term: its name, its text, the number of the lesson that teaches it, and its other forms."""
    uses = []
    for entry in re.split(r"^### ", GLOSSARY, flags=re.MULTILINE)[1:]:
        name, _, rest = entry.partition("\n")
        text, _, link = rest.partition(" Taught in ")
        teaches = re.match(r"\[lesson (\d)\]\(0\1-\w+\.ipynb\)\.", link)
        assert teaches, f"{name}: no link to the lesson that teaches it"
        forms = re.search(r"^\((.+)\)$", link, flags=re.MULTILINE)
        uses.append((name, text.strip(), int(teaches[1]), tuple(forms[1].split(", ")) if forms else ()))
    return uses


def test_the_glossary_explains_each_term_in_two_sentences() -> None:
    names = [name for name, _, _, _ in terms()]
    assert names == sorted(names, key=str.lower)
    for name, text, _, _ in terms():
        assert len(re.findall(r"[.](?: |$)", text)) == 2, f"{name}: {text}"


def anchor(name: str) -> str:
    """The fragment that GitHub and Sphinx give a heading."""
    return re.sub(r"[^\w-]", "", name.lower().replace(" ", "-"))


def test_a_link_to_the_glossary_names_a_term(notebook: Notebook) -> None:
    anchors = {anchor(name) for name, _, _, _ in terms()}
    for _, _, target in LINK.findall(prose(notebook)):
        if target.startswith("glossary.md#"):
            assert target.partition("#")[2] in anchors, target


def sentences(notebook: Notebook) -> str:
    """What a learner reads as sentences: no headings, code or alternative texts of pictures."""
    text = re.sub(r"^#.*$|`[^`\n]*`", "", prose(notebook), flags=re.MULTILINE)
    return re.sub(r"!\[[^\]]*\]\([^)]*\)|\[[^\]]*\]\([^)]*\.ipynb\)", "", text)


@pytest.mark.parametrize("term", terms(), ids=lambda term: anchor(term[0]))
def test_a_term_is_linked_where_a_lesson_needs_it_first(term: tuple[str, str, int, tuple[str, ...]]) -> None:
    """The lesson that teaches a term links it; an earlier lesson may use it only if its first use is such a link."""
    name, _, teaches, others = term
    forms = "|".join(re.escape(form) for form in (name, *others))
    words = re.compile(rf"\b(?:{forms})(?:s|es)?\b", re.IGNORECASE)
    link = re.compile(r"\[[^\]]*\]\(glossary\.md#" + re.escape(anchor(name)) + r"\)")
    for path in NOTEBOOKS:
        number, text = int(path.stem[:2]), sentences(json.loads(path.read_text("utf-8")))
        first, linked = words.search(text), link.search(text)
        if number == teaches:
            assert linked, f"{path.name} teaches {name} and does not link it"
        elif number < teaches and first:
            assert linked and linked.start() <= first.start(), f"{path.name} uses {name} without a link to the glossary"
