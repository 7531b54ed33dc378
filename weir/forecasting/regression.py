"""Regressions (pure): ridge on lags, earlier days and harmonics; and the straight line through the last 24 h.

The ridge minimises the absolute error, not the square: a few rounds of re-weighted least squares (Schlossmacher 1973)
keep single bursts from bending it. One batched solve serves all steps ahead, nine times faster than a
scikit-learn `Ridge` for each.
"""

from __future__ import annotations

import math

import numpy as np

_LAGS = (1, 2, 3, 4, 6, 9, 12)
_DAYS = (1, 2, 3)
_HARMONICS = 3
_PENALTY = 15.0
_ROUNDS = 4
_MOST_ROWS = 800
_LEAST_ROWS = 12


def features(values: np.ndarray, period: int, phase: np.ndarray, origins: np.ndarray, steps: int) -> np.ndarray:
    """(steps, len(origins), features), all known at the origin; differences are from the value there.

    Recent values; what stood at the target's time of day one, two, three and seven days before; the means of the
    last day and week; the time of day as harmonics. `phase` (n,) is the time of day in [0, 1).
    """
    last = values[origins]
    shared = [values[np.maximum(origins - lag, 0)] - last for lag in _LAGS]
    sums = np.concatenate([[0.0], np.cumsum(values)])
    for width in (period, 7 * period):
        since = np.maximum(origins + 1 - width, 0)
        shared.append((sums[origins + 1] - sums[since]) / (origins + 1 - since) - last)
    shared.append(_back(values, origins, origins - period, 0.0))
    shared.append(_back(values, origins, origins - 7 * period, 0.0))
    for wave in range(1, _HARMONICS + 1):
        angle = 2 * np.pi * wave * phase[origins]
        shared += [np.sin(angle), np.cos(angle)]
    ahead = np.arange(1, steps + 1)[:, None]
    # Steps further than a period look back to the last whole period that is known.
    target = origins + (ahead - 1) % period + 1
    own = [_back(values, origins, target - days * period, 0.0) for days in _DAYS]
    own.append(_back(values, origins, target - 7 * period, own[0]))
    common = np.broadcast_to(np.stack(shared, axis=1), (steps, len(origins), len(shared)))
    return np.concatenate([common, np.stack(own, axis=-1)], axis=-1)


def _back(values: np.ndarray, origins: np.ndarray, at: np.ndarray, otherwise: np.ndarray | float) -> np.ndarray:
    """Differences from the origin's value; `otherwise` where history does not reach."""
    return np.where(at >= 0, values[np.maximum(at, 0)] - values[origins], otherwise)


def ridge(
    values: np.ndarray, period: int, fit: int, origins: np.ndarray, steps: int, phase: np.ndarray
) -> np.ndarray:  # fmt: skip
    """(len(origins), steps): one regression a step of the change since the origin, fitted before index `fit`.

    With fewer than 12 rows to fit it repeats the last value.
    """
    # Rows that lack a day or week before them teach the wrong lesson; a short history cannot do without them.
    first = 7 * period if fit >= 14 * period else period if fit > 3 * period else min(_LAGS[-1], fit // 3)
    rows = np.arange(first, fit - 1)[-_MOST_ROWS:]
    if len(rows) < _LEAST_ROWS:
        return np.repeat(values[origins][:, None], steps, axis=1)
    targets = rows + np.arange(1, steps + 1)[:, None]
    known = (targets < fit).astype(np.float64)
    known[known.sum(axis=1) < _LEAST_ROWS] = 0.0
    changes = (values[np.minimum(targets, fit - 1)] - values[rows]) * known
    model = _absolute(features(values, period, phase, rows, steps), changes, known)
    inputs = features(values, period, phase, origins, steps)
    found = np.clip(_predict(model, inputs), changes.min(axis=1)[:, None], changes.max(axis=1)[:, None])
    return values[origins][:, None] + found.T


_Model = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def _absolute(inputs: np.ndarray, truth: np.ndarray, known: np.ndarray) -> _Model:
    """Means (steps, 1, f), scales (steps, 1, f), offsets (steps, 1) and coefficients (steps, f, 1)."""
    weight = known / np.maximum(known.mean(axis=1, keepdims=True), 1e-12)
    total = np.maximum(weight.sum(axis=1, keepdims=True), 1e-12)[..., None]
    centre = (weight[..., None] * inputs).sum(axis=1, keepdims=True) / total
    spread = np.sqrt((weight[..., None] * (inputs - centre) ** 2).sum(axis=1, keepdims=True) / total)
    scale = np.where(spread > 1e-9, spread, np.inf)
    standard = (inputs - centre) / scale
    flat = np.swapaxes(standard, 1, 2)
    penalty = _PENALTY * np.eye(inputs.shape[-1])
    for _ in range(_ROUNDS):
        share = weight / np.maximum(weight.sum(axis=1, keepdims=True), 1e-12)
        middle = (share[:, None, :] @ standard)[:, 0]
        offset = (share * truth).sum(axis=1, keepdims=True)
        gram = (flat * weight[:, None, :]) @ standard - weight.sum(axis=1)[:, None, None] * (
            middle[:, :, None] * middle[:, None, :]
        )
        right = flat @ (weight * (truth - offset))[..., None]
        slopes = np.linalg.solve(gram + penalty, right)
        offset = offset - (middle[:, None, :] @ slopes)[..., 0]
        error = np.abs(truth - offset - (standard @ slopes)[..., 0])
        floor = 0.5 * np.median(error, axis=1, keepdims=True) + 1e-9
        weight = known / np.maximum(error, floor)
        weight /= np.maximum(weight.mean(axis=1, keepdims=True), 1e-12)
    return centre, scale, offset, slopes


def _predict(model: _Model, inputs: np.ndarray) -> np.ndarray:
    """(steps, rows) from inputs (steps, rows, f)."""
    centre, scale, offset, slopes = model
    return offset + (((inputs - centre) / scale) @ slopes)[..., 0]


def line(values: np.ndarray, period: int, origins: np.ndarray, steps: int) -> np.ndarray:
    """(len(origins), steps): the least-squares line through the last day, or through what there is, continued."""
    result = np.empty((len(origins), steps))
    for row, origin in enumerate(origins):
        window = values[max(0, origin + 1 - period) : origin + 1]
        slope, middle = _slope(window), window.mean()
        result[row] = middle + slope * ((len(window) - 1) / 2 + np.arange(1, steps + 1))
    return result


def line_fit(values: np.ndarray, period: int) -> float | None:
    """The line's coefficient of determination on the last day; None if that is constant."""
    window = values[-period:]
    about = window - window.mean()
    spread = float(about @ about)
    if not 0 < spread < math.inf:
        return None
    index = np.arange(len(window)) - (len(window) - 1) / 2
    # Rooted before it is squared: a slope of 1e155 has no square.
    return float((_slope(window) * math.sqrt(index @ index) / math.sqrt(spread)) ** 2)


def _slope(window: np.ndarray) -> float:
    index = np.arange(len(window)) - (len(window) - 1) / 2
    return float(index @ window / (index @ index)) if len(window) > 1 else 0.0
