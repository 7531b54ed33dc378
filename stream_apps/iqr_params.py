"""The parameters of the detector: named, documented, with defaults that need no tuning (pure)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

#: The most readings a rolling feature may look back, and so the length of the ring of recent values.
RECENT = 24


class Kind(IntEnum):
    """What a feature is computed from; `width` counts readings."""

    LEVEL = 0  # the reading itself
    MEAN = 1  # the mean of the last `width`
    LSTD = 2  # ln(standard deviation of the last `width` + 1 % of the range so far)
    HOUR = 3  # the reading less the median of the same hour of the last 7 days
    STEP = 4  # the reading less the median of the `width` before it
    JUMP = 5  # the reading less the one before it


@dataclass(frozen=True)
class Feature:
    """One fence: on what, against what, and how much it weighs.

    The reference is `kept` values spread evenly over the last `window`; the IQR is at least `floor` times the range
    of the feature so far, so that a flat signal does not explode. `weight` is the share of the feature in the
    novelty of a reading (0: none). A reading more than `far` IQRs beyond the fence is flagged by itself (0: never).
    """

    name: str
    kind: Kind
    window: int
    kept: int
    floor: float
    weight: float
    width: int = 1
    far: float = 0.0

    @property
    def step(self) -> int:
        """Every how many readings one is kept, once the window is full."""
        return -(-self.window // self.kept)

    @property
    def lag(self) -> int:
        """How many readings lie between a value and its reference: rolling values must not share readings with it."""
        return self.width if self.kind in (Kind.MEAN, Kind.LSTD) else 1


FEATURES = (
    Feature("mean12", Kind.MEAN, 1000, 96, 0.03, 0.3, width=12),
    Feature("level", Kind.LEVEL, 4032, 288, 0.003, 0.2, far=1.5),
    Feature("lstd24", Kind.LSTD, 288, 288, 0.01, 0.5, width=24),
    Feature("lstd12", Kind.LSTD, 2016, 144, 0.03, 0.5, width=12),
    Feature("hour", Kind.HOUR, 4032, 96, 0.03, 0.2),
    Feature("step", Kind.STEP, 288, 96, 0.003, 0.0, width=11, far=0.6),
    Feature("jump", Kind.JUMP, 288, 96, 0.003, 0.0, width=11, far=0.6),
)


@dataclass(frozen=True)
class Params:
    """All parameters of the detector. Windows count readings, so that they fit any cadence.

    `warmup`: values a fence needs before it judges. `reach`: a fence stands this many IQRs outside the quartiles
    (Tukey 1977). Anomalies enter the windows, so that a lasting new level is learned.

    *Novelty*: a distance counts by how far it exceeds the largest one of its feature so far, which halves every
    `half_life` readings; `soft` (IQRs) is the excess that counts half. After a peak a novelty must exceed a level that
    falls from it to 0 within `refractory` readings at most. A reading is flagged from `threshold` on.

    *Far out*: a reading more than `Feature.far` IQRs beyond a fence is flagged whether it is new or not. Where that
    happens more often than once in `far_every` readings the limit adapts: it grows by the share `far_growth` each time.

    *Flat*: a run of equal values is flagged when it is longer than any before, has more than `flat_least` repetitions
    and a chance below `flat_chance`, in a series where at most the share `flat_noisy` of readings repeat the one
    before. What is longest grows by the share `flat_growth` at most with each run, and halves every `half_life`.

    *Gap*: after a silence of `gap` usual intervals the rolling features begin anew.
    """

    features: tuple[Feature, ...] = FEATURES
    warmup: int = 50
    reach: float = 1.5
    half_life: float = 8000.0
    soft: float = 1.0
    refractory: float = 600.0
    threshold: float = 0.032
    far_every: float = 300.0
    far_growth: float = 0.1
    flat_least: float = 3.0
    flat_chance: float = 1e-5
    flat_noisy: float = 0.5
    flat_growth: float = 0.25
    gap: float = 24.0


DEFAULT = Params()
