"""The bill of a journal, through `meter` and `bill`."""

import json
import time
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from journals import START, Story, overlapping

from fclocal.core import billing
from fclocal.core.billing import Charges, compute_units
from fclocal.core.metering import Meter, meter
from fclocal.core.prices import tariff
from fclocal.core.records import KINDS, Record
from fclocal.core.usage import Hour, Usage

HOUR_START = 1_767_322_800.0 - START    # 03:00:00 UTC, before Story's first second


def bill(records, function=None, *, now=None, currency="CNY") -> Charges:
    return billing.bill(meter(records, function, now=now), now=now, currency=currency)


def amounts(story: Story, **options) -> dict[str, float]:
    return {line.unit: float(line.amount) for line in bill(story.records, **options).lines}


@pytest.mark.parity("bill.first-in-last-out", "bill.timeout")
def test_overlapping_connections_are_billed_once_from_t1_to_t4():
    charges = bill(overlapping().records)
    [span] = charges.spans
    assert (span.begin, span.end, span.requests) == (START + 1.0, START + 7.5, 2)
    assert charges.seconds == 6.5


@pytest.mark.parity("bill.open-to-close")
def test_concurrency_one_is_billed_from_open_to_close_of_each():
    story = Story()
    story.start(0, concurrency=1)
    story.connections([(1.0, 2.25), (3.0, 3.5)])
    assert [span.ms for span in bill(story.records).spans] == [1250, 500]


def test_two_instances_do_not_share_their_overlap():
    story = Story()
    for instance in ("c-1", "c-2"):
        story.start(0, instance)
        story.connections([(1.0, 3.0)], instance)
    assert bill(story.records).seconds == 4.0


@pytest.mark.parity("bill.rounded-to-1-ms")
@pytest.mark.parametrize(("length", "ms"), [(0.0010, 1), (0.0011, 2), (1.5, 1500), (1.500001, 1501), (0.0, 0)])
def test_each_span_is_rounded_up_to_a_millisecond(length, ms):
    story = Story()
    story.start(0)
    story.connections([(1.0, 1.0 + length)])
    assert [span.ms for span in bill(story.records).spans] == [ms]


@pytest.mark.parity("bill.not-billed")
@pytest.mark.parametrize(("status", "code"), [(400, "InvalidArgument"), (403, "AccessDenied"), (404, "TriggerNotFound"),
                                              (412, "FunctionNotStarted"), (429, "ResourceExhausted"),
                                              (500, "InternalServerError"), (503, "ResourceThrottled")])
def test_what_never_reached_the_function_is_named_and_costs_nothing(status, code):
    story = Story()
    story.reject(1.0, status, code)
    charges = bill(story.records)
    assert (charges.total, charges.requests) == (0, 0)
    assert charges.unbilled == ((f"{status} {code}, before the function", 1),)
    assert f"1 x {status} {code}" in charges.text()


@pytest.mark.parity("bill.cut-by-platform")
def test_a_request_the_platform_ends_with_an_error_costs_nothing_but_the_functions_own_500_does():
    story = Story()
    story.start(0)
    story.begin(1.0, "a")
    story.end(2.0, "a", status=503, code=None, why="fault")
    story.begin(3.0, "b")
    story.end(4.0, "b", status=500, code=None)
    charges = bill(story.records)
    assert charges.seconds == 1.0
    assert charges.unbilled == (("503, ended by the platform", 1),)


@pytest.mark.parity("bill.cold-start")
def test_a_start_is_not_billed():
    story = Story()
    story.start(0, seconds=30.0)
    story.connections([(30.0, 31.0)])
    assert bill(story.records).seconds == 1.0


def hook(story: Story, at: float, name: str, seconds: float) -> None:
    story.add(at, "instance.hook", "c-1", "h", hook=name, seconds=seconds, error="")


