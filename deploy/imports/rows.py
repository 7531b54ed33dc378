"""Batches of rows as readings, held to the same limits as what comes by MQTT (pure)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import msgspec
import pyarrow as pa
from pyarrow import compute

from deploy.imports.columns import Plan, Source
from stream_apps.decoders.base import number, text_number
from stream_apps.decoders.names import fold
from stream_apps.decoders.times import RECEIVE, Times
from weir.errors import Reason, Refused, SetupError
from weir.events import DeadLetter
from weir.readings import Measured, Reading, checked

_SECONDS_END = 1e11

Cell = Any  # what a row says, or the `Refused` that tells why it says nothing


@dataclass(frozen=True)
class Bad:
    """One row that cannot be used."""

    row: int
    reason: Reason
    detail: str
    payload: bytes

    def letter(self, file: str, at: int) -> DeadLetter:
        """The dead letter; the same row of the same file has the same id."""
        id = hashlib.sha256(f"import\0{file}\0{self.row}\0".encode() + self.payload).hexdigest()[:32]
        detail = f"row {self.row + 1}: {self.detail}"
        return DeadLetter.of(
            id=id, source=f"import:{file}", reason=self.reason, detail=detail, at=at, payload=self.payload
        )


class Rows:
    """Turns batches of one file into readings, all of them marked as history."""

    def __init__(self, plan: Plan) -> None:
        if plan.zone == RECEIVE:
            raise SetupError("history has no time of receipt: give the zone, such as Europe/Zurich or UTC")
        self._plan = plan
        self._times = Times(plan.zone)

    def convert(self, batch: pa.RecordBatch, first: int, rx: int) -> tuple[list[Reading], list[Bad]]:
        """Readings and refused rows of a batch whose first row is number `first` (from 0); `rx` in ms.

        Neighbouring rows of one sensor and one time make one reading.
        """
        readings: list[Reading] = []
        bad: list[Bad] = []
        pending: _Pending | None = None

        def close(one: _Pending) -> None:
            try:
                readings.append(checked(one.site, one.sensor, Measured(one.metrics, one.ts, hist=True), rx))
            except Refused as error:
                bad.extend(_bad(batch, row, first, error) for row in one.rows)

        for row, site, sensor, ts, found in self._cells(batch, rx):
            error = next((one for one in (site, sensor, ts, *found.values()) if isinstance(one, Refused)), None)
            if error is not None or not found:
                bad.append(_bad(batch, row, first, error or Refused(Reason.SHAPE, "no value")))
                continue
            if pending is not None and pending.takes(site, sensor, ts, found):
                pending.metrics |= found
                pending.rows.append(row)
                continue
            if pending is not None:
                close(pending)
            pending = _Pending(site, sensor, ts, found, [row])
        if pending is not None:
            close(pending)
        return readings, bad

    def _cells(self, batch: pa.RecordBatch, rx: int) -> Iterator[tuple[int, Cell, Cell, Cell, dict[str, Cell]]]:
        plan, count = self._plan, len(batch)
        sites, sensors = self._names(batch, plan.site), self._names(batch, plan.sensor)
        times = self._read_times(batch.column(plan.ts), rx)
        if plan.metric is not None:
            metrics, values = self._names(batch, plan.metric), _numbers(batch.column(plan.value))
            for row in range(count):
                value = values[row]
                name = metrics[row]
                found = {} if value is None else {"": name} if isinstance(name, Refused) else {name: value}
                yield row, sites[row], sensors[row], times[row], found
            return
        columns = [(name, _numbers(batch.column(column))) for name, column in plan.metrics]
        for row in range(count):
            found = {name: values[row] for name, values in columns if values[row] is not None}
            yield row, sites[row], sensors[row], times[row], found

    def _names(self, batch: pa.RecordBatch, source: Source) -> list[Cell]:
        if source.fixed:
            return [source.fixed] * len(batch)
        column = batch.column(source.column)
        try:
            encoded = column.cast(pa.string()).dictionary_encode()
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise SetupError(f"the column {source.column} holds no names: {str(error)[:100]}") from error
        folded = [_tried(fold, text) for text in encoded.dictionary.to_pylist()]
        nothing = Refused(Reason.NAME, f"no {source.column}")
        return [nothing if index is None else folded[index] for index in encoded.indices.to_pylist()]

    def _read_times(self, column: pa.Array, rx: int) -> list[Cell]:
        """Times in ms: all at once where they are all alike, else one by one."""
        found: list[Cell]
        try:
            found = _fast_times(column, self._plan.zone).to_pylist()
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            found = [_tried(self._read_time, one, rx) for one in column.to_pylist()]
        nothing = Refused(Reason.SHAPE, "no time")
        return [nothing if one is None else one for one in found]

    def _read_time(self, value: Any, rx: int) -> int | None:
        if value is None:
            return None
        if type(value) is str:
            plain = text_number(value)
            return self._times.read(value.strip() if plain is None else plain, rx)
        if hasattr(value, "isoformat"):
            return self._times.iso(value.isoformat(), rx)
        return self._times.read(value, rx)


@dataclass
class _Pending:
    """A reading that the next row may add to."""

    site: str
    sensor: str
    ts: int
    metrics: dict[str, float]
    rows: list[int]

    def takes(self, site: str, sensor: str, ts: int, metrics: dict[str, float]) -> bool:
        """One row per metric: more of the same sensor and time, which is not there yet."""
        same = ts == self.ts and sensor == self.sensor and site == self.site
        return same and len(metrics) == 1 and metrics.keys().isdisjoint(self.metrics)


def _fast_times(column: pa.Array, zone: str) -> pa.Array:
    kind = column.type
    if pa.types.is_string(kind):
        try:
            return _fast_times(column.cast(pa.float64()), zone)
        except pa.ArrowInvalid:
            # Text without a zone does not become a time with one: it raises, as it should.
            column = column.cast(pa.timestamp("us") if zone else pa.timestamp("us", "UTC"))
    if pa.types.is_timestamp(column.type):
        if column.type.tz is None:
            if not zone:
                raise pa.ArrowInvalid("no zone")
            # Neither the hour that comes twice nor the one that never comes: those are read one by one.
            column = compute.assume_timezone(column, zone, ambiguous="raise", nonexistent="raise")
        return column.cast(pa.timestamp("ms", "UTC"), safe=False).cast(pa.int64())
    values = column.cast(pa.float64())
    if compute.any(compute.greater(compute.abs(values), 1e15)).as_py():
        raise pa.ArrowInvalid("no times")
    seconds = compute.less(compute.abs(values), _SECONDS_END)
    scaled = compute.if_else(seconds, compute.multiply(values, 1000.0), values)
    return compute.round(scaled).cast(pa.int64())


def _numbers(column: pa.Array) -> list[Cell]:
    try:
        return list(column.cast(pa.float64()).to_pylist())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return [_tried(_number, one) for one in column.to_pylist()]


def _number(value: Any) -> float | None:
    if value is None:
        return None
    found = text_number(value) if type(value) is str else number(value)
    if found is None:
        raise Refused(Reason.SHAPE, f"no number: {str(value)[:40]!r}")
    return found


def _tried(read: Callable[..., Any], *arguments: Any) -> Cell:
    try:
        return read(*arguments)
    except Refused as error:
        return error


def _bad(batch: pa.RecordBatch, row: int, first: int, error: Refused) -> Bad:
    cells = {name: None if cell is None else str(cell) for name, cell in batch.slice(row, 1).to_pylist()[0].items()}
    return Bad(first + row, error.reason, error.detail, msgspec.json.encode(cells)[:4096])
