"""The compiled part of the detector: one call judges and learns a whole frame over NumPy state (pure)."""

from __future__ import annotations

import hashlib
import inspect
import math
from pathlib import Path
from typing import Any

import numba
import numpy as np

from stream_apps import iqr_faults as faults
from stream_apps import iqr_features as feats
from stream_apps import iqr_layout as at
from stream_apps import iqr_window as window
from stream_apps.iqr_params import RECENT, Kind

#: No reading is closer than this share of the largest one to a fence: float32 has no more digits.
_RESOLUTION = 1e-7
_TINY = 1e-30
#: Differences smaller than this share of the values are rounding.
_DUST = 1e-12
#: A step and a jump are one event when the one is at least this share of the other: on a slope they are not.
_TOGETHER = 0.6

_LEVEL, _MEAN, _LSTD, _HOUR, _STEP, _JUMP = (int(one) for one in Kind)


@numba.njit
def _value(
    kind: int, width: int, value: float, recent: np.ndarray, counts: np.ndarray, numbers: np.ndarray, extent: float
) -> tuple[float, float]:
    """The feature's value, NaN while unknown, and what a reading has to be added to it to be its level."""
    fresh = counts[at.FRESH]
    if kind == _LEVEL:
        return value, 0.0
    if kind == _HOUR:
        return value - numbers[at.HOUR_USUAL], numbers[at.HOUR_USUAL]
    if kind == _MEAN:
        return (feats.rolling(recent, fresh, width)[0], 0.0) if fresh >= width else (np.nan, 0.0)
    if kind == _LSTD:
        if fresh < width:
            return np.nan, 0.0
        spread = feats.rolling(recent, fresh, width)[1] + 0.01 * extent
        return math.log(max(spread, _TINY)), 0.0
    if fresh <= width:
        return np.nan, 0.0
    if kind == _JUMP:
        last = recent[(fresh - 2) % RECENT]
        return value - last, last
    before = np.empty(width, np.float32)
    for i in range(width):
        before[i] = recent[(fresh - 2 - i) % RECENT]
    usual = feats.middle(before, width)
    return value - usual, usual


@numba.njit
def _beyond(x: float, ordered: np.ndarray, size: int, least: float, reach: float, line: np.ndarray) -> None:
    """Fill `line` with the fence of a window and how many IQRs beyond it `x` lies (0: inside). The IQR is at
    least `least`."""
    q1 = window.quartile(ordered, size, 0.25)
    q3 = window.quartile(ordered, size, 0.75)
    spread = max(q3 - q1, least, _RESOLUTION * max(abs(q1), abs(q3)), _TINY)
    low = q1 - reach * spread
    high = q3 + reach * spread
    line[at.SCORE] = max(0.0, max(low - x, x - high) / spread)
    line[at.Q1], line[at.Q3], line[at.LOW], line[at.HIGH], line[at.SIZE] = q1, q3, low, high, size


@numba.njit
def _record(mark: np.ndarray, distance: float, params: np.ndarray) -> float:
    """The novelty of a distance: by how far it exceeds the largest so far, 0 to 1."""
    new = max(0.0, distance - mark[at.RECORD]) / (distance + params[at.SOFT])
    mark[at.RECORD] = max(mark[at.RECORD] * params[at.DECAY], distance)
    return new


@numba.njit
def _far_out(mark: np.ndarray, distance: float, least: float, params: np.ndarray) -> bool:
    """Whether a distance is far out; the limit follows so that few are (Gibbs and Candes 2021)."""
    limit = max(mark[at.REACHED], least)
    far = distance > limit
    mark[at.REACHED] = limit * (params[at.FAR_UP] if far else params[at.FAR_DOWN])
    mark[at.WAS_FAR] = 1.0 if far else 0.0
    return far


@numba.njit
def _confirmed(
    plan: np.ndarray, x: float, value: float, before: bool, recent: np.ndarray, counts: np.ndarray,
    numbers: np.ndarray, line: np.ndarray,
) -> bool:  # fmt: skip
    """Whether a value far out of one fence is odd in another light too.

    A level is not if it is usual at this hour. A step must have come with this reading and a jump must have led away
    from where the readings were: on a slope neither holds. What was far out `before` is not a step any more, and a
    jump counts alone, not among other flags.
    """
    if plan[at.KIND] == _LEVEL:
        usual = numbers[at.HOUR_USUAL]
        return math.isnan(usual) or abs(value - usual) >= 0.5 * abs(value - (line[at.Q1] + line[at.Q3]) / 2)
    other_kind = _JUMP if plan[at.KIND] == _STEP else _STEP
    other = _value(other_kind, plan[at.WIDTH], value, recent, counts, numbers, 0.0)[0]
    alone = plan[at.KIND] == _STEP or counts[at.LEARNED] - counts[at.FLAGGED] > RECENT
    return alone and not before and x * other >= _TOGETHER * x * x


