"""The meter: sums that do not depend on how a journal is divided, and a brute-force count of the same journal."""

import copy
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from journals import START, Story
from pydantic import TypeAdapter

from fclocal.core.metering import Meter, MeteredInstance, meter, micros
from fclocal.core.records import Record
from fclocal.core.usage import ASSUMED, Fleet, Hour, Size, Span, Usage

JSON = TypeAdapter(Meter)
STOPS = ("idle", "update", "shutdown", "exit")
ENDS = ((101, "done"), (503, "fault"), (200, "client"), (429, "instance"), (500, "function"))

# (milliseconds to wait, event, instance, a number to choose with)
HISTORIES = st.lists(
    st.tuples(st.integers(0, 90_000) | st.integers(0, 20), st.sampled_from(
        ["begin", "begin", "begin", "end", "end", "end", "keep", "freeze", "reject", "stop", "restart", "kill"]),
        st.integers(0, 2), st.integers(0, 60)), max_size=50)


def journal(history) -> list[Record]:
    """Return the records of a history.

    Instance 1 has more disk and works in the background until it is frozen, instance 2 is a minimum instance.
    """
    story, run, at, number = Story(), 0, 0.0, 0
    started: dict[str, list[str]] = {}
    for wait, event, index, pick in history:
        at = round(at + wait / 1000, 3)
        instance = f"c-{run}-{index}"
        if event in ("restart", "kill"):
            if event == "restart":
                story.add(at, "platform.stopped")
            story.add(at, "platform.started", version="1", pid=1)
            started.clear()
            run += 1
            continue
        if instance not in started:
            story.start(at, instance, concurrency=20, disk=1024 if index == 1 else 512,
                        why="minimum" if index == 2 else "request", seconds=0.0,
                        rest="by-cpu" if index == 1 else "hibernating")
            started[instance] = []
        requests = started[instance]
        if event == "begin" and requests != ["stopped"]:
            number += 1
            requests.append(f"r-{number}")
            story.begin(at, requests[-1], instance)
        elif event == "end" and requests and requests != ["stopped"]:
            status, why = ENDS[pick % len(ENDS)]
            story.end(at, requests.pop(pick % len(requests)), instance, status=status, why=why, received=2 * pick,
                      sent=pick)
        elif event == "keep" and not requests:
            story.add(at, "instance.kept", instance, until=START + at + 3 * pick)
        elif event == "freeze" and not requests:
            story.add(at, "instance.frozen", instance)
        elif event == "reject":
            story.reject(at, 429, "ResourceExhausted")
        elif event == "stop" and requests != ["stopped"]:
            story.stop(at, instance, why=STOPS[pick % len(STOPS)])
            started[instance] = ["stopped"]
    return story.records


def amounts(usages: list[Usage]) -> list[object]:
    """Return all amounts of usages; all spans, listed or not, as one sum."""
    return [(usage.function, usage.hours, sorted(map(str, usage.fleets)), usage.bytes_in, usage.bytes_out,
             usage.unbilled, usage.notes, usage.earlier.spans + len(usage.spans),
             usage.earlier.ms + sum(span.ms for span in usage.spans),
             usage.earlier.requests + sum(span.requests for span in usage.spans)) for usage in usages]


@given(HISTORIES, st.integers(1, 4), st.integers(1, 10), st.integers(0, 200_000))
def test_sums_do_not_depend_on_compaction_storage_or_the_spans_that_are_listed(history, listed, every, later):
    records = journal(history)
    now = START + 5_000 + later / 1000
    kept = Meter(listed=listed)
    for number, record in enumerate(records):
        kept.take(record)
        if not number % every:
            kept.compact()
            kept = JSON.validate_json(JSON.dump_json(kept))
            assert all(len(usage.spans) <= listed for usage in kept.usages.values())
    whole = meter(records, now=now)
    assert amounts(kept.at(now)) == amounts(whole)
    for usage in whole:
        assert usage.spans == sorted(usage.spans, key=lambda span: (span.begin_us, span.instance))


