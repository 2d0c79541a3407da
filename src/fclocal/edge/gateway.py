"""The public side of the platform: a port for each HTTP trigger and each custom domain."""

import errno

from fclocal.core.errors import FcError
from fclocal.core.model import Certificate
from fclocal.core.request import Entry
from fclocal.edge.listener import Listener
from fclocal.runtime.requests.engine import Engine
from fclocal.runtime.state.certificates import Certificates, server_context

FIRST_PORT = 9443
_TRIES = 1000


class Gateway:
    """Opens and closes the ports of triggers and custom domains."""

    def __init__(self, engine: Engine, certificates: Certificates) -> None:
        self._engine = engine
        self._certificates = certificates
        self._listeners: dict[Entry, Listener] = {}
        self._retired: list[Listener] = []

    async def open(self, entry: Entry, preferred: int | None = None) -> int:
        """Open a port for `entry`, `preferred` or the next free one, and return it.

        Raises FcError ResourceThrottled if no port is free.
        """
        if entry.kind == "domain":
            self._certificates.add([entry.name])
        listener = Listener(self._engine, entry, self._certificates.context)
        first = preferred or FIRST_PORT
        for port in range(first, min(first + _TRIES, 65536)):
            try:
                await listener.open(port)
            except OSError as error:
                if error.errno in (errno.EADDRINUSE, errno.EACCES):
                    continue
                raise FcError("ResourceThrottled", reason=f"no port for {entry.name}: {error}") from None
            self._listeners[entry] = listener
            return port
        raise FcError("ResourceThrottled", reason=f"no free port from {first} upwards")

    def certify(self, entry: Entry, certificate: Certificate | None) -> None:
        """Serve `entry` with its own certificate, or with the local authority's (None), from the next handshake on."""
        self._listeners[entry].context = (self._certificates.context if certificate is None
                                          else server_context(certificate.certificate, certificate.private_key))

    async def close(self, entry: Entry | None = None) -> None:
        """Close the port of `entry`, whose requests under way are still answered; or end all ports and connections.

        Tunnels are the engine's to end.
        """
        if entry is None:
            for listener in (*self._listeners.values(), *self._retired):
                listener.close()
            self._listeners.clear()
        elif (closed := self._listeners.pop(entry, None)) is not None:
            closed.retire()
            self._retired = [listener for listener in (*self._retired, closed) if listener.busy]
