import base64

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from stream_apps.ack import Token
from stream_apps.bridge_core import Message, Router
from stream_apps.limits import Limits
from weir import topics
from weir.errors import Reason
from weir.events import DeadLetter
from weir.readings import SensorEvent, decode_frame

NOW = 1_795_431_817_932


def message(payload: bytes, topic: str = "weir/bern/s1/data", place: int = 0, rx: int = NOW) -> Message:
    return Message(topic, payload, rx, Token(1, place))


def reading(ts: int = NOW, seq: int = 1, value: float = 21.4) -> bytes:
    return msgspec.json.encode({"ts": ts, "seq": seq, "metrics": {"temperature": value}})


def reason_of(payload: bytes, topic: str = "weir/bern/s1/data") -> str:
    (record,) = Router(4).route([message(payload, topic)]).records
    assert record.topic == topics.DEAD_LETTERS
    return msgspec.json.decode(record.value, type=DeadLetter).reason


names = st.sampled_from(["weir", "bern", "s1", "s2", "data", "birth", "state", "", "UPPER", "a b", "$x", "é", "\0"])
any_topic = st.lists(names, max_size=5).map("/".join) | st.text(max_size=40)


@given(st.lists(st.tuples(any_topic, st.binary(max_size=200)), max_size=20))
def test_every_message_ends_in_exactly_one_record_whatever_its_bytes(pairs: list[tuple[str, bytes]]) -> None:
    messages = [message(payload, topic, place) for place, (topic, payload) in enumerate(pairs)]
    records = Router(4).route(messages).records
    settled = sorted(token.place for record in records for token in record.tokens)
    assert settled == list(range(len(messages)))


@given(st.lists(st.tuples(st.sampled_from(["s1", "s2", "s3", "s4", "s5"]), st.integers(1, 9)), max_size=60))
def test_readings_of_a_sensor_keep_their_order_in_one_partition(sent: list[tuple[str, int]]) -> None:
    messages = []
    seqs: dict[str, list[int]] = {}
    for sensor, size in sent:
        start = len(seqs.setdefault(sensor, []))
        batch = [{"ts": NOW, "seq": start + k, "metrics": {"t": 1.0}} for k in range(size)]
        seqs[sensor] += [one["seq"] for one in batch]  # type: ignore[misc]
        messages.append(message(msgspec.json.encode(batch), f"weir/bern/{sensor}/data"))
    got: dict[str, list[int | None]] = {}
    for record in Router(4).route(messages).records:
        for item in decode_frame(record.value):
            assert record.partition == topics.partition_of(item.sensor, 4)
            got.setdefault(item.sensor, []).append(item.seq)
    assert got == seqs


def test_a_dead_letter_keeps_the_original_bytes_and_counts_as_one_received() -> None:
    (record,) = Router(4).route([message(b"\xff\x00 not json")]).records
    letter = msgspec.json.decode(record.value, type=DeadLetter)
    assert base64.b64decode(letter.payload) == b"\xff\x00 not json"
    assert letter.source == "weir/bern/s1/data"
    assert record.received == {NOW - NOW % 60_000: 1}


def test_what_is_wrong_is_named() -> None:
    deep = b"[" * 100_000
    many = msgspec.json.encode({"ts": NOW, "metrics": {f"m{i}": 1.0 for i in range(100)}})
    assert reason_of(b"{") == Reason.NOT_JSON
    assert reason_of(deep) in (Reason.NOT_JSON, Reason.SHAPE)
    assert reason_of(b"{}") == Reason.SHAPE
    assert reason_of(b"[]") == Reason.SHAPE
    assert reason_of(reading(), "weir/bern/s1/other") == Reason.TOPIC
    assert reason_of(reading(), "weir/BERN/s1/data") == Reason.NAME
    assert reason_of(reading(ts=NOW + 121_000)) == Reason.FUTURE
    assert reason_of(b'{"ts":%d,"metrics":{"t":1e999}}' % NOW) in (Reason.NOT_FINITE, Reason.NOT_JSON, Reason.SHAPE)
    assert reason_of(many) == Reason.TOO_MANY_METRICS
    assert reason_of(b" " * 300_000) == Reason.TOO_LARGE
    assert reason_of(b'{"lat":91,"lon":7}', "weir/bern/s1/birth") == Reason.POSITION
    assert reason_of(b"asleep", "weir/bern/s1/state") == Reason.SHAPE


def test_a_birth_and_a_state_of_one_sensor_have_different_keys_so_that_compaction_keeps_both() -> None:
    router = Router(4)
    birth, state = router.route(
        [message(b'{"lat":46.9,"lon":7.4}', "weir/bern/s1/birth"), message(b"lost", "weir/bern/s1/state")]
    ).records
    assert (birth.key, state.key) == (b"bern/s1/birth", b"bern/s1/state")
    assert birth.partition == state.partition
    assert msgspec.json.decode(state.value, type=SensorEvent).state == "lost"


def test_a_large_batch_is_cut_into_records_kafka_accepts() -> None:
    payload = msgspec.json.encode([{"ts": NOW, "metrics": {"t": 1.0}}] * 900)
    records = Router(1).route([message(payload, place=i) for i in range(20)]).records
    assert len(records) > 5
    assert max(len(record.value) for record in records) < 1_000_000


def test_a_mad_sensor_is_limited_and_its_neighbour_is_not() -> None:
    router = Router(4, Limits(per_second=10, burst=20))
    mad = [message(reading(ts=NOW + i, seq=i), "weir/bern/mad/data") for i in range(100)]
    good = [message(reading(ts=NOW + i * 1000, seq=i), "weir/bern/good/data") for i in range(50)]
    records = router.route(mad + good).records
    letters = [record for record in records if record.topic == topics.DEAD_LETTERS]
    stored = [item for record in records if record.topic == topics.READINGS for item in decode_frame(record.value)]
    assert len(letters) == 80
    assert sum(item.sensor == "good" for item in stored) == 50
    assert router.refused == {Reason.RATE: 80}


def test_a_backlog_that_arrives_at_once_is_not_excess() -> None:
    limits = Limits(per_second=10, burst=20)
    backlog = [message(reading(ts=NOW - 600_000 + i * 1000, seq=i)) for i in range(600)]
    assert all(record.topic == topics.READINGS for record in Router(4, limits).route(backlog).records)


def test_an_empty_birth_or_state_is_a_tombstone_of_its_key() -> None:
    birth, state = Router(4).route([message(b"", "weir/bern/s1/birth"), message(b"", "weir/bern/s1/state")]).records
    assert (birth.key, birth.value) == (b"bern/s1/birth", None)
    assert (state.key, state.value) == (b"bern/s1/state", None)
    assert len(birth.tokens) == 1
