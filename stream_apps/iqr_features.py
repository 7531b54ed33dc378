"""Compiled: what fences stand on: rolling mean and deviation, the pace of readings, other days (pure)."""

from __future__ import annotations

import math

import numba
import numpy as np

from stream_apps import iqr_layout as at
from stream_apps.iqr_params import RECENT

HOUR_MS = 3_600_000
#: So many intervals in a row that do not fit the usual one are a new one, not chance.
OFF_PACE_MAX = 10
DAYS = 7
HOURS = 24 * DAYS


@numba.njit
def rolling(recent: np.ndarray, fresh: int, width: int) -> tuple[float, float]:
    """Mean and standard deviation of the last `width` values; `fresh` is how many there have been."""
    total = 0.0
    for i in range(fresh - width, fresh):
        total += recent[i % RECENT]
    mean = total / width
    squares = 0.0
    for i in range(fresh - width, fresh):
        squares += (recent[i % RECENT] - mean) ** 2
    return mean, math.sqrt(squares / width)


@numba.njit
def middle(values: np.ndarray, size: int) -> float:
    """The median of `values[:size]`, which are sorted on the way."""
    for i in range(1, size):
        value = values[i]
        j = i
        while j > 0 and values[j - 1] > value:
            values[j] = values[j - 1]
            j -= 1
        values[j] = value
    half = size // 2
    return values[half] if size % 2 else (values[half - 1] + values[half]) / 2


@numba.njit
def keep_pace(counts: np.ndarray, numbers: np.ndarray, interval: float, gap: float) -> bool:
    """Take an interval (ms). True if readings have come twice as fast or half as often for `OFF_PACE_MAX` of them.

    After a gap the recent values no longer are.
    """
    pace = numbers[at.PACE]
    if pace > 0 and interval > gap * pace:
        counts[at.FRESH] = 0
        return False
    if pace > 0 and 0.5 * pace <= interval <= 2.0 * pace:
        counts[at.OFF_PACE] = 0
        numbers[at.PACE] += 0.1 * (interval - pace)
        return False
    counts[at.OFF_PACE] += 1
    if pace > 0 and counts[at.OFF_PACE] < OFF_PACE_MAX:
        return False
    counts[at.OFF_PACE], numbers[at.PACE] = 0, interval
    return pace > 0


@numba.njit
def turn_hour(hours: np.ndarray, counts: np.ndarray, numbers: np.ndarray, hour: int) -> None:
    """When an hour begins: keep the mean of the last one, forget what is older than 7 days, find what is usual now.

    `hours` is a ring of 7 x 24 means, NaN where there was no reading.
    """
    before = counts[at.HOUR]
    if hour == before:
        return
    if counts[at.HOUR_SIZE] > 0:
        hours[before % HOURS] = numbers[at.HOUR_SUM] / counts[at.HOUR_SIZE]
    for skipped in range(max(before + 1, hour - HOURS), hour):
        hours[skipped % HOURS] = np.nan
    counts[at.HOUR], counts[at.HOUR_SIZE], numbers[at.HOUR_SUM] = hour, 0, 0.0
    known = np.empty(DAYS, np.float32)
    size = 0
    for day in range(DAYS):
        mean = hours[(hour + 24 * day) % HOURS]
        if not math.isnan(mean):
            known[size] = mean
            size += 1
    numbers[at.HOUR_USUAL] = middle(known, size) if size else np.nan


@numba.njit
def widen(low: float, high: float, x: float) -> tuple[float, float]:
    """A range that takes in `x`, but grows at most tenfold on a side: one absurd value is not to blind a fence."""
    if not high > low:
        return min(low, x), max(high, x)
    extent = 10 * (high - low)
    return min(low, max(x, low - extent)), max(high, min(x, high + extent))
