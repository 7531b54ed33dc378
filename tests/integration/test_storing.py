"""The archive's transactions and the repair of aggregates, on a real Postgres."""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import msgspec
import psycopg2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spark_jobs import repair
from spark_jobs.lateness import bucket_of
from spark_jobs.partitions import AGAIN_S, Partitions
from spark_jobs.reach import Reach
from spark_jobs.records import Record
from tests.integration import pg
from tests.integration.storage_bench import HORIZON, MINUTE, NOW, Bench, frames, reading
from weir import topics
from weir.errors import Reason
from weir.events import Alert, AlertState, DeadLetter, Flag
from weir.readings import Birth, Metric, Reading, SensorEvent, encode


@pytest.fixture(scope="module")
def server() -> Iterator[pg.Server]:
    with pg.server() as one:
        yield one


@pytest.fixture
def bench(server: pg.Server) -> Bench:
    return Bench(server)


def records(*values: object) -> list[Record]:
    return [Record(i, NOW, encode(value)) for i, value in enumerate(values)]


def test_a_replayed_batch_changes_nothing(bench: Bench) -> None:
    batch = frames([reading(NOW), reading(NOW, sensor="s2")], [reading(NOW + 1000)])
    bench.store.store("readings", 0, batch)
    before = bench.sql("SELECT * FROM readings ORDER BY 1, 2"), bench.ledger(), bench.count("dirty_buckets")
    bench.store.store("readings", 0, batch)
    assert (bench.sql("SELECT * FROM readings ORDER BY 1, 2"), bench.ledger(), bench.count("dirty_buckets")) == before
    assert bench.ledger() == (3, 0, 0)
    assert bench.count("dirty_buckets") == 0


def test_a_redelivered_reading_is_a_duplicate_and_marks_its_bucket(bench: Bench) -> None:
    bench.store.store("readings", 0, frames([reading(NOW, 1.0)]))
    bench.store.store("readings", 0, frames([reading(NOW, 1.0)], start=1))
    assert bench.ledger() == (1, 0, 1)
    (row,) = bench.sql("SELECT (extract(epoch FROM bucket) * 1000)::bigint FROM dirty_buckets")
    assert row[0] == bucket_of(NOW)


def test_the_first_value_wins_even_within_one_batch(bench: Bench) -> None:
    bench.store.store("readings", 0, frames([reading(NOW, 1.0), reading(NOW, 2.0)], [reading(NOW, 3.0)]))
    assert bench.sql("SELECT value FROM readings") == [(1.0,)]
    assert bench.ledger() == (1, 0, 2)
    assert bench.count("dirty_buckets") == 1


def test_a_reading_with_one_new_value_counts_as_stored(bench: Bench) -> None:
    bench.store.store("readings", 0, frames([reading(NOW)]))
    bench.store.store("readings", 0, frames([reading(NOW, metrics={"temperature": 9.0, "humidity": 2.0})], start=1))
    assert bench.ledger() == (2, 0, 0)
    assert bench.sql("SELECT value FROM readings ORDER BY value") == [(1.0,), (2.0,)]
    assert bench.count("dirty_buckets") == 1


def test_the_ledger_counts_by_minute_of_arrival(bench: Bench) -> None:
    bench.store.store("readings", 1, frames([reading(NOW, rx=MINUTE), reading(NOW + 1, rx=MINUTE + 60_000)]))
    rows = bench.sql("SELECT (extract(epoch FROM minute) * 1000)::bigint, stored FROM ledger ORDER BY 1")
    assert rows == [(MINUTE, 1), (MINUTE + 60_000, 1)]


def test_late_and_back_filled_readings_mark_their_buckets(bench: Bench) -> None:
    late, hist = NOW - HORIZON - 1000, NOW - 3_600_000
    bench.store.store("readings", 0, frames([reading(NOW, rx=NOW), reading(late, rx=NOW), reading(hist, hist=True)]))
    marked = bench.sql("SELECT (extract(epoch FROM bucket) * 1000)::bigint FROM dirty_buckets ORDER BY 1")
    assert [row[0] for row in marked] == sorted({bucket_of(late), bucket_of(hist)})


