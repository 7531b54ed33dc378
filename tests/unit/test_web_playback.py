"""A day of the fleet in bytes, sparklines, and what is remembered for a moment."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from web.kept import Kept
from web.playback import (
    ALERT,
    BUDGET,
    DAY_MS,
    FLAGGED,
    MISSING,
    OK,
    SILENT,
    STEPS_MS,
    Frames,
    encoded,
    of_metric,
    of_status,
    quantised,
    step_for,
)
from web.sparks import HEIGHT, WIDTH, path

HOUR = 3_600_000
values = st.lists(st.floats(-1e6, 1e6) | st.just(float("nan")), min_size=1, max_size=50)


@given(values)
def test_a_byte_tells_a_value_to_the_254th_part_of_the_range(found: list[float]) -> None:
    array = np.array(found)
    low, high = -1e6, 1e6
    bytes_ = quantised(array, low, high)
    assert ((bytes_ == MISSING) == np.isnan(array)).all()
    known = bytes_ != MISSING
    back = low + bytes_[known] / 254 * (high - low)
    assert np.abs(back - array[known]).max(initial=0) <= (high - low) / 254 / 2 + 1e-6


@given(st.integers(1, 16_000))
def test_a_day_of_any_fleet_up_to_sixteen_thousand_keeps_the_budget(sensors: int) -> None:
    step = step_for(sensors)
    assert step in STEPS_MS
    assert sensors * (DAY_MS // step) <= BUDGET


def test_values_lie_in_their_frames_and_one_outside_the_day_in_none() -> None:
    frames = of_metric([("b/x", [0, 23, 24, -1], [1.0, 3.0, 9.0, 9.0]), ("a/x", [1], [2.0])], 0, HOUR)
    assert frames.keys == ["a/x", "b/x"]
    assert (frames.data != MISSING).sum(axis=1).tolist() == [1, 2]
    assert frames.data[1, 0] < frames.data[0, 1] < frames.data[1, 23]


def test_an_alert_outweighs_a_flag_and_a_sensor_not_heard_is_silent() -> None:
    frames = of_status(
        {"a/x": [0, 1, 2, 3], "a/y": [5]}, {"a/x": [1, 2], "gone/z": [1]},
        [("a/x", 2, 4, False), ("a/y", 20, 21, True), ("gone/z", 0, 1, True)], 0, HOUR,
    )  # fmt: skip
    assert frames.data[0, :5].tolist() == [OK, FLAGGED, ALERT, ALERT, SILENT]
    assert frames.data[1, [4, 5, 19, 20, 23]].tolist() == [SILENT, OK, SILENT, ALERT, ALERT]


def test_frames_go_out_as_a_line_of_json_and_their_bytes() -> None:
    data = np.arange(6, dtype=np.uint8).reshape(2, 3)
    head, _, body = encoded(Frames(["a/x", "b/y"], data, 5, 7, 1.0, 2.0)).partition(b"\n")
    told = {"keys": ["a/x", "b/y"], "since": 5, "step": 7, "frames": 3, "low": 1.0, "high": 2.0}
    assert json.loads(head) == told
    assert body == bytes(range(6))


@given(st.lists(st.floats(-1e9, 1e9) | st.none(), max_size=80))
def test_a_sparkline_stays_within_its_picture(found: list[float | None]) -> None:
    drawn = path(found)
    numbers = [float(one) for one in drawn.replace("M", " ").replace("L", " ").split()]
    assert all(0 <= x <= WIDTH for x in numbers[::2])
    assert all(0 <= y <= HEIGHT for y in numbers[1::2])
    assert len(numbers) == 2 * sum(one is not None for one in found)


def test_a_gap_breaks_the_sparkline() -> None:
    assert path([1.0, 2.0, None, 3.0]).count("M") == 2


def test_what_is_remembered_is_made_once_until_it_is_old() -> None:
    now = [0.0]
    kept: Kept[int] = Kept(10.0, most=2, clock=lambda: now[0])
    made: list[int] = []

    def make() -> int:
        made.append(len(made))
        return made[-1]

    assert [kept.get("a", make), kept.get("a", make)] == [0, 0]
    now[0] = 10.0
    assert kept.get("a", make) == 1
    kept.get("b", make)
    kept.get("c", make)
    assert kept.get("a", make) == 4


def test_a_failure_is_not_remembered() -> None:
    kept: Kept[int] = Kept(10.0)

    def fail() -> int:
        raise ValueError("away")

    with pytest.raises(ValueError, match="away"):
        kept.get(1, fail)
    assert kept.get(1, lambda: 7) == 7
