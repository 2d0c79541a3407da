"""Marks: one source, two readings."""

import pytest

from workshop.checking import marks

SOURCE = '''def answer(text):
    # TODO 1.1: capitals
    #: begin solution 1.1
    return text.upper().strip()
    #: else
    ...  # <- your code here
    #: end


PORT = 9000
'''
FIX = '''a: 1
#: begin fix 8.1
b: 2
#: else
b: 3
#: end
'''


def test_stub_keeps_the_marks_a_learner_needs() -> None:
    assert marks.stub(SOURCE) == ("def answer(text):\n    # TODO 1.1: capitals\n    ...  # <- your code here\n"
                                  "    # end of 1.1\n\n\nPORT = 9000\n")


def test_solution_shows_no_marks() -> None:
    assert marks.solution(SOURCE) == ("def answer(text):\n    # 1.1: capitals\n    return text.upper().strip()\n\n\n"
                                      "PORT = 9000\n")


def test_a_fix_leaves_no_trace() -> None:
    assert (marks.stub(FIX), marks.solution(FIX)) == ("a: 1\nb: 3\n", "a: 1\nb: 2\n")


@pytest.mark.parametrize(("answer", "untouched"), [
    ("    ...  # <- your code here", True),
    ("\n    ...  # <- your code here\n    # thinking", True),
    ("    return text.upper()\n    ...  # <- your code here", False),  # the mark left in place proves nothing
    ("    return text", False),
])
def test_not_started_is_decided_by_the_region(answer: str, untouched: bool) -> None:
    learner = marks.answered(SOURCE, "1.1", [answer])
    assert marks.untouched(learner, marks.stub(SOURCE), "1.1") is untouched


def test_without_its_marks_the_whole_file_is_compared() -> None:
    stub = marks.stub(SOURCE)
    assert not marks.untouched(stub.replace("# end of 1.1", "pass"), stub, "1.1")
    assert marks.untouched(stub, stub, "1.1")


def test_edits_outside_the_regions_are_an_answer_but_imports_are_not() -> None:
    stub = marks.stub(SOURCE)
    assert not marks.untouched(stub.replace("9000", "9001"), stub, "1.1")
    assert marks.untouched("import json\n" + stub, stub, "1.1")


def test_region_tells_its_first_line() -> None:
    assert marks.region(marks.stub(SOURCE), "1.1") == (2, ["    ...  # <- your code here"])
    assert marks.region("nothing", "1.1") is None


def test_spoilers_are_lines_of_the_solution_only() -> None:
    assert marks.solution_lines(SOURCE) == {"return text.upper().strip()"}


@pytest.mark.parametrize(("text", "complaint"), [
    ("# TODO 1.1\n#: begin solution 1.1\n", "never ends"),
    ("#: begin solution 1.1\n#: end\n", "no line"),
    ("#: end\n", "end without begin"),
    ("# TODO 1.1\n#: begin solution 1.1\n#: begin solution 1.1\n", "begin inside"),
])
def test_wrong_marks_name_the_place(text: str, complaint: str) -> None:
    with pytest.raises(marks.MarksError, match=complaint):
        marks.parse(text)


@pytest.mark.parametrize(("sign", "close"), [("//", ""), ("<!--", " -->")])
def test_other_comment_signs(sign: str, close: str) -> None:
    text = "\n".join(f"{sign}{line}{close}" for line in (" TODO 2.1", ": begin solution 2.1")) + (
        f"\nx\n{sign}: else{close}\ny\n{sign}: end{close}\n")
    assert marks.stub(text) == f"{sign} TODO 2.1{close}\ny\n{sign} end of 2.1{close}\n"