@numba.njit
def _fences(
    value: float, rings: np.ndarray, ordered: np.ndarray, places: np.ndarray, recent: np.ndarray, counts: np.ndarray,
    numbers: np.ndarray, marks: np.ndarray, plan: np.ndarray, shares: np.ndarray, params: np.ndarray, why: np.ndarray,
) -> bool:  # fmt: skip
    """Judge a value of one series against every fence, then let it enter. True if it is far out of one.

    `why[NOVELTY]` is the novelty; the rest of `why` is the fence left farthest, or the one that is newest.
    """
    line = np.zeros(at.OUT)
    usual, newest, far = 1.0, 0.0, False
    extent = numbers[at.MOST] - numbers[at.LEAST]
    for f in range(len(plan)):
        x, base = _value(plan[f, at.KIND], plan[f, at.WIDTH], value, recent, counts, numbers, extent)
        if math.isnan(x):
            continue
        mark = marks[f]
        mark[at.LOWEST], mark[at.HIGHEST] = feats.widen(mark[at.LOWEST], mark[at.HIGHEST], x)
        mine = ordered[plan[f, at.ORDERED] : plan[f, at.ORDERED_END]]
        if places[f, at.OFFERED] >= params[at.WARMUP] + plan[f, at.LAG]:
            least = max(shares[f, at.FLOOR] * (mark[at.HIGHEST] - mark[at.LOWEST]), _DUST * abs(numbers[at.ORIGIN]))
            if (plan[f, at.KIND] >= _STEP or plan[f, at.KIND] == _LEVEL) and numbers[at.QUANTUM] < np.inf:
                least = max(least, numbers[at.QUANTUM])
            _beyond(x, mine, places[f, at.SORTED], least, params[at.REACH], line)
            new = shares[f, at.WEIGHT] * _record(mark, line[at.SCORE], params)
            far_from = shares[f, at.FAR]
            before = mark[at.WAS_FAR]
            out = far_from > 0 and _far_out(mark, line[at.SCORE], far_from, params)
            out = out and _confirmed(plan[f], x, value, before > 0, recent, counts, numbers, line)
            usual *= 1.0 - new
            if (out and (not far or line[at.SCORE] > why[at.SCORE])) or (not far and new > newest):
                why[: at.SIZE + 1] = line[: at.SIZE + 1]
                why[at.Q1 : at.HIGH + 1] += base
                why[at.FEATURE] = f
            newest, far = max(newest, new), far or out
        ring = rings[plan[f, at.RING] : plan[f, at.RING_END]]
        window.offer(ring, mine, places[f], x, plan[f, at.LAG], plan[f, at.STEP])
    why[at.NOVELTY] = 1.0 - usual
    return far


