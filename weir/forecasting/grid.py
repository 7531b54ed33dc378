"""From readings as they come to a regular grid (pure): sorted, averaged, gaps filled within bounds, spikes tamed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from weir.forecasting.result import ForecastError

DAY_MS = 86_400_000
HOUR_MS = 3_600_000
#: What is larger is no measurement; its square would overflow.
HUGE = 1e100
#: No more history than this is used: older habits mislead, and every step costs time.
MOST_DAYS = 42
MOST_STEPS = 2016
_LINEAR_MS = 6 * HOUR_MS
_LONGEST_GAP_MS = 2 * DAY_MS
_SPIKE_SIDE = 3
_SPIKE_DEVIATIONS = 8.0


@dataclass(frozen=True)
class Grid:
    """`times` (n,) int64 ms, `step_ms` apart; `values` (n,); `real` (n,) is False where a gap was filled.

    A value stands for the mean of the readings in (time - step, time]. `fallbacks` names what had to be mended.
    """

    times: np.ndarray
    values: np.ndarray
    real: np.ndarray
    step_ms: int
    fallbacks: tuple[str, ...] = ()


def regular(ts: np.ndarray, values: np.ndarray, step_ms: int) -> Grid:
    """`ts` (n,) ms and `values` (n,) in any order, with repeats, gaps and NaN. Raises `ForecastError`.

    The grid ends at the last reading. Its step is `step_ms`, or a multiple of it if the readings come more rarely.
    """
    ts, values, notes = _usable(ts, values)
    step = _working_step(ts, step_ms)
    if step != step_ms:
        notes.append(f"rare readings: forecast in steps of {step // 60_000} min")
    back = (ts[-1] - ts) // step  # 0 is the newest step
    count = int(min(back[0] + 1, MOST_STEPS, max(2, MOST_DAYS * DAY_MS // step)))
    keep = back < count
    slot = count - 1 - back[keep]
    held = np.bincount(slot, minlength=count)
    total = np.bincount(slot, values[keep], minlength=count)
    real = held > 0
    grid = np.where(real, total / np.maximum(held, 1), np.nan)
    start, filled = _fill(grid, real, step)
    if start:
        notes.append("long gap: only what came after it is used")
    if filled:
        notes.append(f"gaps: {filled} of {count - start} steps filled")
    grid, real = grid[start:], real[start:]
    grid, spikes = tamed(grid)
    if spikes:
        notes.append(f"outliers: {spikes} lone spikes tamed")
    times = ts[-1] - step * np.arange(count - start - 1, -1, -1, dtype=np.int64)
    return Grid(times, grid, real, step, tuple(notes))


def _usable(ts: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Sorted by time, finite, one value a time (the mean of repeats)."""
    if ts.ndim != 1 or ts.shape != values.shape:
        raise ForecastError("times and values must be one array each, of the same length")
    good = np.isfinite(values) & (np.abs(values) < HUGE)
    notes = [] if good.all() else [f"bad values: {int((~good).sum())} of {len(good)} left out"]
    ts, values = ts[good], values[good]
    if not len(ts):
        raise ForecastError("no finite value in the history")
    if ts.min() < -(2**53) or ts.max() > 2**53:
        raise ForecastError("times beyond what milliseconds since 1970 can mean")
    unique, where, counts = np.unique(ts, return_inverse=True, return_counts=True)
    if len(unique) < len(ts):
        notes.append(f"repeated times: {len(ts) - len(unique)} averaged")
    return unique, np.bincount(where, values) / counts, notes


def _working_step(ts: np.ndarray, step_ms: int) -> int:
    """The least multiple of `step_ms` that most readings keep up with.

    Values drawn between rare readings would know the reading that comes after, and so flatter every trial.
    """
    recent = np.diff(ts[-500:])
    usual = int(np.median(recent)) if len(recent) else step_ms
    return step_ms * max(1, -(-usual * 9 // (10 * step_ms)))


def _fill(grid: np.ndarray, real: np.ndarray, step_ms: int) -> tuple[int, int]:
    """Fill the gaps of `grid` in place; (first usable step, steps filled).

    Up to 6 h: a straight line. Up to 2 days: the day before, shifted to join. Longer: history begins after it.
    """
    known = np.flatnonzero(real)
    gaps = np.diff(known) - 1
    too_long = np.flatnonzero(gaps * step_ms > _LONGEST_GAP_MS)
    start = int(known[too_long[-1] + 1]) if len(too_long) else int(known[0])
    day = max(1, round(DAY_MS / step_ms))
    for before, missing in zip(known[:-1], gaps, strict=True):
        if not missing or before < start:
            continue
        inside = np.arange(before + 1, before + 1 + missing)
        grid[inside] = np.interp(inside, [before, inside[-1] + 1], [grid[before], grid[inside[-1] + 1]])
        if missing * step_ms > _LINEAR_MS and before + 1 - day >= start:
            for at in inside:  # one by one: a gap of two days copies its own first day
                grid[at] = grid[at - day]
    return start, int((~real[start:]).sum())


def tamed(values: np.ndarray) -> tuple[np.ndarray, int]:
    """A copy with lone spikes replaced by the median of their neighbours, and their number.

    A spike lies further than 8 robust deviations (Hampel 1974) from the median of the 3 values on either side. The
    newest values stay: nothing after them says whether they are spikes or a new level.
    """
    width = 2 * _SPIKE_SIDE + 1
    if len(values) < 2 * width:
        return values, 0
    around = np.lib.stride_tricks.sliding_window_view(values, width)
    middle = np.median(around, axis=1)
    off = np.abs(values[_SPIKE_SIDE:-_SPIKE_SIDE] - middle)
    spread = 1.4826 * np.median(np.abs(around - middle[:, None]), axis=1)
    # Where all neighbours are equal any step would count: the usual spread is the least.
    spike = off > _SPIKE_DEVIATIONS * np.maximum(spread, np.mean(spread))
    spike &= off > 0
    result = values.copy()
    result[_SPIKE_SIDE:-_SPIKE_SIDE][spike] = middle[spike]
    return result, int(spike.sum())
