"""The command `workshop`: the same words as in the notebooks, for a terminal."""

import argparse
import sys
import time
from collections.abc import Sequence

from fclocal.client import terminal
from fclocal.core.errors import FcError
from workshop import structure
from workshop.checking import commands, generation
from workshop.checking.catalog import exercises, find
from workshop.checking.verdict import coloured
from workshop.classroom import board, member
from workshop.course.progress import catch_up, progress
from workshop.errors import UserError
from workshop.views import diagrams
from workshop.workspace import root, state

REPORT_WAIT = 1.0  # seconds that the end of a check waits for the board of the class


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; exit status 0, or 1 if a check did not pass or the command could not be done."""
    given = _parser().parse_args(argv)
    try:
        return int(given.run(given) or 0)
    except (UserError, FcError) as trouble:
        print(f"{trouble.message}\n{trouble.cure}".rstrip(), file=sys.stderr)
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
    add("hint", "the next hint of a task", lambda given: commands.hint(given.tasks[0]), tasks=1)
    add("details", "the frames of the last check", lambda given: commands.details(given.tasks[0]), tasks=1)
    add("reset", "put the stub back; your files are kept", lambda given: commands.reset(given.tasks[0]), tasks=1)
    add("progress", "where you stand", lambda given: progress())
    skip = add("catch-up", "make everything ready for a lesson", lambda given: catch_up(given.lesson))
    skip.add_argument("lesson", type=int)
    _add_class(add("class", "the board of a class: join it, leave it, open it", lambda given: print(
        member.describe(state(root())))))
    add("build", "write exercises/, solutions/ and notebooks/images/ from their source", _build)
    add("tour", "the whole main job once, without a browser", _tour)
    return parser


def _add_class(command: argparse.ArgumentParser) -> None:
    actions = command.add_subparsers(metavar="ACTION")
    join = actions.add_parser("join", help="report your verdicts to the board of your class; counts only, no name")
    join.add_argument("link", help="from your instructor's page: http://ADDRESS:8700/WORD/")
    join.set_defaults(run=lambda given: print(member.join(state(root()), given.link)))
    leave = actions.add_parser("leave", help="report nothing any more")
    leave.set_defaults(run=lambda given: print(member.leave(state(root()))))
    opened = actions.add_parser("open", help="for instructors: open the board on this computer until Ctrl-C")
    opened.add_argument("--word", help="the word in the link (default: that of the last time, else a new one)")
    opened.add_argument("--port", type=int, default=board.PORT, help=f"the port for the room (default: {board.PORT})")
    opened.set_defaults(run=lambda given: board.open_board(given.word, given.port))


def _check(given: argparse.Namespace) -> int:
    status = 0
    for name in given.tasks:
        found = commands.verdict(*find(name), url=given.url)
        terminal.console().print(coloured(found), soft_wrap=True)
        status |= found.word != "PASS"
    member.wait(state(root()), REPORT_WAIT)  # the verdict is on the screen; a silent board gets it later
    return status


def _build(given: argparse.Namespace) -> None:
    for exercise in exercises().values():
        if saved := generation.keep(root(), exercise, time.strftime("%Y%m%d-%H%M%S")):
            print(f"kept {saved.relative_to(root()).as_posix()}")
    changed = [*generation.write(root()), *diagrams.write(root() / "notebooks" / "images"), *structure.write()]
    print("\n".join(f"wrote {path}" for path in changed) or "Everything that is generated is up to date.")


def _tour(given: argparse.Namespace) -> int:
    from workshop import tour

    return int(tour.main() or 0)


if __name__ == "__main__":
    sys.exit(main())
