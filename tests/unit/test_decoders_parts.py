"""Names, units, times, memory and the mapping by JMESPath: the parts that decoders share."""

from __future__ import annotations

from typing import Any

import jmespath
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_apps.decoders.base import Decoded
from stream_apps.decoders.flatten import flatten
from stream_apps.decoders.mapping import Mapping, Options, compile_path
from stream_apps.decoders.memory import Announcer, Bounded
from stream_apps.decoders.names import TopicName, fold
from stream_apps.decoders.times import Times, epoch
from stream_apps.decoders.units import code, guess
from weir.errors import Reason, Refused, SetupError
from weir.readings import MAX_METRICS, NAME, Birth, Metric

RX = 1_795_431_817_932


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Wohnzimmer Süd", "wohnzimmer_sud"),
        ("PM2.5", "pm2_5"),
        ("  °C (outside)  ", "c_outside"),
        ("a_", "a_"),
        ("_a-", "a"),
        ("Straße", "strasse"),
        ("0x00158d0001", "0x00158d0001"),
        ("a" * 64, "a" * 64),
    ],
)
def test_names_are_folded(text: str, name: str) -> None:
    assert fold(text) == name


@pytest.mark.parametrize("text", ["", "°", "___", "温度", "\0", "\ud800"])
def test_a_name_of_which_nothing_is_left_is_refused(text: str) -> None:
    with pytest.raises(Refused) as refused:
        fold(text)
    assert refused.value.reason is Reason.NAME


@given(st.text())
def test_a_folded_name_is_a_name_and_stays_one(text: str) -> None:
    try:
        name = fold(text)
    except Refused:
        return
    assert NAME.match(name)
    assert fold(name) == name


def test_long_names_stay_apart() -> None:
    assert fold("a" * 70 + "1") != fold("a" * 70 + "2")


def test_topic_levels_make_names() -> None:
    assert TopicName("{1}_{-1}")(["a", "B", "c"]) == "b_c"
    with pytest.raises(Refused):
        TopicName("{3}")(["a", "b", "c"])
    for template in ("", "{a}", "{", "{1}}"):
        with pytest.raises(SetupError):
            TopicName(template)


@pytest.mark.parametrize(
    ("unit", "metric", "expected"),
    [
        ("°C", "", "Cel"),
        ("ºC", "", "Cel"),
        ("C", "", "Cel"),
        ("°F", "", "degF"),
        ("furlong", "", "furlong"),
        ("%", "humidity", "%RH"),
        ("%", "battery", "%EL"),
        ("%", "soil_moisture", "%"),
        ("hPa", "", "hPa"),
        ("mbar", "", "hPa"),
        ("µg/m³", "", "ug/m3"),
        ("μg/m³", "", "ug/m3"),
        ("mV", "", "mV"),
        ("MW", "", "MW"),
        ("mW", "", "mW"),
        ("kWh", "", "kWh"),
        ("furlong", "", "furlong"),
        ("", "", ""),
    ],
)
def test_units_become_senml_codes_or_stay_as_they_are(unit: str, metric: str, expected: str) -> None:
    assert code(unit, metric) == expected


def test_names_tell_the_usual_unit() -> None:
    assert guess("temperature") == guess("outside_temperature") == Metric("Cel")
    assert guess("mood") == Metric()


@pytest.mark.parametrize(
    ("value", "ts"),
    [
        ("2020-02-12T15:15:46.014773143Z", 1_581_520_546_014),
        ("2020-02-26T20:44:09+01:00", 1_582_746_249_000),
        (1_582_746_249, 1_582_746_249_000),
        (1_582_746_249.5, 1_582_746_249_500),
        (1_582_746_249_000, 1_582_746_249_000),
        (-1.5, -1500),
    ],
)
def test_times_are_read(value: Any, ts: int) -> None:
    assert Times().read(value, RX) == ts


@pytest.mark.parametrize("value", ["", "yesterday", "2020-01-01T00:00:00", True, None, [], 1e300, float("nan")])
def test_times_that_are_none_are_refused(value: Any) -> None:
    with pytest.raises(Refused) as refused:
        Times().read(value, RX)
    assert refused.value.reason in (Reason.SHAPE, Reason.LOCAL_TIME)


@given(st.integers(100_000_000_000, 10**14))
def test_milliseconds_stay_what_they_are(ts: int) -> None:
    assert epoch(ts) == ts


def test_the_oldest_entry_goes_first() -> None:
    memory: Bounded[int, int] = Bounded(3)
    for number in (1, 2, 3, 1, 4):
        memory.put(number, number)
    assert list(memory) == [2, 3, 4]


