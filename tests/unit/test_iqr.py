import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_apps.iqr import Detector, Params
from weir.readings import Reading


def frame(values: list[float], start: int = 0, hist: bool = False) -> list[Reading]:
    return [Reading("bern", "s1", 1000 * (start + i), 0, {"t": value}, None, hist) for i, value in enumerate(values)]


def noise(count: int, seed: int = 1) -> list[float]:
    return list(np.random.default_rng(seed).normal(20, 1, count))


values = st.floats(allow_nan=False, allow_infinity=False)


@given(st.lists(values, min_size=60, max_size=200))
@settings(max_examples=40)
def test_quartiles_are_those_of_numpy_over_the_same_window(series: list[float]) -> None:
    params = Params(window=50, warmup=50, reach=0.0, floor=0.0)
    limited = np.clip(series, -1e150, 1e150)
    for flag in Detector(params).judge(frame(series), 0):
        i = flag.ts // 1000
        q1, q3 = np.percentile(limited[i - 50 : i], [25, 75])
        assert flag.q1 == pytest.approx(q1)
        assert flag.q3 == pytest.approx(q3)


@given(st.lists(values, max_size=120), st.integers(1, 119))
@settings(max_examples=40)
def test_where_frames_are_cut_and_state_is_saved_changes_no_flag(series: list[float], cut: int) -> None:
    whole = Detector().judge(frame(series), 0)
    first = Detector()
    parts = first.judge(frame(series[:cut]), 0)
    parts += Detector.load(first.dump()).judge(frame(series[cut:], cut), 0)
    assert parts == whole


def test_a_spike_is_flagged_with_its_reasons() -> None:
    detector = Detector()
    assert detector.judge(frame(noise(200)), 0) == []
    (flag,) = detector.judge(frame([40.0], 200), 7)
    assert flag.value == 40.0 and flag.at == 7 and flag.nth == 201 and flag.window == 200
    assert flag.q1 < 20 < flag.q3 < flag.high < 40
    assert flag.score == pytest.approx((40 - flag.high) / (flag.q3 - flag.q1), rel=0.01)


def test_nothing_is_flagged_while_warming_up_nor_in_back_filled_data() -> None:
    assert Detector().judge(frame([*noise(40), 1000.0]), 0) == []
    detector = Detector()
    assert detector.judge(frame([*noise(100), 1000.0], hist=True), 0) == []
    assert detector.judge(frame([1000.0], 101), 0) != []


def test_a_repeated_or_older_reading_is_not_learned_twice() -> None:
    detector = Detector()
    detector.judge(frame(noise(100)), 0)
    before = detector.dump()
    assert detector.judge(frame(noise(100, seed=2)), 0) == []
    assert detector.dump() == before


@pytest.mark.parametrize("series", [[5.0] * 500, [0.0, 1.0] * 250, [1e308, -1e308] * 250, list(range(500))])
def test_odd_series_make_no_storm(series: list[float]) -> None:
    assert len(Detector().judge(frame([float(one) for one in series]), 0)) == 0


def test_a_lasting_new_level_is_learned() -> None:
    flags = Detector().judge(frame([*noise(300), *[one + 50 for one in noise(600, 2)]]), 0)
    assert flags
    assert max(flag.nth for flag in flags) < 300 + 200


def test_many_series_outgrow_the_first_capacity() -> None:
    detector = Detector(capacity=4)
    readings = [Reading("bern", f"s{i}", 1, 0, {"t": 1.0, "h": 2.0}) for i in range(50)]
    detector.judge(readings, 0)
    assert len(detector.names()) == 100
    assert Detector.load(detector.dump()).names() == detector.names()


def test_state_of_other_parameters_is_refused() -> None:
    with pytest.raises(ValueError, match="other parameters"):
        Detector.load(Detector(Params(window=100)).dump())
    with pytest.raises(ValueError, match="not a detector"):
        Detector.load(b"\xc1nonsense")
