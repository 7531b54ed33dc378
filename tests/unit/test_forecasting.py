import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from weir.errors import WeirError
from weir.forecasting import MODELS, Forecast, ForecastError, by_model, forecast

STEP = 300_000
HOUR = 3_600_000
DAY = 24 * HOUR


def days(count: int, seed: int = 1, step: int = STEP, noise: float = 0.05) -> tuple[np.ndarray, np.ndarray]:
    ts = np.arange(0, count * DAY, step)
    spread = np.random.default_rng(seed).normal(0, noise, len(ts))
    return ts, 20 + 5 * np.sin(2 * np.pi * ts / DAY) + spread


def arrays_of(made: Forecast) -> list[np.ndarray]:
    bounds = (made.low50, made.high50, made.low80, made.high80, made.low95, made.high95)
    return [made.ts, made.mean, *bounds]


def equal(one: Forecast, other: Forecast) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(arrays_of(one), arrays_of(other), strict=True))


def test_a_daily_cycle_is_forecast_better_than_by_repeating_the_last_value() -> None:
    ts, values = days(4)
    made = forecast(ts[:-12], values[:-12])
    assert made.model == "combined" and made.mase is not None and made.mase < 0.5
    assert made.r2 is not None and made.r2 > 0.9
    assert np.abs(made.mean - values[-12:]).mean() < np.abs(values[-13] - values[-12:]).mean() / 2
    assert list(made.ts) == list(ts[-12:])


def test_a_day_ahead_is_forecast_in_hourly_steps_from_five_minute_means() -> None:
    ts, values = days(8)
    made = forecast(ts, values, horizon_ms=DAY, step_ms=HOUR)
    assert list(np.diff(made.ts)) == [HOUR] * 23 and made.ts[0] == ts[-1] + HOUR
    truth = 20 + 5 * np.sin(2 * np.pi * (made.ts - 27.5 * 60_000) / DAY)  # the middle of the 12 means of the hour
    assert np.abs(made.mean - truth).max() < 0.3


def test_the_weights_are_shares_of_named_models_and_the_line_is_a_baseline_only() -> None:
    made = forecast(*days(4))
    assert sum(made.weights.values()) == pytest.approx(1) and set(made.weights) <= set(MODELS) - {"line-24h"}
    assert made.skill["line-24h"].mase > 1 > made.skill["ridge"].mase
    assert made.line_r2 is not None and 0 <= made.line_r2 <= 1


def test_a_straight_line_has_an_r2_of_one_in_the_baseline() -> None:
    made = forecast(np.arange(300) * STEP, np.arange(300) * 0.1)
    assert made.line_r2 == pytest.approx(1) and made.mean[-1] == pytest.approx(31.1, abs=0.2)


def test_a_random_walk_yields_to_the_last_value_and_says_so() -> None:
    yielded = 0
    for seed in range(5):
        walk = np.cumsum(np.random.default_rng(seed).normal(size=864))
        made = forecast(np.arange(864) * STEP, walk)
        yielded += made.yields
        assert made.yields == ("yields" in made.note) == (made.model == "repeat-last")
        if made.yields:
            assert np.array_equal(made.mean, np.full(12, walk[-1])) and made.weights == {"repeat-last": 1.0}
    assert yielded >= 1


def test_wider_intervals_hold_the_narrower_ones() -> None:
    made = forecast(*days(3))
    for low, inner in ((made.low95, made.low80), (made.low80, made.low50), (made.low50, made.mean)):
        assert (low <= inner).all()
    for high, inner in ((made.high95, made.high80), (made.high80, made.high50), (made.high50, made.mean)):
        assert (high >= inner).all()


def test_eighty_percent_intervals_hold_about_eighty_percent_of_what_came() -> None:
    ts, values = days(60, noise=1.0, step=HOUR)
    inside = []
    for origin in range(500, 1400, 45):
        made = forecast(ts[:origin], values[:origin], horizon_ms=DAY, step_ms=HOUR)
        truth = values[origin : origin + 24]
        inside.append(((made.low80 <= truth) & (truth <= made.high80)).mean())
    assert 0.74 <= np.mean(inside) <= 0.86


@pytest.mark.parametrize(
    ("ts", "values", "said"),
    [
        ([0, STEP], [1.0, 2.0], "short history"),
        ([5], [1.0], "constant"),
        (range(0, DAY, STEP), [4.0] * 288, "constant"),
        (range(0, 3 * HOUR, STEP), np.arange(36) % 5, "less than two days"),
        (range(0, DAY, 2 * STEP), np.arange(144) % 7, "rare readings"),
        ([*range(0, DAY, STEP), *range(9 * DAY, 10 * DAY, STEP)], np.arange(576) % 7, "long gap"),
        ([*range(0, DAY, STEP), *range(DAY + 4 * HOUR, 2 * DAY, STEP)], np.arange(528) % 7, "gaps: 48"),
        (range(0, DAY, STEP), [1e300, *np.arange(287) % 7], "bad values: 1"),
        (range(0, DAY, STEP), [np.nan, *np.arange(287) % 7], "bad values: 1"),
        ([0, *range(0, DAY, STEP)], np.arange(289) % 7, "repeated times: 1"),
        (range(0, DAY, STEP), [*np.sin(np.arange(100)), 900, *np.sin(np.arange(187))], "outliers: 1"),
    ],
)
def test_each_fallback_is_named(ts: object, values: object, said: str) -> None:
    made = forecast(np.array(ts), np.array(values))
    assert said in made.note and np.isfinite(np.concatenate(arrays_of(made))).all()