@pytest.mark.parity("bill.hooks")
def test_hooks_are_billed_like_requests_and_the_start_before_them_is_not():
    story = Story()
    story.start(0, seconds=30.0)
    hook(story, 29.0, "Initialize", 2.0)
    story.connections([(30.0, 31.0)])
    hook(story, 36.0, "PreStop", 3.0)
    story.stop(36.5, why="update")
    charges = bill(story.records)
    assert [(span.begin - START, span.ms, span.requests) for span in charges.spans] == [
        (27.0, 2000, 0), (30.0, 1000, 1), (33.0, 3000, 0)]
    assert (charges.seconds, charges.requests) == (6.0, 1)
    assert amounts(story) == {
        "vCPU-seconds, active": 2.1, "GB-seconds, active": 3.0, "invocations": 3,
        "GB-seconds, hibernating": 2 * 0.5}  # from the last request to PreStop


@pytest.mark.parity("bill.hooks")
def test_a_minimum_instance_does_not_pay_twice_for_its_hooks():
    story = Story()
    story.start(0, why="minimum", rest="active", seconds=5.0)
    hook(story, 5.0, "Initialize", 2.0)
    hook(story, 25.0, "PreStop", 10.0)
    story.stop(25.0, why="update")
    assert amounts(story)["vCPU-seconds, active"] == 7.7  # 22 s: ready at 5 s, PreStop from 15 to 25 s


@pytest.mark.parity("bill.compute-units")
def test_the_example_of_the_pricing_page():
    # 3 million invocations of 200 ms with 0.25 vCPU and 512 MB make 217,500 CU.
    prices = tariff("USD", START)
    ms = 3_000_000 * 200
    hour = Hour(cpu=ms * 25, memory=ms * 512, invocations=3_000_000)
    assert compute_units(hour, prices) == 217_500


@pytest.mark.parity("bill.rounded-to-1-cu", "bill.minimum")
def test_two_sockets_for_an_hour():
    # 0.35 vCPU, 0.5 GB, T1 to T4 = 3600 s: 1260 + 270 + 2 x 0.0075 CU in serving.
    story = Story()
    story.start(HOUR_START, seconds=0.0)
    story.connections([(HOUR_START, HOUR_START + 2000), (HOUR_START + 1000, HOUR_START + 3600)])
    charges = bill(story.records)
    serving = sum(line.cu for line in charges.lines if "hibernating" not in line.unit)
    assert serving == Decimal("1530.015")
    assert charges.cu == 1531 + 5      # the release minute falls into the next hour: 4.5 CU, rounded up there
    assert charges.hours == 2
    assert charges.cost == Decimal(1536) * Decimal("0.00011") * Decimal("0.8")     # discounted in January 2026
    assert charges.raised == Decimal("0.01") - 5 * Decimal("0.000088")             # only the second hour is below


@pytest.mark.parity("bill.disk")
def test_only_disk_above_512_mb_is_counted():
    story = Story()
    story.start(0, disk=10240)
    story.connections([(1.0, 11.0)])
    assert amounts(story)["GB-seconds of disk above 512 MB, active"] == 95.0
    assert "GB-seconds of disk above 512 MB, active" not in amounts(overlapping())


@pytest.mark.parity("bill.release-minute", "bill.release-minute-hibernating")
@pytest.mark.parametrize(("gap", "stop", "seconds"), [
    (100.0, None, 120.0),                   # two whole minutes
    (20.0, None, 80.0),                     # the next request takes over after 20 s
    (20.0, ("update", 25.0), 24.0),         # replaced 4 s after the second
    (20.0, ("idle", 25.0), 80.0),           # this machine's own idle limit is not the service's
])
def test_the_minute_after_the_last_request(gap, stop, seconds):
    story = Story()
    story.start(0)
    story.connections([(0.0, 1.0), (1.0 + gap, 1.0 + gap)])
    if stop:
        story.stop(stop[1], why=stop[0])
    charges = bill(story.records)
    [line] = [line for line in charges.lines if "hibernating" in line.unit]
    assert float(line.amount) == seconds * 0.5
    assert charges.tail_as_active == Decimal(str(seconds)) * Decimal("0.35")
    assert not line.guessed and "billed as hibernating. The service can judge that time active" in charges.text()


@pytest.mark.parity("bill.hibernating-minimum-instances")
def test_minimum_instances_hibernate_between_requests():
    story = Story()
    story.start(0, why="minimum", seconds=0.0)
    story.connections([(3.0, 5.0)])
    story.stop(17.0)
    charges = amounts(story)
    assert charges["vCPU-seconds, active"] == 0.7
    assert charges["GB-seconds, hibernating"] == (20 - 2) * 0.5      # 17 s rounded up to 20


