"""Rules, topic filters, counts, third-party formats; and the examples of docs/devices.md."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_apps.decoders import Decoded, Registry, Rule, registry
from stream_apps.decoders.topic_filter import compile_filter
from tests.devices import EXAMPLES, published, said
from weir.errors import Reason, Refused, SetupError
from weir.readings import Reading

RX = 1_795_431_817_932


@pytest.mark.parametrize(
    ("pattern", "topic", "expected"),
    [
        # MQTT 5, sections 4.7.1.2, 4.7.1.3 and 4.7.2
        ("sport/tennis/player1/#", "sport/tennis/player1", True),
        ("sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", True),
        ("sport/tennis/player1/#", "sport/tennis/player10", False),
        ("sport/tennis/+", "sport/tennis/player1", True),
        ("sport/tennis/+", "sport/tennis/player1/ranking", False),
        ("sport/+", "sport", False),
        ("sport/+", "sport/", True),
        ("+/+", "/finance", True),
        ("/+", "/finance", True),
        ("+", "/finance", False),
        ("+/tennis/#", "sport/tennis", True),
        ("#", "any/topic", True),
        ("#", "$SYS/monitor", False),
        ("+/monitor/Clients", "$SYS/monitor/Clients", False),
        ("$SYS/#", "$SYS/monitor", True),
        ("tele/+/SENSOR", "tele/a/STATE", False),
        ("a/b", "a/b", True),
        ("a/b", "a/bc", False),
    ],
)
def test_topic_filters_match_as_mqtt_says(pattern: str, topic: str, expected: bool) -> None:
    assert compile_filter(pattern)(topic) is expected


@pytest.mark.parametrize("pattern", ["", "a/#/b", "a#", "a/b+", "#/", "a\0"])
def test_wrong_filters_are_a_matter_of_the_settings(pattern: str) -> None:
    with pytest.raises(SetupError):
        compile_filter(pattern)


levels = st.lists(st.sampled_from(["a", "b", "", "$x"]), min_size=1, max_size=4)


@given(levels, st.lists(st.sampled_from(["a", "b", "", "$x", "+", "#"]), min_size=1, max_size=4))
def test_compiled_filters_agree_with_the_definition(topic: list[str], pattern: list[str]) -> None:
    if "#" in pattern[:-1] or pattern == [""]:
        return
    name = "/".join(topic)
    wild_at_dollar = pattern[0] in ("+", "#") and name.startswith("$")
    assert compile_filter("/".join(pattern))(name) is (not wild_at_dollar and by_definition(topic, pattern))


def by_definition(topic: list[str], pattern: list[str]) -> bool:
    if not pattern:
        return not topic
    if pattern == ["#"]:
        return True
    return bool(topic) and pattern[0] in ("+", topic[0]) and by_definition(topic[1:], pattern[1:])


def test_the_first_rule_that_matches_wins() -> None:
    rules = [
        Rule("tele/special/SENSOR", "tasmota", {"site": "special"}),
        Rule("tele/#", "tasmota"),
        Rule("stat/#", "tasmota"),
    ]
    made = Registry(rules)
    sites = [made.decode(f"tele/{name}/SENSOR", b'{"a":1}', RX).readings[0].site for name in ("special", "other")]
    assert sites == ["special", "tasmota"]
    assert made.find("zigbee2mqtt/a") is None
    assert made.patterns == ["tele/special/SENSOR", "tele/#", "stat/#"]


def test_rules_of_one_format_and_options_share_a_decoder() -> None:
    made = Registry([{"pattern": "a/#", "format": "homie"}, {"pattern": "b/#", "format": "homie"}])
    assert len(made.channels) == 1
    assert made.find("a/x") is made.find("b/x")
    apart = Registry([Rule("a/#", "homie"), Rule("b/#", "homie", {"base": "b"})])
    assert len(apart.channels) == 2


def test_each_decoder_counts_its_own_messages() -> None:
    made = Registry([Rule("tele/#", "tasmota"), Rule("airrohr/#", "airrohr")])
    made.decode("tele/a/SENSOR", b'{"a":1}', RX)
    made.decode("tele/a/STATE", b"{}", RX)
    made.decode("tele/a/LWT", b"Online", RX)
    for payload in (b"{", b'{"Time":"2026-01-01T00:00:00","a":1}', b"x" * 300_000, b"{]"):
        with pytest.raises(Refused):
            made.decode("tele/a/SENSOR", payload, RX)
    tasmota, air = (channel.counts for channel in made.channels)
    assert (tasmota.messages, tasmota.readings, tasmota.births, tasmota.states) == (7, 1, 1, 1)
    assert (tasmota.empty, tasmota.stamped, tasmota.requests) == (1, 1, 0)
    assert tasmota.refused == {Reason.NOT_JSON: 2, Reason.LOCAL_TIME: 1, Reason.TOO_LARGE: 1}
    assert air.messages == 0


def test_a_topic_without_a_rule_is_refused() -> None:
    with pytest.raises(Refused) as refused:
        Registry([]).decode("a", b"", RX)
    assert refused.value.reason is Reason.TOPIC


@pytest.mark.parametrize(
    "rule",
    [
        {"pattern": "a/#", "format": "nothing"},
        {"pattern": "a/#"},
        {"pattern": "a/#", "format": "homie", "option": {}},
        {"pattern": "a/#", "format": "homie", "options": {"sit": "x"}},
        {"pattern": "a/#", "format": "homie", "options": {"site": 1}},
        {"pattern": "a/#", "format": "homie", "options": {"site": "{x}"}},
        {"pattern": "a/#", "format": "tasmota", "options": {"site": ""}},
        {"pattern": "a/#", "format": "mapping"},
        {"pattern": "a/#", "format": "mapping", "options": {"metrics": {"t": "a["}}},
        {"pattern": "a/#", "format": "mapping", "options": {"metrics": {"Not a name": "a"}}},
    ],
)
def test_wrong_rules_are_a_matter_of_the_settings(rule: dict[str, Any]) -> None:
    with pytest.raises(SetupError):
        Registry([rule])


class _Options(msgspec.Struct, frozen=True):
    metric: str = "x"


class Foreign:
    """A decoder of another package, with the faults such a one may have."""

    name = "foreign"
    options_type = _Options

    def __init__(self, options: _Options) -> None:
        self._metric = options.metric

    def decode(self, topic: str, payload: bytes, rx: int) -> Decoded:
        return Decoded([Reading("s", topic, rx, rx, {self._metric: 1 / len(payload)})])


def test_other_packages_add_formats_by_entry_point(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = importlib.metadata.EntryPoint("foreign", f"{__name__}:Foreign", "weir.decoders")
    monkeypatch.setattr(importlib.metadata.EntryPoint, "load", lambda self: Foreign)
    monkeypatch.setattr(registry, "entry_points", lambda group: [entry] if group == "weir.decoders" else [])
    made = Registry([Rule("a", "foreign", {"metric": "y"})])
    assert made.decode("a", b"12", RX).readings[0].metrics == {"y": 0.5}
    with pytest.raises(Refused) as refused:
        made.decode("a", b"", RX)
    assert refused.value.reason is Reason.SHAPE
    assert made.channels[0].counts.refused == {Reason.SHAPE: 1}


def test_every_topic_found_is_forgotten_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_MAX_TOPICS", 10)
    made = Registry([Rule("a/#", "homie")])
    for number in range(100):
        made.find(f"a/{number}")
    assert len(made._topics) <= 10


@pytest.mark.parametrize("example", EXAMPLES, ids=[example["title"] for example in EXAMPLES])
def test_the_examples_of_the_document_do_what_it_says(example: dict[str, str], tmp_path: Path) -> None:
    made = Registry(msgspec.json.decode(example["rules"]))
    got = []
    for topic, payload in published(example["sh"], tmp_path):
        for reading in made.decode(topic, payload, RX).readings:
            got += [(f"{reading.site}/{reading.sensor}", name, value) for name, value in reading.metrics.items()]
    assert got == said(example)


def test_the_document_has_an_example_of_every_format() -> None:
    formats = {rule["format"] for example in EXAMPLES for rule in msgspec.json.decode(example["rules"])}
    assert formats == set(registry.BUILT_IN)
