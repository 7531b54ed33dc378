"""The points of one series over a span of time, at the resolution that fits it. Times are ms since the epoch, UTC.

There are raw readings, 5-minute buckets, hours and days. A level that is not rolled up yet to the end of the span is
continued from the finer one, and that from raw, so that no chart has a hole at its right edge.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from web.store import Store

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS
#: Of raw readings no more than this are fetched; the newest.
MAX_RAW = 200_000
#: About so many points are drawn, whatever the span.
POINTS = 1000
#: Where a series has at most so many readings in the span, they are shown as they are.
FEW = 2000
#: What the finer levels continue lies within this of now; it keeps the planner to the newest partitions.
_RAW_TAIL_MS = 6 * HOUR_MS
_ROLLED_TAIL_MS = 35 * DAY_MS


@dataclass(frozen=True)
class Points:
    """A series over time: `ts` int64 ms, `mean`, `low`, `high` float64, all of one length.

    Of raw readings `low` and `high` are the reading itself.
    """

    ts: np.ndarray
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray

    def __len__(self) -> int:
        return len(self.ts)


@dataclass(frozen=True)
class Level:
    """One resolution: its table, its step (ms), and what says how far it has come."""

    table: str
    step: int
    reach: str = ""


RAW = Level("readings", 0)
FIVE_MINUTES = Level("readings_5m", 5 * MINUTE_MS)
HOURS = Level("readings_1h", HOUR_MS, "rolled_1h")
DAYS = Level("readings_1d", DAY_MS, "rolled_1d")
_ROLLED = (FIVE_MINUTES, HOURS, DAYS)
#: The longest span shown from 5-minute buckets and from hours; what is longer is shown from days.
LONGEST = {FIVE_MINUTES: 3000 * FIVE_MINUTES.step, HOURS: 4500 * HOUR_MS}


@dataclass(frozen=True)
class Window:
    """`step` (ms) is what each point stands for; 0: readings as they are."""

    points: Points
    level: Level
    step: int


def fitting(span: int, readings: float) -> tuple[Level, int]:
    """The level and the step (ms) for a span (ms) with about so many readings in it."""
    if readings <= FEW:
        return RAW, 0
    level = next((one for one in (FIVE_MINUTES, HOURS) if span <= LONGEST[one]), DAYS)
    return level, level.step * max(1, round(span / level.step / POINTS))


def window(store: Store, series_id: int, since: int, until: int, now: int) -> Window:
    """About `POINTS` points of [since, until]. Raises `StoreDown`."""
    level, step = fitting(until - since, _estimate(store, series_id, since, until))
    if level is RAW:
        return Window(raw(store, series_id, since, until), RAW, 0)
    return Window(rolled(store, series_id, since, until, now, level, step), level, step)


def raw(store: Store, series_id: int, since: int, until: int) -> Points:
    """The readings measured in [since, until], the newest `MAX_RAW` of them, oldest first."""
    sql = f"""SELECT {_ms("ts")}, value FROM readings_between(%(ids)s, {_at("since")}, {_at("until")})
              ORDER BY ts DESC LIMIT {MAX_RAW}"""
    ts, value = _columns(store.rows(sql, {"ids": [series_id], "since": since, "until": until + 1})[::-1], 2)
    return Points(ts.astype(np.int64), value, value, value)


def five_minutes(store: Store, series_id: int, since: int, until: int) -> Points:
    """5-minute aggregates by the start of their bucket; what is not rolled up yet is aggregated from raw."""
    return rolled(store, series_id, since, until, until, FIVE_MINUTES)


def hourly(store: Store, series_id: int, since: int, until: int) -> Points:
    """Aggregates of hours by their start, the one that is filling included."""
    return rolled(store, series_id, since, until, until, HOURS)


def daily(store: Store, series_id: int, since: int, until: int) -> Points:
    """Aggregates of days (UTC) by their start, today included."""
    return rolled(store, series_id, since, until, until, DAYS)


def rolled(store: Store, series_id: int, since: int, until: int, now: int, level: Level, step: int = 0) -> Points:
    """Aggregates of `level` by their start, put together to `step` (ms) where that is longer."""
    start, end = since - since % level.step, min(until, now)
    parameters = {
        "series": series_id,
        "ids": [series_id],
        "since": start,
        "until": until,
        "raw_tail": max(start, end - _RAW_TAIL_MS),
        "tail": max(start, end - _ROLLED_TAIL_MS),
        "bin": f"{max(step, level.step)} ms",
    }
    ts, mean, low, high = _columns(store.rows(_SQL[level], parameters), 4)
    return Points(ts.astype(np.int64), mean, low, high)


def _at(name: str) -> str:
    return f"to_timestamp(%({name})s / 1000.0)"


def _ms(column: str) -> str:
    """Numeric `extract` would cost more than all the rest; a double holds milliseconds exactly."""
    return f"(date_part('epoch', {column}) * 1000)::bigint"


def _columns(rows: list[tuple], count: int) -> list[np.ndarray]:
    return list(np.array(rows, dtype=np.float64).reshape(-1, count).T)


def _estimate(store: Store, series_id: int, since: int, until: int) -> float:
    """About how many readings the series has in the span: as dense as its newest buckets in it."""
    sql = f"""SELECT coalesce(sum(n), 0)::bigint, count(*) FROM (
                  SELECT n FROM readings_5m
                  WHERE series_id = %(series)s AND bucket BETWEEN {_at("since")} AND {_at("until")}
                  ORDER BY bucket DESC LIMIT 12) newest"""
    ((readings, buckets),) = store.rows(sql, {"series": series_id, "since": since, "until": until})
    return readings / buckets * (until - since) / FIVE_MINUTES.step if buckets else 0.0


def _part(level: Level) -> str:
    """The CTE of a level: what is rolled up, and behind it what the finer level makes of the rest."""
    columns = "bucket, n, mean, min, max"
    name = level.table
    if level is FIVE_MINUTES:
        rest = f"readings_between(%(ids)s, {_at('raw_tail')}, {_at('until')})"
        whole = "count(*), avg(value), min(value), max(value)"
        behind = f"(SELECT coalesce(max(bucket) + interval '5 minutes', '-infinity') FROM {name}_rolled)"
        time = "ts"
    else:
        rest = f"{_ROLLED[_ROLLED.index(level) - 1].table}_whole"
        whole = "sum(n), sum(n * mean) / sum(n), min(min), max(max)"
        behind = f"(SELECT {level.reach} FROM storage_state)"
        time = "bucket"
    step = f"interval '{level.step} ms'"
    return f"""{name}_rolled AS (
            SELECT {columns} FROM {name}
            WHERE series_id = %(series)s AND bucket >= {{since}} AND bucket <= {_at("until")}
        ), {name}_whole AS (
            SELECT {columns} FROM {name}_rolled {"" if level is FIVE_MINUTES else f"WHERE bucket < {behind}"}
            UNION ALL
            SELECT date_bin({step}, {time}, 'epoch'), {whole} FROM {rest}
            WHERE {time} >= {behind} GROUP BY 1
        )"""


def _statement(level: Level) -> str:
    levels = _ROLLED[: _ROLLED.index(level) + 1]
    parts = ", ".join(_part(one).replace("{since}", _at("since" if one is level else "tail")) for one in levels)
    return f"""WITH {parts}
        SELECT {_ms("date_bin(%(bin)s, bucket, 'epoch')")}, sum(n * mean) / sum(n), min(min), max(max)
        FROM {level.table}_whole GROUP BY 1 ORDER BY 1"""


_SQL = {level: _statement(level) for level in _ROLLED}
