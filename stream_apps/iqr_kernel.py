"""The compiled part of the detector: sliding quartiles over NumPy state, one call for a whole frame (pure)."""

from __future__ import annotations

import numba
import numpy as np

_SIGNATURE = (
    "int64(int64[:], int64[:], float64[:], boolean[:], float64[:,:], float64[:,:], int64[:], int64[:], float64[:], "
    "float64[:], int64[:], int64, float64, float64, int64[:], float64[:,:])"
)


@numba.njit(cache=True)
def _quartile(values: np.ndarray, size: int, share: float) -> float:
    """Linear interpolation between order statistics (Hyndman and Fan 1996, type 7), as numpy.percentile."""
    place = share * (size - 1)
    low = int(place)
    high = min(low + 1, size - 1)
    return values[low] * (1.0 - (place - low)) + values[high] * (place - low)


@numba.njit(cache=True)
def _replace(values: np.ndarray, size: int, old: float, new: float, full: bool) -> None:
    """Keep `values[:size]` sorted while `old` leaves (when full) and `new` enters."""
    hole: int = min(int(np.searchsorted(values[:size], old)), size - 1) if full else size - 1
    while hole > 0 and values[hole - 1] > new:
        values[hole] = values[hole - 1]
        hole -= 1
    while hole < size - 1 and values[hole + 1] < new:
        values[hole] = values[hole + 1]
        hole += 1
    values[hole] = new


@numba.njit(_SIGNATURE, cache=True)
def judge(
    rows: np.ndarray,
    times: np.ndarray,
    values: np.ndarray,
    hist: np.ndarray,
    ring: np.ndarray,
    ordered: np.ndarray,
    seen: np.ndarray,
    last: np.ndarray,
    lowest: np.ndarray,
    highest: np.ndarray,
    size: np.ndarray,
    warmup: int,
    reach: float,
    floor: float,
    flagged: np.ndarray,
    out: np.ndarray,
) -> int:
    """Judge each point against its series' window, then let it enter. Returns how many were flagged.

    `flagged[:n]` are indices into `rows`; `out[:n]` holds score, q1, q3, low, high, window, nth.
    A point not newer than the last of its series is neither judged nor learned.
    """
    window = ring.shape[1]
    found = 0
    for i in range(rows.size):
        r = rows[i]
        if times[i] <= last[r]:
            continue
        last[r] = times[i]
        value = values[i]
        n = size[r]
        seen[r] += 1
        if n >= warmup and not hist[i]:
            q1 = _quartile(ordered[r], n, 0.25)
            q3 = _quartile(ordered[r], n, 0.75)
            spread = max(q3 - q1, floor * (highest[r] - lowest[r]), 1e-9 * max(abs(q1), abs(q3)), 1e-9)
            low = q1 - reach * spread
            high = q3 + reach * spread
            if value < low or value > high:
                flagged[found] = i
                out[found, 0] = (low - value) / spread if value < low else (value - high) / spread
                out[found, 1] = q1
                out[found, 2] = q3
                out[found, 3] = low
                out[found, 4] = high
                out[found, 5] = n
                out[found, 6] = seen[r]
                found += 1
        lowest[r] = min(lowest[r], value)
        highest[r] = max(highest[r], value)
        place = (seen[r] - 1) % window
        full = n == window
        old = ring[r, place]
        if not full:
            n += 1
            size[r] = n
        _replace(ordered[r], n, old, value, full)
        ring[r, place] = value
    return found