def test_what_came_late_is_counted_by_bucket_and_a_replay_counts_nothing(bench: Bench) -> None:
    late = NOW - HORIZON - 1000
    batch = frames([reading(NOW, rx=NOW), reading(late, rx=NOW), reading(late - 1, rx=NOW), reading(late, hist=True)])
    bench.store.store("readings", 0, batch)
    bench.store.store("readings", 0, batch)
    rows = bench.sql("SELECT (extract(epoch FROM bucket) * 1000)::bigint, n FROM late_buckets")
    assert sum(n for _, n in rows) == 2
    assert {bucket for bucket, _ in rows} == {bucket_of(late), bucket_of(late - 1)}


def test_kafka_emptied_and_begun_anew_is_stored_and_counted(bench: Bench) -> None:
    bench.store.store("readings", 0, frames([reading(NOW)], start=500))
    bench.store.store("readings", 0, frames([reading(NOW + 1000)], start=0))
    assert bench.ledger() == (2, 0, 0)


def test_an_undecodable_frame_becomes_a_dead_letter_and_holds_nothing_up(bench: Bench) -> None:
    batch = [Record(0, NOW, b'{"not": "a frame"}'), *frames([reading(NOW)], start=1), Record(2, NOW, None)]
    bench.store.store("readings", 0, batch)
    bench.store.store("readings", 0, batch)
    assert bench.ledger() == (1, 2, 0)
    assert {row[0] for row in bench.sql("SELECT reason FROM dead_letters")} == {Reason.SHAPE.value}
    assert bench.sql("SELECT payload FROM dead_letters WHERE id = 'readings-0-0'")[0][0].tobytes() == batch[0].value


def test_a_name_that_came_past_the_bridge_is_refused_alone(bench: Bench) -> None:
    bad = [reading(NOW, metrics={"a\0b": 1.0}), reading(NOW, sensor="Bad Name"), reading(10**17), reading(-5)]
    bench.store.store("readings", 0, frames([reading(NOW), *bad]))
    assert bench.ledger() == (1, 4, 0)
    assert bench.count("readings") == 1


def test_a_row_that_postgres_refuses_is_found_by_halving(bench: Bench) -> None:
    bench.sql("ALTER TABLE readings ADD CONSTRAINT poison CHECK (value <> 666)")
    try:
        batch = frames(*[[reading(NOW + i * 1000, 666.0 if i == 41 else i)] * 1 for i in range(100)])
        bench.store.store("readings", 0, batch)
        bench.store.store("readings", 0, batch)
    finally:
        bench.sql("ALTER TABLE readings DROP CONSTRAINT poison")
    assert bench.ledger() == (99, 1, 0)
    assert bench.sql("SELECT id, reason FROM dead_letters") == [("readings-0-41-0", "store_refused")]


def alert(n: int, state: AlertState = AlertState.ACTIVE, text: str = "hot", id: str = "a1") -> Alert:
    return Alert(id, "bern", "s1", "temperature", "anomaly", "warning", state, False, NOW, NOW + n, n, text)


def test_alerts_keep_their_latest_transition_and_all_of_history(bench: Bench) -> None:
    bench.store.store(topics.ALERTS, 0, records(alert(1), alert(2, AlertState.CLEARED), alert(1)))
    assert bench.sql("SELECT n, state, shelved_until FROM alerts") == [(2, "cleared", None)]
    assert bench.count("alert_history") == 2


