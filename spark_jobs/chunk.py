"""How a thousand readings of one series become one row, without loss, so that plain SQL can read them (pure).

Times: readings mostly come at a steady cadence, so a chunk keeps its first time, a step, and for each reading how far
it is off `first + i * step` (residuals of a linear prediction; no running sum is needed to read one). The offsets are
left out where all are 0, and are 16 bits wide where they fit.

Values: most sensors give decimals. Where every value is exactly an integer divided by a power of ten, the integers are
kept, less a common base, in 16 or 32 bits; otherwise the doubles as they are. Which of them is decided by trying:
what does not come back bit by bit is not used.

Times are microseconds since the epoch.
"""

from __future__ import annotations

import itertools
import struct
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

#: Readings in a chunk: few enough that a query decodes little for a few of them, many enough that a row costs nothing.
SIZE = 1000
WEEK_US = 7 * 86_400 * 1_000_000
DIVISORS = tuple(10.0**power for power in range(7))

PG_EPOCH_US = 946_684_800 * 1_000_000
_WIDTHS = ((np.int16, 21), (np.int32, 23), (np.int64, 20))  # with the oids of Postgres' types
_FLOAT8 = 701


@dataclass(frozen=True)
class Chunk:
    """One row of `readings_chunks`; see deploy/sql/0005_storage.sql for its columns.

    `offsets` (int16, int32 or int64, or None for all 0) and `values` (int16, int32, or float64 as they are) are of
    one length.
    """

    series_id: int
    first: int
    last: int
    unit: int
    step: int
    offsets: np.ndarray | None
    base: int
    divisor: float
    values: np.ndarray

    def decode(self) -> tuple[np.ndarray, np.ndarray]:
        """Times (int64) and values (float64), exactly as they were."""
        n = len(self.values)
        steps = np.arange(n, dtype=np.int64) * self.step
        if self.offsets is not None:
            steps += self.offsets
        if self.values.dtype == np.float64:
            return self.first + steps * self.unit, self.values
        return self.first + steps * self.unit, (self.values + np.int64(self.base)) / self.divisor

    def copy_row(self) -> bytes:
        """The row in the format of COPY ... WITH BINARY, columns in the table's order."""
        offsets: list[bytes | None] = [None, None, None]
        if self.offsets is not None:
            kind = next(i for i, (width, _) in enumerate(_WIDTHS) if self.offsets.dtype == width)
            offsets[kind] = _array(self.offsets, _WIDTHS[kind][1])
        values: list[bytes | None] = [None, None, None]
        kind = 2 if self.values.dtype == np.float64 else int(self.values.dtype == np.int32)
        values[kind] = _array(self.values, _FLOAT8 if kind == 2 else _WIDTHS[kind][1])
        fields = (
            struct.pack(">i", self.series_id),
            struct.pack(">q", self.first - PG_EPOCH_US),
            struct.pack(">q", self.last - PG_EPOCH_US),
            struct.pack(">i", len(self.values)),
            struct.pack(">i", self.unit),
            struct.pack(">q", self.step),
            *offsets,
            struct.pack(">q", self.base),
            struct.pack(">d", self.divisor),
            *values,
        )
        row = [struct.pack(">h", len(fields))]
        for field in fields:
            row.append(struct.pack(">i", -1) if field is None else struct.pack(">i", len(field)) + field)
        return b"".join(row)


COPY_HEAD = b"PGCOPY\n\xff\r\n\0" + struct.pack(">ii", 0, 0)
COPY_END = struct.pack(">h", -1)

#: One reading in COPY (SELECT series_id, ts, value) ... WITH BINARY.
ROW = np.dtype(
    [("fields", ">i2"), ("a", ">i4"), ("series_id", ">i4"), ("b", ">i4"), ("ts", ">i8"), ("c", ">i4"), ("value", ">f8")]
)


def rows(data: bytes | memoryview) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Series ids (int32), times (int64) and values (float64) from whole `ROW`s."""
    table = np.frombuffer(data, ROW)
    return (
        table["series_id"].astype(np.int32),
        table["ts"].astype(np.int64) + PG_EPOCH_US,
        table["value"].astype(np.float64),
    )


def _array(values: np.ndarray, oid: int) -> bytes:
    width = values.dtype.itemsize
    out = np.empty(len(values), np.dtype([("length", ">i4"), ("value", values.dtype.newbyteorder(">"))]))
    out["length"], out["value"] = width, values
    return struct.pack(">iiiii", 1, 0, oid, len(values), 1) + out.tobytes()


def cut(series_id: int, ts: np.ndarray, values: np.ndarray, size: int = SIZE) -> Iterator[Chunk]:
    """Chunks of one series, `ts` ascending and distinct. None reaches over the end of a week (from the epoch)."""
    weeks = ts // WEEK_US
    edges = [0, *(np.flatnonzero(np.diff(weeks)) + 1).tolist(), len(ts)]
    for start, end in itertools.pairwise(edges):
        for at in range(start, end, size):
            stop = min(at + size, end)
            yield encode(series_id, ts[at:stop], values[at:stop])


def merged(
    ts: np.ndarray, values: np.ndarray, more_ts: np.ndarray, more_values: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Both in one order of time; where both have a reading of the same time, the first one's holds."""
    times = np.concatenate([ts, more_ts])
    _, keep = np.unique(times, return_index=True)  # the index of the first of equals
    return times[keep], np.concatenate([values, more_values])[keep]


def encode(series_id: int, ts: np.ndarray, values: np.ndarray) -> Chunk:
    """One chunk of at least one reading, `ts` (int64) ascending."""
    first, last, n = int(ts[0]), int(ts[-1]), len(ts)
    since = ts - first
    unit = 1000 if not np.any(since % 1000) else 1
    since //= unit
    step = round(int(since[-1]) / (n - 1)) if n > 1 else 0
    residuals = since - np.arange(n, dtype=np.int64) * step
    offsets = _narrow(residuals) if np.any(residuals) else None
    base, divisor, coded = _decimal(values)
    return Chunk(series_id, first, last, unit, step, offsets, base, divisor, coded)


def _narrow(numbers: np.ndarray) -> np.ndarray:
    low, high = numbers.min(), numbers.max()
    for width, _ in _WIDTHS[:2]:
        if np.iinfo(width).min <= low and high <= np.iinfo(width).max:
            return numbers.astype(width)
    return numbers


def _decimal(values: np.ndarray) -> tuple[int, float, np.ndarray]:
    """Base, divisor and integers of `values`, or (0, 1.0, values) where doubles they must stay."""
    bits = values.view(np.int64)
    largest = float(np.max(np.abs(values)))
    for divisor in DIVISORS:
        if not largest * divisor < 2**52:
            break
        whole = np.rint(values * divisor).astype(np.int64)
        if np.array_equal((whole / divisor).view(np.int64), bits):
            base = (int(whole.min()) + int(whole.max())) // 2
            narrow = _narrow(whole - base)
            if narrow.dtype == np.int64:
                break
            return base, divisor, narrow
    return 0, 1.0, values
