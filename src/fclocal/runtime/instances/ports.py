"""TCP ports for programs that bind them themselves: the servers of instances, and Redis."""

import random
import socket

from fclocal.core.errors import FcError

RANGE = range(20_000, 32_768)  # below the range from which the system takes ports of clients
_ATTEMPTS = 1000


def reserve() -> socket.socket:
    """Return a UDP socket on a port whose TCP number is free; close it once the program listens.

    The program needs the TCP port only. Until the socket is closed, no other platform on this machine reserves the
    same number. Raises FcError ResourceThrottled when no port is free.
    """
    for _ in range(_ATTEMPTS):
        port = random.choice(RANGE)
        reservation = socket.socket(type=socket.SOCK_DGRAM)
        try:
            reservation.bind(("", port))
            with socket.socket() as probe:
                probe.bind(("", port))
        except OSError:
            reservation.close()
        else:
            return reservation
    raise FcError("ResourceThrottled", reason=f"no free port between {RANGE.start} and {RANGE.stop - 1}")
