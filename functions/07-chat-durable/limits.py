"""Limits for all connections from one source address. The limits of one connection are in protocol.py."""

import ipaddress
from collections import OrderedDict

from websockets.datastructures import Headers

import protocol

ADDRESSES = 10_000  # addresses that are remembered


def source(headers: Headers) -> str:
    """Return the client's address, or "" when there is no gateway.

    Each gateway appends the address of its own client to x-forwarded-for, and a client can send the first entries
    itself. So the last public address is the client's.
    """
    entries = [entry.strip() for value in headers.get_all("x-forwarded-for") for entry in value.split(",")]
    for entry in reversed(entries):
        try:
            if ipaddress.ip_address(entry).is_global:
                return entry
        except ValueError:
            break
    return entries[-1] if entries else ""


class Limits:
    """How much each source address may still do."""

    def __init__(self) -> None:
        self._addresses: OrderedDict[str, tuple[protocol.Rate, protocol.Rate]] = OrderedDict()

    def join(self, address: str, now: float) -> bool:
        """Count a join; return False above the limit."""
        return not address or self._of(address, now)[0].take(now)

    def message(self, address: str, now: float) -> bool:
        """Count a message; return False above the limit."""
        return not address or self._of(address, now)[1].take(now)

    def _of(self, address: str, now: float) -> tuple[protocol.Rate, protocol.Rate]:
        if address not in self._addresses:
            self._addresses[address] = (protocol.Rate(protocol.JOIN_RATE, protocol.JOIN_BURST, now),
                                        protocol.Rate(protocol.ADDRESS_RATE, protocol.ADDRESS_BURST, now))
        self._addresses.move_to_end(address)
        if len(self._addresses) > ADDRESSES:
            self._addresses.popitem(last=False)
        return self._addresses[address]
