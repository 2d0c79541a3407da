'''How an exercise is written. One folder per exercise, `src/workshop/exercises/NN-slug/`:

    exercise.toml     title, tasks, minutes, what may be edited
    source/           every file of the exercise folder; the solution, with marks
    checks.py         what a correct answer does: steps that test it, and known mistakes
    hints.md          "## 1.1" and then two to six "- " lines, each one line, the last one nearly the answer
    wrong/            wrong answers, each with the first line of the verdict that it must get
    WHY.md            goes into solutions/: why this way, other correct ways, common mistakes (optional)

`workshop build` writes `exercises/NN-slug/` (stub) and `solutions/NN-slug/` from it, README.md included; both are
committed. `pytest tests/workshop/checking/test_gates.py -k 01-echo` proves that the stub says NOT STARTED for each
task, the solution PASS in under 5 s, each wrong answer its own first line, and that nothing gives the solution away.

exercise.toml
    title = "An echo server"
    version = 1
    story = "Three lines: who needs this, and why."
    edit = ["main.py"]                      # Edit only
    needs = "lesson 1"                      # what the learner must have done before
    not_needed = "rooms, authentication"    # out of scope
    project = true                          # only for the final project: the stub is an empty folder, and the story,
                                            # which goes into the README, is the specification
    [tasks."1.1"]
    title = "Answer in capitals"
    minutes = 5
    goal = "answer each text message in capitals"       # PASS says: You can now: <goal>
    stretch = false                                     # true for the last, optional task

source/ (any text file; marks after #, // or <!-- ; both readings must be valid programs)
        # TODO 1.1: answer in capitals
        #: begin solution 1.1
        await ws.send(message.upper())
        #: else
        ...  # <- your code here
        #: end
    A task may have several regions, in several files. The stub shows "# end of 1.1" at `#: end`. Lines outside
    the marks are the same in both. For a fault that the learner must find write `#: begin fix 8.1`: no TODO
    before it, and no mark in the stub; such a task has a folder of its own. A project marks the lines that its wrong
    answers replace in the same way.
    NOT STARTED means: all regions of the task, and all lines outside of regions, are as in the stub (imports do not
    count). For a project: none of its files exists.

checks.py
    from workshop.checking import Mistake, Unexpected, Target, step

    @step("1.1", did='ana sent "good morning"', wanted='ana receives "GOOD MORNING"')
    async def capitals(target: Target) -> None:
        ana = await target.connect("ana")             # deploys the folder once, connects through the gateway
        await ana.send("good morning")
        await ana.expect("GOOD MORNING")              # raises Unexpected('ana received "good morning"') by itself

    MISTAKES = [Mistake("1.1", "the message comes back as it was sent", saw='received "good morning"'),
                Mistake("1.1", "the answer is never awaited", log="coroutine .* was never awaited",
                        likely="write `await` before the call")]

    Steps of a task run in the order of the file; the first that raises Unexpected ends the check: NOT YET. `did` and
    `wanted` are what the learner reads. `local=True` marks a step that only fclocal can prove (it is left out of
    check(..., url=...)). Raise `Unexpected("bo received nothing")` for what you saw yourself (or
    `Unexpected(text, got.trace)` when a call of the learner's function raised what it must not); every
    other exception is OUR FAULT, so do not raise anything else. See `Target` and `Client` in workshop/checking for all
    they can do: deploy(folder, **props), connect(...), request(...), run(script), call(file, function, ...), logs();
    client.send, expect, receive, fence (nothing came in between), closed() -> code, close, vanish. `target.fc` is the
    platform: target.fc.fault(...), target.fc.instances(...).

    A Mistake fits when all it names fits: `saw`, `log` (the function's output), `code` (the learner's region of the
    task) are regular expressions; `when` is a function of `Findings`. The first that fits is the headline of the
    verdict; without one the headline is what was seen. Mistakes that any exercise can meet (127.0.0.1, wrong port,
    old handler(ws, path) signature, coroutine not awaited) are in workshop/checking/common_mistakes.py already.
    A traceback in the function's log is CRASHED with the learner's own line, before any Mistake. That includes the
    exception of a background task: see checking/preload/sitecustomize.py.

wrong/1.1-unchanged.txt
    1.1 NOT YET  the message comes back as it was sent
            await ws.send(message)

    First line: exactly the first line of the verdict. The rest replaces the region of the task named by the file's
    name (a line "===" separates several regions of that task; a part "=== main.py" replaces that whole file); the
    other tasks get their solution. At least four per exercise, among them a syntax error, a NameError, and a wrong
    answer with "...  # <- your code here" left in place; "nothing done" is the stub and is always tried.
'''