def test_a_minimum_instance_without_requests_is_billed_too():
    story = Story()
    story.start(0, why="minimum", seconds=0.0)
    text = bill(story.records, now=START + 100).text()
    assert "No request reached an instance.\n" in text
    assert "GB-seconds, hibernating                           50.000" in text
    assert "nothing is billed" in bill([]).text()


@pytest.mark.parity("bill.minimum-active")
def test_minimum_instances_with_their_cpu_are_billed_as_active():
    story = Story()
    story.start(0, why="minimum", rest="active", seconds=0.0, disk=1024)
    story.connections([(3.0, 5.0)])
    story.stop(17.0)
    assert amounts(story) == {
        "vCPU-seconds, active": 20 * 0.35, "GB-seconds, active": 20 * 0.5, "invocations": 1,
        "GB-seconds of disk above 512 MB, active": 20 * 0.5}


@pytest.mark.parity("bill.delayed-release")
@pytest.mark.parametrize(("frozen", "following", "work", "hibernating"), [
    (11.0, None, 10.0, 290.0),      # frozen ten seconds after its request, kept for five minutes
    (None, None, 99.0, 201.0),      # it works until the moment of the bill
    (11.0, 51.0, 10.0, 40.0),       # the next request comes 50 s after the first
    (None, 51.0, 50.0, 0.0),
])
def test_with_idle_timeout_work_is_active_and_the_rest_hibernates(frozen, following, work, hibernating):
    story = Story()
    story.start(0, rest="by-cpu", seconds=0.0, disk=1024)
    story.connections([(0.0, 1.0)])
    story.add(1.0, "instance.kept", "c-1", until=START + 301.0)
    if frozen:
        story.add(frozen, "instance.frozen", "c-1")
    if following:
        story.begin(following, "next")
    charges = {line.unit: line for line in bill(story.records, now=START + 100.0).lines}
    for unit, seconds in (("vCPU-seconds, background work (guess)", work * 0.35),
                          ("GB-seconds, background work (guess)", work * 0.5),
                          ("GB-seconds of disk, background (guess)", work * 0.5)):
        assert float(charges[unit].amount) == pytest.approx(seconds) and charges[unit].guessed
    assert float(charges["GB-seconds, hibernating"].amount if hibernating else 0) == hibernating * 0.5
    text = bill(story.records, now=START + 100.0).text()
    assert text.endswith("""
guess: an instance with idleTimeout works in the background while it uses
  5% of its vCPUs or more. The service does not publish its threshold.
Prices of 2025-12-13. Check the current price:
  www.alibabacloud.com/help/en/functioncompute, page Pay-as-you-go
""")


@pytest.mark.parametrize("disk", [512, 1024])
def test_background_work_between_requests_is_added_up(disk):
    story = Story()
    story.start(0, rest="by-cpu", seconds=0.0, disk=disk)
    for begin in (0.0, 11.0):
        story.connections([(begin, begin + 1.0)])
        story.add(begin + 6.0, "instance.frozen", "c-1")
    charged = amounts(story, now=START + 20.0)
    assert charged["vCPU-seconds, background work (guess)"] == 10 * 0.35
    assert charged["GB-seconds, background work (guess)"] == 10 * 0.5
    assert charged.get("GB-seconds of disk, background (guess)", 0) == 10 * (disk - 512) / 1024


def test_requests_that_touch_are_one_span():
    story = Story()
    story.start(0)
    story.connections([(1.0, 2.0), (2.0, 3.0)])
    assert [(span.ms, span.requests) for span in bill(story.records).spans] == [(2000, 2)]


def test_a_request_in_the_moment_the_last_one_ends_begins_the_wait_anew():
    story = Story()
    story.start(0, rest="by-cpu", seconds=0.0)
    story.connections([(0.0, 1.0)])
    story.add(1.0, "instance.frozen", "c-1")
    story.add(1.0, "instance.kept", "c-1", until=START + 301.0)
    story.begin(1.0, "moment")
    story.end(1.0, "moment")
    story.add(11.0, "instance.frozen", "c-1")
    charged = amounts(story, now=START + 400.0)
    assert charged["GB-seconds, background work (guess)"] == 10 * 0.5
    assert charged["GB-seconds, hibernating"] == 50 * 0.5


