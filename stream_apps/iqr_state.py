"""The memory of the detector: one line of each array is one series (pure)."""

from __future__ import annotations

import io

import numpy as np

from stream_apps import iqr_features as feats
from stream_apps import iqr_kernel as kernel
from stream_apps import iqr_layout as at
from stream_apps.iqr_params import RECENT, Params


class Plan:
    """What the kernel needs to know of the parameters.

    `features`: int64, a line per feature; `shares`: float64, a line per feature; `numbers`: float64, the rest.
    """

    def __init__(self, params: Params) -> None:
        lines: list[list[int]] = []
        ring = ordered = 0
        for one in params.features:
            ends = ring + one.kept + one.lag, ordered + one.kept
            lines.append([int(one.kind), one.width, one.lag, one.step, ring, ends[0], ordered, ends[1]])
            ring, ordered = ends
        self.features = np.array(lines, np.int64)
        self.shares = np.array([[one.floor, one.weight, one.far] for one in params.features])
        self.numbers = np.array([
            params.warmup, params.reach, 0.5 ** (1 / params.half_life), params.soft, 1 / params.refractory,
            params.threshold, 1 + params.far_growth, (1 + params.far_growth) ** (-1 / params.far_every),
            params.flat_least, params.flat_chance, params.flat_noisy,
            1 + params.flat_growth, params.gap,
        ])  # fmt: skip
        self.ring, self.ordered = ring, ordered


class Arrays:
    """The arrays, in the order the kernel takes them. They double when they are full."""

    def __init__(self, plan: Plan, capacity: int) -> None:
        self._plan = plan
        count = len(plan.features)
        self.rings = np.zeros((capacity, plan.ring), np.float32)
        self.ordered = np.zeros((capacity, plan.ordered), np.float32)
        self.places = np.zeros((capacity, count, at.PLACES), np.int32)
        self.places[:, :, at.STRIDE] = 1
        self.recent = np.zeros((capacity, RECENT), np.float32)
        self.hours = np.full((capacity, feats.HOURS), np.nan, np.float32)
        self.counts = np.zeros((capacity, at.COUNTS), np.int64)
        self.numbers = np.zeros((capacity, at.NUMBERS))
        self.numbers[:, at.HOUR_USUAL] = np.nan
        self.numbers[:, at.LEAST], self.numbers[:, at.MOST] = np.inf, -np.inf
        self.numbers[:, at.QUANTUM] = np.inf
        self.marks = np.zeros((capacity, count, at.MARKS))
        self.marks[:, :, at.LOWEST], self.marks[:, :, at.HIGHEST] = np.inf, -np.inf
        self.limits = np.empty((capacity, 2))
        self.limits[:, 0], self.limits[:, 1] = -np.inf, np.inf

    def all(self) -> tuple[np.ndarray, ...]:
        """Every array, in the order of the kernel's arguments."""
        return (
            self.rings, self.ordered, self.places, self.recent, self.hours, self.counts, self.numbers, self.marks,
            self.limits,
        )  # fmt: skip

    @property
    def capacity(self) -> int:
        return len(self.rings)

    @property
    def bytes_per_series(self) -> int:
        return sum(array[0].nbytes for array in self.all())

    def grown(self) -> Arrays:
        """Twice as many lines, the first ones the same."""
        fresh = Arrays(self._plan, 2 * self.capacity)
        for new, old in zip(fresh.all(), self.all(), strict=True):
            new[: len(old)] = old
        return fresh

    def dump(self, used: int) -> bytes:
        """The first `used` lines. The sorted windows are left out: they are made of the rings."""
        body = io.BytesIO()
        for array in self.all():
            if array is not self.ordered:
                np.save(body, array[:used], allow_pickle=False)
        return body.getvalue()

    def fill(self, data: bytes, used: int) -> None:
        """The inverse of `dump`. Raises `ValueError` if the bytes are damaged."""
        body = io.BytesIO(data)
        for array in self.all():
            if array is not self.ordered:
                array[:used] = np.load(body, allow_pickle=False)
        kernel.sort_windows(used, self.rings, self.ordered, self.places, self._plan.features)
