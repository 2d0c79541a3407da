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
from workshop.course.progress import catch_up, progress
from workshop.errors import UserError
from workshop.views import diagrams
from workshop.workspace import root


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
    add("build", "write exercises/, solutions/ and notebooks/images/ from their source", _build)
    add("tour", "the whole main job once, without a browser", _tour)
    return parser


def _check(given: argparse.Namespace) -> int:
    status = 0
    for name in given.tasks:
        found = commands.verdict(*find(name), url=given.url)
        terminal.console().print(coloured(found), soft_wrap=True)
        status |= found.word != "PASS"
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