@given(HISTORIES, st.integers(0, 49))
def test_reading_the_usage_changes_nothing(history, cut):
    records = journal(history)
    read, unread = Meter(), Meter()
    for number, record in enumerate(records):
        read.take(record)
        unread.take(record)
        if number == cut:
            before = copy.deepcopy(read)
            first = read.at(START + 9_000)
            assert read == before and read.at(START + 9_000) == first
    assert read == unread


@given(HISTORIES)
def test_the_usage_of_one_function_is_its_part_of_all(history):
    records = journal(history)
    other = [record._replace(function="other", instance=record.instance and f"o{record.instance}")
             if record.function else record for record in records]
    mixed = [record for pair in zip(records, other, strict=True)
             for record in (pair if pair[0].function else pair[:1])]
    kept = Meter()
    for record in mixed:
        kept.take(record)
    usages = {usage.function: usage for usage in kept.at()}
    assert list(usages) == sorted(usages)
    for name in ("echo", "other"):
        expected = [usages.get(name, Usage(name))]
        assert amounts(kept.at(function=name)) == amounts(meter(mixed, name)) == amounts(expected)
    assert amounts(meter(records, "echo")) == amounts([usages.get("echo", Usage("echo"))])


@given(HISTORIES)
def test_the_sums_are_those_of_a_count_millisecond_by_millisecond(history):
    records = [record._replace(data={**record.data, "rest": "hibernating"}) if record.kind == "instance.starting"
               else record for record in journal(history) if record.kind not in ("instance.kept", "instance.frozen")]
    now = round(max((record.at for record in records), default=START) + 100, 3)
    expected = Counter[str]()
    for instance in {record.instance for record in records if record.instance}:
        expected += count(records, instance, now)
    for usage in meter(records, now=now):
        sums = Counter[str]()
        for hour in usage.hours.values():
            sums += Counter({name: getattr(hour, name) for name in Hour.__slots__})
        assert sums == expected


def count(records: list[Record], instance: str, now: float) -> Counter[str]:
    """Return the amounts of one instance, counted from sets of milliseconds."""
    def ms(at: float) -> int:
        return round((at - START) * 1000)

    mine = [record for record in records if record.instance == instance]
    start = next(record for record in mine if record.kind == "instance.starting")
    stop = next((record for record in mine if record.kind == "instance.stopped"), None)
    end = ms(stop.at) if stop else ms(now)
    for position, record in enumerate(records):
        if stop is None and record.kind.startswith("platform.") and record.seq > start.seq:
            end = ms(record.at if record.kind == "platform.stopped" else records[position - 1].at)
            break
    alive = stop is None and end == ms(now)
    served: set[int] = set()
    intervals = []
    for begin in (record for record in mine if record.kind == "request.begin"):
        done = next((record for record in mine if record.kind == "request.end" and record.request == begin.request),
                    None)
        if done is None or (done.data["status"], done.data["why"]) not in ((503, "fault"), (429, "instance")):
            intervals.append((ms(begin.at), ms(done.at) if done else max(ms(begin.at), end), done is None and alive))
            served |= set(range(*intervals[-1][:2]))
    tail: set[int] = set()
    for _, last, running in intervals:
        if any(begin <= last < other for begin, other, _ in intervals):
            continue  # another request goes on
        limit = last + (0 if running else 60_000)
        followed = any(begin > last for begin, _, _ in intervals)
        if stop is not None and stop.data["why"] in ("update", "exit") and not followed:
            limit = min(limit, max(last, end))
        following = min((begin for begin, _, _ in intervals if begin > last), default=limit)
        tail |= set(range(last, min(limit, following)))
    size = start.data
    cpu, memory, disk = round(size["cpu"] * 100), size["memorySize"], max(0, size["diskSize"] - 512)
    amounts = Counter({"cpu": len(served) * cpu, "memory": len(served) * memory, "disk": len(served) * disk,
                       "invocations": len(intervals)})
    if size["why"] == "minimum":
        life = end - ms(start.at)
        idle = life - len(served & set(range(ms(start.at), end))) + -life % 10_000
        amounts += Counter({"idle_memory": idle * memory, "idle_disk": idle * disk})
    else:
        amounts += Counter({"tail_cpu": len(tail) * cpu, "tail_memory": len(tail) * memory,
                            "tail_disk": len(tail) * disk})
    return amounts


