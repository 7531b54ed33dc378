"""The models alone: against independent libraries where there is one, and blind to what comes after an origin."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LinearRegression, QuantileRegressor
from statsmodels.tsa.forecasting.theta import ThetaModel
from statsmodels.tsa.holtwinters import ExponentialSmoothing

from weir.forecasting import DAY_MS, HOUR_MS, ForecastError, regression, regular, smoothing, trial
from weir.forecasting.grid import tamed

PERIOD = 24


def series(count: int = 20 * PERIOD, seed: int = 1) -> np.ndarray:
    random = np.random.default_rng(seed)
    return 3 * np.sin(2 * np.pi * np.arange(count) / PERIOD) + np.cumsum(random.normal(0, 0.1, count))


def phase(count: int) -> np.ndarray:
    return np.arange(count) % PERIOD / PERIOD


def mean_error(model: str, values: np.ndarray, start: int) -> float:
    """Fitted anew at each origin, as `theirs`."""
    errors = []
    for origin in range(start, len(values) - PERIOD, 12):
        made = trial.paths(values, PERIOD, phase(len(values)), origin + 1, np.array([origin]), PERIOD)[model][0]
        errors.append(np.abs(made - values[origin + 1 : origin + 1 + PERIOD]).mean())
    return float(np.mean(errors))


def theirs(values: np.ndarray, start: int, model: str) -> float:
    errors = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for origin in range(start, len(values) - PERIOD, 12):
            seen = values[: origin + 1]
            if model == "theta":
                made = np.asarray(ThetaModel(seen, period=PERIOD, method="additive").fit().forecast(PERIOD))
            else:
                fitted = ExponentialSmoothing(
                    seen, trend="add", damped_trend=True, seasonal="add", seasonal_periods=PERIOD
                ).fit()  # fmt: skip
                made = fitted.forecast(PERIOD)
            errors.append(np.abs(made - values[origin + 1 : origin + 1 + PERIOD]).mean())
    return float(np.mean(errors))


@pytest.mark.parametrize("model", ["theta", "holt-winters"])
def test_smoothing_does_about_as_well_as_the_same_model_of_statsmodels(model: str) -> None:
    cases = [series(12 * PERIOD, seed) for seed in range(8)]
    ours = np.mean([mean_error(model, values, 9 * PERIOD) for values in cases])
    assert ours <= 1.1 * np.mean([theirs(values, 9 * PERIOD, model) for values in cases])


def test_the_recursion_of_holt_winters_is_that_of_statsmodels() -> None:
    values, first = series(5 * PERIOD), np.sin(np.arange(PERIOD))
    grid = np.array([[0.3, 0.2, 0.1, 0.9, 1.0]])
    fitted = ExponentialSmoothing(
        values, trend="add", damped_trend=True, seasonal="add", seasonal_periods=PERIOD,
        initialization_method="known", initial_level=values[0] - first[0], initial_trend=0.0, initial_seasonal=first,
    ).fit(
        smoothing_level=0.3, smoothing_trend=0.2, smoothing_seasonal=0.1, damping_trend=0.9, optimized=False
    )  # fmt: skip
    states = smoothing._filter(values, first, grid)
    ours = smoothing._ahead(states, grid, np.array([len(values) - 1]), PERIOD, PERIOD)[0, :, 0]
    # One whole period ahead statsmodels still takes the season of a period earlier.
    assert ours[:-1] == pytest.approx(fitted.forecast(PERIOD)[:-1])


def test_the_line_is_that_of_scikit_learn() -> None:
    values = series()
    index = np.arange(PERIOD)[:, None]
    fitted = LinearRegression().fit(index, values[-PERIOD:])
    made = regression.line(values, PERIOD, np.array([len(values) - 1]), 12)[0]
    assert made == pytest.approx(fitted.predict(np.arange(PERIOD, PERIOD + 12)[:, None]))
    assert regression.line_fit(values, PERIOD) == pytest.approx(fitted.score(index, values[-PERIOD:]))


def test_the_reweighted_regression_comes_close_to_the_least_absolute_error() -> None:
    random = np.random.default_rng(3)
    inputs = random.normal(size=(400, 4))
    truth = inputs @ np.array([1.0, -2.0, 0.5, 0.0]) + random.standard_t(1.5, 400)
    model = regression._absolute(inputs[None], truth[None], np.ones((1, 400)))
    ours = np.abs(truth - regression._predict(model, inputs[None])[0]).mean()
    exact = QuantileRegressor(quantile=0.5, alpha=0).fit(inputs, truth)
    assert ours <= 1.02 * np.abs(truth - exact.predict(inputs)).mean()


@given(st.integers(16, 12 * PERIOD), st.sampled_from([1, 12, PERIOD, 3 * PERIOD]), st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_no_model_reads_past_the_origin_of_a_path(fit: int, steps: int, seed: int) -> None:
    values = series(14 * PERIOD, seed)
    origins = np.arange(fit - 1, len(values) - 1, 7)
    at = int(origins[seed % 5])
    changed = np.where(np.arange(len(values)) > at, values[::-1] * 9 - 50, values)
    known = origins <= at
    for name, path in trial.paths(values, PERIOD, phase(len(values)), fit, origins, steps).items():
        other = trial.paths(changed, PERIOD, phase(len(values)), fit, origins, steps)[name]
        assert np.array_equal(path[known], other[known]), name
    assert np.array_equal(
        regression.line(values, PERIOD, origins[known], steps), regression.line(changed, PERIOD, origins[known], steps)
    )


def test_the_daily_profile_is_found_wherever_the_history_ends() -> None:
    truth = np.cos(2 * np.pi * np.arange(10 * PERIOD) / PERIOD)
    for end in (5 * PERIOD, 5 * PERIOD + 7, 10 * PERIOD - 1):
        assert smoothing.season(truth[:end], PERIOD) == pytest.approx(truth[:PERIOD], abs=0.02)
    assert not smoothing.season(truth[: 2 * PERIOD - 1], PERIOD).any()


def test_filled_values_are_no_truth_in_the_trial() -> None:
    values, real = series(), np.ones(20 * PERIOD, bool)
    real[-30:-20] = False
    held = trial.hold(values, real, PERIOD, phase(len(values)), 3)
    assert held is not None
    first = len(values) - len(held.truth) - 1
    for (row, ahead), truth in np.ndenumerate(held.truth):
        at = first + row
        usable = at + 1 + ahead < len(values) and real[at] and real[at + 1 + ahead]
        assert truth == values[at + 1 + ahead] if usable else np.isnan(truth)


def test_a_model_that_fails_all_but_leaves_and_shares_sum_to_one() -> None:
    values = series()
    held = trial.hold(values, np.ones(len(values), bool), PERIOD, phase(len(values)), PERIOD)
    assert held is not None
    held.paths["theta"][:] += 100
    share = trial.weights(held)
    assert share["theta"].max() < 1e-4
    assert np.sum(list(share.values()), axis=0) == pytest.approx(np.ones(PERIOD))


def test_short_gaps_are_drawn_and_longer_ones_take_the_day_before() -> None:
    ts = np.arange(6 * PERIOD) * HOUR_MS
    wave = np.sin(2 * np.pi * ts / DAY_MS)
    keep = np.ones(len(ts), bool)
    keep[50:53] = keep[80:110] = False
    grid = regular(ts[keep], wave[keep], HOUR_MS)
    assert grid.values[50:53] == pytest.approx(np.interp([50, 51, 52], [49, 53], wave[[49, 53]]))
    assert grid.values[80:110] == pytest.approx(wave[80:110])
    assert not grid.real[80:110].any() and grid.real.sum() == keep.sum()


def test_a_gap_of_more_than_two_days_ends_the_history() -> None:
    ts = np.concatenate([np.arange(48), np.arange(100, 148)]) * HOUR_MS
    grid = regular(ts, np.arange(96.0), HOUR_MS)
    assert grid.times[0] == 100 * HOUR_MS and len(grid.values) == 48


def test_only_lone_spikes_are_tamed() -> None:
    values = series(200)
    spiked = values.copy()
    spiked[90] += 50
    mended, count = tamed(spiked)
    assert count == 1 and abs(mended[90] - values[90]) < 2
    level = values + 50 * (np.arange(200) > 100)
    assert tamed(level)[1] == 0
    newest = values.copy()
    newest[-1] += 50
    assert tamed(newest)[0][-1] == newest[-1]


def test_a_value_stands_for_the_mean_of_its_step() -> None:
    grid = regular(np.array([0, 10, 20, 30]), np.array([1.0, 2.0, 3.0, 5.0]), 20)
    assert list(grid.times) == [10, 30] and list(grid.values) == [1.5, 4.0]


def test_times_beyond_sense_are_an_error() -> None:
    with pytest.raises(ForecastError, match="times beyond"):
        regular(np.array([0, 2**60]), np.array([1.0, 2.0]), HOUR_MS)
