"""SenML: the examples of RFC 8428 (section 5 and 6), its rules for base fields, and round trips."""

from __future__ import annotations

from typing import Any

import cbor2
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_apps.decoders.base import Decoded
from stream_apps.decoders.senml import Options, SenML, SenMLCbor
from weir.errors import Reason, Refused
from weir.readings import Birth, Metric

RX = 1_795_431_817_932
DEVICE = "urn_dev_ow_10e2073a01080063"
LABELS = {
    "bver": -1,
    "bn": -2,
    "bt": -3,
    "bu": -4,
    "bv": -5,
    "bs": -6,
    "n": 0,
    "u": 1,
    "v": 2,
    "vs": 3,
    "vb": 4,
    "s": 5,
}
LABELS |= {"t": 6, "ut": 7, "vd": 8}


def decode(pack: Any, topic: str = "senml/bern/s1") -> Decoded:
    """Decode a pack in both forms, which must agree."""
    in_json = SenML().decode(topic, msgspec.json.encode(pack), RX)
    labelled = [{LABELS[label]: value for label, value in record.items()} for record in pack]
    assert SenMLCbor().decode(topic, cbor2.dumps(labelled), RX) == in_json
    return in_json


def readings(decoded: Decoded) -> list[tuple[str, int, dict[str, float]]]:
    return [(reading.sensor, reading.ts, reading.metrics) for reading in decoded.readings]


def reason(payload: bytes, decoder: SenML | None = None) -> Reason:
    with pytest.raises(Refused) as refused:
        (decoder or SenML()).decode("senml/s1", payload, RX)
    return refused.value.reason


# RFC 8428 section 5.1.1: a single data point
def test_a_urn_without_a_base_name_is_a_sensor_whose_metric_is_named_by_the_unit() -> None:
    decoded = decode([{"n": "urn:dev:ow:10e2073a01080063", "u": "Cel", "v": 23.1}])
    assert readings(decoded) == [(DEVICE, RX, {"temperature": 23.1})]
    assert decoded.births == [("senml", DEVICE, Birth(metrics={"temperature": Metric("Cel")}))]
    assert decoded.stamped == 1


# RFC 8428 section 5.1.2: multiple data points
def test_the_base_name_is_the_sensor_and_the_name_the_metric() -> None:
    pack = [
        {"bn": "urn:dev:ow:10e2073a01080063:", "n": "voltage", "u": "V", "v": 120.1},
        {"n": "current", "u": "A", "v": 1.2},
    ]
    assert readings(decode(pack)) == [(DEVICE, RX, {"voltage": 120.1, "current": 1.2})]


# RFC 8428 section 5.1.2: base time, base unit and relative times
def test_times_add_to_the_base_time() -> None:
    head = {"bn": "urn:dev:ow:10e2073a0108006:", "bt": 1.276020076001e09, "bu": "A", "bver": 5}
    pack = [{**head, "n": "voltage", "u": "V", "v": 120.1}]
    pack += [{"n": "current", "t": t, "v": v} for t, v in ((-5, 1.2), (-4, 1.3), (-3, 1.4), (-2, 1.5), (-1, 1.6))]
    pack += [{"n": "current", "v": 1.7}]
    decoded = decode(pack)
    base = 1_276_020_076_001
    got = {ts - base: metrics for _, ts, metrics in readings(decoded)}
    assert got == {
        0: {"voltage": 120.1, "current": 1.7},
        -5000: {"current": 1.2},
        -4000: {"current": 1.3},
        -3000: {"current": 1.4},
        -2000: {"current": 1.5},
        -1000: {"current": 1.6},
    }
    assert decoded.births[-1][2].metrics == {"voltage": Metric("V"), "current": Metric("A")}
    assert decoded.stamped == 0