@pytest.mark.parity("bill.disk-hibernating")
def test_the_disk_of_an_instance_that_hibernates_is_billed():
    story = Story()
    story.start(0, disk=10240)
    story.connections([(1.0, 2.0)])
    [line] = [line for line in bill(story.records).lines if line.unit == "GB-seconds of disk, hibernating"]
    assert (float(line.amount), float(line.cu)) == (60 * 9.5, 60 * 9.5 * 0.05)


@pytest.mark.parity("bill.sessions")
@pytest.mark.parametrize(("until", "seconds"), [(1802.0, 1800.0), (32.0, 60.0)])
def test_an_instance_kept_by_its_sessions_hibernates_until_the_last_one_ends(until, seconds):
    story = Story()
    story.start(0)
    story.connections([(1.0, 2.0)])
    story.add(2.0, "instance.kept", "c-1", until=START + until)
    assert amounts(story)["GB-seconds, hibernating"] == seconds * 0.5


@pytest.mark.parity("bill.tiers")
def test_tiers_are_reached_by_what_the_month_has_behind_it():
    prices = tariff("CNY", 1_795_000_000)
    assert prices.cost(Decimal(10), used=Decimal(199_999_995)) == Decimal("0.00105")
    assert prices.cost(Decimal(1), used=Decimal(2_000_000_000)) == Decimal("0.00009")


@pytest.mark.parity("bill.traffic")
def test_traffic_is_counted_and_not_priced():
    story = Story()
    story.start(0)
    story.begin(1.0, "a")
    story.end(2.0, "a", received=1000, sent=2**30)
    assert bill(story.records).wire()["traffic"] == {"bytesIn": 1000, "bytesOut": 2**30}
    assert "1,073,741,824 bytes: the service bills it separately" in bill(story.records).text()


def test_the_bill_of_all_functions_adds_up_what_each_has():
    story = Story()
    for number, function in enumerate(("a", "b", "c"), 1):
        story.function = function
        story.start(number, f"c-{number}")
        story.begin(number + 0.2, f"r-{number}", f"c-{number}")
        story.end(number + 0.3, f"r-{number}", f"c-{number}", received=10**number, sent=2 * 10**number)
        story.begin(number + 0.4, f"s-{number}", f"c-{number}")
        story.end(number + 0.5, f"s-{number}", f"c-{number}", status=503, why="fault")
    charges = bill(story.records).wire()
    assert charges["functions"] == ["a", "b", "c"]
    assert charges["traffic"] == {"bytesIn": 1110, "bytesOut": 2220}
    assert charges["notBilled"] == [{"reason": "503, ended by the platform", "requests": 3}]


def test_what_still_runs_is_counted_until_now():
    story = Story()
    story.start(0)
    story.begin(1.0, "a")
    charges = bill(story.records, now=START + 6.0)
    assert (charges.seconds, charges.spans[0].running) == (5.0, True)
    assert "still running" in charges.text()
    assert not any("hibernating" in line.unit for line in charges.lines)


@pytest.mark.parametrize("ending", ["instance", "platform", "killed"])
def test_a_request_without_end_ends_with_its_instance_or_its_platform(ending):
    story = Story()
    story.start(0)
    story.begin(1.0, "a")
    story.add(4.0, "log", "c-1", stream="stdout", text="the last sign of life")
    match ending:
        case "instance":
            story.stop(4.0, why="exit")
        case "platform":
            story.add(4.0, "platform.stopped")
        case "killed":
            story.add(90.0, "platform.started", version="1", pid=1)
    [span] = bill(story.records, now=START + 100).spans
    assert (span.ms, span.running) == (3000, False)


