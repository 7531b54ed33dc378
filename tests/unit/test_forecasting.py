import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from weir.forecasting import Forecast, ForecastError, forecast

STEP = 300_000
DAY = 24 * 3600 * 1000


def days(count: int, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    ts = np.arange(0, count * DAY, STEP)
    noise = np.random.default_rng(seed).normal(0, 0.05, len(ts))
    return ts, 20 + 5 * np.sin(2 * np.pi * ts / DAY) + noise


def test_a_daily_cycle_is_forecast_better_than_by_repeating_the_last_value() -> None:
    ts, values = days(4)
    made = forecast(ts[:-12], values[:-12])
    assert made.model == "ridge" and made.mase is not None and made.mase < 0.7
    assert np.abs(made.mean - values[-12:]).mean() < np.abs(values[-13] - values[-12:]).mean()
    assert list(made.ts) == list(ts[-12:])


def test_noise_yields_to_the_last_value_or_better_and_says_so() -> None:
    ts = np.arange(0, DAY, STEP)
    made = forecast(ts, np.cumsum(np.random.default_rng(3).normal(size=len(ts))))
    assert made.model == "ridge" or "yields" in made.note


def test_wider_intervals_hold_the_narrower_ones() -> None:
    made = forecast(*days(3))
    for low, inner in ((made.low95, made.low80), (made.low80, made.low50)):
        assert (low <= inner).all()
    assert (made.high80 <= made.high95).all() and (made.low50 <= made.mean).all()


def test_short_and_constant_histories_are_named() -> None:
    assert "short" in forecast(np.array([0, STEP]), np.array([1.0, 2.0])).note
    assert "constant" in forecast(np.arange(0, DAY, STEP), np.full(288, 4.0)).note
    with pytest.raises(ForecastError):
        forecast(np.array([], np.int64), np.array([]))


@given(
    arrays(np.int64, 60, elements=st.integers(0, 10 * DAY)),
    arrays(np.float64, 60, elements=st.floats(width=64)),
)
@settings(max_examples=60, deadline=None)
def test_no_history_raises_anything_but_a_forecast_error(ts: np.ndarray, values: np.ndarray) -> None:
    try:
        made = forecast(ts, values)
    except ForecastError:
        return
    assert isinstance(made, Forecast) and len(made.mean) == 12 and np.isfinite(made.mean).all()
