"""Sparkplug B: the messages of the specification (chapter 6), sequence gaps, rebirths, deaths, and round trips."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_apps.decoders.base import RefusedAsking
from stream_apps.decoders.sparkplug import Options, Sparkplug
from stream_apps.decoders.sparkplug_wire import Payload, parse_payload
from weir.errors import Reason, Refused
from weir.readings import Birth, Metric

AT = 1_486_144_502_122
RX = AT + 50
GROUP, EDGE, DEVICE = "Sparkplug B Devices", "Raspberry Pi", "Pibrella"
INT8, INT16, INT32, INT64, UINT8, UINT64, FLOAT, DOUBLE, BOOLEAN, STRING = 1, 2, 3, 4, 5, 8, 9, 10, 11, 12
FIELDS = {INT64: "long_value", UINT64: "long_value", FLOAT: "float_value", DOUBLE: "double_value"}
FIELDS |= {BOOLEAN: "boolean_value", STRING: "string_value"}


def payload(*metrics: dict[str, Any], seq: int | None = 0, timestamp: int = AT) -> bytes:
    """A payload; a metric's `value` goes to the field of its `type`, which stays out of the metric when `plain`."""
    message = Payload(timestamp=timestamp)
    if seq is not None:
        message.seq = seq
    for given_ in metrics:
        metric = dict(given_)
        kind = metric.pop("type")
        value = metric.pop("value", None)
        unit = metric.pop("unit", None)
        if not metric.pop("plain", False):
            metric["datatype"] = kind
        if value is not None:
            metric[FIELDS.get(kind, "int_value")] = value
        added = message.metrics.add(**{"timestamp": timestamp, **metric})
        if unit is not None:
            added.properties.keys.append("engUnit")
            added.properties.values.add(type=STRING, string_value=unit)
    return bytes(message.SerializeToString())


def topic(kind: str) -> str:
    return f"spBv1.0/{GROUP}/{kind}/{EDGE}" + (f"/{DEVICE}" if kind[0] == "D" else "")


def refused(decoder: Sparkplug, where: str, data: bytes, rx: int = RX) -> Refused:
    with pytest.raises(Refused) as refusal:
        decoder.decode(where, data, rx)
    return refusal.value


# The specification's NBIRTH (Payloads, NBIRTH)
NBIRTH = payload(
    {"name": "bdSeq", "type": UINT64, "value": 0},
    {"name": "Node Control/Reboot", "type": BOOLEAN, "value": False},
    {"name": "Node Control/Rebirth", "type": BOOLEAN, "value": False},
    {"name": "Node Control/Next Server", "type": BOOLEAN, "value": False},
    {"name": "Node Control/Scan Rate", "type": INT64, "value": 3000},
    {"name": "Properties/Hardware Make", "type": STRING, "value": "Raspberry Pi"},
    {"name": "Properties/OS", "type": STRING, "value": "Raspbian"},
    {"name": "Supply Voltage", "type": FLOAT, "value": 12.5, "alias": 7, "unit": "V"},
)
# Its DBIRTH, shortened; the aliases are ours
DBIRTH = payload(
    {"name": "Inputs/A", "type": BOOLEAN, "value": False, "alias": 1},
    {"name": "Inputs/Button", "type": BOOLEAN, "value": False, "alias": 2},
    {"name": "Outputs/LEDs/Green", "type": BOOLEAN, "value": False, "alias": 3},
    {"name": "Properties/Hardware Make", "type": STRING, "value": "Pibrella"},
    seq=1,
)


def born() -> Sparkplug:
    decoder = Sparkplug()
    decoder.decode(topic("NBIRTH"), NBIRTH, RX)
    decoder.decode(topic("DBIRTH"), DBIRTH, RX)
    return decoder


def test_a_node_is_born_with_its_values_and_without_its_controls() -> None:
    decoded = Sparkplug().decode(topic("NBIRTH"), NBIRTH, RX)
    site, sensor = "sparkplug_b_devices", "raspberry_pi"
    metrics = {"supply_voltage": Metric("V")}
    assert decoded.births == [(site, sensor, Birth(kind="sparkplug", metrics=metrics, name="Raspberry Pi"))]
    assert decoded.states == [(site, sensor, "online")]
    assert [(r.site, r.sensor, r.ts, r.metrics) for r in decoded.readings] == [
        (site, sensor, AT, {"supply_voltage": 12.5})
    ]
    assert (decoded.requests, decoded.stamped) == ([], 0)


def test_a_device_is_a_sensor_of_its_own() -> None:
    decoder = Sparkplug()
    decoder.decode(topic("NBIRTH"), NBIRTH, RX)
    decoded = decoder.decode(topic("DBIRTH"), DBIRTH, RX)
    assert decoded.readings[0].sensor == "raspberry_pi_pibrella"
    assert decoded.readings[0].metrics == {"inputs_a": 0.0, "inputs_button": 0.0, "outputs_leds_green": 0.0}
    assert decoded.births[0][2].name == "Pibrella"


