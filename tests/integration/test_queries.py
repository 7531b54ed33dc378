"""What the dashboard asks of a hundred days of readings: answers equal to plain SQL, plans that do not grow."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from deploy import storage
from deploy.bench import queries as bench
from tests.integration import pg
from web import queries, window
from web.store import Store
from web.window import DAY_MS, DAYS, FIVE_MINUTES, HOUR_MS, HOURS, RAW, fitting


@pytest.fixture(scope="module")
def server() -> Iterator[pg.Server]:
    with pg.server() as one, pytest.MonkeyPatch.context() as smaller:
        smaller.setattr(bench, "CADENCE_MS", 600_000)
        smaller.setattr(bench, "SENSORS", 20)
        bench.fill(one.config, 100 * 8_640)
        yield one


@pytest.fixture(scope="module")
def now(server: pg.Server) -> int:
    """A time (ms) right after the newest reading."""
    return int(time.time() * 1000)


@pytest.fixture
def store(server: pg.Server) -> Store:
    return Store(server.config.dsn("reader"))


@pytest.fixture
def one(store: Store) -> int:
    return next(number for (number,) in store.rows("SELECT min(series_id) FROM series"))


class Explaining:
    """A store that also asks for the plan of whatever it is asked."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.scans: list[tuple[str, str]] = []

    def rows(self, sql: str, parameters: Sequence[Any] | Mapping[str, Any] = ()) -> list[tuple[Any, ...]]:
        ((plan,),) = self._store.rows(f"EXPLAIN (FORMAT JSON) {sql}", parameters)
        self._walk((json.loads(plan) if isinstance(plan, str) else plan)[0]["Plan"])
        return self._store.rows(sql, parameters)

    def _walk(self, node: dict[str, Any]) -> None:
        if "Relation Name" in node:
            self.scans.append((node["Node Type"], node["Relation Name"]))
        for child in node.get("Plans", []):
            self._walk(child)


GROWING = ("readings", "late_", "anomalies", "alert", "dead_letters", "ledger")


def names() -> list[str]:
    return sorted(bench.asked([1], 0))


@pytest.mark.parametrize("name", names())
def test_no_query_reads_a_growing_table_whole(store: Store, one: int, now: int, name: str) -> None:
    explaining = Explaining(store)
    bench.asked([one], now)[name](explaining, 0)
    assert explaining.scans
    whole = [
        table
        for how, table in explaining.scans
        if how == "Seq Scan" and table.startswith(GROWING) and not table.endswith("_default")
        and not store.rows("SELECT reltuples <= 1 FROM pg_class WHERE relname = %s", (table,))[0][0]
    ]  # fmt: skip
    assert whole == []


def test_a_window_touches_only_the_partitions_of_its_time(store: Store, one: int, now: int) -> None:
    explaining = Explaining(store)
    bench.asked([one], now)["window_a_day_months_ago"](explaining, 0)
    touched = {table for _, table in explaining.scans if table.startswith("readings_chunks_2")}
    every = store.rows("SELECT count(*) FROM storage_partitions WHERE parent = 'readings_chunks' AND ends IS NOT NULL")
    assert 1 <= len(touched) <= 2 < every[0][0]


@pytest.mark.parametrize(("days", "ago"), [(1, 0), (3, 1), (5, 30), (9, 80)])
def test_raw_is_all_there_is_in_the_span(store: Store, one: int, now: int, days: int, ago: int) -> None:
    until = now - ago * DAY_MS
    since = until - days * DAY_MS
    found = window.raw(store, one, since, until)
    plain = store.rows(
        "SELECT (extract(epoch FROM ts) * 1000)::bigint, value FROM all_readings WHERE series_id = %s "
        "AND ts >= to_timestamp(%s / 1000.0) AND ts <= to_timestamp(%s / 1000.0) ORDER BY 1",
        (one, since, until),
    )
    assert list(zip(found.ts.tolist(), found.mean.tolist(), strict=True)) == plain
    assert len(plain) > 100 * days


@pytest.mark.parametrize("level", [FIVE_MINUTES, HOURS, DAYS])
def test_a_level_is_what_sql_makes_of_raw_up_to_the_right_edge(
    store: Store, one: int, now: int, level: window.Level
) -> None:
    since = now - 40 * DAY_MS
    since -= since % DAY_MS
    found = window.rolled(store, one, since, now, now, level)
    plain = store.rows(
        f"SELECT (extract(epoch FROM date_bin('{level.step} ms', ts, 'epoch')) * 1000)::bigint, avg(value), "
        "min(value), max(value) FROM all_readings WHERE series_id = %s AND ts >= to_timestamp(%s / 1000.0) "
        "AND ts <= to_timestamp(%s / 1000.0) GROUP BY 1 ORDER BY 1",
        (one, since, now),
    )
    assert found.ts.tolist() == [row[0] for row in plain]
    for k, mine in enumerate((found.mean, found.low, found.high)):
        assert mine == pytest.approx(np.array([row[k + 1] for row in plain]))


def test_buckets_put_together_keep_the_extremes(store: Store, one: int, now: int) -> None:
    single = window.rolled(store, one, now - 9 * DAY_MS, now, now, FIVE_MINUTES)
    merged = window.rolled(store, one, now - 9 * DAY_MS, now, now, FIVE_MINUTES, 3 * FIVE_MINUTES.step)
    assert len(merged) < len(single)
    assert merged.low.min() == single.low.min()
    assert merged.high.max() == single.high.max()


def test_a_window_has_about_a_thousand_points_whatever_its_span() -> None:
    for density in (1000, 60_000, 600_000):
        for span in (HOUR_MS, 6 * HOUR_MS, DAY_MS, 7 * DAY_MS, 30 * DAY_MS, 120 * DAY_MS, 365 * DAY_MS, 3650 * DAY_MS):
            level, step = fitting(span, span / density)
            points = span / step if step else span / density
            assert points <= 2000
            assert level is RAW or points >= min(1000, span / FIVE_MINUTES.step) / 6


def test_the_latest_values_of_a_site_come_in_pages(store: Store) -> None:
    first = queries.latest(store, "site0", limit=3)
    assert len({row.sensor for row in first}) == 3
    rest = queries.latest(store, "site0", after=first[-1].sensor, limit=3)
    assert rest[0].sensor > first[-1].sensor


def test_a_site_with_no_fresh_value_is_silent(store: Store, now: int) -> None:
    assert all(site.silent == site.sensors for site in queries.site_summary(store, now + DAY_MS))
    counts = queries.status_counts(store, now - DAY_MS)
    assert (counts.sensors, counts.silent, counts.alerts) == (20, 0, {"warning": 20})


def test_storage_tells_what_there_is_and_what_goes_when(server: pg.Server) -> None:
    config = server.config.model_copy(update={"retain_raw": "90d"})
    found = {one.table: one for one in storage.look(config).tables}
    chunks = found["readings_chunks"]
    assert chunks.points > 700_000
    assert chunks.bytes_per_point is not None
    assert chunks.bytes_per_point < 10
    assert chunks.drops_at is not None
    assert found["readings_1d"].drops_at is None
    assert found["readings"].in_default == 0