# RFC 8428 section 5.1.3: multiple measurements, with the position of the device
def test_latitude_and_longitude_are_the_position_of_the_sensor() -> None:
    pack = [
        {"bn": "urn:dev:ow:10e2073a01080063", "bt": 1.320067464e09, "bu": "%RH", "v": 20},
        {"u": "lon", "v": 24.30621},
        {"u": "lat", "v": 60.07965},
        {"t": 60, "v": 20.3},
        {"u": "lon", "t": 60, "v": 24.30622},
        {"u": "lat", "t": 60, "v": 60.07965},
        {"t": 120, "v": 20.7},
        {"u": "lon", "t": 120, "v": 24.30623},
        {"u": "lat", "t": 120, "v": 60.07966},
        {"u": "%EL", "t": 150, "v": 98},
        {"t": 180, "v": 21.2},
        {"u": "lon", "t": 180, "v": 24.30628},
        {"u": "lat", "t": 180, "v": 60.07967},
    ]
    decoded = decode(pack)
    base = 1_320_067_464_000
    assert [(ts - base, metrics) for _, ts, metrics in readings(decoded)] == [
        (0, {"humidity": 20.0}),
        (60_000, {"humidity": 20.3}),
        (120_000, {"humidity": 20.7}),
        (150_000, {"battery": 98.0}),
        (180_000, {"humidity": 21.2}),
    ]
    site, sensor, announced = decoded.births[-1]
    assert (site, sensor, announced.lat, announced.lon) == ("senml", DEVICE, 60.07967, 24.30628)
    assert announced.metrics == {"humidity": Metric("%RH"), "battery": Metric("%EL")}


# RFC 8428 section 5.1.4: text, booleans and data values
def test_booleans_are_1_and_0_and_text_and_data_are_no_measurements() -> None:
    pack = [
        {"bn": "urn:dev:ow:10e2073a01080063:", "n": "temp", "u": "Cel", "v": 23.1},
        {"n": "label", "vs": "Machine Room"},
        {"n": "open", "vb": False},
        {"n": "nfc-reader", "vd": "aGkgCg"},
    ]
    assert readings(decode(pack)) == [(DEVICE, RX, {"temp": 23.1, "open": 0.0})]


# RFC 8428 sections 4.1 and 4.2: base value and base sum
def test_values_and_times_add_to_their_bases_and_sums_are_metrics_of_their_own() -> None:
    pack = [
        {"bn": "urn:dev:mac:0024befffe804ff1/", "bv": 20, "bs": 1000, "n": "flow", "u": "l", "v": 1.5, "s": 7},
        {"n": "flow", "t": -10, "v": -1},
        {"n": "level", "s": 3},
    ]
    assert readings(decode(pack)) == [
        ("urn_dev_mac_0024befffe804ff1", RX, {"flow": 21.5, "flow_sum": 1007.0, "level_sum": 1003.0}),
        ("urn_dev_mac_0024befffe804ff1", RX - 10_000, {"flow": 19.0}),
    ]


# RFC 8428 section 6, CBOR: the labels are integers, and numbers may be decimal fractions
def test_cbor_numbers_may_be_decimal_fractions() -> None:
    payload = cbor2.dumps([{0: "t", 2: cbor2.CBORTag(4, [-2, 37450])}])
    assert SenMLCbor().decode("cbor/s1", payload, RX).readings[0].metrics == {"t": 374.5}


def test_a_name_of_the_topic_serves_records_without_a_base_name() -> None:
    decoder = SenML(Options(site="{1}", sensor="{2}"))
    decoded = decoder.decode("senml/Bern/S 1", b'[{"n":"temp","v":1}]', RX)
    (reading,) = decoded.readings
    assert (reading.site, reading.sensor, reading.metrics) == ("bern", "s_1", {"temp": 1.0})