def test_data_comes_by_name_or_by_alias() -> None:
    decoder = born()
    by_name = payload({"name": "Supply Voltage", "type": FLOAT, "value": 12.25}, seq=2)
    assert decoder.decode(topic("NDATA"), by_name, RX).readings[0].metrics == {"supply_voltage": 12.25}
    by_alias = payload(
        {"alias": 1, "type": BOOLEAN, "value": True, "plain": True},
        {"alias": 2, "type": BOOLEAN, "value": True, "plain": True},
        seq=3,
    )
    decoded = decoder.decode(topic("DDATA"), by_alias, RX)
    assert decoded.readings[0].metrics == {"inputs_a": 1.0, "inputs_button": 1.0}
    assert (decoded.births, decoded.requests) == ([], [])


def test_historical_values_are_readings_of_their_own() -> None:
    data = payload(
        {"alias": 1, "type": BOOLEAN, "value": True, "timestamp": AT - 5000, "is_historical": True},
        {"alias": 1, "type": BOOLEAN, "value": False},
        {"alias": 2, "type": BOOLEAN, "is_null": True},
        seq=2,
    )
    readings = born().decode(topic("DDATA"), data, RX).readings
    assert [(r.ts, r.hist, r.metrics) for r in readings] == [
        (AT - 5000, True, {"inputs_a": 1.0}),
        (AT, False, {"inputs_a": 0.0}),
    ]


def test_a_gap_in_the_sequence_asks_for_a_rebirth_once_and_keeps_the_values() -> None:
    decoder = born()
    gap = decoder.decode(topic("DDATA"), payload({"alias": 1, "type": BOOLEAN, "value": True}, seq=9), RX)
    assert gap.readings[0].metrics == {"inputs_a": 1.0}
    ((where, command),) = gap.requests
    assert where == f"spBv1.0/{GROUP}/NCMD/{EDGE}"
    (metric,) = parse_payload(command).metrics
    assert (metric.name, metric.datatype, metric.boolean_value) == ("Node Control/Rebirth", BOOLEAN, True)
    again = decoder.decode(topic("DDATA"), payload({"alias": 1, "type": BOOLEAN, "value": True}, seq=20), RX + 9_000)
    assert again.requests == []
    later = decoder.decode(topic("DDATA"), payload({"alias": 1, "type": BOOLEAN, "value": True}, seq=30), RX + 10_000)
    assert len(later.requests) == 1


def test_the_sequence_goes_on_from_255_to_0() -> None:
    decoder = born()
    for seq in [*range(2, 256), 0, 1]:
        data = payload({"alias": 1, "type": BOOLEAN, "value": True}, seq=seq)
        assert decoder.decode(topic("DDATA"), data, RX).requests == []


def test_data_before_the_birth_is_kept_by_name_and_refused_by_alias() -> None:
    decoder = Sparkplug()
    named = decoder.decode(topic("NDATA"), payload({"name": "T", "type": FLOAT, "value": 1.5}, seq=5), RX)
    assert named.readings[0].metrics == {"t": 1.5}
    assert len(named.requests) == 1
    refusal = refused(Sparkplug(), topic("DDATA"), payload({"alias": 1, "type": FLOAT, "value": 1.5}, seq=5))
    assert isinstance(refusal, RefusedAsking)
    assert refusal.reason is Reason.SHAPE
    assert len(refusal.requests) == 1


def test_a_rebirth_forgets_old_aliases() -> None:
    decoder = born()
    decoder.decode(topic("NBIRTH"), NBIRTH, RX)
    assert isinstance(
        refused(decoder, topic("DDATA"), payload({"alias": 1, "type": FLOAT, "value": 1.0}, seq=1)), RefusedAsking
    )


# The specification's NDEATH and DDEATH
def test_deaths() -> None:
    decoder = born()
    site = "sparkplug_b_devices"
    device = decoder.decode(topic("DDEATH"), payload(seq=2), RX)
    assert (device.states, device.requests) == ([(site, "raspberry_pi_pibrella", "lost")], [])
    decoder = born()
    node = decoder.decode(topic("NDEATH"), payload({"name": "bdSeq", "type": UINT64, "value": 0}, seq=None), RX)
    assert node.states == [(site, "raspberry_pi", "lost"), (site, "raspberry_pi_pibrella", "lost")]


def test_the_death_of_an_older_connection_is_ignored() -> None:
    late = payload({"name": "bdSeq", "type": UINT64, "value": 3}, seq=None)
    assert not born().decode(topic("NDEATH"), late, RX)


@pytest.mark.parametrize(
    ("kind", "raw", "value"),
    [
        (INT8, 0xFF, -1.0),
        (INT8, 0xFFFFFFFF, -1.0),
        (INT16, 0xFF38, -200.0),
        (INT32, 2**32 - 70_000, -70_000.0),
        (INT64, 2**64 - 5, -5.0),
        (UINT8, 0xFF, 255.0),
        (UINT64, 2**64 - 1, float(2**64 - 1)),
        (DOUBLE, -1.5, -1.5),
    ],
)
def test_integers_have_the_sign_of_their_type(kind: int, raw: Any, value: float) -> None:
    decoder = Sparkplug()
    birth = decoder.decode(topic("NBIRTH"), payload({"name": "x", "alias": 1, "type": kind, "value": raw}), RX)
    data = payload({"alias": 1, "type": kind, "value": raw, "plain": True}, seq=1)
    assert birth.readings[0].metrics == decoder.decode(topic("NDATA"), data, RX).readings[0].metrics == {"x": value}


