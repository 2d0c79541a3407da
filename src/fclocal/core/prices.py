"""The price of a CU: the rows of prices.toml and their arithmetic.

Amounts are `Decimal`, so that the order of additions does not change a bill.
"""

import tomllib
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from importlib import resources
from typing import Any, Literal

Currency = Literal["CNY", "USD"]


@dataclass(frozen=True, slots=True)
class Tier:
    """The `price` of each CU of one month up to `up_to` (None: of all further CUs)."""

    up_to: int | None
    price: Decimal


@dataclass(frozen=True, slots=True)
class Tariff:
    """The prices of one currency on one day.

    `discount` is the factor that `tiers` already contain (1: none). `minimum` is the lowest price of a
    function per hour of use, None where no amount is documented. `source` and `dated`: the page, and its date.
    """

    currency: Currency
    factors: dict[str, Decimal]
    tiers: tuple[Tier, ...]
    discount: Decimal
    minimum: Decimal | None
    source: str
    dated: date
    check: str

    def cost(self, cu: Decimal, used: Decimal = Decimal(0)) -> Decimal:
        """Return the price of `cu` more CUs in a month in which `used` CUs were used before."""
        total = Decimal(0)
        for tier in self.tiers:
            room = cu if tier.up_to is None else min(cu, max(Decimal(0), tier.up_to - used))
            total += room * tier.price
            cu -= room
            used += room
        return total


def _table() -> dict[str, Any]:
    return tomllib.loads(resources.files(__package__).joinpath("prices.toml").read_text(encoding="utf-8"))


def tariff(currency: Currency, at: float) -> Tariff:
    """Return the prices in `currency` at the time `at` (seconds since 1970). Raises ValueError for another currency."""
    table = _table()
    rows = [row for row in table["tier"] if row["currency"] == currency]
    if not rows:
        known = sorted({row["currency"] for row in table["tier"]})
        raise ValueError(f"no prices in {currency!r}; there are prices in {', '.join(known)}")
    day = datetime.fromtimestamp(at, UTC).date()
    discount = next((Decimal(row["factor"]) for row in table["discount"]
                     if row["currency"] == currency and row["since"] <= day <= row["until"]), Decimal(1))
    minimum = next((Decimal(row["price"]) for row in table["minimum"] if row["currency"] == currency), None)
    return Tariff(
        currency=currency,
        factors={name: Decimal(value) for name, value in table["factors"].items() if name not in ("source", "date")},
        tiers=tuple(Tier(row["up_to"] or None, Decimal(row["price"]) * discount) for row in rows),
        discount=discount, minimum=minimum, source=rows[0]["source"], dated=rows[0]["date"], check=table["check"])
