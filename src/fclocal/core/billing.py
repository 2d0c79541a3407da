"""From usage to an invoice: compute units, prices, minimum, and the text that people read.

    bill(meter(records, "echo")).text()

A bill is a pure function of usage, prices and the moment, so a second computation or a replay gives the same bill.
An amount that the service does not document is a guess, and stands on a line of its own that says so.
"""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from fclocal.core.prices import Currency, Tariff, tariff
from fclocal.core.retention import QUIET_SHARE
from fclocal.core.usage import Earlier, Hour, Size, Span, Usage

WIDTH = 76
SHOWN_SPANS = 40


@dataclass(frozen=True, slots=True)
class Line:
    """One unit of the bill: `amount` x `factor` = `cu`. `guessed`: the service documents this only in part."""

    unit: str
    amount: Decimal
    factor: Decimal
    guessed: bool = False

    @property
    def cu(self) -> Decimal:
        return self.amount * self.factor


@dataclass(frozen=True, slots=True)
class Charges:
    """The charges of functions. Money in `currency`, seconds and bytes otherwise.

    `spans`: the billed intervals in order of time; `earlier`: the sums of older ones. `cu`: compute units, each
    function's hour rounded up to a whole one. `cost`: their price. `raised`: the amount added to reach the minimum
    per function and hour (None: no minimum is documented in this currency), in `hours` such hours.
    """

    functions: tuple[str, ...]
    spans: tuple[Span, ...]
    earlier: Earlier
    sizes: tuple[tuple[Size, int], ...]
    lines: tuple[Line, ...]
    tail_as_active: Decimal
    cu: int
    cost: Decimal
    raised: Decimal | None
    hours: int
    bytes_in: int
    bytes_out: int
    unbilled: tuple[tuple[str, int], ...]
    notes: tuple[str, ...]
    tariff: Tariff

    @property
    def currency(self) -> Currency:
        return self.tariff.currency

    @property
    def seconds(self) -> float:
        """Billed seconds of all instances, serving requests."""
        return (self.earlier.ms + sum(span.ms for span in self.spans)) / 1000

    @property
    def requests(self) -> int:
        """Billed requests."""
        return self.earlier.requests + sum(span.requests for span in self.spans)

    @property
    def total(self) -> Decimal:
        """The amount to be paid."""
        return self.cost + (self.raised or 0)

    def text(self) -> str:
        """The bill as an invoice, plain ASCII, at most 76 columns."""
        parts = [_head(self), _spans(self) if self.requests else [_nothing(self)],
                 _units(self) if self.hours else [], _money(self), _remarks(self)]
        return "\n\n".join("\n".join(part) for part in parts if part) + "\n"

    def wire(self) -> dict[str, Any]:
        """The bill as one JSON object, for programs."""
        return {
            "functions": list(self.functions), "seconds": self.seconds, "requests": self.requests,
            "spans": [{"instance": span.instance, "begin": span.begin, "end": span.end, "billedMs": span.ms,
                       "requests": span.requests, "running": span.running} for span in self.spans],
            "earlier": {"spans": self.earlier.spans, "billedMs": self.earlier.ms, "requests": self.earlier.requests},
            "units": [{"unit": line.unit, "amount": float(line.amount), "factor": float(line.factor),
                       "cu": float(line.cu), "guessed": line.guessed} for line in self.lines],
            "cu": self.cu, "currency": self.currency, "cost": float(self.cost),
            "minimum": None if self.raised is None else float(self.raised),
            "traffic": {"bytesIn": self.bytes_in, "bytesOut": self.bytes_out},
            "total": float(self.total),
            "notBilled": [{"reason": reason, "requests": count} for reason, count in self.unbilled],
            "notes": list(self.notes),
            "prices": {"source": self.tariff.source, "date": self.tariff.dated.isoformat(),
                       "note": f"check the current price: {self.tariff.check}"},
        }


