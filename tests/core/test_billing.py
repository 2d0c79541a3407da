"""The bill of a journal, through `meter` and `bill`."""

import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from journals import START, Story, overlapping

from fclocal.core import billing
from fclocal.core.billing import Bill, compute_units
from fclocal.core.metering import Hour, meter
from fclocal.core.prices import tariff
from fclocal.core.records import KINDS, Record

HOUR_START = 1_767_322_800.0 - START    # 03:00:00 UTC, before Story's first second


def bill(records, function=None, *, now=None, currency="CNY") -> Bill:
    return billing.bill(meter(records, function, now=now), now=now, currency=currency)


def amounts(story: Story, **options) -> dict[str, float]:
    return {line.unit: float(line.amount) for line in bill(story.records, **options).lines}


@pytest.mark.parity("bill.first-in-last-out", "bill.timeout")
def test_overlapping_connections_are_billed_once_from_t1_to_t4():
    made = bill(overlapping().records)
    [span] = made.spans
    assert (span.begin, span.end, span.requests) == (START + 1.0, START + 7.5, 2)
    assert made.seconds == 6.5


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
                                              (429, "ResourceExhausted"), (503, "ResourceThrottled")])
def test_what_never_reached_the_function_is_named_and_costs_nothing(status, code):
    story = Story()
    story.reject(1.0, status, code)
    made = bill(story.records)
    assert (made.total, made.requests) == (0, 0)
    assert made.unbilled == ((f"{status} {code}, before the function", 1),)
    assert f"1 x {status} {code}" in made.text()


@pytest.mark.parity("bill.cut-by-platform")
def test_a_request_the_platform_ends_with_an_error_costs_nothing_but_the_functions_own_500_does():
    story = Story()
    story.start(0)
    story.begin(1.0, "a")
    story.end(2.0, "a", status=503, code=None, why="fault")
    story.begin(3.0, "b")
    story.end(4.0, "b", status=500, code=None)
    made = bill(story.records)
    assert made.seconds == 1.0
    assert made.unbilled == (("503, ended by the platform", 1),)


@pytest.mark.parity("bill.cold-start")
def test_a_start_is_not_billed():
    story = Story()
    story.start(0, seconds=30.0)
    story.connections([(30.0, 31.0)])
    assert bill(story.records).seconds == 1.0


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
    made = bill(story.records)
    serving = sum(line.cu for line in made.lines if not line.guessed)
    assert serving == Decimal("1530.015")
    assert made.cu == 1531 + 5      # the release minute falls into the next hour: 4.5 CU, rounded up there
    assert made.hours == 2
    assert made.cost == Decimal(1536) * Decimal("0.00011") * Decimal("0.8")     # discounted in January 2026
    assert made.raised == Decimal("0.01") - 5 * Decimal("0.000088")             # only the second hour is below


@pytest.mark.parity("bill.disk")
def test_only_disk_above_512_mb_is_counted():
    story = Story()
    story.start(0, disk=10240)
    story.connections([(1.0, 11.0)])
    assert amounts(story)["GB-seconds of disk above 512 MB"] == 95.0
    assert "GB-seconds of disk above 512 MB" not in amounts(overlapping())


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
    made = bill(story.records)
    [line] = [line for line in made.lines if line.guessed]
    assert float(line.amount) == seconds * 0.5
    assert made.tail_as_active == Decimal(str(seconds)) * Decimal("0.35")
    assert "guess: an instance stays one minute" in made.text()


@pytest.mark.parity("bill.hibernating-minimum-instances")
def test_minimum_instances_hibernate_between_requests():
    story = Story()
    story.start(0, why="minimum", seconds=0.0)
    story.connections([(3.0, 5.0)])
    story.stop(17.0)
    made = amounts(story)
    assert made["vCPU-seconds, serving requests"] == 0.7
    assert made["GB-seconds, minimum instances hibernating"] == (20 - 2) * 0.5      # 17 s rounded up to 20
    assert not any("release" in unit for unit in made)


def test_a_minimum_instance_that_nobody_calls_is_billed_too():
    story = Story()
    story.start(0, why="minimum", seconds=0.0)
    text = bill(story.records, now=START + 100).text()
    assert "No request reached an instance.\n" in text
    assert "GB-seconds, minimum instances hibernating         50.000" in text
    assert "nothing is billed" in bill([]).text()


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
    story.end(2.0, "a", sent=2**30)
    assert bill(story.records).wire()["traffic"] == {"bytesIn": 0, "bytesOut": 2**30}
    assert "1,073,741,824 bytes: the service bills it separately" in bill(story.records).text()


def test_what_still_runs_is_counted_until_now():
    story = Story()
    story.start(0)
    story.begin(1.0, "a")
    made = bill(story.records, now=START + 6.0)
    assert (made.seconds, made.spans[0].running) == (5.0, True)
    assert "still running" in made.text()
    assert not any(line.guessed for line in made.lines)


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


def test_wire_is_json_with_the_same_total():
    made = bill(overlapping().records)
    wire = json.loads(json.dumps(made.wire()))
    assert wire["total"] == float(made.total)
    assert wire["spans"][0]["billedMs"] == 6500
    assert "check the current price" in wire["prices"]["note"]


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
    assert units["vCPU-seconds, serving requests"] == units["GB-seconds, serving requests"] == length / 1000


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
        data = {fact: "done" if fact == "why" else 1 for fact in facts}
        story.records.append(Record(len(story.records), START, kind, "echo", "c-1", "r-1", data))
    assert bill(story.records).seconds == 0
