import msgspec
from hypothesis import given
from hypothesis import strategies as st

from weir import topics
from weir.errors import Refused
from weir.live import status
from weir.readings import Reading, check_name, decode_frame, encode_frame, parse_data

names = st.from_regex(r"[a-z0-9][a-z0-9_-]{0,20}", fullmatch=True)
readings = st.builds(
    Reading,
    site=names,
    sensor=names,
    ts=st.integers(0, 2**50),
    rx=st.integers(0, 2**50),
    metrics=st.dictionaries(names, st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=4),
    seq=st.none() | st.integers(-(2**63), 2**63 - 1),
    hist=st.booleans(),
)


@given(st.lists(readings, max_size=10))
def test_a_frame_survives_a_round_trip(frame: list[Reading]) -> None:
    assert decode_frame(encode_frame(frame)) == frame


def test_partitions_are_those_of_kafkas_own_partitioner() -> None:
    # From org.apache.kafka.common.utils.UtilsTest.testMurmur2, as signed 32-bit numbers.
    known = {b"21": -973932308, b"foobar": -790332482, b"a-little-bit-long-string": -985981536}
    for text, signed in known.items():
        assert topics.murmur2(text) == signed & 0xFFFFFFFF


@given(st.binary(max_size=300))
def test_no_payload_raises_anything_but_a_refusal(payload: bytes) -> None:
    try:
        parse_data("bern", "s1", payload, 1_795_431_817_932)
    except Refused as refusal:
        assert refusal.reason


@given(st.text(max_size=70))
def test_a_name_that_passes_is_safe_everywhere(name: str) -> None:
    try:
        check_name(name)
    except Refused:
        return
    assert name.isascii() and name == name.lower() and not set(name) & set(" /+#$.'\"<>\0\n")


def test_an_alert_matters_more_than_silence_and_silence_more_than_a_flag() -> None:
    now = 10_000_000
    assert status(now, now, now, True, 1000) == "alert"
    assert status(now, now - 5000, now, False, 1000) == "silent"
    assert status(now, now, now - 5000, False, 1000) == "flagged"
    assert status(now, now, None, False, 1000) == "ok"
    assert status(now, None, None, False, 1000) == "silent"


def test_a_number_too_large_for_a_float_is_refused() -> None:
    try:
        parsed = parse_data("bern", "s1", msgspec.json.encode({"ts": 1, "metrics": {"t": 10**400}}), 10)
    except Refused:
        return
    assert all(abs(value) < 1e308 for reading in parsed for value in reading.metrics.values())