def test_text_that_postgres_cannot_hold_ends_as_a_dead_letter(bench: Bench) -> None:
    import random

    noise = "".join(random.Random(1).choices("abcdefghijklmnopqrstuvwxyz0123456789", k=9000))  # beyond a B-tree's row
    bench.store.store(topics.ALERTS, 0, records(alert(1), alert(2, text="a\0b"), alert(1, id=noise), alert(3)))
    bench.store.store(topics.SENSORS, 0, records(SensorEvent("bern", "s1", NOW, birth=Birth(1, 2, name="\0"))))
    assert bench.sql("SELECT n FROM alerts") == [(3,)]
    assert sorted(bench.sql("SELECT id, reason FROM dead_letters")) == [
        ("alerts-0-1", "store_refused"), ("alerts-0-2", "store_refused"), ("sensors-0-0", "store_refused"),
    ]  # fmt: skip


def test_flags_births_states_and_dead_letters_reach_their_tables(bench: Bench) -> None:
    flag = Flag("bern", "s1", "temperature", NOW, 9.0, 3.0, 1.0, 2.0, 0.0, 4.0, 288, NOW, feature="step")
    bench.store.store(topics.ANOMALIES, 0, records(flag, flag))
    assert bench.sql("SELECT value, n, feature FROM anomalies") == [(9.0, 288, "step")]
    birth = Birth(46.9, 7.4, "park", {"temperature": Metric("Cel")}, "Park 1")
    events = [SensorEvent("bern", "s1", NOW, birth=birth), SensorEvent("bern", "s1", NOW, state="lost")]
    bench.store.store(topics.SENSORS, 0, records(*events))
    assert bench.sql("SELECT kind, name, lat, metrics->'temperature'->>'unit', state FROM sensors") == [
        ("park", "Park 1", 46.9, "Cel", "lost")
    ]
    letter = DeadLetter.of(id="x", source="weir/a", reason="not_json", detail="a\0b", at=MINUTE, payload=b"\0\xff")
    bench.store.store(topics.DEAD_LETTERS, 0, records(letter, letter))
    assert bench.ledger() == (0, 1, 1)
    assert base64.b64decode(letter.payload) == bench.sql("SELECT payload FROM dead_letters")[0][0].tobytes()


def test_partitions_are_made_by_the_writer_and_empty_the_default(bench: Bench) -> None:
    old = NOW - 400 * 86_400_000
    bench.sql("INSERT INTO readings_default VALUES (77, to_timestamp(%s / 1000.0), 5)", old)
    bench.store.store("readings", 0, frames([reading(old, hist=True), reading(1, hist=True)]))
    month = datetime.fromtimestamp(old / 1000, UTC).strftime("readings_%Y_%m")
    assert bench.count(month) == 2
    assert bench.count("readings_default") == 1  # 1970 is too far away for a table of its own
    with bench.server.connect("reader") as reader, reader.cursor() as cursor, pytest.raises(psycopg2.Error):
        cursor.execute("SELECT ensure_partition(now())")


def test_while_somebody_reads_default_a_new_day_is_stored_there_and_cut_out_later(bench: Bench) -> None:
    now = [0.0]
    bench.store._partitions = Partitions(lambda: now[0])
    old = NOW - 600 * 86_400_000
    with bench.server.connect("reader") as reader, reader.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM readings_default")
        bench.store.store("readings", 0, frames([reading(old, hist=True)]))
        assert bench.count("readings_default") == 1
    bench.store.store("readings", 0, frames([reading(old + 1, hist=True)], start=1))
    assert bench.count("readings_default") == 2  # not asked for again so soon
    now[0] = AGAIN_S + 1
    bench.store.store("readings", 0, frames([reading(old + 2, hist=True)], start=2))
    assert bench.count("readings_default") == 0
    assert bench.count(datetime.fromtimestamp(old / 1000, UTC).strftime("readings_%Y_%m")) == 3
    assert bench.ledger() == (3, 0, 0)