def test_functions_are_kept_apart_and_added_up():
    one, two = overlapping(), Story("other")
    two.start(0, "d-1")
    two.connections([(1.0, 2.0)], "d-1")
    records = one.records + two.records
    assert bill(records, "other").seconds == 1.0
    assert bill(records).seconds == bill(records, "echo").seconds + 1.0
    assert bill(records).functions == ("echo", "other")


def test_a_size_that_is_not_in_the_records_is_said_to_be_assumed():
    story = Story()
    story.connections([(1.0, 2.0)])
    assert "The start of c-1 is not in these records" in bill(story.records).text()


def test_an_unknown_currency_is_refused_by_name():
    with pytest.raises(ValueError, match="no prices in 'XYZ'; there are prices in CNY, USD"):
        bill([], currency="XYZ")


@pytest.mark.parametrize("currency", ["CNY", "USD"])
def test_the_invoice_is_ascii_in_76_columns_and_asks_to_check_the_price(currency):
    story = overlapping()
    story.start(3.0, "c-" + "9" * 40, disk=10240, why="minimum")
    story.connections([(4.0 + n, 4.5 + n) for n in range(60)], "c-" + "9" * 40)
    story.reject(5.0, 429, "ResourceExhausted")
    text = bill(story.records, currency=currency).text()
    assert text.isascii()
    assert max(map(len, text.splitlines())) <= 76
    assert "Check the current price" in text
    assert "21 earlier intervals" in text


def eventful() -> list[Record]:
    """Return a journal with every line that a bill can have."""
    story = Story()
    story.start(0.0, "c-1", concurrency=2)
    story.connections([(1.0, 3.0), (2.0, 4.25)], "c-1")
    story.start(5.0, "c-2", cpu=2.0, memory=4096, disk=10240, concurrency=20)
    story.begin(6.0, "cut", "c-2")
    story.end(6.5, "cut", "c-2", status=503, code=None, why="fault")
    story.connections([(7.0, 7.0005)], "c-2")
    story.stop(20.0, "c-2", why="update")
    story.start(30.0, "c-3", why="minimum", seconds=0.0, disk=1024)
    story.connections([(31.0, 33.5)], "c-3")
    story.reject(40.0, 429, "ResourceExhausted")
    story.reject(41.0, 429, "ResourceExhausted")
    story.begin(60.0, "open", "c-1")
    story.begin(62.0, "sent", "c-3")
    story.end(63.0, "sent", "c-3", sent=1_234_567)
    story.connections([(64.0, 65.0)], "c-9")
    return story.records


INVOICE = """\
BILL  echo
2026-01-02 03:04:06 to 03:05:15 UTC
1 instance: 2 vCPU, 4096 MB memory, 10240 MB disk, concurrency 20
1 instance: 0.35 vCPU, 512 MB memory, 1024 MB disk, concurrency 2, minimum
1 instance: 0.35 vCPU, 512 MB memory, 512 MB disk, concurrency 1
1 instance: 0.35 vCPU, 512 MB memory, 512 MB disk, concurrency 2

instance                first in       last out         billed (s)  requests
c-1                     03:04:06.000   03:04:09.250          3.250         2
c-2                     03:04:12.000   03:04:12.000          0.001         1
c-3                     03:04:36.000   03:04:38.500          2.500         1
c-1                     03:05:05.000   still running        10.000         1
c-3                     03:05:07.000   03:05:08.000          1.000         1
c-9                     03:05:09.000   03:05:10.000          1.000         1
sum                                                         17.751         7

unit                                              amount   factor         CU
vCPU-seconds, active                               6.214        1      6.214
GB-seconds, active                                 8.879     0.15      1.332
invocations                                            7   0.0075      0.052
GB-seconds of disk above 512 MB, active            1.760     0.05      0.088
GB-seconds, hibernating                          128.125     0.15     19.219
GB-seconds of disk, hibernating                  141.750     0.05      7.088
rounded up to 1 CU per function and hour                               0.007
compute units                                                             34

34 CU at 0.000088 CNY, discount 20% included                     0.00299 CNY
to the minimum of 0.01 CNY per function and hour (1 h)           0.00701 CNY
traffic to clients, 1,234,567 bytes: the service bills it separately
TOTAL                                                            0.01000 CNY

not billed
  2 x 429 ResourceExhausted, before the function
  1 x 503, ended by the platform

The start of c-9 is not in these records: counted as 0.35 vCPU, 512 MB.
An instance is kept after its last request, for one minute or longer, and
  billed as hibernating. The service can judge that time active, which
  would add 66.512 CU.
Prices of 2025-12-13. Check the current price:
  www.alibabacloud.com/help/en/functioncompute, page Pay-as-you-go
"""


