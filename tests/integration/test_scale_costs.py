"""The bytes that `weir scale` counts for a stored value and for a bucket are those they take."""

from __future__ import annotations

import io
from collections.abc import Iterator

from deploy import costs
from tests.integration import pg

SERIES, TIMES = 500, 400


def test_a_stored_value_takes_the_bytes_that_scale_counts() -> None:
    lines = (
        f"{s}\t2026-01-05 {i // 60:02d}:{i % 60:02d}:00+00\t{s + i / 7}\n" for i in range(TIMES) for s in range(SERIES)
    )
    assert abs(bytes_a_row("readings (series_id, ts, value)", lines) / costs.POSTGRES_ROW.value - 1) < 0.15


def test_a_bucket_takes_the_bytes_that_scale_counts() -> None:
    columns = "series_id, bucket, n, mean, min, max, stddev, first, last, q1, median, q3"
    lines = (
        f"{s}\t2026-01-{1 + i // 288:02d} {i % 288 // 12:02d}:{i % 12 * 5:02d}:00+00\t5" + f"\t{s + i / 7}" * 9 + "\n"
        for i in range(TIMES)
        for s in range(SERIES)
    )
    assert abs(bytes_a_row(f"readings_5m ({columns})", lines) / costs.BUCKET_ROW.value - 1) < 0.15


def bytes_a_row(into: str, lines: Iterator[str]) -> float:
    """Of a partitioned table, with its indexes."""
    with pg.server() as server, server.connect("writer") as writer, writer.cursor() as cursor:
        cursor.copy_expert(f"COPY {into} FROM STDIN", io.StringIO("".join(lines)))
        cursor.execute(
            "SELECT sum(pg_total_relation_size(inhrelid)) FROM pg_inherits WHERE inhparent = %s::regclass",
            (into.split()[0],),
        )
        (size,) = cursor.fetchone() or (0,)
    print(f"{into}: {int(size) / (SERIES * TIMES):.1f} bytes a row")
    return int(size) / (SERIES * TIMES)
