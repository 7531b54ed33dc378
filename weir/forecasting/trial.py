"""The trial (pure): every model from many origins of the recent past, and what follows from it.

Weights, skill and intervals all come from the same rolling origins. Settings are fitted before the first of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from weir.forecasting import regression, smoothing
from weir.forecasting.result import Skill

LAST, YESTERDAY, LINE = "repeat-last", "repeat-yesterday", "line-24h"
HOLT_WINTERS, THETA, RIDGE = "holt-winters", "theta", "ridge"
#: What the combination is made of.
MEMBERS = (HOLT_WINTERS, THETA, RIDGE, LAST, YESTERDAY)
SHARES = (50, 80, 95)
_DAYS = 7
_LEAST = 8
_MOST = 400
_POWER = 6.0
_HALF_LIFE = 120.0
_CAUTION = 0.5


@dataclass(frozen=True)
class Trial:
    """`truth` (origins, steps), NaN where unknown; `paths`: the same shape for each model, the line among them.

    `apart`: how many of the trials do not overlap, the number of independent errors at the last step.
    """

    truth: np.ndarray
    paths: Mapping[str, np.ndarray]
    apart: float


def paths(
    values: np.ndarray, period: int, phase: np.ndarray, fit: int, origins: np.ndarray, steps: int
) -> dict[str, np.ndarray]:  # fmt: skip
    """(len(origins), steps) of each member. Settings know `values[:fit]`, each row the values up to its origin."""
    back = origins[:, None] + 1 + np.arange(steps) % period - period
    made = {
        HOLT_WINTERS: smoothing.holt_winters(values, period, fit, origins, steps),
        THETA: smoothing.theta(values, period, fit, origins, steps),
        RIDGE: regression.ridge(values, period, fit, origins, steps, phase),
        LAST: np.repeat(values[origins][:, None], steps, axis=1),
    }
    if len(values) >= 2 * period:
        made[YESTERDAY] = np.where(back >= 0, values[np.maximum(back, 0)], values[origins][:, None])
    seen = values[:fit]
    margin = np.ptp(seen) / 2
    low, high = seen.min() - margin, seen.max() + margin
    # What lies far outside everything seen is a runaway trend; what the origin itself says always counts.
    return {
        name: np.clip(path, np.minimum(low, values[origins])[:, None], np.maximum(high, values[origins])[:, None])
        for name, path in made.items()
    }


def hold(values: np.ndarray, real: np.ndarray, period: int, phase: np.ndarray, steps: int) -> Trial | None:
    """Try the newest third, at most a week; None if that leaves too little. Filled values are no truth."""
    n = len(values)
    fit = n - min(_DAYS * period, n // 3)
    origins = np.arange(fit - 1, n - 1)
    if len(origins) < _LEAST:
        return None
    origins = origins[:: -(-len(origins) // _MOST)]
    made = paths(values, period, phase, fit, origins, steps)
    made[LINE] = regression.line(values, period, origins, steps)
    targets = origins[:, None] + np.arange(1, steps + 1)
    known = np.minimum(targets, n - 1)
    usable = (targets < n) & real[known] & real[origins][:, None]
    if usable.sum() < _LEAST:
        return None
    return Trial(np.where(usable, values[known], np.nan), made, (n - fit) / steps)


def weights(trial: Trial) -> dict[str, np.ndarray]:
    """(steps,) of each member, together 1: the inverse sixth power of the mean absolute error, recent trials first.

    Inverse powers of the error are the common choice where the members' errors are alike (Bates & Granger 1969 have
    the square); the sixth lets a model that fails on a series all but leave. Errors are smoothed over neighbouring
    steps, as each step alone has few independent trials.
    """
    members = [name for name in MEMBERS if name in trial.paths]
    recency = 0.5 ** (np.arange(len(trial.truth))[::-1] / _HALF_LIFE)
    errors = np.stack([_over_steps(np.abs(trial.paths[name] - trial.truth), recency) for name in members])
    # A perfect model takes all of it, without a division by zero.
    share = (np.maximum(errors.min(axis=0), 1e-12) / np.maximum(errors, 1e-12)) ** _POWER
    share /= share.sum(axis=0)
    return dict(zip(members, share, strict=True))


def _over_steps(errors: np.ndarray, recency: np.ndarray) -> np.ndarray:
    """(steps,) weighted means of errors (origins, steps), smoothed over steps; steps without one take the nearest."""
    known = np.isfinite(errors)
    count = (recency[:, None] * known).sum(axis=0)
    total = (recency[:, None] * np.where(known, errors, 0.0)).sum(axis=0)
    steps = np.arange(errors.shape[1])
    near = np.exp(-0.5 * ((steps[:, None] - steps) / 2.0) ** 2) + 1e-9
    return (near @ total) / np.maximum(near @ count, 1e-300)


def combined(made: Mapping[str, np.ndarray], share: Mapping[str, np.ndarray]) -> np.ndarray:
    """(origins, steps) from the members' paths and (steps,) weights."""
    return np.sum([share[name] * made[name] for name in share], axis=0)


def skill(made: np.ndarray, trial: Trial) -> Skill | None:
    """Of paths (origins, steps); None if repeating the last value was never wrong."""
    known = np.isfinite(trial.truth)
    truth = trial.truth[known]
    naive = float(np.abs(trial.paths[LAST][known] - truth).mean())
    if naive <= 0:
        return None
    error = made[known] - truth
    spread = float(((truth - truth.mean()) ** 2).sum())
    return Skill(float(np.abs(error).mean()) / naive, 1 - float((error**2).sum()) / spread if spread > 0 else None)


def widths(made: np.ndarray, truth: np.ndarray, apart: float) -> np.ndarray:
    """(3, steps) half-widths of the 50, 80 and 95 % intervals (split conformal: Lei et al. 2018).

    Each step's errors are divided by their mean, smoothed over the steps, so that all steps share one set of
    quantiles: a step alone has too few independent trials for a 95 % quantile. Overlapping trials err alike, and the
    weights were chosen on them: the fewer stand `apart`, the wider the intervals (the factor was found on data).
    """
    errors = np.abs(made - truth)
    scale = np.maximum(_over_steps(errors, np.ones(len(errors))), 1e-12)
    ratios = (errors / scale)[np.isfinite(errors)]
    trials = max(1, int(np.isfinite(errors).sum() / errors.shape[1]))
    levels = [min(1.0, share / 100 * (1 + 1 / trials)) for share in SHARES]
    return np.quantile(ratios, levels)[:, None] * scale * (1 + _CAUTION / max(1.0, apart))


def coverage(made: np.ndarray, trial: Trial) -> float | None:
    """Share of the trial's newer half inside 80 % intervals made from its older half; None without both."""
    half = len(trial.truth) // 2
    old, new = trial.truth[:half], trial.truth[half:]
    if np.isfinite(old).sum() < _LEAST or np.isfinite(new).sum() < _LEAST:
        return None
    width = widths(made[:half], old, trial.apart / 2)[1]
    return float((np.abs(made[half:] - new) <= width)[np.isfinite(new)].mean())