def test_the_invoice_line_by_line():
    assert bill(eventful(), now=START + 70).text() == INVOICE


def test_the_invoice_is_in_utc_wherever_the_machine_is(monkeypatch):
    monkeypatch.setenv("TZ", "Asia/Shanghai")
    time.tzset()
    try:
        assert bill(eventful(), now=START + 70).text() == INVOICE
    finally:
        monkeypatch.undo()
        time.tzset()


def test_the_prices_are_those_of_the_moment_else_of_the_newest_span():
    usages = meter(overlapping().records)
    assert billing.bill(usages).tariff.discount == Decimal("0.8")
    assert billing.bill(usages, now=1_795_000_000).tariff.discount == 1


def test_the_invoice_in_usd_has_no_minimum_and_no_discount():
    text = bill(eventful(), now=START + 70, currency="USD").text()
    assert [line for line in text.splitlines() if line not in INVOICE.splitlines()] == [
        "34 CU at 0.00002 USD                                             0.00068 USD",
        "minimum per function and hour: its amount in this currency was not found",
        "TOTAL                                                            0.00068 USD",
        "Prices of 2024-11-19. Check the current price:",
    ]


def test_an_invoice_over_midnight_names_both_days():
    story = Story()
    story.start(0)
    story.connections([(1.0, 90_000.0)])
    assert bill(story.records).text().splitlines()[1] == "2026-01-02 03:04:06 to 2026-01-03 04:04:05 UTC"


def test_every_remark_of_an_invoice_is_kept():
    story = Story()
    story.reject(0.0, 429, "ResourceExhausted")
    story.begin(0.0, "lost", "c-9")
    story.end(1.0, "lost", "c-9")
    story.start(2.0, rest="by-cpu", seconds=0.0)
    story.connections([(2.0, 3.0)])
    story.add(3.0, "instance.kept", "c-1", until=START + 303.0)
    remarks = bill(story.records, now=START + 100.0).text().partition("TOTAL")[2].splitlines()[1:]
    assert [line.partition(" ")[0] for line in remarks if line and line[0] != " "] == [
        "not", "The", "An", "guess:", "Prices"]


def test_a_long_name_of_an_instance_is_cut_to_its_column():
    story = Story()
    story.start(0.0, "c-" + "0123456789" * 3)
    story.connections([(1.0, 2.0)], "c-" + "0123456789" * 3)
    assert f"\n{'c-01234567890123456789':<24}03:04:06.000 " in bill(story.records).text()


def test_an_invoice_without_a_function_or_a_request():
    assert bill([]).text().splitlines()[:3] == [
        "BILL  no function", "", "No request reached an instance: nothing was served, nothing is billed."]
    assert bill([], "echo").text().splitlines()[0] == "BILL  echo"
    assert "compute units" not in bill([]).text()


def test_only_the_newest_spans_are_listed_and_the_sums_count_all():
    story = Story()
    story.start(0)
    story.connections([(number, number + 0.25) for number in range(45)])
    kept = Meter(listed=42)
    for record in story.records:
        kept.take(record)
    kept.compact()
    kept.usages["echo"].limit(41)
    charges = billing.bill(kept.at())
    lines = charges.text().splitlines()
    assert lines[1] == "2026-01-02 03:04:05 to 03:04:49 UTC"
    first = lines.index("instance                first in       last out         billed (s)  requests")
    assert lines[first + 1] == f"{'5 earlier intervals':<54}{'1.250':>12}{5:>10}"
    assert lines[first + 2].split() == ["c-1", "03:04:10.000", "03:04:10.250", "0.250", "1"]
    assert lines[first + 42] == f"{'sum':<54}{'11.250':>12}{45:>10}"
    wire = charges.wire()
    assert (len(wire["spans"]), wire["earlier"]) == (42, {"spans": 3, "billedMs": 750, "requests": 3})
    assert (wire["seconds"], wire["requests"]) == (11.25, 45)