@numba.njit
def _clock(
    time: int, value: float, recent: np.ndarray, hours: np.ndarray, counts: np.ndarray, numbers: np.ndarray, gap: float
) -> bool:
    """Take the time of a reading: its interval, its hour, and the value among the recent ones. True if from now on
    readings come at another pace."""
    changed = counts[at.LEARNED] > 0 and feats.keep_pace(counts, numbers, float(time - counts[at.LAST]), gap)
    counts[at.LAST] = time
    feats.turn_hour(hours, counts, numbers, time // feats.HOUR_MS)
    counts[at.HOUR_SIZE] += 1
    numbers[at.HOUR_SUM] += value
    recent[counts[at.FRESH] % RECENT] = value
    counts[at.FRESH] += 1
    return changed


@numba.njit
def _begin_anew(
    places: np.ndarray, counts: np.ndarray, numbers: np.ndarray, marks: np.ndarray, plan: np.ndarray
) -> None:
    """Readings come at another pace: what was learned of neighbouring ones no longer holds."""
    for f in range(len(plan)):
        if plan[f, at.KIND] != _LEVEL and plan[f, at.KIND] != _HOUR:
            places[f, :] = 0
            places[f, at.STRIDE] = 1
            marks[f, at.RECORD], marks[f, at.REACHED] = 0.0, 0.0
            marks[f, at.LOWEST], marks[f, at.HIGHEST] = np.inf, -np.inf
    counts[at.FRESH] = 0
    counts[at.RUN], counts[at.RUNS_OF], counts[at.REPEATS], counts[at.REREPEATS] = 0, 0, 0, 0
    numbers[at.LONGEST] = 0.0


@numba.njit
def _learn(
    value: float, time: int, rings: np.ndarray, ordered: np.ndarray, places: np.ndarray, recent: np.ndarray,
    hours: np.ndarray, counts: np.ndarray, numbers: np.ndarray, marks: np.ndarray, plan: np.ndarray,
    shares: np.ndarray, params: np.ndarray, why: np.ndarray,
) -> bool:  # fmt: skip
    """Judge one value of one series and learn it. True if it is to be flagged, for the reason in `why`."""
    if counts[at.LEARNED] == 0:
        numbers[at.ORIGIN] = value
    moved = value - numbers[at.ORIGIN]
    if _clock(time, moved, recent, hours, counts, numbers, params[at.GAP]):
        _begin_anew(places, counts, numbers, marks, plan)
    numbers[at.LEAST], numbers[at.MOST] = feats.widen(numbers[at.LEAST], numbers[at.MOST], moved)
    flagged = _fences(moved, rings, ordered, places, recent, counts, numbers, marks, plan, shares, params, why)
    armed = numbers[at.GATE] < params[at.THRESHOLD]
    if why[at.NOVELTY] > numbers[at.GATE]:
        numbers[at.GATE] = why[at.NOVELTY]
    else:
        why[at.NOVELTY] = 0.0
    numbers[at.GATE] = max(0.0, numbers[at.GATE] - params[at.REFRACTORY])
    fresh = armed and counts[at.LEARNED] - counts[at.FLAGGED] > RECENT
    flagged = flagged or (fresh and why[at.NOVELTY] >= params[at.THRESHOLD])
    flat = np.zeros(at.OUT)
    if faults.flat(moved, counts, numbers, params, flat) and not flagged:
        why[: at.NOVELTY] = flat[: at.NOVELTY]
        return True
    if flagged:
        counts[at.FLAGGED] = counts[at.LEARNED]
    if plan[int(why[at.FEATURE]), at.KIND] != _LSTD:
        why[at.Q1 : at.HIGH + 1] += numbers[at.ORIGIN]
    return flagged


@numba.njit
def _judge(
    rows: np.ndarray, times: np.ndarray, values: np.ndarray, hist: np.ndarray, rings: np.ndarray, ordered: np.ndarray,
    places: np.ndarray, recent: np.ndarray, hours: np.ndarray, counts: np.ndarray, numbers: np.ndarray,
    marks: np.ndarray, limits: np.ndarray, plan: np.ndarray, shares: np.ndarray, params: np.ndarray,
    flagged: np.ndarray, out: np.ndarray, novelty: np.ndarray,
) -> int:  # fmt: skip
    """Judge each point against its series' windows, then let it enter. Returns how many were flagged.

    `flagged[:n]` are indices into `rows`; `out[:n]` says why; `novelty[i]` is that of each point.
    A point not newer than the last of its series, or not finite, is neither judged nor learned.
    """
    found = 0
    for i in range(rows.size):
        r = rows[i]
        novelty[i] = 0.0
        if not math.isfinite(values[i]) or (counts[r, at.SEEN] > 0 and times[i] <= counts[r, at.LAST]):
            continue
        why = out[found]
        why[:] = 0.0
        if faults.impossible(values[i], limits[r], counts[r], why):
            flag = True
            counts[r, at.LAST] = times[i]
        else:
            flag = _learn(
                values[i], times[i], rings[r], ordered[r], places[r], recent[r], hours[r], counts[r], numbers[r],
                marks[r], plan, shares, params, why,
            )  # fmt: skip
            counts[r, at.LEARNED] += 1
        counts[r, at.SEEN] += 1
        novelty[i] = why[at.NOVELTY]
        if flag and not hist[i]:
            why[at.NTH] = counts[r, at.SEEN]
            flagged[found] = i
            found += 1
    return found


@numba.njit
def _sort_windows(used: int, rings: np.ndarray, ordered: np.ndarray, places: np.ndarray, plan: np.ndarray) -> None:
    """Make the sorted windows of the first `used` series from their rings."""
    for r in range(used):
        for f in range(len(plan)):
            ring = rings[r, plan[f, at.RING] : plan[f, at.RING_END]]
            size = places[r, f, at.SORTED]
            first = plan[f, at.ORDERED]
            for i in range(size):
                ordered[r, first + i] = ring[(places[r, f, at.START] + i) % ring.size]
            ordered[r, first : first + size].sort()


def _sources() -> str:
    files = [at.__file__, faults.__file__, feats.__file__, window.__file__, __file__, inspect.getfile(Kind)]
    return hashlib.sha256(b"".join(Path(one).read_bytes() for one in files)).hexdigest()


def _entries(sources: str) -> tuple[Any, Any]:
    """The two functions that are called from Python.

    Numba keeps compiled code on disk, and looks only at the file of a cached function to see whether it is stale.
    `sources`, a hash of all files that are compiled in, is part of what it compares because it is a closure variable.
    """

    @numba.njit(cache=True)
    def judge(*args: Any) -> int:
        return _judge(*args) if len(sources) else 0

    @numba.njit(cache=True)
    def sort_windows(*args: Any) -> None:
        if len(sources):
            _sort_windows(*args)

    return judge, sort_windows


judge, sort_windows = _entries(_sources())
