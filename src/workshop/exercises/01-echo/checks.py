"""What the echo server must do."""

import asyncio
import time

from workshop.checking import Mistake, Target, Unexpected, step

LOST = "connection lost without a Close frame"


@step("1.1", did='ana sent "good morning"', wanted='ana receives "GOOD MORNING"')
async def capitals(target: Target) -> None:
    ana = await target.connect("ana")
    await ana.send("good morning")
    await ana.expect("GOOD MORNING")


@step("1.1", did='ana sent "first", then "second"', wanted='ana receives "FIRST", then "SECOND"')
async def each_message_once(target: Target) -> None:
    ana = await target.connect("ana")
    await ana.send("first")
    await ana.send("second")
    await ana.expect("FIRST")
    await ana.expect("SECOND")


@step("1.1", did="ana and bo each sent a message", wanted="each client receives the answer to its own message")
async def two_clients(target: Target) -> None:
    ana, bo = await target.connect("ana"), await target.connect("bo")
    await ana.send("from ana")
    await bo.send("from bo")
    await bo.expect("FROM BO")
    await ana.expect("FROM ANA")


@step("1.2", did="ana sent a binary message of 6 bytes", wanted="ana receives the same 6 bytes, as a binary message")
async def bytes_unchanged(target: Target) -> None:
    ana = await target.connect("ana")
    await ana.send(b"\x00image")
    await ana.expect(b"\x00image")


@step("1.2", did="ana sent a binary message of 100,000 bytes", wanted="ana receives the same 100,000 bytes")
async def many_bytes(target: Target) -> None:
    ana = await target.connect("ana")
    sent = bytes(range(250)) * 400
    await ana.send(sent)
    await ana.expect(sent)


@step("1.3", did="ana disconnected without a Close frame; bo sent a message", wanted="bo receives its message")
async def others_continue(target: Target) -> None:
    ana, bo = await target.connect("ana"), await target.connect("bo")
    ana.vanish()
    await bo.send(b"still here")
    await bo.expect(b"still here")


@step("1.3", did="ana disconnected without a Close frame", local=True,
      wanted=f'the log has the line "{LOST}" and no traceback')
async def one_line_in_the_log(target: Target) -> None:
    before = (await target.logs()).count(LOST)
    ana, bo = await target.connect("ana"), await target.connect("bo")
    ana.vanish()
    deadline = time.monotonic() + 2
    while (log := await target.logs()).count(LOST) == before:
        if "Traceback" in log:
            raise Unexpected("a traceback in the log")
        if time.monotonic() > deadline:
            raise Unexpected("the line was not in the log within 2 s")
        await asyncio.sleep(0.05)
    await bo.fence(b"done")


@step("1.3", did="ana closed the connection with a Close frame", wanted="the line is not printed", local=True)
async def a_normal_close_is_silent(target: Target) -> None:
    before = (await target.logs()).count(LOST)
    ana, bo = await target.connect("ana"), await target.connect("bo")
    await ana.close()
    await bo.fence(b"done")
    if (await target.logs()).count(LOST) != before:
        raise Unexpected("the line was in the log after a normal close")


MISTAKES = [
    Mistake("1.1", "the text comes back unchanged", saw=r'received "good morning"',
            likely="str has a method that returns the same text in capital letters"),
    Mistake("1.1", "only the first letter is a capital", saw=r'received "Good morning"',
            likely="capitalize() changes the first letter only"),
    Mistake("1.1", "only the first letter of each word is a capital", saw=r'received "Good Morning"',
            likely="title() changes the first letter of each word only"),
    Mistake("1.1", "the answer contains more than the message", saw=r'received ".*GOOD MORNING',
            likely="send the message alone, without other words"),
    Mistake("1.1", "the variable's name is sent, not its value", saw=r'received "MESSAGE"',
            likely="a name in quotation marks is text: remove the quotation marks"),
    Mistake("1.1", "the function itself is sent, not its result", saw=r"bound method|built-in method",
            likely="call the method: upper() with parentheses"),
    Mistake("1.1", "the answer is sent twice", saw=r'received "FIRST"'),
    Mistake("1.1", "the return value of a handler is not sent", saw=r"connection was closed with 1000",
            code=r"return \w", likely="`return` ends the handler and closes the connection; await connection.send()"),
    Mistake("1.1", "only the first message is answered", saw=r"connection was closed with 1000",
            likely="the handler returned after the first message, and this closed the connection"),
    Mistake("1.1", "a blocking call stops all connections", saw="received nothing", code=r"time\.sleep|input\(",
            likely="time.sleep() stops the event loop; remove it, or use `await asyncio.sleep()`"),
    Mistake("1.2", "the bytes come back in capitals", saw=r"00 49 4d 41 47 45"),
    Mistake("1.2", "the bytes come back as text", saw=r"received a text message",
            likely="send() makes a text message of a str and a binary message of bytes"),
    Mistake("1.2", "only a part of the bytes comes back", saw=r"received \d+ bytes",
            likely="send `message` itself, without a slice"),
    Mistake("1.3", "the line is not printed when a connection is lost", saw=r"line was not in the log",
            likely="print the line in the `except` block, word for word"),
    Mistake("1.3", "the line is printed after a normal close too", saw=r"after a normal close",
            likely="`finally` always runs; print in `except ConnectionClosedError:`"),
]
