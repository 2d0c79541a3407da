"""What the harbour radio must do."""

import asyncio
import time

from workshop.checking import Mistake, Target, Unexpected, step

GONE = "a ship has gone without a word"


@step("1.1", did='ana sent "good morning"', wanted='ana receives "GOOD MORNING"')
async def capitals(target: Target) -> None:
    ana = await target.connect("ana")
    await ana.send("good morning")
    await ana.expect("GOOD MORNING")


@step("1.1", did='ana sent "pier 7 is free", then "over"', wanted='ana receives "PIER 7 IS FREE", then "OVER"')
async def each_message_once(target: Target) -> None:
    ana = await target.connect("ana")
    await ana.send("pier 7 is free")
    await ana.send("over")
    await ana.expect("PIER 7 IS FREE")
    await ana.expect("OVER")


@step("1.1", did="ana and bo spoke at the same time", wanted="each receives the answer to its own message")
async def two_ships(target: Target) -> None:
    ana, bo = await target.connect("ana"), await target.connect("bo")
    await ana.send("ana calling")
    await bo.send("bo calling")
    await bo.expect("BO CALLING")
    await ana.expect("ANA CALLING")


@step("1.2", did="ana sent 6 bytes, a small radar picture", wanted="ana receives the same 6 bytes, as a binary message")
async def picture(target: Target) -> None:
    ana = await target.connect("ana")
    await ana.send(b"\x00radar")
    await ana.expect(b"\x00radar")


@step("1.2", did="ana sent 100,000 bytes", wanted="ana receives the same 100,000 bytes")
async def large_picture(target: Target) -> None:
    ana = await target.connect("ana")
    sent = bytes(range(250)) * 400
    await ana.send(sent)
    await ana.expect(sent)


@step("1.3", did="ana vanished; bo, still there, sent a picture", wanted="bo receives it back")
async def others_go_on(target: Target) -> None:
    ana, bo = await target.connect("ana"), await target.connect("bo")
    ana.vanish()
    await bo.send(b"still here")
    await bo.expect(b"still here")


@step("1.3", did="ana vanished while bo stayed", wanted=f'the log says "{GONE}", and no traceback', local=True)
async def one_line_in_the_log(target: Target) -> None:
    async def said() -> str:
        return await target.logs()

    before = (await said()).count(GONE)
    ana, bo = await target.connect("ana"), await target.connect("bo")
    ana.vanish()
    until = time.monotonic() + 2
    while (text := await said()).count(GONE) == before:
        if "Traceback" in text:
            raise Unexpected("a traceback in the log")
        if time.monotonic() > until:
            raise Unexpected("no such line in the log within 2 s")
        await asyncio.sleep(0.05)
    await bo.fence(b"over")


MISTAKES = [
    Mistake("1.1", "the message comes back as it was sent", saw=r'received "good morning"',
            likely="str has a method that gives the same text in capitals"),
    Mistake("1.1", "only the first letter is a capital", saw=r'received "Good morning"',
            likely="capitalize() changes one letter only"),
    Mistake("1.1", "only the first letter of each word is a capital", saw=r'received "Good Morning"',
            likely="title() changes one letter of each word only"),
    Mistake("1.1", "the answer comes twice", saw=r'received "PIER 7 IS FREE"'),
    Mistake("1.1", "what a handler returns is sent to nobody", saw=r"connection was closed with 1000",
            code=r"return \w", likely="`return` ends the handler, and the connection with it; `send` reaches the ship"),
    Mistake("1.1", "only the first message is answered", saw=r"connection was closed with 1000"),
    Mistake("1.2", "the bytes come back in capitals", saw=r"00 52 41 44 41 52"),
    Mistake("1.2", "the bytes come back as text", saw=r"received a text message"),
    Mistake("1.3", "nothing is printed when a ship vanishes", saw=r"no such line in the log",
            likely="print the line in the `except` block, word for word"),
]