def test_a_sensor_is_news_when_something_changes() -> None:
    announcer = Announcer()
    metrics = {"a": 1.0}
    assert announcer.seen("s", "x", metrics.keys(), guess)
    assert not announcer.seen("s", "x", metrics.keys(), guess)
    (birth,) = announcer.seen("s", "x", {"b": 1.0}.keys(), guess)
    assert list(birth[2].metrics) == ["a", "b"]
    (birth,) = announcer.seen("s", "x", metrics.keys(), guess, (46.95, 7.44))
    assert birth[2] == Birth(46.95, 7.44, metrics={"a": Metric(), "b": Metric()})
    assert not announcer.seen("s", "x", metrics.keys(), guess, (46.9501, 7.44))
    assert announcer.seen("s", "x", metrics.keys(), guess, (46.951, 7.44))


def test_a_sensor_that_invents_metrics_makes_no_births_without_end() -> None:
    announcer = Announcer()
    births = [birth for n in range(1000) for birth in announcer.seen("s", "x", {f"m{n}": 1.0}.keys(), guess)]
    assert len(births) == MAX_METRICS
    assert len(births[-1][2].metrics) == MAX_METRICS


@pytest.mark.parametrize(
    ("tree", "reason"),
    [
        ({"a b": 1, "a_b": 2}, Reason.NAME),
        ({str(n): 1 for n in range(65)}, Reason.TOO_MANY_METRICS),
        ({"a": [[[[[[[1]]]]]]]}, Reason.SHAPE),
        ({"a": 10**400}, Reason.NOT_FINITE),
    ],
)
def test_trees_that_make_no_flat_set_are_refused(tree: dict[str, Any], reason: Reason) -> None:
    with pytest.raises(Refused) as refused:
        flatten(tree)
    assert refused.value.reason is reason


def mapped(options: Options, document: Any, topic: str = "a/b/c") -> Decoded:
    return Mapping(options).decode(topic, msgspec.json.encode(document), RX)


def test_expressions_say_where_things_are() -> None:
    options = Options(
        site="where",
        sensor="{1}",
        time="at",
        lat="gps[0]",
        lon="gps[1]",
        metrics={"t": "data.temp", "h": "data.hum", "n": "length(list)"},
        units={"t": "°C"},
    )
    document = {"where": "Bern", "at": 1_700_000_000, "gps": [46.95, 7.44], "data": {"temp": "21.5"}, "list": [1, 2]}
    decoded = mapped(options, document)
    (reading,) = decoded.readings
    assert (reading.site, reading.sensor, reading.ts) == ("bern", "b", 1_700_000_000_000)
    assert reading.metrics == {"t": 21.5, "n": 2.0}
    announced = Birth(46.95, 7.44, metrics={"t": Metric("Cel"), "n": Metric()})
    assert decoded.births == [("bern", "b", announced)]


def test_each_item_of_a_list_is_a_reading() -> None:
    options = Options(each="rows", sensor="id", time="t", metrics="values", site="'x'")
    rows = [{"id": n, "t": 1_700_000_000 + n, "values": {"A": n, "text": "no"}} for n in range(3)]
    decoded = mapped(options, {"rows": rows})
    assert [(r.site, r.sensor, r.ts, r.metrics) for r in decoded.readings] == [
        ("x", str(n), 1_700_000_000_000 + n * 1000, {"a": float(n)}) for n in range(3)
    ]
    assert len(decoded.births) == 3


def test_a_document_without_the_metrics_holds_nothing() -> None:
    assert not mapped(Options(metrics={"t": "data.temp"}), {"other": 1})


@pytest.mark.parametrize(
    ("options", "document", "reason"),
    [
        (Options(metrics={"t": "t"}, sensor="id"), {"t": 1}, Reason.NAME),
        (Options(metrics={"t": "t"}, time="at", zone=""), {"t": 1, "at": "2020-01-01T00:00"}, Reason.LOCAL_TIME),
        (Options(metrics={"t": "sum(list)"}), {"list": ["a"]}, Reason.SHAPE),
        (Options(metrics={"t": "t"}, each="list"), {"list": {}}, Reason.SHAPE),
        (Options(metrics={"t": "t"}, each="list"), {"list": [{}] * 1001}, Reason.TOO_MANY_READINGS),
        (Options(metrics="@"), {f"m{n}": n for n in range(10_000)}, Reason.TOO_MANY_METRICS),
        (Options(metrics="@"), [1], Reason.SHAPE),
        (Options(metrics={"t": "t"}, lat="a", lon="b"), {"t": 1, "a": 91, "b": 0}, Reason.POSITION),
        (Options(metrics={"t": "t"}), {"t": "inf"}, Reason.NOT_FINITE),
    ],
)
def test_documents_that_do_not_fit_are_refused(options: Options, document: Any, reason: Reason) -> None:
    with pytest.raises(Refused) as refused:
        mapped(options, document)
    assert refused.value.reason is reason


trees = st.recursive(
    st.integers() | st.none(),
    lambda inner: st.dictionaries(st.sampled_from("abc"), inner) | st.lists(inner),
    max_leaves=9,
)


@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=4).map(".".join), trees)
def test_the_short_way_finds_what_jmespath_finds(path: str, tree: Any) -> None:
    assert compile_path(path)(tree) == jmespath.search(path, tree)
