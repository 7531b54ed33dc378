"""The load generator's pure parts: packets, plans, delays, accounts and the search for the highest rate."""

from __future__ import annotations

import json
from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deploy.proof import load
from deploy.proof.accounting import compare
from deploy.proof.delays import Progress
from edge.plan import HISTORY, Plan
from weir import wire
from weir.errors import SetupError
from weir.readings import Reading, parse_data

START = 1_795_431_817_920
plans = st.builds(
    Plan,
    site=st.just("load"),
    rate=st.sampled_from([0.5, 7.0, 333.3, 1000.0, 4000.0]),
    seconds=st.sampled_from([0.5, 2.0]),
    sensors=st.integers(4, 60),
    start=st.just(START),
    metrics=st.integers(1, 5),
    spiky=st.integers(0, 3),
    spike_every=st.just(5),
    payload=st.sampled_from(["json", "array"]),
)


def published(plan: Plan, parts: int) -> dict[str, list[Reading]]:
    """What a bridge makes of all that the plan's parts publish, by sensor."""
    found: dict[str, list[Reading]] = defaultdict(list)
    for part in range(parts):
        messages = [*plan.back_fill(part, parts)]
        for tick in range(plan.ticks):
            messages += plan.messages(tick, part, parts)
        for topic, payload in messages:
            _, site, sensor, leaf = topic[2:].decode().split("/")
            assert (site, leaf) == ("load", "data")
            found[sensor] += parse_data(site, sensor, payload, START + 1_000_000)
    return found


@settings(deadline=None)
@given(plans, st.integers(1, 3))
def test_what_is_published_is_what_is_expected_to_the_value_however_many_processes_publish(
    plan: Plan, parts: int
) -> None:
    found = published(plan, parts)
    assert sum(map(len, found.values())) == plan.total
    for number, name in enumerate(plan.names):
        readings = found[name]
        assert [one.ts for one in readings] == plan.expected(number).tolist()
        values = [[one.metrics[metric] for metric in plan.metric_names] for one in readings]
        assert values == plan.values(number).tolist()
        assert [one.seq for one in readings if not one.hist] == list(range(len(plan.times(number))))


@settings(deadline=None)
@given(plans)
def test_no_sensor_has_two_readings_of_one_time_and_none_is_ahead_of_its_tick(plan: Plan) -> None:
    for sensor in range(plan.sensors):
        assert (np.diff(plan.expected(sensor)) > 0).all()
    assert plan.due(plan.ticks) == plan.live


@settings(deadline=None)
@given(plans, st.integers(2, 3))
def test_the_parts_of_a_tick_add_up(plan: Plan, parts: int) -> None:
    for tick in range(plan.ticks):
        assert sum(plan.due_of(tick, part, parts) for part in range(parts)) == plan.due_of(tick, 0, 1)


def test_a_plan_that_cannot_be_accounted_for_is_refused() -> None:
    with pytest.raises(SetupError, match="more --sensors"):
        Plan("load", 5000, 10, 4, START).check()


@given(st.lists(st.tuples(st.integers(1, 65535), st.booleans(), st.binary(max_size=300)), max_size=8), st.data())
def test_packets_are_read_back_however_the_stream_is_cut(
    wanted: list[tuple[int, bool, bytes]], data: st.DataObject
) -> None:
    stream = b"".join(wire.publish(wire.text("weir/a/b/data"), *_swap(one)) for one in wanted)
    parser, packets = wire.Parser(), []
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        packets += parser.feed(stream[:size])
        stream = stream[size:]
    topic = wire.text("weir/a/b/data")
    assert [body for _, body in packets] == [topic + mid.to_bytes(2, "big") + b"\0" + load for mid, _, load in wanted]


def _swap(one: tuple[int, bool, bytes]) -> tuple[int, bytes, bool]:
    return one[0], one[2], one[1]