def test_spans_beyond_the_limit_become_sums_of_the_oldest():
    usage = Usage("echo", spans=[Span("c-1", micros(begin), micros(begin + 1.5), 2, False) for begin in (30, 10, 20)])
    usage.limit(2)
    assert [span.begin for span in usage.spans] == [20, 30]
    assert (usage.earlier.begin_us, usage.earlier.spans, usage.earlier.ms, usage.earlier.requests) == (
        10_000_000, 1, 1500, 2)
    usage.limit(1)
    assert (usage.earlier.begin_us, usage.earlier.spans, usage.earlier.ms, usage.earlier.requests) == (
        10_000_000, 2, 3000, 4)
    usage.limit(1)
    assert [span.begin for span in usage.spans] == [30]


def test_instances_are_counted_by_their_size():
    usage = Usage("echo")
    large = Size(200, 4096, 512, 20, True)
    for size in (ASSUMED, large, ASSUMED):
        usage.count(size)
    assert usage.fleets == [Fleet(ASSUMED, 2), Fleet(large, 1)] and usage.instances == 3


def test_a_long_connection_keeps_the_stretches_that_it_may_join():
    story = Story()
    story.start(0)
    story.begin(1.0, "long")
    for number in range(5):
        story.begin(2.0 + number, f"r-{number}")
        story.end(2.5 + number, f"r-{number}")
    story.end(10.0, "long", status=503, why="fault")
    kept = Meter()
    for record in story.records[:-1]:
        kept.take(record)
    kept.compact()
    assert len(kept.instances["c-1"].stretches) == 5 and not kept.usages["echo"].spans
    kept.take(story.records[-1])
    kept.compact()
    assert [span.ms for span in kept.usages["echo"].spans] == [500] * 4, "the last one may still grow"
    assert not any(span.running for span in kept.usages["echo"].spans)
    assert [span.ms for span in kept.at()[0].spans] == [500] * 5


def test_an_instance_that_has_stopped_is_counted_and_forgotten():
    for why in ("request", "minimum"):
        story = Story()
        story.start(0, why=why, disk=1024)
        story.connections([(1.0, 2.0), (3.0, 4.0)])
        story.stop(17.0, why="update")
        kept = Meter()
        for record in story.records:
            kept.take(record)
        before = kept.at()
        kept.compact()
        assert kept.instances == {} and kept.at() == before == meter(story.records)
        assert not any(span.running for span in kept.usages["echo"].spans)