def test_instances_of_one_size_are_counted_together():
    story = Story()
    for instance in ("c-1", "c-2"):
        story.start(0, instance)
        story.connections([(1.0, 2.0)], instance)
    other = Story("other")
    other.start(0, "d-1")
    charges = billing.bill([*meter(story.records), *meter(other.records)])
    assert "3 instances: 0.35 vCPU, 512 MB memory, 512 MB disk, concurrency 2\n" in charges.text()


def test_what_the_bill_of_two_functions_adds_up():
    one, two = Story(), Story("other")
    one.start(0)
    one.begin(1.0, "a")
    one.end(2.0, "a", sent=10)
    two.start(0, "d-1", cpu=1.0)
    two.begin(1.5, "b", "d-1")
    two.end(2.0, "b", "d-1", sent=5)
    charges = bill(sorted(one.records + two.records, key=lambda record: record.at))
    apart = [bill(story.records) for story in (one, two)]
    assert charges.functions == ("echo", "other") and charges.bytes_out == 15
    assert charges.text().startswith("BILL  echo, other\n")
    for name in ("cu", "cost", "raised", "hours", "total", "tail_as_active", "seconds", "requests"):
        assert getattr(charges, name) == sum(getattr(part, name) for part in apart)
    assert [float(line.amount) for line in charges.lines] == [
        sum(float(part.lines[number].amount) for part in apart) for number in range(len(charges.lines))]


@pytest.mark.parity("bill.tiers")
def test_earlier_hours_use_the_tiers_of_a_month_and_the_next_month_starts_again():
    prices = tariff("CNY", 1_795_000_000)
    first, second = prices.tiers[0], prices.tiers[1]
    month = Usage("echo", hours={number: Hour(cpu=first.up_to * 100_000) for number in (498_700, 498_701)})
    charges = billing.bill([month], now=1_795_000_000)
    assert charges.cost == first.up_to * (first.price + second.price)
    assert "CU over several price tiers  " in charges.text()
    third = Usage("echo", hours={number: Hour(cpu=first.up_to * 50_000) for number in range(498_700, 498_704)})
    assert billing.bill([third], now=1_795_000_000).cost == first.up_to * (first.price + second.price)
    months = Usage("echo", hours={number: Hour(cpu=first.up_to * 100_000) for number in (498_700, 498_700 + 24 * 31)})
    assert billing.bill([months], now=1_795_000_000).cost == 2 * first.up_to * first.price


@pytest.mark.parity("bill.tiers")
@pytest.mark.parametrize("zone", ["UTC", "Asia/Shanghai", "America/New_York"])
@given(month=st.integers(1, 12))
def test_tiers_start_again_with_the_month_in_utc(zone, month):
    prices = tariff("CNY", 1_795_000_000)
    first, second = prices.tiers[:2]
    number = int(datetime(2026, month, 1, tzinfo=UTC).timestamp()) // 3600

    def cost(*hours: int) -> Decimal:
        usage = Usage("echo", hours={hour: Hour(cpu=first.up_to * 100_000) for hour in hours})
        return billing.bill([usage], now=1_795_000_000).cost

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", zone)
        time.tzset()
        try:
            assert cost(number - 1, number) == 2 * first.up_to * first.price
            assert cost(number, number + 1) == first.up_to * (first.price + second.price)
        finally:
            patch.undo()
            time.tzset()


def test_wire_is_json_with_the_same_total():
    charges = bill(overlapping().records)
    wire = json.loads(json.dumps(charges.wire()))
    assert wire["total"] == float(charges.total)
    assert wire["spans"] == [{"instance": "c-1", "begin": START + 1.0, "end": START + 7.5, "billedMs": 6500,
                              "requests": 2, "running": False}]
    assert "check the current price" in wire["prices"]["note"]


