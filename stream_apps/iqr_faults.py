"""Compiled: what is wrong without any fence: a sensor that is stuck, a value that cannot be (pure)."""

from __future__ import annotations

import math

import numba
import numpy as np

from stream_apps import iqr_layout as at


@numba.njit
def _unlikely_run(counts: np.ndarray, numbers: np.ndarray, chance: float, least: float) -> float:
    """How many repetitions of a value this series may have in a row.

    Repetitions are taken as a chain of first order (Wald and Wolfowitz 1940): a run of `n` has the chance `p**n`,
    `p` being the share of readings that repeat the one before, or that of those which follow a repetition.
    """
    once = (counts[at.REPEATS] + 1) / (counts[at.RUNS_OF] + 2)
    again = (counts[at.REREPEATS] + 4 * once) / (counts[at.REPEATS] + 4)
    # A state of before 2026-11-25 may hold more repetitions than readings.
    share = min(max(once, again), 1.0 - 1e-9)
    return max(least, math.log(chance) / math.log(share), numbers[at.LONGEST])


@numba.njit
def _count_run(
    counts: np.ndarray, numbers: np.ndarray, same: bool, allowed: float, growth: float, decay: float
) -> None:
    """Take one more reading into the runs, which teach when they end. What lies beyond the allowed length teaches
    little: it is a fault, or a habit that comes back."""
    numbers[at.LONGEST] *= decay
    counts[at.RUNS_OF] += 1
    if same:
        counts[at.RUN] += 1
    elif counts[at.RUN] > 0:
        numbers[at.LONGEST] = max(numbers[at.LONGEST], min(float(counts[at.RUN]), growth * allowed))
        counts[at.REPEATS] += min(counts[at.RUN], int(allowed))
        counts[at.REREPEATS] += min(counts[at.RUN], int(allowed)) - 1
        counts[at.RUN] = 0


@numba.njit
def flat(value: float, counts: np.ndarray, numbers: np.ndarray, params: np.ndarray, why: np.ndarray) -> bool:
    """Whether the run of equal values is too long, in a series that normally moves, and away from its extremes."""
    same = counts[at.LEARNED] > 0 and value == numbers[at.PREVIOUS]
    allowed = _unlikely_run(counts, numbers, params[at.FLAT_CHANCE], params[at.FLAT_LEAST])
    _count_run(counts, numbers, same, allowed, params[at.FLAT_GROWTH], params[at.DECAY])
    if counts[at.LEARNED] > 0 and not same:
        numbers[at.QUANTUM] = min(numbers[at.QUANTUM], abs(value - numbers[at.PREVIOUS]))
    numbers[at.PREVIOUS] = value
    run = counts[at.RUN]
    noisy = counts[at.REPEATS] <= params[at.FLAT_NOISY] * (counts[at.RUNS_OF] - run)
    if not noisy or run <= allowed or counts[at.RUNS_OF] < params[at.WARMUP] + run:
        return False
    if value <= numbers[at.LEAST] or value >= numbers[at.MOST]:
        return False
    why[at.SCORE], why[at.Q1], why[at.Q3], why[at.LOW], why[at.HIGH] = run - allowed, 0.0, 0.0, 0.0, allowed
    why[at.SIZE], why[at.FEATURE] = counts[at.LEARNED], at.FLAT
    return True


@numba.njit
def impossible(value: float, limits: np.ndarray, counts: np.ndarray, why: np.ndarray) -> bool:
    """Whether a value is outside what is physically possible; the distance is in units of the range."""
    if limits[0] <= value <= limits[1]:
        return False
    extent = limits[1] - limits[0]
    spread = extent if 0 < extent < np.inf else max(1.0, abs(limits[0] if value < limits[0] else limits[1]))
    why[at.SCORE] = max(limits[0] - value, value - limits[1]) / spread
    why[at.Q1], why[at.Q3], why[at.LOW], why[at.HIGH] = limits[0], limits[1], limits[0], limits[1]
    why[at.SIZE], why[at.FEATURE], why[at.NOVELTY] = counts[at.LEARNED], at.LIMIT, 0.0
    return True
