"""Readings of one series as a file, made piece by piece: whatever the span, little of it is in memory."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from web import window
from web.store import Store
from web.window import Points

#: Of so long a span the readings are fetched at a time (ms).
PIECE_MS = 6 * 3_600_000
SCHEMA = pa.schema(
    [
        ("time", pa.timestamp("ms", tz="UTC")), ("site", pa.string()), ("sensor", pa.string()),
        ("metric", pa.string()), ("value", pa.float64()), ("unit", pa.string()),
    ]
)  # fmt: skip


def pieces(store: Store, series_id: int, since: int, until: int) -> Iterator[Points]:
    """The readings measured in [since, until) (ms), oldest first, `PIECE_MS` at a time. Raises `StoreDown`."""
    for start in range(since, until, PIECE_MS):
        yield window.raw(store, series_id, start, min(start + PIECE_MS, until) - 1)


def csv(found: Iterable[Points], site: str, sensor: str, metric: str, unit: str) -> Iterator[bytes]:
    """Lines with a heading; times in ISO 8601, UTC."""
    yield b"time,site,sensor,metric,value,unit\n"
    unit = '"' + unit.replace('"', '""') + '"' if set(unit) & set(',"\r\n') else unit
    for points in found:
        lines = (
            f"{_iso(at)},{site},{sensor},{metric},{value!r},{unit}\n"
            for at, value in zip(points.ts.tolist(), points.mean.tolist(), strict=True)
        )
        yield "".join(lines).encode()


def parquet(found: Iterable[Points], site: str, sensor: str, metric: str, unit: str) -> Iterator[bytes]:
    """The same columns as a Parquet file, a row group for each piece."""
    sink = _Sink()
    with pq.ParquetWriter(sink, SCHEMA, compression="zstd") as writer:
        for points in found:
            if len(points):
                writer.write_table(_table(points, (site, sensor, metric, unit)))
                yield sink.taken()
    yield sink.taken()


def _table(points: Points, names: tuple[str, str, str, str]) -> pa.Table:
    site, sensor, metric, unit = ([name] * len(points) for name in names)
    times = pa.array(np.asarray(points.ts, dtype="datetime64[ms]")).cast(SCHEMA.field("time").type)
    return pa.table([times, site, sensor, metric, points.mean, unit], schema=SCHEMA)


class _Sink(io.RawIOBase):
    """A file that is only written: what came since the last `taken` waits, and the position goes on."""

    def __init__(self) -> None:
        self._waiting: list[bytes] = []
        self._position = 0

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def write(self, data: Any) -> int:
        self._waiting.append(bytes(data))
        self._position += len(data)
        return len(data)

    def taken(self) -> bytes:
        found, self._waiting = b"".join(self._waiting), []
        return found


def _iso(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
