"""`weir export`: readings out of Postgres as CSV, Parquet or Arrow, in one stream, with bounded memory."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, BinaryIO

import numpy as np
import psycopg2
import pyarrow as pa
import typer
from pyarrow import csv, ipc, parquet
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from deploy.history import Series, series
from deploy.since import moment
from weir.errors import SetupError
from weir.settings import Settings, settings

#: The readings (series_id, ts, value) of one series from one time (ms) up to, not including, another.
RELATION = "readings_between(ARRAY[%s], to_timestamp(%s / 1000.0), to_timestamp(%s / 1000.0))"
SCHEMA = pa.schema(
    [
        ("site", pa.string()),
        ("sensor", pa.string()),
        ("metric", pa.string()),
        ("ts", pa.timestamp("ms", "UTC")),
        ("value", pa.float64()),
    ]
)
FORMATS = ("csv", "parquet", "arrow")
#: Rows in memory at once, and in a row group of Parquet.
BATCH = 65_536
# One series after the other, so that no more than one is sorted.
_ROWS = f"""
SELECT (extract(epoch FROM ts) * 1000)::bigint, value FROM {RELATION} ORDER BY ts"""  # noqa: S608

Part = tuple[Series, list[tuple[int, float]]]


def batches(config: Settings, wanted: Iterable[Series], since: int, until: int) -> Iterator[pa.RecordBatch]:
    """The readings of series measured in [since, until) (ms), series by series, each in the order of time.

    One snapshot of the database. Batches hold at most `BATCH` rows. Raises `OSError` when Postgres is away.
    """
    held: list[Part] = []
    count = 0
    for part in _parts(config, wanted, since, until):
        held.append(part)
        count += len(part[1])
        if count >= BATCH:
            yield from _batched(held)
            held, count = [], 0
    if held:
        yield from _batched(held)


def _batched(parts: list[Part]) -> Iterator[pa.RecordBatch]:
    whole = _table(parts)
    for start in range(0, len(whole), BATCH):
        yield whole.slice(start, BATCH)


def _parts(config: Settings, wanted: Iterable[Series], since: int, until: int) -> Iterator[Part]:
    try:
        connection = psycopg2.connect(config.dsn("reader"), connect_timeout=3, application_name="weir-export")
        try:
            connection.set_session(isolation_level="REPEATABLE READ", readonly=True)
            for one in wanted:
                with connection.cursor(name="export") as cursor:
                    cursor.itersize = BATCH
                    cursor.execute(_ROWS, (one.id, since, until))
                    while rows := cursor.fetchmany(BATCH):
                        yield one, rows
        finally:
            connection.close()
    except psycopg2.Error as error:
        raise OSError(f"Postgres does not answer: {str(error).strip()}") from error


def _table(parts: list[Part]) -> pa.RecordBatch:
    lengths = [len(rows) for _, rows in parts]
    index = pa.array(np.repeat(np.arange(len(parts), dtype=np.int32), lengths))
    names = [
        pa.array(texts, pa.string()).take(index)
        for texts in zip(*((one.site, one.sensor, one.metric) for one, _ in parts), strict=True)
    ]
    ts, values = zip(*(row for _, rows in parts for row in rows), strict=True)
    when = pa.array(ts, pa.int64()).cast(pa.timestamp("ms", "UTC"))
    return pa.RecordBatch.from_arrays([*names, when, pa.array(values, pa.float64())], schema=SCHEMA)


def write(found: Iterable[pa.RecordBatch], file: BinaryIO, format_name: str, told: Callable[[int], None]) -> int:
    """Write batches as they come; `told` is called with the number of rows after each. Returns how many there were."""
    rows = 0
    with _writer(file, format_name) as writer:
        for batch in found:
            writer.write_batch(batch)
            rows += len(batch)
            told(rows)
    return rows


def _writer(file: BinaryIO, format_name: str) -> Any:
    if format_name == "parquet":
        return parquet.ParquetWriter(file, SCHEMA, compression="zstd")
    if format_name == "arrow":
        return ipc.new_stream(file, SCHEMA)
    return csv.CSVWriter(file, SCHEMA, write_options=csv.WriteOptions(quoting_style="needed"))


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    """A file that has its name only when it is whole; `-` is the standard output."""
    if str(path) == "-":
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    beside = path.with_name(f".{path.name}.part")
    try:
        with beside.open("wb") as file:
            yield file
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def _format(path: Path, given: str) -> str:
    name = given or {".parquet": "parquet", ".arrow": "arrow", ".arrows": "arrow"}.get(path.suffix, "csv")
    if name not in FORMATS:
        raise SetupError(f"--format {name}: there are {', '.join(FORMATS)}")
    return name


def export(
    file: Annotated[Path, typer.Argument(help="Where to; the end tells the format; `-`: standard output.")],
    site: Annotated[str, typer.Option(help="A site; `*` stands for anything.")] = "*",
    sensor: Annotated[str, typer.Option(help="A sensor, `SITE/SENSOR` or its name alone.")] = "*",
    metric: Annotated[str, typer.Option(help="A metric.")] = "*",
    since: Annotated[str, typer.Option("--from", help="15m, 2h, 7d, or an ISO time.")] = "1970-01-01",
    until: Annotated[str, typer.Option("--to", help="The same; not included.")] = "now",
    format_name: Annotated[str, typer.Option("--format", help="csv, parquet or arrow.")] = "",
) -> None:
    """Write stored readings to a file: site, sensor, metric, ts (UTC), value."""
    config, now = settings(), int(time.time() * 1000)
    start, end = moment(since, now), moment(until, now)
    chosen = _format(file, format_name)
    where = sensor if "/" in sensor else f"{site}/{sensor}"
    console = Console(stderr=True, highlight=False)
    columns = (SpinnerColumn(), TextColumn("{task.fields[rows]:,} readings"), TimeElapsedColumn())
    try:
        wanted = series(config, where, metric)
        with _opened(file) as out, Progress(*columns, console=console, disable=not console.is_terminal) as progress:
            task = progress.add_task("", total=None, rows=0)
            rows = write(
                batches(config, wanted, start, end), out, chosen, lambda count: progress.update(task, rows=count)
            )
    except BrokenPipeError:
        # Whoever reads has had enough; Python would complain once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return
    except OSError as error:
        if error.errno is not None:
            raise SetupError(f"{file} cannot be written: {error.strerror}") from error
        raise SetupError(f"{error}: is Weir running? See `weir status`") from error
    console.print(f"{rows:,} readings of {len(wanted):,} series", soft_wrap=True)
