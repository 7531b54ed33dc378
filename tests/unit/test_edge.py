from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge import recorded
from edge.fleet import RECORDED, history
from edge.profiles import PROFILES, by_name
from edge.recorded import Row
from edge.replay import read
from edge.simulate import Faulty, make_sensors, measure
from weir.errors import SetupError
from weir.readings import NAME

DAY = 24 * 3600 * 1000


def day_of(profile: str) -> list[float]:
    (sensor,) = make_sensors(1, [by_name(profile)], seed=1)
    rng = np.random.default_rng(2)
    return [measure(sensor, at, rng)["temperature"] for at in range(0, DAY, 600_000)]


def test_the_same_seed_makes_the_same_fleet_and_the_same_readings() -> None:
    assert make_sensors(30, PROFILES, 7) == make_sensors(30, PROFILES, 7)
    assert make_sensors(30, PROFILES, 7) != make_sensors(30, PROFILES, 8)
    assert day_of("park") == day_of("park")


def test_industry_is_hotter_than_park_and_forest_and_the_hilltop_is_windier_than_the_airfield() -> None:
    mean = {name: np.mean(day_of(name)) for name in ("industrial", "park", "forest")}
    assert mean["industrial"] > mean["park"] > mean["forest"]
    assert (by_name("hilltop").wind or 0) > (by_name("airfield").wind or 0)


def test_every_fault_is_labelled_and_a_healthy_fleet_has_none() -> None:
    (sensor,) = make_sensors(1, PROFILES[:1], 1)
    healthy = Faulty((), np.random.default_rng(1))
    spiky = Faulty(("spike",), np.random.default_rng(1), share=0.1)
    rng = np.random.default_rng(3)
    spikes = 0
    for at in range(0, 600_000, 1000):
        metrics = measure(sensor, at, rng)
        assert healthy.apply(sensor.name, at, metrics) == (at, metrics)
        reading = spiky.apply(sensor.name, at, metrics)
        assert reading is not None
        spikes += reading[1]["temperature"] > metrics["temperature"] + 20
    assert spikes == len(spiky.labels) > 0


def test_a_wrong_clock_is_ahead_and_a_drop_out_sends_nothing() -> None:
    metrics = {"temperature": 1.0}
    assert Faulty(("drop-out",), np.random.default_rng(1), 1.0).apply("s", 5, metrics) is None
    assert Faulty(("wrong-clock",), np.random.default_rng(1), 1.0).apply("s", 5, metrics) == (3_600_005, metrics)


@given(st.lists(st.integers(0, 2**41), min_size=1), st.integers(2**41, 2**42))
def test_a_shifted_recording_ends_now_and_keeps_its_intervals(times: list[int], now: int) -> None:
    rows = [Row("s", ts, {"t": 1.0}, None, None, "") for ts in sorted(times)]
    moved = recorded.shifted(rows, now)
    assert moved[-1].ts == now
    assert [b.ts - a.ts for a, b in pairwise(moved)] == [b.ts - a.ts for a, b in pairwise(rows)]


@given(
    st.lists(st.builds(Row, st.just("s"), st.integers(0, 9), st.just({"t": 1.0}), st.none(), st.none(), st.just("")))
)
def test_batches_hold_all_rows_in_order_and_at_most_200(rows: list[Row]) -> None:
    cut = list(recorded.batches(rows * 50))
    assert all(len(batch) <= recorded.MAX_BATCH for batch in cut)
    assert [row for batch in cut for row in batch] == rows * 50


@given(st.text())
def test_a_folded_name_is_always_allowed(name: str) -> None:
    assert NAME.match(recorded.fold(name))


def test_the_recorded_network_of_bern_is_read_whole() -> None:
    rows = read(RECORDED)
    assert len(recorded.by_sensor(rows)) == 76
    assert all(row.lat and row.lon for row in rows)


def test_a_broken_line_is_named() -> None:
    with pytest.raises(SetupError, match="line 2"):
        recorded.parse(["sensor_id,ts,temperature\n", "a,yesterday,1\n"])


@pytest.mark.parametrize(("pace_ms", "most"), [(2000, 450), (2, 500), (60_000, 15), (3_600_000, 0)])
def test_the_history_of_a_fleet_ends_at_the_live_pace_and_is_bounded(pace_ms: int, most: int) -> None:
    now = 1_790_000_000_000
    times = history(now, pace_ms)
    assert times == sorted(set(times))
    assert times[0] == now - 24 * 3_600_000
    assert times[-1] < now
    assert sum(later - earlier == pace_ms for earlier, later in pairwise(times)) == max(0, most - 1)
