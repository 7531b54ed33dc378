"""Forecasts of one series (pure): history in, mean and intervals out, and an honest word on their skill.

The model is a ridge regression of the change over each step ahead on recent changes, on what followed a day earlier
and on the hour of the day. It is tried on the newest fifth of the history, and yields to repeating the last value
when it does no better there. Intervals are quantiles of the errors made in that trial (split conformal prediction,
Vovk et al. 2005), so that 80 % means 80 % of what was tried.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from sklearn.linear_model import Ridge

from weir.errors import WeirError

DAY_MS = 24 * 3600 * 1000
_LAGS = 6
_LEAST = 24
_HUGE = 1e100


class ForecastError(WeirError, ValueError):
    """There is no usable history; the text says why."""


@dataclass(frozen=True)
class Forecast:
    """Arrays of one length: `ts` in ms, the rest in the series' unit. `mase` below 1 beats repeating the last value;
    `r2` is against the mean of the trial; both None when there was no trial. `note` names a fallback."""

    ts: np.ndarray
    mean: np.ndarray
    low50: np.ndarray
    high50: np.ndarray
    low80: np.ndarray
    high80: np.ndarray
    low95: np.ndarray
    high95: np.ndarray
    model: str
    weights: dict[str, float] = field(default_factory=dict)
    r2: float | None = None
    mase: float | None = None
    baseline_mase: float | None = None
    coverage80: float | None = None
    note: str = ""


def forecast(ts: np.ndarray, values: np.ndarray, *, horizon_ms: int = 3_600_000, step_ms: int = 300_000) -> Forecast:
    """Forecast the `horizon_ms` after the last reading, every `step_ms`.

    `ts` (n,) ms and `values` (n,): in any order, with gaps, repeats and NaN. Raises `ForecastError`.
    """
    times, grid = regular(np.asarray(ts, np.int64), np.asarray(values, np.float64), step_ms)
    steps = max(1, horizon_ms // step_ms)
    ahead = times[-1] + step_ms * np.arange(1, steps + 1)
    last = np.full(steps, grid[-1])
    if len(grid) < _LEAST + steps or np.ptp(grid) == 0:
        note = "constant history" if np.ptp(grid) == 0 else "short history: the last value is repeated"
        spread = np.abs(np.diff(grid)).max() if len(grid) > 1 else 0.0
        return _result(ahead, last, spread * np.sqrt(np.arange(1, steps + 1)), "repeat-last", note=note)
    inputs, changes = _table(times, grid, step_ms, steps)
    cut = max(1, len(changes) * 4 // 5)
    # Between fitting and trial lie `steps` rows whose truth would reach into the trial.
    fitted = Ridge(1.0).fit(inputs[: max(1, cut - steps)], changes[: max(1, cut - steps)])
    tried = fitted.predict(inputs[cut:])
    truth = changes[cut:]
    naive = float(np.mean(np.abs(truth)))
    error = float(np.mean(np.abs(truth - tried)))
    spread = float(np.sum((truth - truth.mean()) ** 2))
    r2 = 1 - float(np.sum((truth - tried) ** 2)) / spread if spread > 0 else None
    mase = error / naive if naive > 0 else None
    if mase is None or mase >= 1:
        note = "yields to the last value, which did no worse"
        return _result(ahead, last, np.abs(truth), "repeat-last", r2=r2, mase=1.0, note=note)
    whole = Ridge(1.0).fit(inputs, changes)
    now = _features(times, grid, step_ms, np.array([len(grid) - 1]))
    mean = grid[-1] + whole.predict(now)[0]
    return _result(ahead, mean, np.abs(truth - tried), "ridge", r2=r2, mase=mase)


def regular(ts: np.ndarray, values: np.ndarray, step_ms: int) -> tuple[np.ndarray, np.ndarray]:
    """Sorted, one value a step, gaps interpolated; at most the last 30 days. Raises `ForecastError`."""
    if ts.shape != values.shape or ts.ndim != 1:
        raise ForecastError("times and values must be one array each, of the same length")
    good = np.isfinite(values) & (np.abs(values) < _HUGE)
    ts, values = ts[good], values[good]
    if not len(ts):
        raise ForecastError("no finite value in the history")
    recent = ts > ts.max() - 30 * DAY_MS
    ts, values = ts[recent], values[recent]
    order = np.argsort(ts, kind="stable")
    ts, first = np.unique(ts[order], return_index=True)
    values = values[order][first]
    times = np.arange(ts[-1] - (ts[-1] - ts[0]) // step_ms * step_ms, ts[-1] + 1, step_ms)
    return times, np.interp(times, ts, values)


def _features(times: np.ndarray, grid: np.ndarray, step_ms: int, at: np.ndarray) -> np.ndarray:
    """(len(at), features): recent changes, how yesterday went on, and the hour; nothing later than `at`."""
    columns = [grid[at] - grid[np.maximum(at - lag, 0)] for lag in range(1, _LAGS + 1)]
    day = DAY_MS // step_ms
    before = at - day
    for further in (3, 6, 12):
        known = before >= 0
        change = grid[np.maximum(before + further, 0).clip(max=len(grid) - 1)] - grid[np.maximum(before, 0)]
        columns.append(np.where(known & (further <= day), change, 0.0))
    angle = 2 * np.pi * (times[at] % DAY_MS) / DAY_MS
    columns += [np.sin(angle), np.cos(angle)]
    return np.stack(columns, axis=1)


def _table(times: np.ndarray, grid: np.ndarray, step_ms: int, steps: int) -> tuple[np.ndarray, np.ndarray]:
    at = np.arange(_LAGS, len(grid) - steps)
    changes = np.stack([grid[at + ahead] - grid[at] for ahead in range(1, steps + 1)], axis=1)
    return _features(times, grid, step_ms, at), changes


def _result(
    ts: np.ndarray, mean: np.ndarray, errors: np.ndarray, model: str, *, r2: float | None = None,
    mase: float | None = None, note: str = "",
) -> Forecast:  # fmt: skip
    """`errors`: (trials, steps) of absolute errors, or (steps,) half-widths."""
    if errors.ndim == 1:
        half = {share: errors for share in (50, 80, 95)}
    else:
        half = {share: np.quantile(errors, share / 100, axis=0) for share in (50, 80, 95)}
    bounds = {f"low{share}": mean - width for share, width in half.items()}
    bounds |= {f"high{share}": mean + width for share, width in half.items()}
    baseline = None if mase is None else 1.0
    return Forecast(
        ts, mean, **bounds, model=model, weights={model: 1.0}, r2=r2, mase=mase, baseline_mase=baseline, note=note
    )