def test_many_sessions_that_need_the_same_new_month_do_not_collide(bench: Bench) -> None:
    barrier = threading.Barrier(4)
    month = datetime.now(UTC) - timedelta(days=1000)
    errors: list[Exception] = []

    def ask() -> None:
        with bench.server.connect() as connection, connection.cursor() as cursor:
            barrier.wait()
            try:
                for back in range(6):
                    cursor.execute("SELECT ensure_partition(%s)", (month - timedelta(days=31 * back),))
                    connection.commit()
            except psycopg2.Error as error:
                errors.append(error)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


def rolled(bench: Bench, delivered: list[Reading]) -> None:
    """What the streaming rollup would write of these readings, each as often as it was delivered."""
    import statistics

    groups: dict[tuple[str, int], list[tuple[int, float]]] = {}
    for one in delivered:
        if not one.hist and one.rx - one.ts <= HORIZON:
            groups.setdefault((one.sensor, bucket_of(one.ts)), []).extend((one.ts, v) for v in one.metrics.values())
    from pyspark.sql import Row

    found = []
    for (sensor, bucket), points in groups.items():
        values = [value for _, value in points]
        found.append(Row(
            site="bern", sensor=sensor, metric="temperature", bucket=bucket, n=len(values),
            mean=statistics.fmean(values), min=min(values), max=max(values),
            stddev=statistics.stdev(values) if len(values) > 1 else None,
            first=min(points)[1], last=max(points)[1],
        ))  # fmt: skip
    bench.rollups.write(found)


def assert_equal_to_raw(bench: Bench, before: int) -> None:
    """Every complete aggregate of a time before `before` (ms), of 5 minutes, of an hour and of a day, is what SQL
    computes over all raw readings.
    """
    until = datetime.fromtimestamp(before / 1000, UTC)
    ((hours, days),) = bench.sql("SELECT rolled_1h, rolled_1d FROM storage_state")
    for table, step, end in (("5m", "5 minutes", until), ("1h", "1 hour", hours), ("1d", "1 day", days)):
        end = min(end, until)
        columns = "n, mean, min, max, coalesce(stddev, -1), first, last" + (", q1, median, q3" if table == "5m" else "")
        aggregates = bench.sql(
            f"SELECT series_id, bucket, {columns} FROM readings_{table} WHERE bucket < %s ORDER BY 1, 2", end
        )
        quartiles = "".join(f", percentile_cont({q}) WITHIN GROUP (ORDER BY value)" for q in (0.25, 0.5, 0.75))
        raw = bench.sql(
            f"SELECT series_id, date_bin('{step}', ts, 'epoch'), count(*), avg(value), min(value), max(value), "
            "coalesce(stddev_samp(value), -1), (array_agg(value ORDER BY ts))[1], "
            f"(array_agg(value ORDER BY ts DESC))[1] {quartiles if table == '5m' else ''} "
            "FROM all_readings WHERE ts < %s GROUP BY 1, 2 ORDER BY 1, 2",
            end,
        )
        assert [row[:3] for row in aggregates] == [row[:3] for row in raw], table
        for mine, theirs in zip(aggregates, raw, strict=True):
            assert mine[3:] == pytest.approx(theirs[3:], rel=1e-9, abs=1e-7), table


