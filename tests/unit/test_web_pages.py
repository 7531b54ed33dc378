"""What pages are made of: the worst sensors, exports, comparisons, timelines, stages, and text that stays text."""

import io
import json
import math

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from web import compare, export, overview
from web.alert_rows import Wanted, rows, timeline
from web.figures import Viewer
from web.live import LiveSensor
from web.pages.fleet import crossing
from web.pages.pipeline_parts import size
from web.queries_fleet import FleetRow
from web.stages import Histogram, histogram, total
from web.window import Points
from weir.events import Alert, AlertState
from weir.ledger import SETTLE_MS, Minute
from weir.live import Latest

NOW = 1_795_000_020_000
EVIL = "<img src=x onerror=alert(1)>"


def points(count: int, start: int = NOW) -> Points:
    mean = np.arange(count, dtype=float) / 3
    return Points(start + 1000 * np.arange(count), mean, mean, mean)


def alert(sensor: str, severity: str, rule: str = "anomaly", acknowledged: bool = False) -> Alert:
    return Alert(
        sensor + severity, "bern", sensor, "t", rule, severity, AlertState.ACTIVE, acknowledged, NOW, NOW, 1, EVIL
    )


def sensor(name: str, status: str) -> LiveSensor:
    return LiveSensor(f"bern/{name}", latest=Latest("bern", name, NOW - 600_000, NOW, NOW, {}), status=status)


def test_the_worst_are_those_in_grave_alert_then_silent_then_often_flagged() -> None:
    sensors = [sensor("ok", "ok"), sensor("mild", "alert"), sensor("grave", "alert"), sensor("gone", "silent"),
               sensor("odd", "ok"), sensor("odder", "ok")]  # fmt: skip
    alerts = [alert("mild", "warning"), alert("grave", "critical")]
    found = overview.worst(sensors, alerts, {"bern/odd": 2, "bern/odder": 9}, NOW)
    assert [one.name for one in found] == ["grave", "mild", "gone", "odder", "odd"]
    assert found[2].why == "silent for 10 min"
    assert "9 readings" in found[3].why


def test_what_somebody_has_acknowledged_is_less_urgent() -> None:
    found = overview.worst(
        [sensor("a", "alert"), sensor("b", "alert")],
        [alert("a", "critical", acknowledged=True), alert("b", "critical")], {}, NOW,
    )  # fmt: skip
    assert [one.name for one in found] == ["b", "a"]


def test_rates_are_of_whole_minutes_and_a_minute_without_readings_counts() -> None:
    minute = NOW // 60_000 * 60_000
    minutes = [Minute(minute - 60_000, 600, 600, 0, 0), Minute(minute, 5, 0, 0, 0)]
    assert overview.rate(minutes, minute + 30_000) == 2.0
    assert overview.rates(minutes, minute + 30_000, 3) == [0, 0, 10.0]


@given(st.integers(0, 59))
def test_what_is_missing_shows_only_once_it_is_settled(second: int) -> None:
    minute = NOW // 60_000 * 60_000
    old, young = minute - 10 * 60_000, minute
    now = young + second * 1000
    assert now < young + 60_000 + SETTLE_MS
    shown = overview.missing([Minute(old, 9, 7, 0, 0), Minute(young, 9, 7, 0, 0)], now)
    assert sum(shown) == 2


def test_samples_are_taken_in_steps_and_the_oldest_are_forgotten() -> None:
    samples = overview.Samples(most=3, every_ms=10)
    for at in range(0, 60, 5):
        samples.add(at, float(at))
    assert samples.values() == [30.0, 40.0, 50.0]


def test_an_export_in_pieces_holds_every_reading_once() -> None:
    parts = [points(3), points(0), points(4, NOW + 10_000)]
    lines = b"".join(export.csv(parts, "bern", "a", "t", "m,s")).decode().splitlines()
    assert len(lines) == 1 + 7
    assert lines[1] == '2026-11-18T11:07:00.000Z,bern,a,t,0.0,"m,s"'
    table = pq.read_table(io.BytesIO(b"".join(export.parquet(parts, "bern", "a", "t", "Cel"))))
    assert table.num_rows == 7
    assert table.column("value").to_pylist() == [float(line.split(",")[4]) for line in lines[1:]]


