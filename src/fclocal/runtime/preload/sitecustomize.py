"""Loaded by every Python function before its own code: a function port of its own for each instance.

In the cloud an instance has its port to itself; here instances share a machine. A bind to the configured port goes
to the instance's own port, on loopback only. Binds and listens are told to the platform, which need not poll then.
A program that binds below Python is not seen here: it reads FC_SERVER_PORT.
"""

import os
import socket
import sys
import weakref
from importlib.machinery import PathFinder
from importlib.util import module_from_spec

_HERE = __file__.rpartition("/")[0]
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}


def _tell(ready, what, host, port):
    try:
        pipe = os.open(ready, os.O_WRONLY | os.O_NONBLOCK)
    except OSError:
        return  # nobody waits any more
    try:
        os.write(pipe, f"{what} {host} {port}\n".encode())
    finally:
        os.close(pipe)


def _install(configured, own, ready):
    bind, listen = socket.socket.bind, socket.socket.listen
    asked = weakref.WeakKeyDictionary()

    def mapped_bind(self, address):
        if self.family not in (socket.AF_INET, socket.AF_INET6) or self.type != socket.SOCK_STREAM \
                or address[1] not in (configured, own):
            return bind(self, address)
        host = address[0] or "0.0.0.0"
        loopback = _EVERYWHERE.get(host, host)
        if host == "::":
            if self.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY):
                host = "[::]"  # 0.0.0.0 does not follow from it
            else:
                loopback = "::ffff:127.0.0.1"  # one socket for both families
        result = bind(self, (loopback, own, *address[2:]))
        asked[self] = host
        _tell(ready, "bind", host, own)  # for servers that listen below Python, as uvloop's do
        return result

    def told_listen(self, *backlog):
        result = listen(self, *backlog)
        if self.family in (socket.AF_INET, socket.AF_INET6):
            host, port = self.getsockname()[:2]
            _tell(ready, "listen", asked.get(self, host), port)
        return result

    socket.socket.bind, socket.socket.listen = mapped_bind, told_listen


def _next_sitecustomize():
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