def bill(usages: Sequence[Usage], *, currency: Currency = "CNY", now: float | None = None) -> Charges:
    """Return the bill of what `meter` counted, at the prices of `now` (default: of the newest span).

    Traffic is counted and not priced: the service bills it as another product. Raises ValueError for a currency
    without prices.
    """
    spans = tuple(sorted((span for usage in usages for span in usage.spans),
                         key=lambda span: (span.begin_us, span.instance)))
    prices = tariff(currency, now if now is not None else max((span.end for span in spans), default=0.0))
    cu, cost, raised, hours = _priced(usages, prices)
    unbilled: Counter[str] = sum((usage.unbilled for usage in usages), Counter())
    sizes: Counter[Size] = Counter()
    for usage in usages:
        for fleet in usage.fleets:
            sizes[fleet.size] += fleet.instances
    return Charges(
        functions=tuple(usage.function for usage in usages), spans=spans, earlier=_earlier(usages),
        sizes=tuple(sorted(sizes.items(), key=repr)),
        lines=_lines(_sum(hour for usage in usages for hour in usage.hours.values()), prices),
        tail_as_active=sum((_cpu(hour.tail_cpu) for usage in usages for hour in usage.hours.values()), Decimal(0)),
        cu=cu, cost=cost, raised=raised, hours=hours, bytes_in=sum(usage.bytes_in for usage in usages),
        bytes_out=sum(usage.bytes_out for usage in usages), unbilled=tuple(sorted(unbilled.items())),
        notes=tuple(note for usage in usages for note in usage.notes), tariff=prices)


def compute_units(hour: Hour, prices: Tariff) -> Decimal:
    """Return the CUs of one function's hour, not rounded."""
    return sum((line.cu for line in _lines(hour, prices)), Decimal(0))


def _cpu(product: int) -> Decimal:
    return Decimal(product) / 100_000


def _gb(product: int) -> Decimal:
    return Decimal(product) / 1_024_000


def _lines(hour: Hour, prices: Tariff) -> tuple[Line, ...]:
    factors = prices.factors
    always = (
        Line("vCPU-seconds, active", _cpu(hour.cpu), factors["vcpu_second"]),
        Line("GB-seconds, active", _gb(hour.memory), factors["gb_second"]),
        Line("invocations", Decimal(hour.invocations), factors["invocation"]),
    )
    maybe = (
        Line("GB-seconds of disk above 512 MB, active", _gb(hour.disk), factors["disk_gb_second"]),
        Line("vCPU-seconds, background work (guess)", _cpu(hour.work_cpu), factors["vcpu_second"], True),
        Line("GB-seconds, background work (guess)", _gb(hour.work_memory), factors["gb_second"], True),
        Line("GB-seconds of disk, background (guess)", _gb(hour.work_disk), factors["disk_gb_second"], True),
        Line("GB-seconds, hibernating", _gb(hour.idle_memory + hour.tail_memory), factors["hibernating_gb_second"]),
        Line("GB-seconds of disk, hibernating", _gb(hour.idle_disk + hour.tail_disk),
             factors["hibernating_disk_gb_second"]),
    )
    return always + tuple(line for line in maybe if line.amount)


def _sum(hours: Iterable[Hour]) -> Hour:
    total = Hour()
    for hour in hours:
        for name in Hour.__slots__:
            setattr(total, name, getattr(total, name) + getattr(hour, name))
    return total


def _earlier(usages: Sequence[Usage]) -> Earlier:
    sums = [usage.earlier for usage in usages]
    return Earlier(min((one.begin_us for one in sums if one.begin_us is not None), default=None),
                   sum(one.spans for one in sums), sum(one.ms for one in sums), sum(one.requests for one in sums))


def _priced(usages: Sequence[Usage], prices: Tariff) -> tuple[int, Decimal, Decimal | None, int]:
    """Return (CU, their price, the amount added for the minimum, function-hours). Tiers start again each month."""
    total, cost, raised, month, used = 0, Decimal(0), Decimal(0), None, Decimal(0)
    ordered = sorted((number, usage.function, hour) for usage in usages for number, hour in usage.hours.items())
    for number, _, hour in ordered:
        moment = datetime.fromtimestamp(number * 3600, UTC)
        if month != (moment.year, moment.month):
            month, used = (moment.year, moment.month), Decimal(0)
        units = math.ceil(compute_units(hour, prices))
        price = prices.cost(Decimal(units), used)
        used += units
        total += units
        cost += price
        raised += max(Decimal(0), (prices.minimum or Decimal(0)) - price)
    return total, cost, None if prices.minimum is None else raised, len(ordered)


