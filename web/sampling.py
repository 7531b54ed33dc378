"""Making long series drawable without hiding what matters (pure)."""

from __future__ import annotations

import numpy as np

from web.window import Points

GAP_FACTOR = 4
LEAST_GAP_MS = 30_000
NEIGHBOURS = 5


def extremes(points: Points, most: int = 1000) -> np.ndarray:
    """Indices of at most about `most` points: of each of `most`/2 equal spans the least and the greatest, in order.

    No spike is lost, as it would be by taking means or every n-th point.
    """
    if len(points) <= most:
        return np.arange(len(points))
    span = np.linspace(points.ts[0], points.ts[-1] + 1, most // 2 + 1)
    starts = np.unique(np.searchsorted(points.ts, span[:-1]))
    keep: set[int] = {0, len(points) - 1}
    for start, end in zip(starts, [*starts[1:], len(points)], strict=True):
        if start < end:
            keep.add(int(start + np.argmin(points.low[start:end])))
            keep.add(int(start + np.argmax(points.high[start:end])))
    return np.array(sorted(keep))


def runs(ts: np.ndarray) -> np.ndarray:
    """The number of the unbroken run each point is in, from 0; as long as `ts` (ms, ascending).

    A run ends where a step is `GAP_FACTOR` times as long as the usual ones both before and after it: a series that
    goes from one cadence to another (history each 5 minutes, then a reading a second) is not broken by that.
    """
    steps = np.diff(ts).astype(float)
    if len(steps) < 2:
        return np.zeros(len(ts), dtype=np.int64)
    padded = np.concatenate([np.full(NEIGHBOURS, np.nan), steps, np.full(NEIGHBOURS, np.nan)])
    windows = np.lib.stride_tricks.sliding_window_view(padded, NEIGHBOURS)
    # The medians of the steps before and after each; at an end only the other side is known.
    before, after = _medians(windows[: len(steps)]), _medians(windows[NEIGHBOURS + 1 :])
    usual = np.fmax(before, after)
    broken = steps > np.maximum(LEAST_GAP_MS, GAP_FACTOR * usual)
    return np.concatenate([[0], np.cumsum(broken)])


def drawable(points: Points, most: int = 1000) -> Points:
    """Thinned, with a NaN between runs, so that a line breaks there."""
    chosen = extremes(points, most)
    run = runs(points.ts)[chosen]
    holes = np.flatnonzero(np.diff(run)) + 1

    def broken(values: np.ndarray) -> np.ndarray:
        return np.insert(values[chosen], holes, np.nan)

    ts = points.ts[chosen]
    return Points(np.insert(ts, holes, ts[holes - 1] + 1), *map(broken, (points.mean, points.low, points.high)))


def alone(points: Points) -> np.ndarray:
    """Which points of a drawable series have no neighbour: a line does not show them."""
    missing = np.concatenate([[True], np.isnan(points.mean), [True]])
    return missing[:-2] & missing[2:] & ~missing[1:-1]


def _medians(windows: np.ndarray) -> np.ndarray:
    """The (lower) median of each row's known values; NaN where none is known."""
    ordered = np.sort(windows, axis=1)  # NaN last
    known = np.sum(~np.isnan(ordered), axis=1)
    return ordered[np.arange(len(ordered)), np.maximum(known - 1, 0) // 2]