@pytest.mark.parametrize(("after", "hours"), [(-1_000_000, 1), (0, 1), (1, 2), (2, 2), (1_000_000, 2)])
def test_the_last_step_of_a_minimum_instance_belongs_to_the_hour_of_its_last_moment(after, hours):
    end = -(-START // 3600) * 3600 - START + after / 1e6
    story = Story()
    story.start(end - 13, why="minimum", seconds=0.0)
    story.stop(end, why="update")
    [usage] = meter(story.records)
    last = usage.hours[max(usage.hours)]
    assert len(usage.hours) == hours and sum(hour.idle_memory for hour in usage.hours.values()) == 20_000 * 512
    assert last.idle_memory >= 7_000 * 512


def test_a_long_request_is_divided_at_each_full_hour():
    full = -(-START // 3600) * 3600 - START
    story = Story()
    story.start(full - 601, seconds=0.0)
    story.begin(full - 600, "long")
    story.end(full + 3600 + 300, "long")
    [usage] = meter(story.records)
    assert [hour.cpu // 35 for _, hour in sorted(usage.hours.items())] == [600_000, 3_600_000, 300_000]


@pytest.mark.parametrize("instance", ["c-1", "c-2"])
def test_the_end_of_a_request_whose_begin_is_not_in_the_journal_counts_nothing(instance):
    story = Story()
    story.start(0.0)
    story.begin(1.0, "known")
    story.end(2.0, "unknown", instance, received=7)
    story.end(3.0, "known")
    [usage] = meter(story.records)
    assert [(span.ms, span.requests) for span in usage.spans] == [(2000, 1)] and usage.bytes_in == 0


def test_a_hook_is_counted_with_the_size_of_its_instance():
    story = Story()
    story.start(0.0, cpu=1.0, memory=1024, seconds=0.0)
    story.add(2.0, "instance.hook", "c-1", hook="Initializer", seconds=1.0, error="")
    [usage] = meter(story.records)
    [hour] = usage.hours.values()
    assert (hour.cpu, hour.memory) == (1000 * 100, 1000 * 1024)
    assert [(span.ms, span.requests, span.running) for span in usage.spans] == [(1000, 0, False)]


def test_an_instance_of_a_journal_without_its_rest_hibernates():
    story = Story()
    story.start(0.0)
    del story.records[0].data["rest"]
    story.connections([(1.0, 2.0)])
    [usage] = meter(story.records)
    assert [hour.tail_memory for hour in usage.hours.values()] == [60_000 * 512]


def test_a_copy_of_a_usage_shares_nothing():
    usage = Usage("echo", spans=[Span("c-1", 0, 1, 1, False)], hours={1: Hour(cpu=1)}, fleets=[Fleet(ASSUMED, 1)],
                  bytes_in=1, unbilled=Counter(a=1), notes=["a"])
    before = copy.deepcopy(usage)
    other = usage.copy()
    assert other == usage
    other.limit(1)
    other.earlier.add(Span("c-1", 0, 1, 1, False))
    other.spans.clear()
    other.hour(1).cpu += 1
    other.hour(2)
    other.count(ASSUMED)
    other.unbilled["a"] += 1
    other.notes.append("b")
    assert usage == before


def test_a_copy_of_an_instance_shares_nothing():
    instance = MeteredInstance("echo", open={"r-1": 1}, stretches=[(1, 2, 1)], kept={2: 3}, frozen={2: 4})
    other = instance.copy()
    assert other == instance
    for field in ("open", "stretches", "kept", "frozen"):
        getattr(other, field).clear()
    assert instance == MeteredInstance("echo", open={"r-1": 1}, stretches=[(1, 2, 1)], kept={2: 3}, frozen={2: 4})


def test_the_meter_compacts_by_itself_after_10_000_records():
    story = Story()
    story.start(0)  # two records
    story.connections([(number, number + 0.5) for number in range(10_000)])
    kept = Meter(listed=10)
    for record in story.records[:9_999]:
        kept.take(record)
    assert len(kept.instances["c-1"].stretches) == 4_998 and not kept.usages["echo"].spans
    kept.take(story.records[9_999])
    assert len(kept.instances["c-1"].stretches) == 1, "the last one may still grow"
    assert len(kept.usages["echo"].spans) == 10
    for record in story.records[10_000:]:
        kept.take(record)
    assert (kept.taken, len(kept.instances["c-1"].stretches)) == (20_002, 2)
    [usage] = kept.at()
    assert usage.earlier.spans + len(usage.spans) == 10_000


def test_traffic_and_requests_that_are_not_billed_are_added_up():
    story = Story()
    story.start(0)
    for number, (status, why) in enumerate([(101, "done"), (503, "fault"), (503, "fault"), (503, "fault"),
                                            (429, "instance")], 1):
        story.begin(number, f"r-{number}")
        story.end(number + 0.5, f"r-{number}", status=status, why=why, received=10 ** number, sent=2 * 10 ** number)
    story.reject(6.0, 403, "AccessDenied")
    story.reject(7.0, 403, "AccessDenied")
    [usage] = meter(story.records)
    assert (usage.bytes_in, usage.bytes_out) == (111_110, 222_220)
    assert usage.unbilled == {"503, ended by the platform": 3, "429, ended by the platform": 1,
                              "403 AccessDenied, before the function": 2}
    assert sum(span.requests for span in usage.spans) == 1