def _clock(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%H:%M:%S.%f")[:-3]


def _right(label: str, value: str) -> str:
    return f"{label:<{WIDTH - 18}}{value:>18}"


def _money_of(amount: Decimal, currency: str) -> str:
    return f"{amount:.5f} {currency}"


def _head(bill: Charges) -> list[str]:
    lines = [f"BILL  {', '.join(bill.functions) or 'no function'}"[:WIDTH]]
    if bill.spans:
        begin = bill.spans[0].begin_us if bill.earlier.begin_us is None else bill.earlier.begin_us
        first, last = (datetime.fromtimestamp(at, UTC)
                       for at in (begin / 1e6, max(span.end for span in bill.spans)))
        until = "%H:%M:%S" if first.date() == last.date() else "%Y-%m-%d %H:%M:%S"
        lines.append(f"{first:%Y-%m-%d %H:%M:%S} to {last:{until}} UTC")
    for size, count in bill.sizes:
        lines.append(f"{count} instance{'s' * (count != 1)}: {size.cpu / 100:g} vCPU, {size.memory} MB memory, "
                     f"{size.disk} MB disk, concurrency {size.concurrency}{', minimum' * size.minimum}")
    return lines


def _nothing(bill: Charges) -> str:
    return "No request reached an instance" + (": nothing was served, nothing is billed." if not bill.hours else ".")


def _spans(bill: Charges) -> list[str]:
    lines = [f"{'instance':<24}{'first in':<15}{'last out':<15}{'billed (s)':>12}{'requests':>10}"]
    unlisted = replace(bill.earlier)
    for span in bill.spans[:-SHOWN_SPANS]:
        unlisted.add(span)
    if unlisted.spans:
        lines.append(f"{f'{unlisted.spans} earlier intervals':<54}{unlisted.ms / 1000:>12.3f}{unlisted.requests:>10}")
    for span in bill.spans[-SHOWN_SPANS:]:
        end = "still running" if span.running else _clock(span.end)
        lines.append(f"{span.instance[:22]:<24}{_clock(span.begin):<15}{end:<15}{span.ms / 1000:>12.3f}"
                     f"{span.requests:>10}")
    return [*lines, f"{'sum':<54}{bill.seconds:>12.3f}{bill.requests:>10}"]


def _units(bill: Charges) -> list[str]:
    lines = [f"{'unit':<44}{'amount':>12}{'factor':>9}{'CU':>11}"]
    for line in bill.lines:
        amount = f"{line.amount:.0f}" if line.unit == "invocations" else f"{line.amount:.3f}"
        lines.append(f"{line.unit:<44}{amount:>12}{line.factor.normalize():>9f}{line.cu:>11.3f}")
    rounding = bill.cu - sum((line.cu for line in bill.lines), Decimal(0))
    lines.append(f"{'rounded up to 1 CU per function and hour':<65}{rounding:>11.3f}")
    return [*lines, f"{'compute units':<65}{bill.cu:>11}"]


def _money(bill: Charges) -> list[str]:
    each = bill.tariff.tiers[0].price
    off = f", discount {1 - bill.tariff.discount:.0%} included" if bill.tariff.discount != 1 else ""
    rate = f"at {each.normalize():f} {bill.currency}" if bill.cost == bill.cu * each else "over several price tiers"
    lines = [_right(f"{bill.cu} CU {rate}{off}", _money_of(bill.cost, bill.currency))]
    if bill.raised is None:
        lines.append("minimum per function and hour: its amount in this currency was not found")
    else:
        lines.append(_right(f"to the minimum of {bill.tariff.minimum} {bill.currency} per function and hour "
                            f"({bill.hours} h)", _money_of(bill.raised, bill.currency)))
    lines.append(f"traffic to clients, {bill.bytes_out:,} bytes: the service bills it separately")
    return [*lines, _right("TOTAL", _money_of(bill.total, bill.currency))]


def _remarks(bill: Charges) -> list[str]:
    lines = []
    if bill.unbilled:
        lines += ["not billed", *(f"  {count} x {reason}"[:WIDTH] for reason, count in bill.unbilled), ""]
    lines += bill.notes
    if bill.tail_as_active:
        lines += ["An instance is kept after its last request, for one minute or longer, and",
                  "  billed as hibernating. The service can judge that time active, which",
                  f"  would add {bill.tail_as_active:.3f} CU."]
    if any(line.guessed for line in bill.lines):
        lines += ["guess: an instance with idleTimeout works in the background while it uses",
                  f"  {QUIET_SHARE:.0%} of its vCPUs or more. The service does not publish its threshold."]
    return [*lines, f"Prices of {bill.tariff.dated}. Check the current price:", f"  {bill.tariff.check}"]
