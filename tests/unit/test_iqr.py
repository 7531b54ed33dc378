from dataclasses import replace

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_apps.iqr import VERSION, Detector
from stream_apps.iqr_params import DEFAULT, Feature, Kind, Params
from weir.events import Flag
from weir.readings import Reading

MINUTE = 60_000
START = 1_790_000_000_000
#: A detector with one fence that flags whatever lies outside the quartiles of the last 60 readings.
QUARTILES = Params(features=(Feature("level", Kind.LEVEL, 60, 60, 0.0, 0.0, far=1e-9),), reach=0.0, far_growth=0.0)

values = st.floats(allow_nan=False, allow_infinity=False)


def frame(values: list[float], start: int = 0, hist: bool = False, step: int = MINUTE) -> list[Reading]:
    return [
        Reading("bern", "s1", START + step * (start + i), 0, {"t": value}, None, hist) for i, value in enumerate(values)
    ]


def noise(count: int, seed: int = 1) -> list[float]:
    return np.random.default_rng(seed).normal(20, 1, count).tolist()


def of(flags: list[Flag], feature: str) -> list[Flag]:
    return [flag for flag in flags if flag.feature == feature]


@given(st.lists(st.floats(-1e6, 1e6), min_size=70, max_size=250))
@settings(max_examples=40, deadline=None)
def test_quartiles_are_those_of_numpy_over_the_same_window(series: list[float]) -> None:
    kept = np.float32(np.array(series) - series[0]).astype(float)
    for flag in of(Detector(QUARTILES).judge(frame(series), 0), "level"):
        i = flag.nth - 1
        q1, q3 = np.percentile(kept[max(0, i - 60) : i], [25, 75]) + series[0]
        assert flag.window == min(i, 60)
        assert flag.q1 == pytest.approx(q1, rel=1e-6, abs=1e-6)
        assert flag.q3 == pytest.approx(q3, rel=1e-6, abs=1e-6)


@given(st.lists(values | st.sampled_from([0.0, 1.0, 20.0]), max_size=160), st.integers(1, 159), st.integers(1, 90))
@settings(max_examples=40, deadline=None)
def test_where_frames_are_cut_and_state_is_saved_changes_no_flag(series: list[float], cut: int, step: int) -> None:
    readings = frame(series, step=step * MINUTE)
    whole = Detector().judge(readings, 0)
    first = Detector()
    parts = first.judge(readings[:cut], 0)
    parts += Detector.load(first.dump()).judge(readings[cut:], 0)
    assert parts == whole


def test_state_that_is_saved_is_the_state_that_is_loaded_after_windows_have_been_thinned() -> None:
    detector = Detector()
    detector.judge(frame(noise(6000)), 0)
    again = Detector.load(detector.dump())
    assert again.dump() == detector.dump()
    later = frame([*noise(500, 2), 60.0, *noise(500, 3)], 6000)
    assert again.judge(later, 0) == detector.judge(later, 0) != []


def test_a_spike_is_flagged_with_its_reasons() -> None:
    detector = Detector()
    detector.judge(frame(noise(200), hist=True), 0)
    (flag,) = detector.judge(frame([40.0], 200), 7)
    assert flag.value == 40.0 and flag.at == 7 and flag.nth == 201 and 50 <= flag.window <= 200
    assert flag.version == VERSION == 2 and flag.detector == "iqr" and flag.feature in ("level", "step", "jump")
    assert flag.low < flag.q1 < flag.q3 < flag.high < 40
    spread = (flag.high - flag.q3) / DEFAULT.reach
    assert flag.score == pytest.approx((40 - flag.high) / spread)


def test_nothing_is_flagged_while_warming_up_nor_in_back_filled_data() -> None:
    assert Detector().judge(frame([*noise(40), 1000.0]), 0) == []
    detector = Detector()
    assert detector.judge(frame([*noise(100), 1000.0], hist=True), 0) == []
    assert detector.judge(frame([3000.0], 101), 0) != []


def test_back_filled_data_teaches_what_is_normal() -> None:
    detector = Detector()
    detector.judge(frame([one * 100 for one in noise(300)], hist=True), 0)
    assert len(detector.judge(frame([one * 100 for one in noise(50, 2)], 300), 0)) <= 1


def test_a_repeated_or_older_reading_is_neither_learned_nor_flagged() -> None:
    detector = Detector()
    detector.judge(frame(noise(100)), 0)
    before = detector.dump()
    assert detector.judge(frame([1e6] * 100), 0) == []
    assert detector.dump() == before


def test_a_lasting_new_level_is_learned() -> None:
    flags = Detector().judge(frame([*noise(300), *[one + 50 for one in noise(900, 2)]]), 0)
    assert len(of(flags, "level")) >= 3
    assert max(flag.nth for flag in of(flags, "level")) < 300 + 200


def test_many_series_outgrow_the_first_capacity() -> None:
    detector = Detector(capacity=4)
    readings = [Reading("bern", f"s{i}", START, 0, {"t": 1.0, "h": 2.0}) for i in range(50)]
    detector.judge(readings, 0)
    assert len(detector.names()) == 100
    assert Detector.load(detector.dump()).names() == detector.names()


def test_the_series_of_a_detector_do_not_mix() -> None:
    both = Detector()
    mixed = [
        Reading("bern", "s1", one.ts, 0, {"t": one.metrics["t"], "h": 100 - other})
        for one, other in zip(frame([*noise(300), 60.0]), noise(301, 9), strict=True)
    ]
    alone = Detector().judge(frame([*noise(300), 60.0]), 0)
    assert [flag for flag in both.judge(mixed, 0) if flag.metric == "t"] == alone != []


def test_state_of_another_version_other_parameters_or_no_state_is_refused() -> None:
    with pytest.raises(ValueError, match="other parameters"):
        Detector.load(Detector(replace(DEFAULT, warmup=60)).dump())
    with pytest.raises(ValueError, match="not a state"):
        Detector.load(b"\xc1nonsense")
    with pytest.raises(ValueError, match="version 1"):
        Detector.load(msgspec.msgpack.encode((1, "", [], b"")))
    with pytest.raises(ValueError):
        Detector.load(msgspec.msgpack.encode((VERSION, repr(DEFAULT), [("a", "b", "c")], b"damaged")))


def test_a_series_needs_less_than_12_kib() -> None:
    assert Detector().bytes_per_series < 12 * 1024
