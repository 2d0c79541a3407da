"""The command `workshop`: check, hint and the other commands of the notebooks, for a terminal."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from fclocal.client import terminal
from fclocal.core.errors import FcError
from workshop import structure
from workshop.checking import commands, generation
from workshop.checking.catalog import exercises, find
from workshop.checking.verdict import coloured
from workshop.classroom import board, member
from workshop.course.copying import copy_course
from workshop.course.progress import catch_up, progress
from workshop.errors import UserError
from workshop.views import diagrams
from workshop.workspace import KIT, root, stamp, state

REPORT_WAIT = 1.0  # seconds that the end of a check waits for the board of the class


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. Return 0, or 1 if a check did not pass or the command failed."""
    options = _parser().parse_args(argv)
    try:
        return int(options.run(options) or 0)
    except (UserError, FcError) as error:
        print(f"{error.message}\n{error.cure}".rstrip(), file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="workshop", description=__doc__)
    subparsers = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, text: str, run: object, *, tasks: str | int | None = None) -> argparse.ArgumentParser:
        command = subparsers.add_parser(name, help=text, description=text)
        command.set_defaults(run=run)
        if tasks:
            command.add_argument("tasks", nargs=tasks, metavar="TASK", help="for example 3.1")
        return command

    check = add("check", "judge a task", _check, tasks="+")
    check.add_argument("--url", default="", help="wss://... of a deployed function")
    add("hint", "the next hint of a task", lambda options: commands.hint(options.tasks[0]), tasks=1)
    add("details", "the frames of the last check", lambda options: commands.details(options.tasks[0]), tasks=1)
    add("reset", "restart an exercise; your files are saved", lambda options: commands.reset(options.tasks[0]), tasks=1)
    add("progress", "show all tasks and your results", lambda options: progress())
    skip = add("catch-up", "skip to a lesson: solve the exercises before it", lambda options: catch_up(options.lesson))
    skip.add_argument("lesson", type=int)
    _add_class(add("class", "the board of a class: join it, leave it, open it", lambda options: print(
        member.describe(state(root())))))
    add("build", "write exercises/, solutions/ and notebooks/images/ from their source", _build)
    copy = add("copy", "create or update a learner's copy of the course", _copy)
    copy.add_argument("folder", type=Path)
    add("tour", "deploy a function, connect to it and print its bill, without a browser", _tour)
    return parser


def _add_class(command: argparse.ArgumentParser) -> None:
    actions = command.add_subparsers(metavar="ACTION")
    join = actions.add_parser("join", help="report your verdicts to the board of your class; counts only, no name")
    join.add_argument("link", help="from your instructor's page: http://ADDRESS:8700/WORD/")
    join.set_defaults(run=lambda options: print(member.join(state(root()), options.link)))
    leave = actions.add_parser("leave", help="end the reports of this computer")
    leave.set_defaults(run=lambda options: print(member.leave(state(root()))))
    opened = actions.add_parser("open", help="for instructors: open the board on this computer until Ctrl-C")
    opened.add_argument("--word", help="the word in the link (default: that of the last time, else a new one)")
    opened.add_argument("--port", type=int, default=board.PORT, help=f"the port for the room (default: {board.PORT})")
    opened.set_defaults(run=lambda options: board.open_board(options.word, options.port))


def _check(options: argparse.Namespace) -> int:
    status = 0
    for name in options.tasks:
        result = commands.verdict(*find(name), url=options.url)
        terminal.console().print(coloured(result), soft_wrap=True)
        status |= result.word != "PASS"
    member.wait(state(root()), REPORT_WAIT)  # the verdict is on the screen; a silent board gets it later
    return status


def _build(options: argparse.Namespace) -> None:
    for exercise in exercises().values():
        if saved := generation.keep(root(), exercise, stamp()):
            print(f"kept {saved.relative_to(root()).as_posix()}")
    changed = [*generation.write(root()), *diagrams.write(root() / "notebooks" / "images"), *structure.write()]
    print("\n".join(f"wrote {path}" for path in changed) or "Everything that is generated is up to date.")


def _copy(options: argparse.Namespace) -> None:
    lines = copy_course(KIT, options.folder.expanduser().absolute(), stamp())
    print("\n".join([*lines, f"The course is in {options.folder}."]))


def _tour(options: argparse.Namespace) -> int:
    from workshop import tour

    return int(tour.main() or 0)


if __name__ == "__main__":
    sys.exit(main())
