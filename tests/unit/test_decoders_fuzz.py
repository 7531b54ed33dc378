"""No bytes and no JSON make a decoder raise anything but `Refused`, or give what Weir's own format would not take."""

from __future__ import annotations

from typing import Any

import cbor2
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_apps.decoders import Registry
from stream_apps.decoders.sparkplug_wire import Payload
from tests.unit.test_decoders_corpus import RULES, RX, TOPICS, VALID, outcome, to_json

#: Keys the decoders look for, so that random JSON gets past the first check now and then.
WORDS_OF_FORMATS = """
bn bt bu bv bs bver n u v vb vs s t x_ Time TempUnit AM2301 Temperature last_seen friendly_name definition exposes
property type unit features end_device_ids device_id application_ids application_id uplink_message decoded_payload
received_at f_cnt locations user latitude longitude sensordatavalues value_type value esp8266id GPS_lat GPS_lon
state_topic stat_t value_template val_tpl device dev ids name cmps p ~ avty t availability nodes properties
datatype format data temperature items values text site time lat lon list
"""
KEYS = st.sampled_from(WORDS_OF_FORMATS.split()) | st.text(max_size=8)
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=12)
    | st.sampled_from(
        [10**400, 1e308, "nan", "inf", "1e999", "ha/state", "{{ value_json.a }}", "{{ value }}", "sensor"]
    )
    | st.sampled_from(["2020-01-01T00:00:00", "2020-02-12T15:15:46.014773143Z", "9999-12-31T23:59:59-23:59"])
)
TREES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=5) | st.dictionaries(KEYS, inner, max_size=6), max_leaves=25
)
any_topic = st.sampled_from(TOPICS) | st.builds(
    lambda head, tail: f"{head}/{tail}", st.sampled_from(TOPICS + ["tele", "homie", "v3"]), st.text(max_size=12)
)


@given(st.lists(st.tuples(any_topic, st.binary(max_size=120)), max_size=8))
def test_arbitrary_bytes_are_decoded_or_refused(messages: list[tuple[str, bytes]]) -> None:
    registry = Registry(RULES)
    for topic, payload in messages:
        outcome(registry, topic, payload)


@settings(max_examples=300)
@given(st.lists(st.tuples(any_topic, TREES), max_size=8))
def test_arbitrary_json_is_decoded_or_refused(messages: list[tuple[str, Any]]) -> None:
    registry = Registry(RULES)
    for topic, tree in messages:
        outcome(registry, topic, to_json(tree))


@settings(max_examples=200)
@given(
    st.lists(
        st.dictionaries(st.integers(-7, 9) | KEYS, LEAVES | st.binary(max_size=4) | st.decimals(), max_size=6),
        max_size=6,
    )
)
def test_arbitrary_cbor_is_decoded_or_refused(pack: list[dict[Any, Any]]) -> None:
    outcome(Registry(RULES), "cbor/bern/s1", cbor2.dumps(pack))


@st.composite
def damaged(draw: st.DrawFn) -> tuple[str, Any]:
    topic, tree = draw(st.sampled_from(VALID))
    for _ in range(draw(st.integers(0, 3))):
        tree = replace(draw, tree)
    return topic, tree


def replace(draw: st.DrawFn, tree: Any) -> Any:
    """A copy of `tree` with one part of it, somewhere, replaced by anything."""
    if isinstance(tree, dict) and tree and draw(st.integers(0, 3)):
        key = draw(st.sampled_from(sorted(tree)))
        copy = dict(tree)
        action = draw(st.integers(0, 5))
        if action == 0:
            del copy[key]
        elif action == 1:
            copy[draw(KEYS)] = copy.pop(key)
        else:
            copy[key] = replace(draw, tree[key])
        return copy
    if isinstance(tree, list) and tree and draw(st.integers(0, 3)):
        at = draw(st.integers(0, len(tree) - 1))
        return [*tree[:at], replace(draw, tree[at]), *tree[at + draw(st.integers(0, 1)) :]]
    return draw(TREES)


@settings(max_examples=400)
@given(st.lists(damaged(), min_size=1, max_size=6))
def test_damaged_messages_are_decoded_or_refused(messages: list[tuple[str, Any]]) -> None:
    registry = Registry(RULES)
    for topic, tree in messages:
        outcome(registry, topic, to_json(tree))
        if topic.startswith("senml/"):
            outcome(registry, "cbor/bern/s1", cbor2.dumps(tree))


WORDS = st.integers(0, 2**64 - 1) | st.sampled_from([0, 1, 9, RX, 2**63])


@st.composite
def sparkplug(draw: st.DrawFn) -> bytes:
    payload = Payload(timestamp=draw(WORDS), seq=draw(st.integers(0, 300)))
    for _ in range(draw(st.integers(0, 5))):
        metric = payload.metrics.add()
        for field, values in METRIC_FIELDS.items():
            if draw(st.booleans()):
                setattr(metric, field, draw(values))
        if draw(st.booleans()):
            metric.properties.keys.append("engUnit")
            metric.properties.values.add(string_value=draw(st.text(max_size=3)))
    return bytes(payload.SerializeToString())


METRIC_FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "name": st.sampled_from(["a", "Inputs/A", "bdSeq", "Node Control/Rebirth", "°", "Latitude", "lon"])
    | st.text(max_size=4),
    "alias": st.integers(0, 3),
    "timestamp": WORDS,
    "datatype": st.integers(0, 40),
    "is_historical": st.booleans(),
    "is_null": st.booleans(),
    "int_value": st.integers(0, 2**32 - 1),
    "long_value": WORDS,
    "float_value": st.floats(width=32),
    "double_value": st.floats(),
    "boolean_value": st.booleans(),
}
KINDS = st.sampled_from(["NBIRTH/e", "NDATA/e", "NDEATH/e", "DBIRTH/e/d", "DDATA/e/d", "DDEATH/e/d", "DDATA/e/other"])


@settings(max_examples=300)
@given(st.lists(st.tuples(KINDS, sparkplug()), max_size=8))
def test_arbitrary_sparkplug_sessions_are_decoded_or_refused(messages: list[tuple[str, bytes]]) -> None:
    registry = Registry(RULES)
    for where, payload in messages:
        outcome(registry, f"spBv1.0/g/{where}", payload)


HOMIE = st.tuples(
    st.sampled_from(["$state", "n/p", "n/p/$unit", "n/p/$datatype", "n/p/$format", "$name", "n/p/$target", "$homie"]),
    st.sampled_from(
        [b"float", b"boolean", b"integer", b"1:2", b":", b"nan:inf", b"1.5", b"true", b"nan", b"1e999", b"ready"]
    )
    | st.binary(max_size=6),
)


@given(st.lists(HOMIE, max_size=10))
def test_arbitrary_homie_sessions_are_decoded_or_refused(messages: list[tuple[str, bytes]]) -> None:
    registry = Registry(RULES)
    for where, payload in messages:
        outcome(registry, f"homie/d/{where}", payload)


def test_a_place_alone_has_no_reading_whose_time_could_be_missing() -> None:
    outcome(Registry(RULES), "senml/bern/s1", b'[{},{"n":"p","u":"lat","v":46.9},{"n":"p","u":"lon","v":7.4}]')
