"""The IQR detector: fences over thinned windows of every series that explain each flag (pure: no clock, no socket)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from stream_apps import iqr_kernel as kernel
from stream_apps import iqr_layout as at
from stream_apps.iqr_params import DEFAULT, Params
from stream_apps.iqr_state import Arrays, Plan
from weir.events import Flag
from weir.readings import Reading

__all__ = ["DEFAULT", "VERSION", "Detector", "Judged", "Params", "warm_up"]

#: Of what the detector does and of the bytes of `dump`. Every flag carries it.
VERSION = 2
#: Larger values are judged as this, so that all arithmetic stays finite, in float32 as well.
_HUGE = 1e30
_judge: Any = kernel.judge

Series = tuple[str, str, str]


@dataclass(frozen=True)
class Judged:
    """What the kernel says of n points: which are flagged (indices), why (columns as in `iqr_layout`), and `novelty`
    (n, 0 to 1), the anomaly score of each."""

    flagged: list[int]
    why: list[list[float]]
    novelty: np.ndarray


def warm_up() -> None:
    """Load the compiled code, or compile it (some seconds, once after an installation), before the first reading."""
    Detector.load(Detector(capacity=1).dump()).points(
        np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0), np.empty(0, np.bool_)
    )


class Detector:
    """The state of all series of one partition: one line of each array is one series (site, sensor, metric)."""

    def __init__(self, params: Params = DEFAULT, capacity: int = 256) -> None:
        self.params = params
        self._rows: dict[Series, int] = {}
        self._limits: dict[Series, tuple[float, float]] = {}
        self._plan = Plan(params)
        self._arrays = Arrays(self._plan, capacity)

    def row(self, site: str, sensor: str, metric: str) -> int:
        """The line of a series, made on first sight; arrays double when they are full."""
        key = (site, sensor, metric)
        known = self._rows.get(key)
        if known is None:
            known = self._rows[key] = len(self._rows)
            if known >= self._arrays.capacity:
                self._arrays = self._arrays.grown()
            if key in self._limits:
                self._arrays.limits[known] = self._limits[key]
        return known

    def names(self) -> list[Series]:
        """The series, in the order of their lines."""
        return list(self._rows)

    @property
    def bytes_per_series(self) -> int:
        return self._arrays.bytes_per_series

    def limits(self, site: str, sensor: str, metric: str, low: float | None, high: float | None) -> None:
        """Say what values a series can have; None where there is no limit. A value outside is flagged, not learned."""
        key = (site, sensor, metric)
        found = (-np.inf if low is None else low, np.inf if high is None else high)
        if found == (-np.inf, np.inf):
            self._limits.pop(key, None)
        else:
            self._limits[key] = found
        if key in self._rows:
            self._arrays.limits[self._rows[key]] = found

    def judge(self, readings: list[Reading], at: int) -> list[Flag]:
        """Judge a frame at time `at` (ms): flags for the live readings that are anomalous; all are learned.

        A reading not newer than the last one of its series (repeated, out of order) is neither judged nor learned;
        nor is a value that is not finite.
        """
        rows: list[int] = []
        times: list[int] = []
        values: list[float] = []
        hist: list[bool] = []
        known = self._rows
        for reading in readings:
            site, sensor, ts, old = reading.site, reading.sensor, reading.ts, reading.hist
            for metric, value in reading.metrics.items():
                row = known.get((site, sensor, metric))
                rows.append(self.row(site, sensor, metric) if row is None else row)
                times.append(ts)
                values.append(value)
                hist.append(old)
        found = self.points(np.array(rows, np.int64), np.array(times, np.int64), np.array(values, np.float64),
                            np.array(hist, np.bool_))  # fmt: skip
        if not found.flagged:
            return []
        names = self.names()
        return [
            self._flag(names[rows[i]], times[i], values[i], why, at)
            for i, why in zip(found.flagged, found.why, strict=True)
        ]

    def points(self, rows: np.ndarray, times: np.ndarray, values: np.ndarray, hist: np.ndarray) -> Judged:
        """Judge and learn n points (int64 lines, int64 ms, float64, bool), in their order."""
        size = len(rows)
        flagged = np.empty(size, np.int64)
        out = np.zeros((size, at.OUT))
        novelty = np.empty(size)
        limited = np.where(np.isfinite(values), np.clip(values, -_HUGE, _HUGE), values)
        count = _judge(rows, times, limited, hist, *self._arrays.all(), self._plan.features, self._plan.shares,
                       self._plan.numbers, flagged, out, novelty)  # fmt: skip
        return Judged(flagged[:count].tolist(), out[:count].tolist(), novelty)

    def dump(self) -> bytes:
        """All state as bytes: a small header and the arrays."""
        return msgspec.msgpack.encode((VERSION, repr(self.params), self.names(), self._arrays.dump(len(self._rows))))

    @staticmethod
    def made_with(data: bytes, params: Params) -> bool:
        """Was this dumped by a detector with these parameters? Raises `ValueError` as `load` does."""
        return _decoded(data)[1] == repr(params)

    @classmethod
    def load(cls, data: bytes, params: Params = DEFAULT) -> Detector:
        """The inverse of `dump`. Raises `ValueError` for damaged bytes, another version or other parameters."""
        _, made_with, names, arrays = _decoded(data)
        if made_with != repr(params):
            raise ValueError(f"made with other parameters: {made_with}")
        detector = cls(params, capacity=max(256, len(names)))
        detector._rows = {key: i for i, key in enumerate(names)}
        detector._arrays.fill(arrays, len(names))
        detector._limits = {
            key: (low, high)
            for key, (low, high) in zip(names, detector._arrays.limits.tolist(), strict=False)
            if (low, high) != (-np.inf, np.inf)
        }
        return detector

    def _flag(self, name: Series, ts: int, value: float, why: list[float], at: int) -> Flag:
        score, q1, q3, low, high, window, nth, feature, _ = why
        return Flag(*name, ts, value, score, q1, q3, low, high, int(window), at, int(nth),
                    self._named(int(feature)), version=VERSION)  # fmt: skip

    def _named(self, feature: int) -> str:
        named = {at.FLAT: "flat", at.LIMIT: "limit"}
        return named.get(feature) or self.params.features[feature].name


def _decoded(data: bytes) -> tuple[int, str, list[Series], bytes]:
    kind: Any = tuple[int, str, list[Series], bytes]
    try:
        found: tuple[int, str, list[Series], bytes] = msgspec.msgpack.decode(data, type=kind)
    except msgspec.DecodeError as error:
        raise ValueError(f"not a state of detector version {VERSION}: {error}") from error
    if found[0] != VERSION:
        raise ValueError(f"made by detector version {found[0]}, this is {VERSION}")
    return found
