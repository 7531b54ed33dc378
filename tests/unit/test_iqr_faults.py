"""What the detector does with values that are impossible, absurd, repeated or missing."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_apps.iqr import Detector
from tests.unit.test_iqr import MINUTE, START, frame, noise, of
from weir.readings import Reading

ODD = {
    "constant": [5.0] * 2000,
    "two values": [0.0, 1.0] * 1000,
    "1e308 and back": [1e308, -1e308] * 1000,
    "counter": [float(i) for i in range(2000)],
    "zero, now and then one": ([0.0] * 39 + [1.0]) * 50,
    "rounding dust": [0.1 * 3 + (i % 7) * 1e-17 for i in range(2000)],
    "powers": [math.exp(i % 50) for i in range(2000)],
}


@pytest.mark.parametrize("series", ODD.values(), ids=ODD)
def test_odd_series_make_no_storm(series: list[float]) -> None:
    flags = Detector().judge(frame(series), 0)
    assert len(flags) <= len(series) / 20
    assert all(math.isfinite(flag.score) and flag.score >= 0 for flag in flags)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_value_that_is_no_number_is_neither_learned_nor_flagged(value: float) -> None:
    detector = Detector()
    detector.judge(frame(noise(100)), 0)
    before = detector.dump()
    assert detector.judge(frame([value], 100), 0) == []
    assert detector.dump() == before


def test_one_absurd_value_blinds_no_fence() -> None:
    detector = Detector()
    detector.judge(frame(noise(1000), hist=True), 0)
    assert detector.judge(frame([1e308], 1000), 0) != []
    later = detector.judge(frame([*noise(600, 2), 60.0], 1001), 0)
    assert later[-1].value == 60.0
    assert len(later) <= 12


def test_a_gap_of_days_makes_no_storm() -> None:
    detector = Detector()
    detector.judge(frame(noise(2000), hist=True), 0)
    assert len(detector.judge(frame([one + 1 for one in noise(300, 2)], 2000 + 5 * 1440), 0)) <= 3


def test_readings_at_another_pace_make_no_storm() -> None:
    slow = [Reading("bern", "s1", START + i * 600_000, 0, {"t": math.sin(i / 23)}, None, True) for i in range(1000)]
    dense = [
        Reading("bern", "s1", slow[-1].ts + i * 1000, 0, {"t": math.sin(999 / 23 + i / 13800)}) for i in range(1, 4000)
    ]
    detector = Detector()
    detector.judge(slow, 0)
    assert len(detector.judge(dense, 0)) <= 8


@given(
    st.lists(st.tuples(st.sampled_from([1_000, 10_000, 300_000]), st.integers(1, 15), st.integers(1, 4)), max_size=40)
)
def test_readings_are_judged_however_their_pace_changes_and_whatever_repeats(
    spells: list[tuple[int, int, int]],
) -> None:
    """A spell: its pace in ms, how many readings, and how often each value comes in a row. A run of equal values that
    outlived a change of pace once divided by zero, and so did every restart on the same reading."""
    at, values = START, []
    for pace, count, repeats in spells:
        for i in range(count):
            at += pace
            values.append(Reading("bern", "s1", at, 0, {"t": float(i // repeats)}))
    flags = Detector().judge(values, 0)
    assert all(math.isfinite(flag.score) for flag in flags)


@pytest.mark.parametrize("length", range(6))
def test_a_run_of_equal_values_that_lasts_over_a_change_of_pace_is_judged(length: int) -> None:
    past = [START + i * 300_000 for i in range(100)]
    times = past + [past[-1] + (i + 1) * 2_000 for i in range(30)]
    values = noise(130)
    for i in range(109 - length, 110):
        values[i] = values[109]
    detector = Detector()
    for at, value in zip(times, values, strict=True):
        detector.judge([Reading("bern", "s1", at, 0, {"t": value})], 0)
    assert detector.names()


def test_a_metric_that_vanishes_and_comes_back_is_judged_by_what_it_was() -> None:
    detector = Detector()
    detector.judge(frame(noise(300), hist=True), 0)
    detector.judge([Reading("bern", "s1", START + i * MINUTE, 0, {"h": 1.0 * i}) for i in range(300, 600)], 0)
    (flag,) = detector.judge(frame([90.0], 600), 0)
    assert flag.metric == "t"


@pytest.mark.parametrize("length", [10, 60])
def test_a_sensor_that_is_stuck_is_flagged_until_it_moves(length: int) -> None:
    detector = Detector()
    series = [round(one, 1) for one in noise(3000)]
    detector.judge(frame(series, hist=True), 0)
    flags = detector.judge(frame([20.3] * length, 3000), 0)
    assert len(of(flags, "flat")) >= 3
    assert [flag.nth for flag in flags] == sorted({flag.nth for flag in flags})
    assert flags[-1].nth == 3000 + length and flags[-1].score > flags[0].score
    assert of(detector.judge(frame([round(one, 1) for one in noise(500, 2)], 3000 + length), 0), "flat") == []


def test_a_series_that_often_stands_still_is_not_called_stuck() -> None:
    rng = np.random.default_rng(4)
    steps = [float(level) for level in rng.integers(0, 50, 400) for _ in range(int(rng.integers(5, 30)))]
    assert of(Detector().judge(frame(steps), 0), "flat") == []


def test_standing_still_at_an_end_of_the_range_is_a_limit_of_the_sensor_not_a_fault() -> None:
    detector = Detector()
    nights = [max(0.0, math.sin(i / 100) * 1000 + one) for i, one in enumerate(noise(6000))]
    assert of(detector.judge(frame(nights), 0), "flat") == []


def test_a_value_outside_the_limits_is_flagged_and_not_learned() -> None:
    detector = Detector()
    detector.limits("bern", "s1", "t", -40.0, 85.0)
    detector.judge(frame(noise(100)), 0)
    (flag,) = detector.judge(frame([999.0], 100), 0)
    assert (flag.feature, flag.low, flag.high) == ("limit", -40.0, 85.0)
    assert flag.score == pytest.approx((999 - 85) / 125)
    other = Detector()
    other.judge(frame(noise(100)), 0)
    other.judge(frame([1.0], 101), 0)
    detector.judge(frame([1.0], 101), 0)
    assert detector.judge(frame([3.0], 102), 0)[0].q1 == other.judge(frame([3.0], 102), 0)[0].q1


def test_limits_hold_from_the_first_reading_after_a_restart_and_until_they_are_lifted() -> None:
    detector = Detector()
    detector.limits("bern", "s1", "t", None, 85.0)
    assert detector.judge(frame([86.0]), 0) != []
    again = Detector.load(detector.dump())
    assert again.judge(frame([86.0], 1), 0) != []
    again.limits("bern", "s1", "t", None, None)
    assert again.judge(frame([86.0], 2), 0) == []
