"""Mistakes that every exercise can have; the list of each exercise is tried first."""

from workshop.checking.target import Mistake

GENERAL = [
    Mistake("*", "the handler must take one argument, the connection",
            log=r"missing \d+ required positional argument: '(path|uri)'",
            likely="handlers with a second argument `path` are from old tutorials; write `async def handler(ws):`"),
    Mistake("*", "a coroutine is never awaited", log=r"coroutine '[\w.]+' was never awaited",
            likely="write `await` in front of the call that the log names"),
    Mistake("*", "the function listens on 127.0.0.1, which clients cannot reach",
            saw=r"It listens on (127\.|localhost|\[::1\])", likely="listen on 0.0.0.0"),
    Mistake("*", "the function listens on another port than s.yaml says", saw=r"It listens on \S+:\d+",
            likely="use the port in FC_SERVER_PORT, which is customRuntimeConfig.port of s.yaml"),
    Mistake("*", "the function does not listen on its port", saw="FunctionNotStarted",
            likely="listen on 0.0.0.0 and on the port in FC_SERVER_PORT"),
    Mistake("*", "the indentation of s.yaml is wrong", saw=r"s\.yaml line \d+: (expected <block end>|mapping values)",
            likely="lines of the same level start in the same column, two spaces for each level"),
    Mistake("*", "a package that the program imports is missing", log=r"ModuleNotFoundError: No module named",
            likely="add it to requirements.txt, and install it"),
]