def test_times_below_2_to_the_28_are_relative_and_others_absolute() -> None:
    for time, ts in ((0.0, RX), (-60.5, RX - 60_500), (2.0**28, 268_435_456_000), (1.7e9, 1_700_000_000_000)):
        assert decode([{"n": "a", "t": time, "v": 1.0}]).readings[0].ts == ts


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (b'[{"n":"a","v":1,"x_":2}]', Reason.SHAPE),
        (b'[{"bver":11,"n":"a","v":1}]', Reason.SHAPE),
        (b'[{"n":"a","v":"1"}]', Reason.SHAPE),
        (b'{"n":"a","v":1}', Reason.SHAPE),
        (b'[{"n":"a","v":1},{"n":"a","v":2}]', Reason.SHAPE),
        (b'[{"n":"a","v":1,"t":1e300}]', Reason.SHAPE),
        (b'[{"n":"a","v":1,"t":4000000000}]', Reason.FUTURE),
        (b'[{"n":"a","v":1,"t":-99999999999}]', Reason.ANCIENT),
        (b'[{"n":"\xc2\xb0","v":1}]', Reason.NAME),
        (b'[{"bn":"d:","n":"p","u":"lat","v":91},{"n":"p","u":"lon","v":1}]', Reason.POSITION),
        (b'[{"bv":1e308,"n":"a","v":1e308}]', Reason.NOT_FINITE),
        (b"[" + b",".join(b'{"n":"m%d","v":1}' % n for n in range(65)) + b"]", Reason.TOO_MANY_METRICS),
        (b"[" + b",".join(b'{"n":"m","v":1,"t":-%d}' % n for n in range(1001)) + b"]", Reason.TOO_MANY_READINGS),
        (b"[" + b",".join([b'{"n":"m","vs":""}'] * 10_001) + b"]", Reason.TOO_MANY_READINGS),
    ],
)
def test_what_the_rfc_does_not_allow_is_refused(payload: bytes, expected: Reason) -> None:
    assert reason(payload) is expected


@pytest.mark.parametrize(
    "payload",
    [
        b"\x81" * 100_000,
        b"\x9b\xff\xff\xff\xff\xff\xff\xff\xff",
        bytes.fromhex("81a102d82368" + b"(a+)+$bb".hex()),
        bytes.fromhex("d81c81d81d00"),
        bytes.fromhex("81a102c5821b000000ffffffffff03"),
        b"\xa0",
        b"\x81\x01",
    ],
    ids=["deep", "endless", "pattern", "cycle", "bigfloat", "no list", "no map"],
)
def test_hostile_cbor_is_refused(payload: bytes) -> None:
    assert reason(payload, SenMLCbor()) is Reason.SHAPE


def test_a_huge_decimal_fraction_is_not_finite() -> None:
    payload = bytes.fromhex("81a2006161" + "02c4821b000000ffffffffff03")
    assert reason(payload, SenMLCbor()) is Reason.NOT_FINITE


names = st.from_regex(r"[a-z0-9][a-z0-9_-]{0,10}", fullmatch=True)
values = st.floats(allow_nan=False, allow_infinity=False, min_value=-1e12, max_value=1e12)
measured = st.dictionaries(
    st.tuples(names, st.integers(2**28 * 1000, RX)), st.dictionaries(names, values, min_size=1, max_size=4), max_size=6
)


def as_pack(series: dict[tuple[str, int], dict[str, float]], base_time: int) -> list[dict[str, Any]]:
    """SenML of readings, with times relative to a base: the opposite of what the decoder does."""
    pack: list[dict[str, Any]] = []
    for (sensor, ts), metrics in series.items():
        for metric, value in metrics.items():
            pack.append({"bn": sensor, "bt": base_time / 1000, "n": metric, "v": value, "t": (ts - base_time) / 1000})
    return pack


@given(measured, st.integers(0, 2**28 * 1000))
def test_what_is_encoded_is_decoded_again(series: dict[tuple[str, int], dict[str, float]], base_time: int) -> None:
    got = {(sensor, ts): metrics for sensor, ts, metrics in readings(decode(as_pack(series, base_time)))}
    assert got == series


@given(measured)
def test_each_sensor_is_announced_once(series: dict[tuple[str, int], dict[str, float]]) -> None:
    decoder = SenML()
    payload = msgspec.json.encode(as_pack(series, 0))
    first = decoder.decode("senml/s1", payload, RX)
    assert {sensor for _, sensor, _ in first.births} == {sensor for sensor, _ in series}
    assert decoder.decode("senml/s1", payload, RX).births == []
