"""A port for a server that a test starts."""

from fclocal.runtime.instances import ports


def free_port() -> int:
    """Return a free port outside the range of clients' ports, so that no client takes it before the server does."""
    with ports.reserve() as reservation:
        return int(reservation.getsockname()[1])
