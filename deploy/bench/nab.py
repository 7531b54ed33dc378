"""The scoring of the Numenta Anomaly Benchmark, standard profile (pure).

Lavin and Ahmad, *Evaluating Real-time Anomaly Detection Algorithms: the Numenta Anomaly Benchmark*, ICMLA 2015: a
detection inside a labelled window counts up to 1, the more the earlier it comes; one outside costs up to 0.11, the
more the farther it lies after a window; a window without a detection costs 1. The first 15 % of a series (at most 750
rows) are not scored. One threshold serves the whole corpus; the score is 0 for a detector that says nothing and 100
for one that flags only the first row of every window.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

TRUE_POSITIVE = 1.0
FALSE_POSITIVE = 0.11
FALSE_NEGATIVE = 1.0
PROBATION = 0.15
PROBATION_ROWS = 5000
#: No score reaches it, so at this threshold nothing is detected.
NOTHING = 1.1


def probation(rows: int) -> int:
    """How many rows at the beginning of a series are not scored."""
    return int(min(math.floor(PROBATION * rows), PROBATION * PROBATION_ROWS))


def scaled_sigmoid(position: float) -> float:
    """What a detection is worth: at -1 the left edge of a window, at 0 its right edge, at 1 a width after it."""
    return -1.0 if position > 3.0 else 2.0 / (1.0 + math.exp(5.0 * position)) - 1.0


@dataclass(frozen=True)
class Scored:
    """One series: per row its anomaly `score`, what a detection there is `worth`, and its `window` (-1: outside).

    `windows` is how many windows it has; rows in probation are left out of all three arrays.
    """

    score: np.ndarray
    worth: np.ndarray
    window: np.ndarray
    windows: int

    @property
    def perfect(self) -> float:
        return TRUE_POSITIVE * self.windows

    @property
    def null(self) -> float:
        return -FALSE_NEGATIVE * self.windows

    def at(self, threshold: float) -> float:
        """The raw score when every row from `threshold` on is a detection."""
        hit = self.score >= threshold
        best = np.full(self.windows, -FALSE_NEGATIVE)
        inside = hit & (self.window >= 0)
        np.maximum.at(best, self.window[inside], self.worth[inside])
        return float(best.sum() + self.worth[hit & (self.window < 0)].sum())


def worths(rows: int, windows: list[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
    """What a detection in each row is worth, and the index of its window (-1: outside).

    `windows` are first and last rows, in order, both inside.
    """
    worth = np.full(rows, -FALSE_POSITIVE)
    owner = np.full(rows, -1)
    best = scaled_sigmoid(-1.0)
    for n, (first, last) in enumerate(windows):
        width = last - first + 1
        for i in range(first, last + 1):
            worth[i] = TRUE_POSITIVE * scaled_sigmoid(-(last - i + 1) / width) / best
            owner[i] = n
        after = windows[n + 1][0] if n + 1 < len(windows) else rows
        for i in range(last + 1, after):
            worth[i] = FALSE_POSITIVE * scaled_sigmoid((i - last) / max(width - 1, 1))
    return worth, owner


def scored(anomaly_scores: np.ndarray, windows: list[tuple[int, int]]) -> Scored:
    """A series ready for scoring: anomaly scores of all its rows (0 to 1), and its windows by first and last row."""
    worth, owner = worths(len(anomaly_scores), windows)
    start = probation(len(anomaly_scores))
    owner = owner[start:]
    numbers = {number: n for n, number in enumerate(sorted(set(owner[owner >= 0].tolist())))}
    renumbered = np.array([numbers.get(one, -1) for one in owner.tolist()], dtype=np.int64)
    return Scored(np.asarray(anomaly_scores, float)[start:], worth[start:], renumbered, len(numbers))


def best_threshold(corpus: Iterable[Scored]) -> tuple[float, float]:
    """The threshold with the highest raw score over all series together, and that score."""
    series = list(corpus)
    offsets = np.cumsum([0, *(one.windows for one in series)])
    score = np.concatenate([one.score for one in series])
    worth = np.concatenate([one.worth for one in series])
    window = np.concatenate([np.where(one.window >= 0, one.window + offset, -1)
                             for one, offset in zip(series, offsets.tolist(), strict=False)])  # fmt: skip
    best = np.full(int(offsets[-1]), -FALSE_NEGATIVE)
    total = chosen_score = float(best.sum())
    chosen = NOTHING
    order = np.argsort(-score, kind="stable")
    for place, row in enumerate(order.tolist()):
        if window[row] < 0:
            total += worth[row]
        else:
            gain = max(0.0, worth[row] - best[window[row]])
            best[window[row]] += gain
            total += gain
        last_of_its_score = place + 1 == len(order) or score[order[place + 1]] != score[row]
        if last_of_its_score and total > chosen_score:
            chosen, chosen_score = float(score[row]), total
    return chosen, float(chosen_score)


def normalised(corpus: Iterable[Scored], threshold: float) -> float:
    """The score of a corpus at one threshold: 0 for a detector that says nothing, 100 for a perfect one."""
    series = list(corpus)
    null, perfect = sum(one.null for one in series), sum(one.perfect for one in series)
    raw = sum(one.at(threshold) for one in series)
    return 100.0 * (raw - null) / (perfect - null) if perfect > null else 0.0
