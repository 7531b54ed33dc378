"""Years of readings on a real Postgres: sealing, compaction, late data, retention, the keeper's round."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import numpy as np
import psycopg2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spark_jobs import compaction, repair, retention
from spark_jobs.chunk import SIZE
from spark_jobs.compaction import Span, to_rebuild
from spark_jobs.keeper import Keeper
from tests.integration import pg
from tests.integration.storage_bench import HORIZON, NOW, Bench, frames, reading
from weir.errors import Reason

DAY = 86_400_000
OLD = NOW - 3 * DAY


@pytest.fixture(scope="module")
def server() -> Iterator[pg.Server]:
    with pg.server() as one:
        yield one


@pytest.fixture
def bench(server: pg.Server) -> Bench:
    return Bench(server)


def store(bench: Bench, *batches: list, start: int = 0) -> None:  # type: ignore[type-arg]
    bench.store.store("readings", 0, frames(*batches, start=start))


def raw(bench: Bench) -> dict[tuple[str, int], float]:
    """(sensor, ts in ms) -> value of everything there is, told by the view; each must be there once."""
    rows = bench.sql(
        "SELECT sensor, (extract(epoch FROM ts) * 1000)::bigint, value FROM all_readings "
        "JOIN series USING (series_id) JOIN sensors USING (sensor_id)"
    )
    found = {(sensor, ts): value for sensor, ts, value in rows}
    assert len(found) == len(rows), "a reading is told twice"
    return found


def test_a_compacted_day_reads_as_before_bit_by_bit(bench: Bench) -> None:
    rng = random.Random(1)
    sent = {(f"s{n % 3}", OLD + n * 977): rng.choice([rng.gauss(20, 3), round(rng.gauss(20, 3), 2), -0.0, 1e300])
            for n in range(5000)}  # fmt: skip
    store(bench, [reading(ts, value, sensor, hist=True) for (sensor, ts), value in sent.items()])
    bench.compact()
    assert bench.count("readings") == bench.count("readings_sealed") == 0
    assert raw(bench) == sent
    assert bench.sql("SELECT max(n), count(*) FROM readings_chunks")[0][0] == SIZE
    signs = bench.sql("SELECT value FROM all_readings WHERE value = 0")
    assert signs
    assert all(np.signbit(value) for (value,) in signs)


def test_late_readings_join_a_compacted_day_and_the_first_value_wins(bench: Bench) -> None:
    store(bench, [reading(OLD + n * 1000, n, hist=True) for n in range(100)])
    bench.compact()
    late = [
        reading(OLD + 500, 7.5, hist=True),
        reading(OLD + 3000, 99.0, hist=True),
        reading(OLD + 500, 8.5, hist=True),
    ]
    store(bench, late, start=1)
    assert bench.ledger() == (101, 0, 2)
    assert raw(bench)["s1", OLD + 500] == 7.5
    bench.compact()
    found = raw(bench)
    assert len(found) == 101
    assert found["s1", OLD + 500] == 7.5
    assert found["s1", OLD + 3000] == 3.0
    assert bench.count("readings") == 0


def test_a_replayed_batch_of_a_compacted_day_changes_and_counts_nothing(bench: Bench) -> None:
    batch = [reading(OLD + n * 1000, n, hist=True) for n in range(10)]
    store(bench, batch)
    bench.compact()
    store(bench, batch)
    assert bench.ledger() == (10, 0, 0)
    assert len(raw(bench)) == 10


def test_late_readings_of_a_compacted_day_are_in_its_aggregate(bench: Bench) -> None:
    at = OLD - OLD % 300_000
    store(bench, [reading(at, 1.0, hist=True)])
    bench.compact()
    store(bench, [reading(at + 1000, 3.0, hist=True)], start=1)
    bench.writer.run(lambda connection: repair.advance(connection, NOW))
    bench.writer.run(repair.repair)
    assert bench.sql("SELECT n, mean, first, last, median FROM readings_5m") == [(2, 2.0, 1.0, 3.0, 2.0)]


def test_a_compaction_broken_off_is_gone_on_with(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    sent = {(f"s{n % 5}", OLD + n * 1000): float(n) for n in range(200)}
    store(bench, [reading(ts, value, sensor, hist=True) for (sensor, ts), value in sent.items()])
    bench.sql("SELECT seal_readings(now() - interval '1 day', 1000)")
    monkeypatch.setattr(compaction, "STEP_ROWS", 50)
    steps = iter([False, True])
    (unit,) = bench.writer.run(compaction.units)
    assert compaction.compact(bench.owner, bench.writer, unit, lambda: next(steps)) == -1
    assert bench.count("chunks_building") > 0
    assert bench.count("readings_chunks") == 0
    assert raw(bench) == sent
    assert compaction.compact(bench.owner, bench.writer, unit) == 40, "what was built is not built again"
    assert bench.count("chunks_building") == bench.count("compaction") == 0
    assert raw(bench) == sent


def test_a_crash_before_the_last_step_shows_nothing_twice(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    sent = {("s1", OLD + n * 1000): float(n) for n in range(200)}
    store(bench, [reading(ts, value, sensor, hist=True) for (sensor, ts), value in sent.items()])
    bench.sql("SELECT seal_readings(now() - interval '1 day', 1000)")
    (unit,) = bench.writer.run(compaction.units)

    def crash(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(compaction, "_show", crash)
        with pytest.raises(KeyboardInterrupt):
            compaction.compact(bench.owner, bench.writer, unit)
    assert raw(bench) == sent
    compaction.compact(bench.owner, bench.writer, unit)
    assert raw(bench) == sent
    assert bench.count("readings_sealed") == 0


arrivals = st.lists(
    st.tuples(st.sampled_from(["s1", "s2"]), st.integers(0, 40), st.sampled_from([1.0, 2.5, 0.1 + 0.2])), max_size=40
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(arrivals, st.integers(1, 8), st.randoms(use_true_random=False))
def test_whatever_is_compacted_when_the_first_value_of_each_time_is_there_once(  # type: ignore[no-untyped-def]
    bench: Bench, sent, size, rng
) -> None:
    bench.empty()
    expected: dict[tuple[str, int], float] = {}
    step = 6 * 3_600_000  # 40 steps reach over two weeks, so over the weeks' and the months' edges too
    for number, at in enumerate(range(0, len(sent), size)):
        batch = sent[at : at + size]
        store(bench, [reading(OLD - n * step, value, sensor, hist=True) for sensor, n, value in batch], start=number)
        for sensor, n, value in batch:
            expected.setdefault((sensor, OLD - n * step), value)
        if rng.random() < 0.5:
            bench.compact()
    assert raw(bench) == expected
    assert bench.ledger()[0] == len(expected)
    assert bench.ledger()[2] == len(sent) - len(expected)
    overlap = """
        SELECT count(*) FROM readings_chunks a JOIN readings_chunks b USING (series_id)
        WHERE a.first < b.first AND b.first <= a.last"""
    assert bench.sql(overlap) == [(0,)]


def test_between_tells_what_the_view_tells(bench: Bench) -> None:
    store(bench, [reading(OLD + n * 60_000, n, hist=True) for n in range(3000)])
    bench.sql("SELECT seal_readings(now() - interval '2 days', 1000)")
    (unit, *_) = bench.writer.run(compaction.units)
    compaction.compact(bench.owner, bench.writer, unit)
    for since, until in ((0, 3000), (10, 11), (1500, 2999), (1400, 1500)):
        span = [datetime.fromtimestamp((OLD + n * 60_000) / 1000, UTC) for n in (since, until)]
        one = bench.sql("SELECT ts, value FROM readings_between(ARRAY[1], %s, %s) ORDER BY 1", *span)
        view = bench.sql(
            "SELECT ts, value FROM all_readings WHERE series_id = 1 AND ts >= %s AND ts < %s ORDER BY 1", *span
        )
        assert one == view
        assert len(one) == until - since


def test_short_chunks_grow_until_they_are_full(bench: Bench) -> None:
    week = OLD // (7 * DAY) * 7 * DAY
    for n in range(12):
        store(bench, [reading(week + (n * 100 + i) * 60_000, i, hist=True) for i in range(100)], start=n)
        bench.compact()
    sizes = [n for (n,) in bench.sql("SELECT n FROM readings_chunks ORDER BY first")]
    assert sum(sizes) == 1200
    assert len(sizes) <= 3


def test_only_the_chunks_that_new_readings_touch_are_rebuilt() -> None:
    full, short = Span(0, 100, 900), Span(200, 300, 10)
    assert to_rebuild(np.array([150]), [full, short]) == []
    assert to_rebuild(np.array([50]), [full, short]) == [full]
    assert to_rebuild(np.array([301]), [full, short]) == [short]
    assert to_rebuild(np.array([101, 300]), [full, short]) == [short]


def keeper(bench: Bench, **changes: str) -> Keeper:
    return Keeper(bench.server.config.model_copy(update=changes), threading.Event())


def test_a_round_of_the_keeper_makes_partitions_seals_and_compacts(bench: Bench) -> None:
    store(bench, [reading(OLD, 1.0, hist=True), reading(NOW, 2.0)], [reading(1, 3.0, hist=True)])
    bench.sql("UPDATE rollup_reach SET swept = now()")
    keeper(bench).once(datetime.now(UTC))
    assert bench.count("readings") == 1, "only the open day is left"
    assert bench.count("readings_default") == 0, "1970 too is in a chunk"
    assert bench.count("readings_chunks") == 2
    ahead = (datetime.now(UTC) + timedelta(days=3)).strftime("readings_%Y_%m_%d")
    assert bench.count(ahead) == 0
    assert len(raw(bench)) == 3


def test_nothing_is_sealed_before_its_aggregates_are_closed(bench: Bench) -> None:
    store(bench, [reading(OLD, 1.0, hist=True)])
    bench.sql("UPDATE rollup_reach SET swept = now() - interval '4 days'")
    keeper(bench).once(datetime.now(UTC))
    assert bench.count("readings") == 1


def test_two_keepers_do_not_work_at_once(bench: Bench) -> None:
    store(bench, [reading(OLD, 1.0, hist=True)])
    bench.sql("UPDATE rollup_reach SET swept = now()")
    first, second = keeper(bench, compact_after=""), keeper(bench)
    first.once(datetime.now(UTC))
    second.once(datetime.now(UTC))
    assert bench.count("readings_chunks") == 0


def test_retention_drops_whole_partitions_and_leaves_aggregates_alone(bench: Bench) -> None:
    old = NOW - 200 * DAY
    store(bench, [reading(old, 1.0, hist=True), reading(old + 1000, 3.0, hist=True), reading(NOW, 2.0)])
    bench.writer.run(lambda connection: repair.advance(connection, NOW))
    bench.writer.run(repair.repair)
    bench.compact()
    config = bench.server.config.model_copy(update={"retain_raw": "90d"})
    dropped = bench.writer.run(lambda connection: retention.drop(connection, config, datetime.now(UTC)))
    assert datetime.fromtimestamp(old / 1000, UTC).strftime("readings_chunks_%Y_%m") in dropped
    assert len(raw(bench)) == 1
    store(bench, [reading(old + 2000, 9.0, hist=True)], start=1)
    bench.writer.run(repair.repair)
    assert bench.sql("SELECT n, mean FROM readings_5m WHERE bucket < now() - interval '100 days'") == [(2, 2.0)]
    assert bench.count("dirty_buckets") == 0


def test_the_reader_may_neither_seal_nor_drop(bench: Bench) -> None:
    for call in ("seal_readings(now(), 1)", "drop_partition('readings', 'readings_default', true)"):
        with bench.server.connect("reader") as reader, reader.cursor() as cursor, pytest.raises(psycopg2.Error):
            cursor.execute(f"SELECT {call}")


@pytest.mark.parametrize("name", ["readings_default", "sensors", "readings_2020_01; DROP TABLE sensors"])
def test_only_partitions_can_be_dropped(bench: Bench, name: str) -> None:
    with bench.server.connect() as writer, writer.cursor() as cursor, pytest.raises(psycopg2.Error):
        cursor.execute("SELECT drop_partition('readings', %s, true)", (name,))


def test_the_latest_value_is_the_last_measured_not_the_last_received(bench: Bench) -> None:
    store(bench, [reading(NOW, 2.0)], [reading(OLD, 1.0, hist=True), reading(NOW, 5.0)])
    assert bench.sql("SELECT value FROM latest") == [(2.0,)]


def test_a_reading_of_next_year_that_came_past_the_bridge_is_refused(bench: Bench) -> None:
    store(bench, [reading(NOW + 365 * DAY, 1.0, rx=NOW), reading(NOW, 1.0)])
    assert bench.ledger() == (1, 1, 0)
    assert bench.sql("SELECT reason FROM dead_letters") == [(Reason.FUTURE.value,)]


def test_late_readings_are_counted_and_history_is_not(bench: Bench) -> None:
    late = NOW - HORIZON - 1000
    store(bench, [reading(NOW, rx=NOW), reading(late, rx=NOW), reading(OLD, hist=True)])
    assert bench.sql("SELECT sum(late), sum(stored) FROM ledger") == [(1, 3)]