def test_a_birth_may_hold_a_position() -> None:
    position = (
        {"name": "GPS/Latitude", "type": DOUBLE, "value": 46.95},
        {"name": "GPS/Longitude", "type": DOUBLE, "value": 7.44},
    )
    (_, _, announced) = Sparkplug().decode(topic("NBIRTH"), payload(*position), RX).births[0]
    assert (announced.lat, announced.lon) == (46.95, 7.44)


MANY = [{"name": f"m{n}", "type": FLOAT, "value": 1.0} for n in range(65)]
NAN = {"name": "a", "type": DOUBLE, "value": float("nan")}
ONE = {"name": "a", "type": FLOAT, "value": 1.0}
CLASH = ({"name": "a/b", "type": FLOAT}, {"name": "a_b", "type": FLOAT})


@pytest.mark.parametrize(
    ("where", "data", "reason"),
    [
        ("spBv1.0/g/NDATA/e/d", b"", Reason.TOPIC),
        ("spBv1.0/g/DDATA/e", b"", Reason.TOPIC),
        ("spBv1.0/g/OTHER/e", b"", Reason.TOPIC),
        ("spAv1.0/g/NDATA/e", b"", Reason.TOPIC),
        ("spBv1.0/°/NDATA/e", b"", Reason.NAME),
        ("spBv1.0/g/NDATA/e", b"\xff\xff", Reason.SHAPE),
        ("spBv1.0/g/NDATA/e", b"\x12\x00" * 100_000, Reason.TOO_MANY_METRICS),
        ("spBv1.0/g/NBIRTH/e", payload(*MANY), Reason.TOO_MANY_METRICS),
        ("spBv1.0/g/NBIRTH/e", payload(*CLASH), Reason.NAME),
        ("spBv1.0/g/NDATA/e", payload(NAN), Reason.NOT_FINITE),
        ("spBv1.0/g/NDATA/e", payload(ONE, timestamp=RX + 200_000), Reason.FUTURE),
    ],
)
def test_what_is_wrong_is_refused(where: str, data: bytes, reason: Reason) -> None:
    assert refused(Sparkplug(), where, data).reason is reason


@pytest.mark.parametrize("where", ["spBv1.0/STATE/host", "spBv1.0/g/NCMD/e", "spBv1.0/g/DCMD/e/d"])
def test_commands_and_host_states_hold_nothing(where: str) -> None:
    assert not Sparkplug().decode(where, b"ONLINE", RX)


def test_deeply_nested_templates_are_skipped() -> None:
    nested = b""
    for _ in range(3000):
        nested = b"\x92\x01" + varint(len(nested)) + nested
    metric = b"\x0a\x01a" + nested
    data = b"\x12" + varint(len(metric)) + metric
    assert not Sparkplug().decode("spBv1.0/g/NDATA/e", data, RX).readings


def test_the_memory_of_nodes_is_bounded() -> None:
    decoder = Sparkplug(Options(nodes=2))
    for edge in ("a", "b", "c"):
        decoder.decode(f"spBv1.0/g/NBIRTH/{edge}", NBIRTH, RX)
    data = payload({"alias": 7, "type": FLOAT, "value": 1.5}, seq=1)
    assert isinstance(refused(decoder, "spBv1.0/g/NDATA/a", data), RefusedAsking)
    assert decoder.decode("spBv1.0/g/NDATA/c", data, RX).readings


def varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*encoded, number])


names = st.from_regex(r"[a-z][a-z0-9]{0,8}", fullmatch=True)
values = st.floats(allow_nan=False, allow_infinity=False)


@given(
    st.dictionaries(names, values, min_size=1, max_size=8),
    st.lists(st.integers(0, AT), min_size=1, max_size=5, unique=True),
)
def test_what_is_published_is_decoded_again(metrics: dict[str, float], times: list[int]) -> None:
    decoder = Sparkplug()
    aliases = {name: number for number, name in enumerate(metrics)}
    birth = [{"name": name, "alias": aliases[name], "type": DOUBLE, "value": value} for name, value in metrics.items()]
    decoder.decode(topic("NBIRTH"), payload(*birth), RX)
    data = [
        {"alias": aliases[name], "type": DOUBLE, "value": value, "plain": True, "timestamp": time or 1}
        for time in times
        for name, value in metrics.items()
    ]
    decoded = decoder.decode(topic("NDATA"), payload(*data, seq=1), RX)
    assert {reading.ts: reading.metrics for reading in decoded.readings} == {time or 1: metrics for time in times}


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_floats_keep_their_32_bits(value: float) -> None:
    data = payload({"name": "a", "type": FLOAT, "value": value})
    assert Sparkplug().decode(topic("NDATA"), data, RX).readings[0].metrics == {"a": value}