@given(
    st.sampled_from([0x30, 0x32, 0x3A, 0x33]), st.binary(max_size=200), st.binary(max_size=60), st.integers(1, 65535)
)
def test_what_a_broker_publishes_is_read_with_or_without_properties(
    head: int, payload: bytes, properties: bytes, mid: int
) -> None:
    id_bytes = mid.to_bytes(2, "big") if head & 6 else b""
    body = wire.text("weir/a/b/data") + id_bytes + wire.varint(len(properties)) + properties + payload
    assert wire.received(head, body) == (b"weir/a/b/data", mid if head & 6 else 0, payload)


@given(st.sampled_from([0x30, 0x32]), st.binary(max_size=40))
def test_any_bytes_are_a_publish_or_a_protocol_error(head: int, body: bytes) -> None:
    try:
        topic, mid, payload = wire.received(head, body)
    except wire.ProtocolError:
        return
    assert len(topic) + len(payload) < len(body) and mid <= 65535


def test_a_message_sent_again_is_marked_and_otherwise_the_same() -> None:
    packet = wire.publish(wire.text("t"), 7, b"x")
    assert wire.again(packet)[0] == packet[0] | 8
    assert wire.again(packet)[1:] == packet[1:]


def test_the_brokers_receive_maximum_is_found_among_its_other_properties() -> None:
    properties = (
        b"\x22\x00\x0a" + b"\x12" + wire.text("id") + b"\x26" + wire.text("k") + wire.text("v") + b"\x21\x4e\x20"
    )
    assert wire.receive_maximum(b"\0\0" + bytes([len(properties)]) + properties) == 20_000
    assert wire.receive_maximum(b"\0\0\0") == 65_535
    with pytest.raises(wire.ProtocolError, match="0x87"):
        wire.receive_maximum(b"\0\x87\0")


def test_a_stage_that_stands_still_makes_everything_late_that_was_due_meanwhile() -> None:
    plan = Plan("load", 10, 2, 1, START)
    progress = Progress(plan, [0])
    times = plan.times(0)
    progress.seen("s00000", int(times[9]), float(times[9]) + 500)
    assert len(progress.delays) == 10
    assert progress.delays.summary()["max"] == 500 + times[9] - times[0]
    assert not progress.complete()
    progress.seen("s00000", int(times[-1]), float(times[-1]))
    assert progress.complete()


def rows_of(plan: Plan, sensor: int) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    return {m: (plan.expected(sensor), plan.values(sensor)[:, i]) for i, m in enumerate(plan.metric_names)}


def test_every_reading_is_accounted_for_lost_wrong_or_unknown() -> None:
    plan = Plan("load", 10, 5, 2, START, spiky=1)
    rows = rows_of(plan, 0)
    count = len(plan.expected(0))
    assert count == 25 + HISTORY
    assert compare(plan, 0, rows).stored == count
    ts, values = rows["humidity"]
    rows["humidity"] = (np.delete(ts, 3), np.delete(values, 3))
    changed = values.copy()
    changed[10] += 1
    rows["battery"] = (ts, rows["battery"][1] + (np.arange(count) == 10))
    rows["temperature"] = (np.append(ts, START - 10**9), np.append(rows["temperature"][1], 1.0))
    found = compare(plan, 0, rows)
    assert (found.stored, found.lost, found.wrong, found.unknown) == (count - 2, 1, 1, 1)
    assert compare(plan, 0, {}).lost == count


@given(st.integers(200, 12_000))
def test_the_ramp_ends_close_below_what_the_stack_can_do(limit: int) -> None:
    tried = load.ramp(1000.0, lambda rate: rate <= limit)
    held = max((rate for rate, ok in tried if ok), default=0.0)
    assert held <= limit
    if limit >= 1000:
        assert held >= 0.8 * limit
    assert len(tried) <= 10


def test_a_result_is_json_with_the_promised_names() -> None:
    names = {"published", "acknowledged", "stored", "dead_lettered", "duplicate", "lost", "achieved_rate",
             "latency_ms", "cpu_s", "rss_mb", "bytes_per_point"}  # fmt: skip
    found = load.Result(compare(Plan("l", 1, 1, 1, START), 0, {}), 1, 1, 0, 0, 1.0, 0.0, 0, 0, {}, {}, {}, None)
    assert names <= set(json.loads(json.dumps(found.as_dict())))
    assert found.lost == 1
