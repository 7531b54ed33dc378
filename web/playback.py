"""The last day as frames of one byte a sensor, small enough to be sent whole (pure)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

MINUTE_MS = 60_000
DAY_MS = 86_400_000
STEPS_MS = tuple(m * MINUTE_MS for m in (5, 10, 15, 30, 60))
#: About so many bytes before compression.
BUDGET = 400_000
MISSING = 255
SILENT, OK, FLAGGED, ALERT = range(4)


@dataclass(frozen=True)
class Frames:
    """`data`: uint8, sensors x frames. Of a metric 0..254 stands for `low`..`high` and 255 for nothing; of the status
    0 is silent, 1 ok, 2 flagged, 3 in alert. Frame i is of `since + i * step` (ms)."""

    keys: list[str]
    data: np.ndarray
    since: int
    step: int
    low: float = 0.0
    high: float = 0.0


def step_for(sensors: int) -> int:
    """The finest step (ms) at which the day of so many sensors stays within the budget."""
    return next((step for step in STEPS_MS if sensors * (DAY_MS // step) <= BUDGET), STEPS_MS[-1])


def of_metric(series: Iterable[tuple[str, list[int], list[float]]], since: int, step: int) -> Frames:
    """Frames of values; `low` and `high` leave out the outer hundredth, so that one spike does not pale the rest."""
    count = DAY_MS // step
    rows = sorted(series)
    values = np.full((len(rows), count), np.nan)
    for i, (_, slots, found) in enumerate(rows):
        at = np.asarray(slots, dtype=int)
        fits = (at >= 0) & (at < count)
        values[i, at[fits]] = np.asarray(found, dtype=float)[fits]
    known = values[np.isfinite(values)]
    low, high = (float(one) for one in np.percentile(known, [1, 99])) if len(known) else (0.0, 0.0)
    return Frames([row[0] for row in rows], quantised(values, low, high), since, step, low, high)


def quantised(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """0..254 for `low`..`high`, what lies outside at its end; 255 where there is no value."""
    share = (values - low) / (high - low) if high > low else np.where(np.isfinite(values), 0.5, np.nan)
    found = np.full(values.shape, MISSING, dtype=np.uint8)
    known = np.isfinite(share)
    found[known] = np.round(254 * np.clip(share[known], 0, 1)).astype(np.uint8)
    return found


def of_status(
    heard: Mapping[str, list[int]],
    flagged: Mapping[str, list[int]],
    alerts: Iterable[tuple[str, int, int, bool]],
    since: int,
    step: int,
) -> Frames:
    """Frames of statuses; an alert outweighs a flag, and a flag silence."""
    count = DAY_MS // step
    keys = sorted(heard)
    index = {key: i for i, key in enumerate(keys)}
    data = np.full((len(keys), count), SILENT, dtype=np.uint8)
    for found, status in ((heard, OK), (flagged, FLAGGED)):
        for key, slots in found.items():
            if key in index:
                data[index[key], [slot for slot in slots if 0 <= slot < count]] = status
    for key, first, last, active in alerts:
        if key in index:
            data[index[key], max(0, first) : count if active else max(0, last)] = ALERT
    return Frames(keys, data, since, step)


def encoded(frames: Frames) -> bytes:
    """One line of JSON about the frames, then their bytes, sensor by sensor."""
    head = {
        "keys": frames.keys, "since": frames.since, "step": frames.step, "frames": int(frames.data.shape[1]),
        "low": frames.low, "high": frames.high,
    }  # fmt: skip
    return json.dumps(head, separators=(",", ":")).encode() + b"\n" + frames.data.tobytes()
