"""The reports of one class: Redis keeps the newest report of each learner, and a channel announces changes.

A report is everything that a learner has reached, so a lost report is repaired by the next one, and a repeated report
changes nothing. The hash `class:WORD` has one field for each learner, the channel of the same name announces changes.
"""

import asyncio
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError

KEEP_SECONDS = 7 * 24 * 3600  # after the last report of a class
MOST_LEARNERS = 500  # in one class
MOST_TASKS = 100  # in one report
PAUSE = 0.3  # seconds between two pictures of the class: a room that finishes a task together is one change
VERDICTS = ("PASS", "NOT YET", "CRASHED", "OUR FAULT", "NOT STARTED")
STUCK = ("NOT YET", "CRASHED")

Report = dict[str, tuple[str, str]]
"""Task -> verdict and its first line."""


def parse_report(body: Any) -> tuple[str, Report]:
    """Return the learner's code and the report in a request. Raises ValueError."""
    try:
        learner, tasks = body["learner"], body["tasks"]
        report = {task: (str(facts["verdict"]), str(facts.get("line", ""))[:120]) for task, facts in tasks.items()}
    except (AttributeError, KeyError, TypeError):
        raise ValueError("A report has a learner, and tasks with verdict and line") from None
    if not (isinstance(learner, str) and re.fullmatch("[0-9a-f]{16,64}", learner)):
        raise ValueError("The learner's code must be 16 to 64 hexadecimal digits")
    if len(report) > MOST_TASKS or not all(re.fullmatch(r"[0-9]{1,2}\.[0-9]{1,2}", task) for task in report):
        raise ValueError(f"Tasks must be numbers such as 3.1, at most {MOST_TASKS}")
    if unknown := {verdict for verdict, _ in report.values()}.difference(VERDICTS):
        raise ValueError(f"Unknown verdict: {unknown.pop()[:20]}")
    return learner, report


# region summary
def summary(reports: Iterable[Report]) -> dict[str, Any]:
    """Count for each task the learners with PASS and the learners who are stuck, with their most frequent message."""
    passed, stuck, lines, learners = Counter[str](), Counter[str](), dict[str, Counter[str]](), 0
    for report in reports:
        learners += 1
        for task, (verdict, line) in report.items():
            passed[task] += verdict == "PASS"
            if verdict in STUCK:
                stuck[task] += 1
                lines.setdefault(task, Counter())[line] += 1
    tasks = sorted(set(passed) | set(stuck), key=lambda task: [int(part) for part in task.split(".")])
    rows = []
    for task in tasks:
        line, times = lines[task].most_common(1)[0] if task in lines else ("", 0)
        rows.append({"task": task, "passed": passed[task], "stuck": stuck[task], "line": line, "times": times})
    return {"learners": learners, "tasks": rows}
# endregion


class ClassIsFull(Exception):
    """The class has its most learners already."""


class Board:
    """The class with one word. `log` is called when Redis fails and when it answers again."""

    def __init__(self, redis: Redis, word: str, log: Callable[..., None]) -> None:
        self._redis, self._key, self._log = redis, f"class:{word}", log
        self._news = asyncio.Condition()
        self.text = ""  # the newest summary as JSON

    async def report(self, learner: str, report: Report) -> None:
        """Keep a learner's report and announce it to every instance. Raises RedisError and ClassIsFull."""
        known = await self._redis.hexists(self._key, learner)
        if not known and await self._redis.hlen(self._key) >= MOST_LEARNERS:
            raise ClassIsFull
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.hset(self._key, learner, json.dumps(report))
            pipe.expire(self._key, KEEP_SECONDS)
            pipe.publish(self._key, learner)
            await pipe.execute()

    async def refresh(self) -> None:
        """Read the class and wake its watchers if it has changed. Raises RedisError."""
        reports = [json.loads(report) for report in await self._redis.hvals(self._key)]
        async with self._news:
            self.text = json.dumps(summary(reports))
            self._news.notify_all()

    async def next(self, seen: str) -> str:
        """Wait for a summary other than `seen`. A slow watcher misses the ones between, never the newest."""
        async with self._news:
            await self._news.wait_for(lambda: self.text != seen)
            return self.text

    async def listen(self) -> None:
        """Refresh after each announcement until cancelled, through every failure of Redis."""
        failed = False
        while True:
            try:
                async with self._redis.pubsub() as channel:
                    await channel.subscribe(self._key)
                    while True:
                        await self.refresh()  # after (re)subscribing and in silence too: a message may have been lost
                        if failed:
                            failed = False
                            self._log("redis-answers")
                        await asyncio.sleep(PAUSE)
                        await channel.get_message(timeout=5)
                        while await channel.get_message(timeout=0):
                            pass  # the next refresh covers all these announcements
            except (RedisError, OSError) as error:
                if not failed:
                    failed = True
                    self._log("redis-failed", reason=type(error).__name__)
                await asyncio.sleep(1)