def test_wire_has_every_amount_of_the_invoice():
    charges = bill(eventful(), now=START + 70)
    wire = charges.wire()
    assert {name: value for name, value in wire.items() if name not in ("spans", "units", "prices")} == {
        "functions": ["echo"], "seconds": 17.751, "requests": 7,
        "earlier": {"spans": 0, "billedMs": 0, "requests": 0}, "cu": charges.cu, "currency": "CNY",
        "cost": float(charges.cost), "minimum": float(charges.raised), "traffic": {"bytesIn": 0, "bytesOut": 1_234_567},
        "total": 0.01, "notBilled": [{"reason": "429 ResourceExhausted, before the function", "requests": 2},
                                     {"reason": "503, ended by the platform", "requests": 1}],
        "notes": ["The start of c-9 is not in these records: counted as 0.35 vCPU, 512 MB."]}
    assert [span["running"] for span in wire["spans"]] == [False, False, False, True, False, False]
    assert wire["units"][0] == {"unit": "vCPU-seconds, active", "amount": 6.2145, "factor": 1.0,
                                "cu": 6.2145, "guessed": False}
    assert [unit["guessed"] for unit in wire["units"]] == [False] * 6
    assert set(wire["prices"]) == {"source", "date", "note"} and wire["prices"]["date"] == "2025-12-13"
    assert "functioncompute" in wire["prices"]["source"]
    assert bill(eventful(), now=START + 70, currency="USD").wire()["minimum"] is None


# What holds for every journal. Times in whole milliseconds, so that sums are exact.
INTERVALS = st.lists(st.tuples(st.integers(0, 20_000), st.integers(0, 5_000)), min_size=1, max_size=30)


def journal(intervals: list[tuple[int, int]], instances: int = 1) -> list[Record]:
    story = Story()
    for number in range(instances):
        story.start(0, f"c-{number}", concurrency=100)
    for number, (begin, length) in enumerate(intervals):
        instance = f"c-{number % instances}"
        story.begin(begin / 1000, f"r{number}", instance)
        story.end((begin + length) / 1000, f"r{number}", instance)
    return story.in_order()


@given(INTERVALS)
def test_billed_time_lies_between_the_longest_connection_and_the_sum(intervals):
    ms = sum(span.ms for span in bill(journal(intervals)).spans)
    assert max(length for _, length in intervals) <= ms <= sum(length for _, length in intervals)


@given(INTERVALS, st.integers(1, 4))
def test_billed_time_is_the_measure_of_the_union_per_instance(intervals, instances):
    covered = {(number % instances, ms) for number, (begin, length) in enumerate(intervals)
               for ms in range(begin, begin + length)}
    assert sum(span.ms for span in bill(journal(intervals, instances)).spans) == len(covered)


@given(st.integers(-20_000, 20_000), st.integers(0, 10_000_000))
def test_an_hour_that_ends_in_between_changes_no_amount(offset, length):
    begin = HOUR_START + 3600 + offset / 1000
    story = Story()
    story.start(begin, cpu=1.0, memory=1024)
    story.connections([(begin, begin + length / 1000)])
    units = amounts(story)
    assert units["vCPU-seconds, active"] == units["GB-seconds, active"] == length / 1000


@given(INTERVALS, st.data())
def test_splitting_a_connection_never_makes_it_cheaper(intervals, data):
    which = data.draw(st.integers(0, len(intervals) - 1))
    begin, length = intervals[which]
    cut = data.draw(st.integers(0, length))
    split = [*intervals[:which], (begin, cut), (begin + cut, length - cut), *intervals[which + 1:]]
    whole, parts = bill(journal(intervals)), bill(journal(split))
    assert sum(span.ms for span in parts.spans) == sum(span.ms for span in whole.spans)
    assert parts.total >= whole.total


@given(INTERVALS)
def test_a_replay_gives_the_same_bill(intervals):
    records = journal(intervals)
    replayed = [Record.from_wire(record.wire()) for record in records]
    assert bill(replayed).text() == bill(records).text() == bill(records).text()


def test_every_kind_of_record_may_occur():
    story = Story()
    for kind, facts in KINDS.items():
        data = {fact: {"why": "done", "rest": "active", "seconds": 0}.get(fact, 1) for fact in facts}
        story.records.append(Record(len(story.records), START, kind, "echo", "c-1", "r-1", data))
    assert bill(story.records).seconds == 0
