"""What a forecast says (pure): arrays, weights, fallbacks and an honest word on its skill."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from weir.errors import WeirError


class ForecastError(WeirError, ValueError):
    """There is no usable history, or the call makes no sense; the text says why."""


@dataclass(frozen=True)
class Skill:
    """How one model did in the trial. `mase`: its mean absolute error over that of repeating the last value.

    `r2`: share of the truths' variance it explains; None when the truths did not vary.
    """

    mase: float
    r2: float | None


@dataclass(frozen=True)
class Forecast:
    """Arrays of one length: `ts` int64 ms, the others float64 in the series' unit, 95 % around 80 % around 50 %.

    `model` names what was used: "combined", or "repeat-last" if it `yields` to it or the history allows no more.
    `weights` are the models' mean shares. `fallbacks` names each thing that was not as it should be; `note` is the
    same as one text. `mase` (below 1 beats repeating the last value) and `r2` are the combination's skill in the
    trial; None when there was none. `coverage80` is the share of later trials inside intervals made from the earlier
    ones. `skill` holds every model's own, the line through the last 24 h among them, whose fit to those 24 h has
    the coefficient of determination `line_r2`.
    """

    ts: np.ndarray
    mean: np.ndarray
    low50: np.ndarray
    high50: np.ndarray
    low80: np.ndarray
    high80: np.ndarray
    low95: np.ndarray
    high95: np.ndarray
    model: str
    weights: Mapping[str, float] = field(default_factory=dict)
    fallbacks: tuple[str, ...] = ()
    yields: bool = False
    r2: float | None = None
    mase: float | None = None
    coverage80: float | None = None
    skill: Mapping[str, Skill] = field(default_factory=dict)
    line_r2: float | None = None

    @property
    def note(self) -> str:
        """The fallbacks in one text; empty if there were none."""
        return "; ".join(self.fallbacks)

    @property
    def baseline_mase(self) -> float | None:
        """What repeating the last value scores on the same scale: 1, or None when there was no trial."""
        return None if self.mase is None else 1.0
