"""Making long series drawable without hiding what matters (pure)."""

from __future__ import annotations

import numpy as np

from web.queries import Points

GAP_FACTOR = 4


def thin(points: Points, most: int = 1000) -> Points:
    """At most about `most` points: of each of `most`/2 equal spans of time the least and the greatest, in order.

    No spike is lost, as it would be by taking means or every n-th point.
    """
    if len(points) <= most:
        return points
    span = np.linspace(points.ts[0], points.ts[-1] + 1, most // 2 + 1)
    starts = np.unique(np.searchsorted(points.ts, span[:-1]))
    keep: set[int] = {0, len(points) - 1}
    for start, end in zip(starts, [*starts[1:], len(points)], strict=True):
        if start < end:
            keep.add(int(start + np.argmin(points.low[start:end])))
            keep.add(int(start + np.argmax(points.high[start:end])))
    chosen = np.array(sorted(keep))
    return Points(points.ts[chosen], points.mean[chosen], points.low[chosen], points.high[chosen])


def gap_ms(ts: np.ndarray) -> int:
    """How long nothing must come before it is a gap: `GAP_FACTOR` usual steps, half a minute at least (ms)."""
    if len(ts) < 3:
        return 2**62
    return max(30_000, int(GAP_FACTOR * np.median(np.diff(ts))))


def with_gaps(points: Points, gap: int) -> Points:
    """Put a NaN into each pause longer than `gap` (ms), so that a line breaks there."""
    holes = np.flatnonzero(np.diff(points.ts) > gap)
    if not len(holes):
        return points
    at = points.ts[holes] + 1

    def broken(values: np.ndarray) -> np.ndarray:
        return np.insert(values, holes + 1, np.nan)

    return Points(np.insert(points.ts, holes + 1, at), broken(points.mean), broken(points.low), broken(points.high))
