"""Function folders as a person would try them: their program as a process, their modules imported by path."""

import asyncio
import contextlib
import importlib
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from types import ModuleType

from free_port import free_port

FUNCTIONS = Path(__file__).parents[2] / "functions"


def module(folder: str, name: str) -> ModuleType:
    """A module of a function folder; what it imports from beside it is found too."""
    sys.path.insert(0, str(FUNCTIONS / folder))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(FUNCTIONS / folder))


class Program:
    """A running main.py. `url` is ws://...; `lines` what it has printed."""

    def __init__(self, folder: str, port: int, env: dict[str, str]) -> None:
        self.folder, self.port, self.env = folder, port, env
        self.lines: list[str] = []
        self.url = f"ws://localhost:{port}/"
        self.process: asyncio.subprocess.Process | None = None
        self._news = asyncio.Condition()

    async def start(self) -> None:
        self.process = await asyncio.create_subprocess_exec(
            sys.executable, "main.py", cwd=FUNCTIONS / self.folder, stdout=asyncio.subprocess.PIPE,
            env={"PATH": os.environ["PATH"], "FC_SERVER_PORT": str(self.port)} | self.env)
        self._reader = asyncio.create_task(self._read())
        await self.printed('"event": "ready"')

    async def _read(self) -> None:
        assert self.process and self.process.stdout
        async for line in self.process.stdout:
            async with self._news:
                self.lines.append(line.decode().rstrip())
                self._news.notify_all()

    async def printed(self, text: str) -> str:
        """Wait until a line with `text` has been printed, and return it."""
        def line() -> str | None:
            return next((line for line in self.lines if text in line), None)
        async with asyncio.timeout(20), self._news:
            await self._news.wait_for(lambda: line() is not None)
        return line() or ""

    async def kill(self) -> None:
        """End it as a crash would."""
        assert self.process
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        await self.process.wait()
        await self._reader


@contextlib.asynccontextmanager
async def running(folder: str, **env: str) -> AsyncIterator[Program]:
    """The folder's program on a free port, ready to serve."""
    program = Program(folder, free_port(), env)
    await program.start()
    try:
        yield program
    finally:
        await program.kill()
