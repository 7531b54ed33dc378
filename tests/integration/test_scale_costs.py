"""The bytes that `weir scale` counts for a stored value are those it takes."""

from __future__ import annotations

import io

from deploy import costs
from tests.integration import pg

SERIES, TIMES = 500, 400


def test_a_stored_value_takes_the_bytes_that_scale_counts() -> None:
    with pg.server() as server, server.connect("writer") as writer, writer.cursor() as cursor:
        lines = (
            f"{s}\t2026-01-05 {i // 60:02d}:{i % 60:02d}:00+00\t{s + i / 7}\n"
            for i in range(TIMES)
            for s in range(SERIES)
        )
        cursor.copy_expert("COPY readings (series_id, ts, value) FROM STDIN", io.StringIO("".join(lines)))
        cursor.execute(
            "SELECT sum(pg_total_relation_size(inhrelid)) FROM pg_inherits WHERE inhparent = 'readings'::regclass"
        )
        size = int((cursor.fetchone() or (0,))[0])
    bytes_per_value = size / (SERIES * TIMES)
    assert abs(bytes_per_value / costs.POSTGRES_ROW.value - 1) < 0.15, bytes_per_value
