"""Give each instance of a Python function a port of its own; loaded before the function's code.

In the cloud an instance has port 9000 to itself; here instances share a machine. A bind to the configured port uses
the instance's own port, on loopback only. Each bind and listen is reported to the platform, so it need not poll.
A program that binds below Python does not pass here: it must read FC_SERVER_PORT.
"""

import os
import socket
import sys
import weakref
from importlib.machinery import PathFinder
from importlib.util import module_from_spec
from typing import Any

_HERE = __file__.rpartition("/")[0]
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}


def _report(ready: str, what: str, host: str, port: int) -> None:
    try:
        pipe = os.open(ready, os.O_WRONLY | os.O_NONBLOCK)
        try:
            os.write(pipe, f"{what} {host} {port}\n".encode())
        finally:
            os.close(pipe)
    except OSError:
        return  # the platform does not wait any more


def _install(configured: int, own: int, ready: str) -> None:
    bind, listen = socket.socket.bind, socket.socket.listen
    asked: weakref.WeakKeyDictionary[socket.socket, str] = weakref.WeakKeyDictionary()

    def mapped_bind(self: socket.socket, address: Any) -> None:
        if self.family not in (socket.AF_INET, socket.AF_INET6) or self.type != socket.SOCK_STREAM \
                or address[1] not in (configured, own):
            bind(self, address)
            return
        host = address[0] or "0.0.0.0"
        loopback = _EVERYWHERE.get(host, host)
        if host == "::":
            if self.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY):
                host = "[::]"  # 0.0.0.0 does not follow from it
            else:
                loopback = "::ffff:127.0.0.1"  # one socket for both families
        bind(self, (loopback, own, *address[2:]))
        asked[self] = host
        _report(ready, "bind", host, own)  # for servers that listen below Python, as uvloop's do

    def reported_listen(self: socket.socket, *backlog: int) -> None:
        listen(self, *backlog)
        if self.family in (socket.AF_INET, socket.AF_INET6):
            host, port = self.getsockname()[:2]
            _report(ready, "listen", asked.get(self, host), port)

    setattr(socket.socket, "bind", mapped_bind)  # noqa: B010 - to type checkers these are not for assignment
    setattr(socket.socket, "listen", reported_listen)  # noqa: B010


def _next_sitecustomize() -> None:
    """Load the sitecustomize that this one hides, if the function or the system has one."""
    sys.path[:] = [entry for entry in sys.path if entry != _HERE]
    spec = PathFinder.find_spec("sitecustomize", sys.path)
    if spec is not None and spec.loader is not None:
        module = module_from_spec(spec)
        sys.modules["sitecustomize"] = module
        spec.loader.exec_module(module)


if "FCLOCAL_PORTS" in os.environ:
    _configured, _own = os.environ["FCLOCAL_PORTS"].split(":")
    _install(int(_configured), int(_own), os.environ["FCLOCAL_READY"])
_next_sitecustomize()
