"""Each of the five functions must answer again."""

from workshop.checking import Mistake, Target, step


@step("8.1", did='ana sent "hello" to 1-never-ready', wanted='ana receives "hello from 1"')
async def wrong_address(target: Target) -> None:
    ana = await target.connect("ana", folder="1-never-ready")
    await ana.send("hello")
    await ana.expect("hello from 1")


@step("8.2", did='ana sent "hello" to 2-never-ready-either', wanted='ana receives "hello from 2"')
async def wrong_port(target: Target) -> None:
    ana = await target.connect("ana", folder="2-never-ready-either")
    await ana.send("hello")
    await ana.expect("hello from 2")


@step("8.3", did='ana sent "evening" to 3-exits', wanted='ana receives "good evening"')
async def missing_module(target: Target) -> None:
    ana = await target.connect("ana", folder="3-exits")
    await ana.send("evening")
    await ana.expect("good evening")


@step("8.4", did='ana sent "hello" to 4-rejects-with-403', wanted='ana receives "hello from 4"')
async def wrong_method(target: Target) -> None:
    ana = await target.connect("ana", folder="4-rejects-with-403")
    await ana.send("hello")
    await ana.expect("hello from 4")


@step("8.5", did="ana connected to 5-closes-with-1006",
      wanted='ana receives "1", "2" and "3", then the close code 1000')
async def short_timeout(target: Target) -> None:
    ana = await target.connect("ana", folder="5-closes-with-1006")
    for number in ("1", "2", "3"):
        await ana.expect(number)
    code = await ana.closed()
    if code != 1000:
        raise ana.ended()


MISTAKES = [
    Mistake("8.3", "the imported module does not exist", log="No module named 'answers",
            likely="the name after `from` is the name of a file in this folder, without .py"),
    Mistake("8.4", "the trigger rejects GET", saw=r"rejected: 403",
            likely="a WebSocket handshake is a GET request: add GET to the methods of the trigger"),
    Mistake("8.5", "the execution timeout closes the connection", saw="1006",
            likely="the connection must stay open for 3 seconds; compare with `timeout` in s.yaml"),
]
