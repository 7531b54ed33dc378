"""Exponential smoothing (pure): damped seasonal Holt-Winters and Theta, each a small grid of settings run at once.

Every function filters all settings in one pass over the series, so that a forecast from any origin is an index away
and a rolling-origin trial costs no more than a forecast.
"""

from __future__ import annotations

from itertools import product

import numpy as np

_SEASON_DAYS = 7
_TRIALS = 400
_KEPT = 5

#: Rows of (level, trend, season, damping, share of the first daily profile): without a daily cycle, too.
HOLT_WINTERS = np.array(
    [
        (level, trend, season, damping, share)
        for level, (trend, damping), (season, share) in product(
            (0.05, 0.2, 0.5, 0.8, 1.0),
            ((0.0, 0.0), (0.05, 0.9), (0.2, 0.8), (0.3, 0.95), (0.6, 0.8)),
            ((0.0, 0.0), (0.0, 1.0), (0.03, 1.0), (0.1, 1.0), (0.25, 1.0), (0.5, 1.0)),
        )
    ]
)
#: Rows of (smoothing, share of the daily profile).
THETA = np.array(list(product((0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.85, 1.0), (0.0, 0.5, 1.0))))


def season(values: np.ndarray, period: int, days: int = 2 * _SEASON_DAYS) -> np.ndarray:
    """(period,) mean departure from the day's mean over the last whole `days`, by index modulo `period`; zero if fewer
    than two. Fine wiggles are damped the more, the fewer days there are: they are noise that a mean of few keeps.
    """
    count = min(len(values) // period, days)
    if period < 2 or count < 2:
        return np.zeros(max(1, period))
    start = len(values) - count * period
    recent = values[start:]
    # Departures from a straight or wandering level would be taken for the day's shape: it moves with a centred mean.
    kernel = np.concatenate([[0.5], np.ones(period - 1), [0.5]]) / period
    level = np.convolve(recent, kernel, mode="valid")
    edge = period // 2
    slope = (level[-1] - level[0]) / max(1, len(level) - 1)
    before, after = level[0] - slope * np.arange(edge, 0, -1), level[-1] + slope * np.arange(1, len(recent))
    trend = np.concatenate([before, level, after])[: len(recent)]
    profile = (recent - trend).reshape(count, period).mean(axis=0)
    profile -= profile.mean()
    waves = np.fft.rfft(profile)
    waves /= 1 + (np.arange(len(waves)) / (2.0 * count)) ** 2
    return np.roll(np.fft.irfft(waves, period), start % period)


def holt_winters(values: np.ndarray, period: int, fit: int, origins: np.ndarray, steps: int) -> np.ndarray:
    """(len(origins), steps): additive season and damped trend (Gardner & McKenzie 1989).

    `values` (n,). The mean of the five settings with the least errors before index `fit`; each origin's forecast
    knows those settings and the values up to it.
    """
    first = season(values[: min(fit // max(1, period), _SEASON_DAYS) * period], period)
    seasonal = bool(np.any(first))
    grid = HOLT_WINTERS if seasonal else HOLT_WINTERS[HOLT_WINTERS[:, 4] == 0]
    states = _filter(values, first, grid)
    tried, truth = _trials(values, fit, steps, period if seasonal else 1)
    errors = _error(_ahead(states, grid, tried, truth.shape[1], len(first)), truth)
    best = np.argsort(errors, kind="stable")[:_KEPT]
    kept = (states[0][:, best], states[1][:, best], states[2][:, best])
    return _ahead(kept, grid[best], origins, steps, len(first)).mean(axis=-1)


_States = tuple[np.ndarray, np.ndarray, np.ndarray]


def _filter(values: np.ndarray, first: np.ndarray, grid: np.ndarray) -> _States:
    """Levels (n, settings), trends (n, settings) and seasons (period + n, settings; row t serves time t)."""
    n, period = len(values), len(first)
    alpha, beta, gamma, damping, share = grid.T
    levels, trends = np.empty((n, len(grid))), np.empty((n, len(grid)))
    seasons = np.empty((period + n, len(grid)))
    seasons[:period] = first[:, None] * share
    level, trend, drift = values[0] - seasons[0], np.zeros(len(grid)), alpha * beta
    for at in range(n):
        trend = damping * trend
        level = level + trend
        error = values[at] - level - seasons[at]
        level = level + alpha * error
        trend = trend + drift * error
        seasons[at + period] = seasons[at] + gamma * error
        levels[at], trends[at] = level, trend
    return levels, trends, seasons


def _ahead(states: _States, grid: np.ndarray, origins: np.ndarray, steps: int, period: int) -> np.ndarray:
    """(len(origins), steps, settings)."""
    levels, trends, seasons = states
    ahead = np.arange(1, steps + 1)
    damped = np.cumsum(grid[:, 3][None, :] ** ahead[:, None], axis=0)
    rows = origins[:, None] + 1 + (ahead - 1) % period
    return levels[origins][:, None] + damped * trends[origins][:, None] + seasons[rows]


def theta(values: np.ndarray, period: int, fit: int, origins: np.ndarray, steps: int) -> np.ndarray:
    """(len(origins), steps): Theta on the series less its daily profile (Assimakopoulos & Nikolopoulos 2000).

    In the form of Hyndman & Billah (2003): simple smoothing plus half the slope of the line through all values so
    far. `values` (n,); profile and smoothing are chosen before index `fit`.
    """
    profile = season(values[:fit], period)
    alpha, share = THETA.T
    daily = profile[np.arange(len(values)) % len(profile)]
    level, levels = values[0] - share * daily[0], np.empty((len(values), len(THETA)))
    for at in range(len(values)):
        level = level + alpha * (values[at] - share * daily[at] - level)
        levels[at] = level
    half = (_slopes(values)[:, None] - share * _slopes(daily)[:, None]) / 2

    def paths(at: np.ndarray, steps: int) -> np.ndarray:
        ahead = np.arange(steps)
        drift = half[at][:, None] * (ahead[:, None] + 1 / alpha)
        return levels[at][:, None] + drift + share * profile[(at[:, None] + 1 + ahead) % len(profile)][..., None]

    tried, truth = _trials(values, fit, steps, period)
    best = int(np.argmin(_error(paths(tried, truth.shape[1]), truth)))
    return paths(origins, steps)[..., best]


def _error(made: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """(settings,) from paths (origins, steps, settings): the geometric mean over the steps of the mean absolute error.

    An arithmetic mean would leave the choice to the far steps, whose few independent errors are the largest.
    """
    errors = np.abs(made - truth[..., None]).mean(axis=0)
    return np.log(np.maximum(errors, 1e-12)).mean(axis=0)


def _trials(values: np.ndarray, fit: int, steps: int, period: int) -> tuple[np.ndarray, np.ndarray]:
    """Origins whose path lies before index `fit`, after two periods where there is room, and what came after each.

    (origins,) and (origins, steps), with fewer steps where half of what is before `fit` is shorter.
    """
    steps = max(1, min(steps, fit // 2))
    last = max(1, fit - steps)
    # Paths that overlap for the most part say little more than one of them.
    origins = np.arange(min(2 * period, fit // 2, last - 1), last)[-_TRIALS :: max(1, steps // 6)]
    return origins, values[origins[:, None] + np.arange(1, steps + 1)]


def _slopes(values: np.ndarray) -> np.ndarray:
    """(n,) slope of the least-squares line through the values up to each; 0 for the first."""
    index = np.arange(len(values), dtype=np.float64)
    count, sx, sxx = index + 1, np.cumsum(index), np.cumsum(index**2)
    spread = count * sxx - sx**2
    rise = count * np.cumsum(index * values) - sx * np.cumsum(values)
    return np.where(spread > 0, rise / np.where(spread > 0, spread, 1.0), 0.0)