def test_an_export_of_nothing_is_a_whole_file() -> None:
    assert pq.read_table(io.BytesIO(b"".join(export.parquet([points(0)], "a", "b", "c", "")))).num_rows == 0


def test_compared_sensors_are_lines_of_their_own_and_their_names_no_markup() -> None:
    drawn = json.loads(compare.figure({"a/b": points(5), EVIL: points(5)}, "t", EVIL, Viewer()).to_json())
    assert len(drawn["data"]) == 2
    assert "<img" not in json.dumps(drawn)


def test_filters_of_alerts_let_through_what_fits_all_of_them() -> None:
    alerts = [alert("a", "critical"), alert("b", "warning", "silence"), alert("c", "warning")]
    assert [row["where"] for row in rows(alerts, Wanted(severity=("warning",), rule="anomaly"))] == ["bern/c"]
    assert len(rows(alerts, Wanted(state="active", site="bern"))) == 3
    assert rows(alerts, Wanted(site="elsewhere")) == []


def test_a_timeline_tells_of_each_alert_as_text_and_keeps_to_its_span() -> None:
    span = {"id": "1", "site": "bern", "sensor": "a", "rule": "anomaly", "severity": "warning", "text": EVIL}
    figure = timeline([{**span, "opened": 0, "closed": None}], NOW - 3_600_000, NOW, Viewer())
    assert figure.data[0].x == (3_600_000,)
    assert "<img" not in figure.to_json()


def test_a_warning_names_the_limit_and_how_likely_it_is() -> None:
    row = FleetRow(1, "bern", "a", "t", 0, 1, 1.0, 0.0, 2.0, 1.0, "m", None, None, None, None, True, 30.0, 5, 0.83)
    assert crossing(row, "Cel") == "above 30 °C (83 %)"


METRICS = """# TYPE x_seconds histogram
x_seconds_bucket{le="0.1",stage="a"} 10
x_seconds_bucket{le="0.5",stage="a"} 20
x_seconds_bucket{le="+Inf",stage="a"} 20
x_seconds_bucket{le="0.1",stage="b"} 10
x_seconds_bucket{le="0.5",stage="b"} 20
x_seconds_bucket{le="+Inf",stage="b"} 20
messages_total{reason="x"} 3.0
messages_total{reason="y"} 4.0
messages_total_more 100
"""


def test_what_workers_tell_prometheus_is_read_and_added_up() -> None:
    assert total(METRICS, "messages_total") == 7
    assert total(METRICS, "nothing") is None
    found = histogram(METRICS, "x_seconds")
    assert found == Histogram((0.1, 0.5, math.inf), (20, 40, 40))
    assert found.quantile(0.5) == 0.1
    assert found.quantile(0.75) == pytest.approx(0.3)


def test_a_worker_that_began_anew_is_judged_by_what_it_has_done_since() -> None:
    before, now = Histogram((1.0, math.inf), (50, 60)), Histogram((1.0, math.inf), (5, 6))
    assert now.minus(before) == now
    assert Histogram((1.0, math.inf), (0, 0)).quantile(0.5) is None


@given(st.lists(st.integers(0, 100), min_size=3, max_size=3), st.floats(0, 1), st.floats(0, 1))
def test_quantiles_never_fall_as_the_share_rises(steps: list[int], one: float, two: float) -> None:
    counts = tuple(float(one) for one in np.cumsum(steps))
    found = Histogram((0.1, 0.5, math.inf), counts)
    low, high = found.quantile(min(one, two)), found.quantile(max(one, two))
    assert (low is None) == (high is None)
    assert low is None or high is None or low <= high + 1e-9


def test_sizes_are_spelled_for_people() -> None:
    assert [size(n) for n in (12, 2048, 5 * 2**30)] == ["12 B", "2.0 KiB", "5.0 GiB"]
