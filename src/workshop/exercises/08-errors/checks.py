"""Each of the five functions must answer again."""

from workshop.checking import Mistake, Target, step


@step("8.1", did='ana sent "lamp?" to 1-lighthouse', wanted='"the lamp is on"')
async def lighthouse(target: Target) -> None:
    ana = await target.connect("ana", folder="1-lighthouse")
    await ana.send("lamp?")
    await ana.expect("the lamp is on")


@step("8.2", did='ana sent "when?" to 2-ferry', wanted='"the next ferry leaves at 10:40"')
async def ferry(target: Target) -> None:
    ana = await target.connect("ana", folder="2-ferry")
    await ana.send("when?")
    await ana.expect("the next ferry leaves at 10:40")


@step("8.3", did='ana sent "evening" to 3-tide', wanted='"16:38"')
async def tide(target: Target) -> None:
    ana = await target.connect("ana", folder="3-tide")
    await ana.send("evening")
    await ana.expect("16:38")


@step("8.4", did='ana sent "how far?" to 4-fog-horn', wanted='"you can see 200 metres"')
async def fog_horn(target: Target) -> None:
    ana = await target.connect("ana", folder="4-fog-horn")
    await ana.send("how far?")
    await ana.expect("you can see 200 metres")


@step("8.5", did="ana connected to 5-buoy", wanted="three messages, then the close code 1000")
async def buoy(target: Target) -> None:
    ana = await target.connect("ana", folder="5-buoy")
    for height in ("1.2 m", "1.4 m", "1.1 m"):
        await ana.expect(height)
    code = await ana.closed()
    if code != 1000:
        raise ana.ended()


MISTAKES = [
    Mistake("8.3", "the imported module does not exist", log="No module named 'tide",
            likely="the name after `from` is the name of a file in this folder, without .py"),
    Mistake("8.4", "the trigger rejects GET", saw=r"rejected: 403",
            likely="a WebSocket handshake is a GET request: add GET to the methods of the trigger"),
    Mistake("8.5", "the execution timeout closes the connection", saw="1006",
            likely="the connection must stay open for 3 seconds; compare with `timeout` in s.yaml"),
]