BASE = bucket_of(NOW) - 4 * 3_600_000
arrivals = st.lists(
    st.tuples(
        st.integers(0, 1200),  # measured at this second
        st.integers(0, 1500),  # so many seconds on its way
        st.sampled_from(["s1", "s2"]),
        st.integers(-50, 50).map(float),
        st.booleans(),  # back-filled
        st.integers(1, 2),  # delivered so many times
        st.booleans(),  # lost by the rollup (its watermark was ahead)
    ),
    max_size=40,
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(arrivals, st.integers(1, 7), st.randoms(use_true_random=False))
def test_aggregates_equal_sql_over_raw_for_any_order_of_arrival(bench: Bench, sent, size, rng) -> None:  # type: ignore[no-untyped-def]
    bench.empty()
    delivered: list[tuple[Reading, bool]] = []
    for second, delay, sensor, value, hist, times, lost in sent:
        ts = BASE + second * 1000
        one = reading(ts, value, sensor, rx=ts + delay * 1000, hist=hist)
        delivered += [(one, lost)] * times
    rng.shuffle(delivered)
    batches = [delivered[i : i + size] for i in range(0, len(delivered), size)]
    for number, batch in enumerate(batches):
        bench.store.store("readings", 0, frames([one for one, _ in batch], start=number))
        if rng.random() < 0.3:
            bench.writer.run(lambda connection: repair.repair(connection))
        # The keeper leaves alone what was not swept, and only the sweep finds what the rollup lost.
        if number and rng.random() < 0.2 and not any(lost for _, lost in delivered):
            bench.compact()
        rolled(bench, [one for b in batches[: number + 1] for one, lost in b if not lost])
    end = BASE + 4 * 3_600_000
    bench.writer.run(lambda connection: repair.advance(connection, end))
    bench.writer.run(lambda connection: repair.sweep(connection, end))
    if rng.random() < 0.5:
        bench.compact()
    while bench.writer.run(lambda connection: repair.repair(connection, 3)):
        pass
    rolled(bench, [one for one, _ in delivered[:1]])  # a checkpoint was deleted: partial counts of closed buckets
    assert_equal_to_raw(bench, end)
    assert bench.count("dirty_buckets") == 0


def test_an_open_bucket_keeps_its_mark_until_the_rollup_is_done_with_it(bench: Bench) -> None:
    bench.store.store("readings", 0, frames([reading(NOW, rx=NOW)], [reading(NOW, rx=NOW)]))
    assert bench.writer.run(lambda connection: repair.repair(connection)) == 0
    closed = bucket_of(NOW) + 300_000
    bench.writer.run(lambda connection: repair.advance(connection, closed))
    assert bench.writer.run(lambda connection: repair.repair(connection)) == 1
    assert bench.sql("SELECT n FROM readings_5m") == [(1,)]


def test_postgres_restarted_in_between_costs_time_only(bench: Bench) -> None:
    bench.store.store("readings", 0, frames([reading(NOW)]))
    bench.server.stop()
    done = threading.Thread(target=bench.store.store, args=("readings", 0, frames([reading(NOW + 1)], start=1)))
    done.start()
    bench.server.start()
    done.join(30)
    assert not done.is_alive()
    fresh = Bench.__new__(Bench)
    fresh.server, fresh.owner = bench.server, bench.server.connect("migrator")
    assert fresh.ledger() == (2, 0, 0)


@pytest.mark.slow
def test_a_million_back_filled_readings_are_repaired_quickly(bench: Bench) -> None:
    start = datetime.now(UTC) - timedelta(days=100)
    bench.sql("SELECT ensure_partition(%s + n * interval '1 month') FROM generate_series(0, 3) n", start)
    bench.sql(
        "INSERT INTO readings SELECT s, %s + n * interval '10 minutes', n FROM generate_series(1, 76) s, "
        "generate_series(1, 13000) n",
        start,
    )
    bench.sql("INSERT INTO dirty_buckets SELECT series_id, date_bin('5 minutes', ts, 'epoch') FROM readings")
    one = repair.Repairer(bench.writer, HORIZON, threading.Event())
    one.reaches = repair.Reaches(Reach(), Reach(received=NOW))
    assert one.once() > 900_000
    assert bench.count("dirty_buckets") == 0
    differ = """
        SELECT count(*) FROM readings_5m a FULL JOIN (
            SELECT series_id, date_bin('5 minutes', ts, 'epoch') AS bucket, value FROM readings) r
        USING (series_id, bucket) WHERE (a.n, a.mean, a.first, a.median) IS DISTINCT FROM (1, value, value, value)"""
    assert bench.sql(differ) == [(0,)]


def test_the_encoding_of_events_is_what_the_archive_reads() -> None:
    assert msgspec.json.decode(encode(alert(1)), type=Alert) == alert(1)
