"""Names that the platform gives to requests, instances and hook calls.

The forms are the service's: request `1-<8 hex of the time>-<8 hex>-<12 hex>`, instance `c-<8 hex of the time>-<24
hex>` (both seen in public samples), hook calls UUIDs. Random bytes come from the caller, so this stays pure.
"""

from uuid import UUID

# The one account and region that fclocal stands for.
ACCOUNT_ID = "1234567890123456"
REGION = "cn-hangzhou"


def request_id(now: float, random: bytes) -> str:
    """Return the id of a request that arrived at `now` (seconds since 1970); `random` holds at least 10 bytes."""
    digits = random.hex()
    return f"1-{int(now):08x}-{digits[:8]}-{digits[8:20]}"


def instance_id(now: float, random: bytes) -> str:
    """The id of an instance created at `now` (seconds since 1970); `random` gives at least 12 bytes."""
    return f"c-{int(now):08x}-{random.hex()[:24]}"


def hook_id(random: bytes) -> str:
    """The id of a hook call; `random` gives 16 bytes."""
    return str(UUID(bytes=random[:16], version=4))
