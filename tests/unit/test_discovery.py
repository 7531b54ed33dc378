"""Formats are recognised from what a broker carries, and the rules written read it."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.discover import Heard, judged, new_rules, write_rules
from stream_apps.broker import Broker, parse, read_password
from stream_apps.decoders import Registry, devices
from stream_apps.decoders.recognise import Message, rules_for
from tests.devices import EXAMPLES, published, said
from tests.unit.test_decoders_corpus import RX, VALID, to_json
from weir.errors import Refused, SetupError
from weir.settings import Settings


@pytest.mark.parametrize("example", EXAMPLES, ids=[example["title"] for example in EXAMPLES])
def test_the_examples_of_the_document_are_recognised_and_read(example: dict[str, str], tmp_path: Path) -> None:
    heard = [Message(*one) for one in published(example["sh"], tmp_path)]
    rules = rules_for(heard)
    found, unread = judged(heard, rules, RX)
    wanted = {rule["format"] for rule in msgspec.json.decode(example["rules"])}
    assert {one.name for one in found} == wanted
    assert unread == {}
    if "zone" in example["rules"]:
        assert [one.refused for one in found] == [{"local_time_without_zone": 1}]
    else:
        assert sum(one.readings for one in found) > 0
        if wanted != {"mapping"}:
            names = {name for _, name, _ in said(example)}
            assert {metric for one in found for metric in one.metrics} == names


def test_many_formats_on_one_broker_are_told_apart() -> None:
    heard = [Message(topic, to_json(tree)) for topic, tree in VALID]
    found, unread = judged(heard, rules_for(heard), RX)
    assert {one.name for one in found} == {
        "senml", "homie", "homeassistant", "tasmota", "zigbee2mqtt", "the-things", "airrohr", "mapping"
    }  # fmt: skip
    assert unread == {"all/a": 1}  # a list of readings: `each` must be said by a person
    assert sum(sum(one.refused.values()) for one in found) == 0


def test_any_json_gets_a_mapping_with_its_time_place_and_names() -> None:
    body = {"time": "2026-01-01T00:00:00Z", "lat": 46.9, "lon": 7.4, "id": "A-7", "data": {"temp-c": 21.5, "ok": True}}
    heard = [Message(f"farm/{field}/report", json.dumps(body).encode()) for field in ("a", "b")]
    (rule,) = rules_for(heard)
    assert rule.pattern == "farm/+/report"
    (reading,) = Registry([rule]).decode(heard[0].topic, heard[0].payload, RX).readings
    assert (reading.site, reading.sensor, reading.metrics) == ("farm", "a-7", {"data_temp-c": 21.5})
    assert not reading.stamped


def test_a_topic_per_value_gets_a_rule_per_metric() -> None:
    heard = [Message(f"home/{room}/{what}", b"21.5") for room in ("hall", "attic") for what in ("temp", "hum")]
    rules = rules_for(heard)
    assert sorted(rule.pattern for rule in rules) == ["home/+/hum", "home/+/temp"]
    (reading,) = Registry(rules).decode("home/attic/hum", b"40", RX).readings
    assert (reading.sensor, reading.metrics) == ("attic", {"hum": 40.0})


def test_a_single_topic_with_a_value_names_its_sensor_too() -> None:
    (rule,) = rules_for([Message("home/hall/temp", b"21.5")])
    (reading,) = Registry([rule]).decode("home/hall/temp", b"20", RX).readings
    assert (reading.sensor, reading.metrics) == ("hall", {"temp": 20.0})


def test_rules_that_are_there_stay_and_are_not_written_twice(tmp_path: Path) -> None:
    heard = [Message("tele/kitchen/SENSOR", b'{"a":1}'), Message("senml/x", b'[{"n":"t","v":1}]')]
    path = tmp_path / "devices.json"
    path.write_text('[{"pattern":"tele/#","format":"tasmota","options":{"zone":"UTC"}}]')
    known = devices.read(path)
    added = new_rules(heard, known)
    assert [(rule.pattern, rule.format) for rule in added] == [("senml/#", "senml")]
    write_rules(path, [*known, *added])
    assert devices.rules(Settings(home=tmp_path)) == [*known, *added]
    assert (tmp_path / "devices.json.before").exists()
    assert new_rules(heard, devices.read(path)) == []


@given(st.lists(st.tuples(st.text(min_size=1, max_size=30), st.binary(max_size=60)), max_size=20))
def test_whatever_is_heard_gives_rules_that_can_be_used(heard: list[tuple[str, bytes]]) -> None:
    check([Message(*one) for one in heard])


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["n", "v", "bn", "ts", "lat", "lon", "id", "a b", "é", ""]), inner, max_size=4
        )
    ),
    max_leaves=12,
)
LEVEL = st.sampled_from(["spBv1.0", "v3", "tele", "SENSOR", "homie", "5", "$state", "bridge", "devices", "config",
                         "sensor", "a", "", "+", "weir", "é'\""])  # fmt: skip


@given(st.lists(st.tuples(st.lists(LEVEL, min_size=1, max_size=6), JSON), max_size=12))
def test_whatever_json_is_heard_gives_rules_that_can_be_used(heard: list[tuple[list[str], object]]) -> None:
    check([Message("/".join(levels), to_json(tree)) for levels, tree in heard])


def check(heard: list[Message]) -> None:
    # MQTT lets nobody publish to such topics.
    heard = [one for one in heard if not set(one.topic) & set("+#\0")]
    rules = rules_for(heard)
    registry = Registry(rules)
    judged(heard, rules, RX)
    for topic, payload in heard:
        try:
            registry.decode(topic, payload, RX)
        except Refused:
            continue


def test_what_is_kept_of_a_talkative_broker_is_bounded() -> None:
    heard = Heard()
    for n in range(100):
        heard.take("a", b"x" * n)
    assert (heard.count, len(heard.kept)) == (100, 20)


def test_brokers_are_named_by_urls_without_passwords(tmp_path: Path) -> None:
    assert parse("mqtt://host") == Broker("host", 1883)
    assert parse("mqtts://ann@[::1]:99", "x") == Broker("::1", 99, "ann", "x", True)
    assert "secret" not in repr(parse("mqtt://ann@host", "secret"))
    for wrong in ("host", "http://host", "mqtt://", "mqtt://host/path", "mqtt://host:x", "mqtt://a:secret@host"):
        with pytest.raises(SetupError) as refused:
            parse(wrong)
        assert "secret" not in str(refused.value)
    (tmp_path / "p").write_text("secret\r\nmore\n")
    assert read_password(tmp_path / "p") == "secret"
    with pytest.raises(SetupError):
        read_password(tmp_path / "q")