@pytest.mark.parametrize(
    ("ts", "values"), [([], []), ([1], [np.nan]), ([1, 2], [np.inf, 1e300]), ([1, 2], [1.0]), ([[1]], [[1.0]])]
)
def test_what_cannot_be_forecast_is_one_clear_error(ts: list[int], values: list[float]) -> None:
    with pytest.raises(ForecastError):
        forecast(np.array(ts, np.int64), np.array(values))
    assert issubclass(ForecastError, WeirError) and issubclass(ForecastError, ValueError)


@pytest.mark.parametrize(("horizon", "step"), [(HOUR, 0), (HOUR, -1), (STEP, HOUR), (365 * DAY, STEP)])
def test_senseless_horizons_are_one_clear_error(horizon: int, step: int) -> None:
    with pytest.raises(ForecastError):
        forecast(*days(2), horizon_ms=horizon, step_ms=step)


def test_ten_years_of_hours_and_ten_years_between_two_readings_both_work() -> None:
    ts = np.arange(0, 3650 * DAY, HOUR)
    long = forecast(ts, np.sin(ts / DAY * 2 * np.pi), horizon_ms=DAY, step_ms=HOUR)
    assert long.model == "combined" and long.mase is not None and long.mase < 0.2
    apart = forecast(np.array([0, 3650 * DAY]), np.array([1.0, 2.0]))
    assert len(apart.mean) == 12 and "rare" in apart.note


def test_every_model_is_told_apart_by_name() -> None:
    made = by_model(*days(4))
    assert set(made) == set(MODELS)
    assert made["repeat-last"].mase == 1 and made["line-24h"].model == "line-24h"
    assert equal(made["combined"], forecast(*days(4)))


def test_the_order_of_the_readings_does_not_matter() -> None:
    ts, values = days(3)
    order = np.random.default_rng(5).permutation(len(ts))
    assert equal(forecast(ts, values), forecast(ts[order], values[order]))


def test_a_forecast_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(forecast(*days(2)), "model", "other")  # noqa: B010


@given(st.integers(1, 8 * 288 - 1), st.sampled_from([1e9, -50.0, np.nan, 1e300]))
@settings(max_examples=25, deadline=None)
def test_no_forecast_reads_past_its_origin(at: int, later: float) -> None:
    ts, values = days(8)
    changed = np.where(np.arange(len(ts)) > at, later, values)
    one = forecast(ts, values, origin_ms=int(ts[at]))
    assert equal(one, forecast(ts, changed, origin_ms=int(ts[at])))
    assert equal(one, forecast(ts[: at + 1], values[: at + 1]))


@given(
    arrays(
        np.int64, st.shared(st.integers(0, 90), key="n"), elements=st.integers(-(2**62), 2**62) | st.integers(0, DAY)
    ),
    arrays(
        np.float64, st.shared(st.integers(0, 90), key="n"), elements=st.floats(width=64) | st.integers(0, 3).map(float)
    ),
    st.sampled_from([(HOUR, STEP), (DAY, HOUR)]),
)
@settings(max_examples=150, deadline=None)
def test_no_history_raises_anything_but_a_forecast_error(
    ts: np.ndarray, values: np.ndarray, how: tuple[int, int]
) -> None:
    try:
        made = forecast(ts, values, horizon_ms=how[0], step_ms=how[1])
    except ForecastError:
        return
    assert len(made.mean) == how[0] // how[1] and np.isfinite(np.concatenate(arrays_of(made))).all()


@given(
    st.integers(24, 200),
    st.sampled_from([1e-300, 1e-9, 1.0, 1e9, 1e90]),
    st.floats(-1e6, 1e6),
    st.sampled_from(["noise", "steps", "rare", "spikes", "line"]),
    st.integers(0, 1000),
)
@settings(max_examples=80, deadline=None)
def test_any_scale_and_shape_of_a_regular_history_is_forecast_finitely(
    count: int, scale: float, level: float, shape: str, seed: int
) -> None:
    random = np.random.default_rng(seed)
    base = {
        "noise": random.normal(size=count),
        "steps": np.repeat([0.0, 1.0], [count // 2, count - count // 2]),
        "rare": (random.random(count) < 0.02).astype(float),
        "spikes": random.standard_cauchy(count),
        "line": np.arange(count, dtype=float),
    }[shape]
    made = forecast(np.arange(count) * STEP, level * scale + scale * base)
    assert np.isfinite(np.concatenate(arrays_of(made))).all()
