"""How long importing takes until every reading is stored, and how long exporting the same takes."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import csv
from rich.console import Console

from deploy import environment
from deploy.bench.bridge import servers
from deploy.bench.runlog import Row
from deploy.export import batches, write
from deploy.history import series
from deploy.imports import files
from deploy.imports.columns import Mapping
from deploy.imports.command import run as import_files
from deploy.imports.running import Limits
from deploy.status import postgres_rows
from weir.settings import Settings

SENSORS = 100
_STEP = 50_000
_COUNT = "SELECT count(*), sum(value) FROM readings"
_DIRTY = "SELECT count(*) FROM dirty_buckets"


def make(path: Path, readings: int) -> float:
    """A CSV of `readings` rows, a value each: 100 sensors once a minute, in the order of time. Returns their sum."""
    rng = np.random.default_rng(1)
    kept = [("site", pa.string()), ("sensor", pa.string()), ("metric", pa.string()), ("ts", pa.string())]
    schema = pa.schema([*kept, ("value", pa.float64())])
    total = 0.0
    with csv.CSVWriter(path, schema) as writer:
        for start in range(0, readings, _STEP):
            n = np.arange(start, min(start + _STEP, readings))
            values = np.round(15 + rng.normal(0, 3, len(n)), 2)
            when = np.datetime64("2026-01-01T00:00:00") + (n // SENSORS).astype("timedelta64[m]")
            columns = [
                pa.repeat("import", len(n)),
                pa.array([f"s{one}" for one in n % SENSORS]),
                pa.repeat("temperature", len(n)),
                pa.array(np.char.add(when.astype(str), "Z")),
                pa.array(values),
            ]
            writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=schema))
            total += float(values.sum())
    return total


def run(readings: int, port_base: int, say: Callable[[str], None]) -> list[Row]:
    """Import a made CSV into a stack with the detector and the archive running, then export it again."""
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder, servers(("detector", "spark"), port_base) as (stack, config):
        environment.current(stack.home)
        path = Path(folder) / "history.csv"
        expected = make(path, readings)
        say(f"{path.stat().st_size / 1e6:.0f} MB of CSV made")
        source = files.look(path)
        console = Console(stderr=True)
        done, took = asyncio.run(import_files(config, [source], Mapping(), Limits(), console))
        ((stored, total),) = postgres_rows(config, _COUNT, ())
        right = stored == readings == done[0].readings and abs(total - expected) < 1e-6 * abs(expected)
        rows.append((
            f"import of {readings:,} readings from CSV until all are in Postgres",
            f"{took:.0f} s, {readings / took:,.0f} a second; {'every one there' if right else f'{stored:,} there'}",
            "10,000,000 in 300 s",
        ))  # fmt: skip
        say(rows[-1][1])
        ((dirty,),) = postgres_rows(config, _DIRTY, ())
        rows.append(("5-minute buckets still to be computed at that moment", f"{dirty:,}", ""))
        for name in ("csv", "parquet"):
            rows.append(_exported(config, Path(folder) / f"out.{name}", name))
            say(f"{rows[-1][0]}: {rows[-1][1]}")
    return rows


def _exported(config: Settings, path: Path, name: str) -> Row:
    begun = time.monotonic()
    with path.open("wb") as file:
        count = write(batches(config, series(config), 0, 2**42), file, name, lambda rows: None)
    took = time.monotonic() - begun
    size = path.stat().st_size / 1e6
    return f"export to {name}", f"{count:,} readings in {took:.0f} s, {size:.0f} MB", ""
