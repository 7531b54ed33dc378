"""Compiled: a thinned window, whose quartiles are those of values spread evenly over a long past (pure).

A window is a ring of kept values in the order of time, and a sorted copy of those that are old enough to judge by.
While it is young it keeps every value; when it is full it drops half of them and from then on keeps half as often,
until it spans as many readings as it is to. Which ones it keeps is scattered, so that a series that repeats itself
every few readings is not always met at the same place.
"""

from __future__ import annotations

import numba
import numpy as np

from stream_apps import iqr_layout as at


@numba.njit
def quartile(values: np.ndarray, size: int, share: float) -> float:
    """Linear interpolation between order statistics (Hyndman and Fan 1996, type 7), as numpy.percentile."""
    place = share * (size - 1)
    low = int(place)
    high = min(low + 1, size - 1)
    return values[low] * (1.0 - (place - low)) + values[high] * (place - low)


@numba.njit
def _place(values: np.ndarray, size: int, value: float) -> int:
    """The first index of sorted `values[:size]` that is not less than `value`."""
    low, high = 0, size
    while low < high:
        middle = (low + high) // 2
        if values[middle] < value:
            low = middle + 1
        else:
            high = middle
    return low


@numba.njit
def _insert(values: np.ndarray, size: int, value: float) -> None:
    place = _place(values, size, value)
    for i in range(size, place, -1):
        values[i] = values[i - 1]
    values[place] = value


@numba.njit
def _remove(values: np.ndarray, size: int, value: float) -> None:
    for i in range(_place(values, size, value), size - 1):
        values[i] = values[i + 1]


@numba.njit
def _scatter(count: int, size: int) -> int:
    """A number below `size` that looks random and depends on `count` alone (Knuth's multiplicative hash)."""
    return ((count * 2654435761) & 0xFFFFFFFF) * size >> 32


@numba.njit
def _halve(ring: np.ndarray, ordered: np.ndarray, places: np.ndarray) -> None:
    """Drop one of every two kept values and keep half as often."""
    count = (places[at.LENGTH] + 1) // 2
    thin = np.empty(count, np.float32)
    for i in range(count):
        pair = min(2 * i + _scatter(i + places[at.OFFERED], 2), places[at.LENGTH] - 1)
        thin[i] = ring[(places[at.START] + pair) % ring.size]
    ring[:count] = thin
    places[at.START], places[at.LENGTH], places[at.SORTED] = 0, count, 0
    places[at.STRIDE] *= 2


@numba.njit
def offer(ring: np.ndarray, ordered: np.ndarray, places: np.ndarray, value: float, lag: int, last_step: int) -> None:
    """Let the window see the next value, which it keeps or not.

    `ring` has room for the values of `ordered` and for `lag` more, which wait until they are `lag` readings old.
    """
    places[at.OFFERED] += 1
    if places[at.PHASE] > 0:
        places[at.PHASE] -= 1
        return
    if places[at.SORTED] == ordered.size:
        if places[at.STRIDE] * 2 <= last_step:
            _halve(ring, ordered, places)
        else:
            places[at.STRIDE] = last_step
            _remove(ordered, places[at.SORTED], ring[places[at.START]])
            places[at.START] = (places[at.START] + 1) % ring.size
            places[at.LENGTH] -= 1
            places[at.SORTED] -= 1
    places[at.PHASE] = _scatter(places[at.OFFERED], 2 * places[at.STRIDE] - 1)
    ring[(places[at.START] + places[at.LENGTH]) % ring.size] = value
    places[at.LENGTH] += 1
    waiting = (lag - 1 + places[at.STRIDE] - 1) // places[at.STRIDE]
    while places[at.LENGTH] - places[at.SORTED] > waiting and places[at.SORTED] < ordered.size:
        _insert(ordered, places[at.SORTED], ring[(places[at.START] + places[at.SORTED]) % ring.size])
        places[at.SORTED] += 1
