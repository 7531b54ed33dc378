"""Several formats side by side: one sensor told of twice, counts by format, what is marked."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from prometheus_client import CollectorRegistry

from stream_apps.ack import Token
from stream_apps.bridge_core import Message, Router
from stream_apps.decoders import Registry, devices
from stream_apps.decoders.metrics import DecoderMetrics
from tests.unit.test_decoders_corpus import RX
from weir import topics
from weir.errors import Reason, Refused
from weir.readings import Birth, Metric, SensorEvent, decode_frame, parse_data
from weir.settings import Settings

RULES = [
    {"pattern": "tele/#", "format": "tasmota", "options": {"site": "home"}},
    {"pattern": "senml/#", "format": "senml", "options": {"site": "home"}},
]
PLACED = b'[{"bn":"kitchen","n":"co2","u":"ppm","v":412},{"u":"lat","v":46.95},{"u":"lon","v":7.44}]'
PLUG = b'{"AM2301":{"Temperature":21.5},"TempUnit":"C"}'


def test_two_formats_of_one_sensor_add_up() -> None:
    registry = Registry(RULES)
    registry.decode("senml/gateway", PLACED, RX)
    ((site, sensor, birth),) = registry.decode("tele/kitchen/SENSOR", PLUG, RX).births
    assert (site, sensor) == ("home", "kitchen")
    assert (birth.lat, birth.lon) == (46.95, 7.44)
    assert birth.metrics == {"am2301_temperature": Metric("Cel"), "co2": Metric("ppm")}


def test_an_own_birth_and_another_format_add_up() -> None:
    router = Router(4, registry=Registry(RULES))
    own = b'{"lat":46.9,"lon":7.4,"kind":"office","metrics":{"t":{"unit":"Cel","max":50}}}'
    routed = router.route([
        Message("weir/home/kitchen/birth", own, RX, Token(0, 1)),
        Message("tele/kitchen/SENSOR", PLUG, RX, Token(0, 2)),
    ])  # fmt: skip
    events = [msgspec.json.decode(one.value or b"", type=SensorEvent) for one in routed.records if one.key]
    assert events[0].birth == Birth(46.9, 7.4, "office", {"t": Metric("Cel", max=50)})
    assert events[1].birth is not None
    assert (events[1].birth.lat, events[1].birth.kind) == (46.9, "office")
    assert set(events[1].birth.metrics) == {"t", "am2301_temperature"}


def test_a_sensor_of_one_source_is_what_that_source_said_last() -> None:
    registry = Registry(RULES)
    assert registry.births.merged("a", "s", "x", Birth(1.0, 2.0, "old", {"t": Metric("Cel")})).lat == 1.0
    assert registry.births.merged("a", "s", "x", Birth()) == Birth()


def test_what_one_format_refuses_leaves_the_other_alone() -> None:
    registry = Registry(RULES)
    with pytest.raises(Refused):
        registry.decode("senml/gateway", b'[{"bn":"kitchen","n":"t","u":"Cel","v":"warm"}]', RX)
    assert registry.decode("tele/kitchen/SENSOR", PLUG, RX).readings[0].metrics == {"am2301_temperature": 21.5}


def test_every_format_has_its_own_counts_on_metrics() -> None:
    registry = Registry(RULES)
    registry.decode("tele/kitchen/SENSOR", PLUG, RX)
    with pytest.raises(Refused):
        registry.decode("tele/kitchen/SENSOR", b'{"Time":"2026-01-01T00:00:00","a":1}', RX)
    scraped = CollectorRegistry()
    scraped.register(DecoderMetrics(registry.channels))

    def count(name: str, **labels: str) -> float | None:
        return scraped.get_sample_value(f"weir_decoder_{name}_total", labels)

    assert (count("messages", format="tasmota"), count("messages", format="senml")) == (2, 0)
    assert count("stamped", format="tasmota") == 1
    assert count("refused", format="tasmota", reason="local_time_without_zone") == 1
    assert count("refused", format="senml", reason="local_time_without_zone") is None


def test_a_reading_without_a_time_is_marked_and_one_with_a_time_is_not() -> None:
    registry = Registry(RULES)
    (stamped,) = registry.decode("tele/kitchen/SENSOR", PLUG, RX).readings
    (timed,) = registry.decode("tele/kitchen/SENSOR", b'{"Time":"2026-01-01T00:00:00Z","a":1}', RX).readings
    assert (stamped.ts, stamped.stamped, timed.stamped) == (RX, True, False)


def test_weirs_own_format_may_leave_out_the_time_too() -> None:
    one, two = parse_data("s", "x", b'[{"metrics":{"t":1}},{"ts":5,"metrics":{"t":2}}]', RX)
    assert (one.ts, one.stamped, two.ts, two.stamped) == (RX, True, 5, False)


def test_the_mark_travels_to_kafka() -> None:
    routed = Router(4, registry=Registry(RULES)).route([Message("tele/kitchen/SENSOR", PLUG, RX, None)])
    (frame,) = (record for record in routed.records if record.topic == topics.READINGS)
    assert b'"stamped":true' in (frame.value or b"")
    assert decode_frame(frame.value or b"")[0].stamped


def test_a_series_that_changes_its_unit_is_refused() -> None:
    registry = Registry(RULES)
    registry.decode("senml/g", b'[{"bn":"a","n":"t","u":"Cel","v":20}]', RX)
    registry.decode("senml/g", b'[{"bn":"a","n":"t","v":20}]', RX)
    with pytest.raises(Refused) as refused:
        registry.decode("senml/g", b'[{"bn":"a","n":"t","u":"V","v":20}]', RX)
    assert refused.value.reason is Reason.UNIT


def test_without_a_settings_file_formats_with_topics_of_their_own_are_read(tmp_path: Path) -> None:
    found = devices.rules(Settings(home=tmp_path))
    made = Registry(found)
    assert made.decode("tele/kitchen/SENSOR", PLUG, RX).readings
    (tmp_path / "devices.json").write_text("[]")
    assert devices.rules(Settings(home=tmp_path)) == []
