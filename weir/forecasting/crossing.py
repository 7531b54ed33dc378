"""Early warning (pure): when a forecast crosses a limit, and how probable that is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

from weir.forecasting.result import Forecast


@dataclass(frozen=True)
class Crossing:
    """`ts` ms: when it is crossed, or when that is most probable; `probability` in [0, 1] up to the horizon."""

    ts: int
    probability: float


def crossing(made: Forecast, limit: float, above: bool = True) -> Crossing | None:
    """The first crossing of `limit`, upwards if `above`; None if it is less probable than 1 in 40.

    The probability is the greatest of any step's, read from the intervals as a line between their bounds on a normal
    scale, for a limit beyond 95 % continued. As crossings at different steps are one event for the most part, the
    greatest is nearer to the truth than their product; it is a lower bound. `ts` is when the mean crosses, drawn
    between the steps; if it does not, when the probability is greatest.
    """
    sign = 1.0 if above else -1.0
    beyond = sign * (made.mean - limit)
    chance = np.array([_beyond(made, step, limit, sign) for step in range(len(made.mean))])
    most = float(chance.max())
    if not np.isfinite(limit) or most < 0.025:
        return None
    over = np.flatnonzero(beyond > 0)
    if not len(over):
        return Crossing(int(made.ts[int(chance.argmax())]), most)
    step = int(over[0])
    if step == 0:
        return Crossing(int(made.ts[0]), most)
    part = -beyond[step - 1] / (beyond[step] - beyond[step - 1])
    return Crossing(int(made.ts[step - 1] + part * (made.ts[step] - made.ts[step - 1])), most)


def _beyond(made: Forecast, step: int, limit: float, sign: float) -> float:
    """Probability that the value at `step` lies beyond the limit."""
    bounds = [made.low95, made.low80, made.low50, made.mean, made.high50, made.high80, made.high95]
    levels = norm.ppf([0.025, 0.1, 0.25, 0.5, 0.75, 0.9, 0.975])
    at = np.array([bound[step] for bound in bounds])
    if at[-1] - at[0] <= 0:
        return float(sign * (at[3] - limit) > 0)
    if limit > at[-1]:
        score = levels[-1] * (limit - at[3]) / (at[-1] - at[3])
    elif limit < at[0]:
        score = levels[0] * (limit - at[3]) / (at[0] - at[3])
    else:
        score = float(np.interp(limit, at, levels))
    return float(norm.cdf(-sign * score))
