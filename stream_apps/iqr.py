"""The IQR detector: per-series sliding Tukey fences that explain every flag (pure: no clock, no socket)."""

from __future__ import annotations

import io
from typing import Any

import msgspec
import numpy as np

from stream_apps import iqr_kernel
from weir.events import Flag
from weir.readings import Reading

_judge: Any = iqr_kernel.judge
#: Larger values are judged as this, so that differences stay finite.
_HUGE = 1e150


class Params(msgspec.Struct, frozen=True):
    """`window` values a series is judged against, after `warmup` of them; the fence stands `reach` IQRs from the
    quartiles (Tukey 1977: 1.5 for outliers, 3 for what is far out); the IQR is at least `floor` times the range
    seen so far. Anomalies enter the window, so that a lasting new level is learned.
    """

    window: int = 288
    warmup: int = 50
    reach: float = 3.0
    floor: float = 0.03


_ARRAYS = ("ring", "ordered", "seen", "last", "lowest", "highest", "size")


class Detector:
    """The state of all series of one partition: one row of each array is one series."""

    def __init__(self, params: Params | None = None, capacity: int = 256) -> None:
        self.params = params or Params()
        self._rows: dict[tuple[str, str, str], int] = {}
        window = self.params.window
        self._state: dict[str, np.ndarray] = {
            "ring": np.zeros((capacity, window)),
            "ordered": np.zeros((capacity, window)),
            "seen": np.zeros(capacity, np.int64),
            "last": np.full(capacity, -1, np.int64),
            "lowest": np.full(capacity, np.inf),
            "highest": np.full(capacity, -np.inf),
            "size": np.zeros(capacity, np.int64),
        }

    def row(self, site: str, sensor: str, metric: str) -> int:
        """The index of a series, made on first sight; arrays double when they are full."""
        key = (site, sensor, metric)
        known = self._rows.get(key)
        if known is None:
            known = self._rows[key] = len(self._rows)
            if known >= len(self._state["size"]):
                self._grow()
        return known

    def names(self) -> list[tuple[str, str, str]]:
        """The series, in the order of their rows."""
        return list(self._rows)

    def judge(self, readings: list[Reading], at: int) -> list[Flag]:
        """Judge a frame at time `at` (ms): flags for the live readings outside their fence; all are learned.

        A reading not newer than the last one of its series (repeated, out of order) is neither judged nor learned.
        """
        rows: list[int] = []
        values: list[float] = []
        owners: list[int] = []
        for i, reading in enumerate(readings):
            for metric, value in reading.metrics.items():
                rows.append(self.row(reading.site, reading.sensor, metric))
                values.append(value)
                owners.append(i)
        if not rows:
            return []
        places = np.array(owners)
        times = np.array([reading.ts for reading in readings], np.int64)[places]
        hist = np.array([reading.hist for reading in readings], np.bool_)[places]
        flagged = np.empty(len(rows), np.int64)
        out = np.empty((len(rows), 7))
        limited = np.clip(np.array(values, np.float64), -_HUGE, _HUGE)
        state = [self._state[name] for name in _ARRAYS]
        p = self.params
        count = _judge(np.array(rows, np.int64), times, limited, hist, *state, p.warmup, p.reach, p.floor, flagged, out)
        names = self.names() if count else []
        return [
            _flag(names[rows[i]], readings[owners[i]].ts, values[i], line, at)
            for i, line in zip(flagged[:count].tolist(), out[:count].tolist(), strict=True)
        ]

    def dump(self) -> bytes:
        """All state as bytes: a small header and the arrays."""
        used = len(self._rows)
        body = io.BytesIO()
        for name in _ARRAYS:
            np.save(body, self._state[name][:used], allow_pickle=False)
        return msgspec.msgpack.encode((self.params, list(self._rows), body.getvalue()))

    @classmethod
    def load(cls, data: bytes, params: Params | None = None) -> Detector:
        """The inverse of `dump`. Raises `ValueError` when the bytes are damaged or made with other parameters."""
        kind: Any = tuple[Params, list[tuple[str, str, str]], bytes]
        try:
            found, names, arrays = msgspec.msgpack.decode(data, type=kind)
        except msgspec.DecodeError as error:
            raise ValueError(f"not a detector's state: {error}") from error
        detector = cls(params, capacity=max(256, len(names)))
        if found != detector.params:
            raise ValueError(f"made with other parameters: {found}")
        detector._rows = {key: i for i, key in enumerate(names)}
        body = io.BytesIO(arrays)
        for name in _ARRAYS:
            detector._state[name][: len(names)] = np.load(body, allow_pickle=False)
        return detector

    def _grow(self) -> None:
        fresh = Detector(self.params, 2 * len(self._state["size"]))._state
        for name, array in self._state.items():
            fresh[name][: len(array)] = array
        self._state = fresh


def _flag(name: tuple[str, str, str], ts: int, value: float, line: list[float], at: int) -> Flag:
    score, q1, q3, low, high, window, nth = line
    return Flag(*name, ts, value, score, q1, q3, low, high, int(window), at, int(nth))
