"""Each station must answer again."""

from workshop.checking import Mistake, Target, step


@step("8.1", did='ana asked the lighthouse "lamp?"', wanted='"the lamp is on"')
async def lighthouse(target: Target) -> None:
    ana = await target.connect("ana", folder="1-lighthouse")
    await ana.send("lamp?")
    await ana.expect("the lamp is on")


@step("8.2", did='ana asked the ferry "when?"', wanted='"the next ferry leaves at 10:40"')
async def ferry(target: Target) -> None:
    ana = await target.connect("ana", folder="2-ferry")
    await ana.send("when?")
    await ana.expect("the next ferry leaves at 10:40")


@step("8.3", did='ana asked the tide gauge "evening"', wanted='"16:38"')
async def tide(target: Target) -> None:
    ana = await target.connect("ana", folder="3-tide")
    await ana.send("evening")
    await ana.expect("16:38")


@step("8.4", did='ana asked the fog horn "how far?"', wanted='"you can see 200 metres"')
async def fog_horn(target: Target) -> None:
    ana = await target.connect("ana", folder="4-fog-horn")
    await ana.send("how far?")
    await ana.expect("you can see 200 metres")


@step("8.5", did="ana listened to the buoy", wanted="three reports, and then the close code 1000")
async def buoy(target: Target) -> None:
    ana = await target.connect("ana", folder="5-buoy")
    for height in ("1.2 m", "1.4 m", "1.1 m"):
        await ana.expect(height)
    code = await ana.closed()
    if code != 1000:
        raise ana.ended()


MISTAKES = [
    Mistake("8.3", "the program imports a file that is not there", log="No module named 'tide",
            likely="the name after `from` is the name of a file in this folder, without .py"),
    Mistake("8.4", "the trigger does not let GET in", saw=r"rejected: 403",
            likely="a WebSocket begins as a GET: it must be among the methods of the trigger"),
    Mistake("8.5", "the connection is cut at the execution timeout", saw="1006",
            likely="the conversation takes 3 seconds; how long may one request take?"),
]
