"""Replays a recorded CSV over MQTT."""

from __future__ import annotations

import gzip
import threading
import time
from pathlib import Path

from edge import recorded
from edge.publisher import Publisher
from edge.recorded import Row
from weir.errors import SetupError
from weir.settings import settings


def read(path: Path) -> list[Row]:
    """The rows of a `.csv` or `.csv.gz`. Raises `SetupError`."""
    opener = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rt", encoding="utf-8", newline="") as lines:
            return recorded.parse(lines)
    except (OSError, UnicodeDecodeError) as error:
        raise SetupError(f"{path} cannot be read: {error}") from error


def birth(row: Row, kind: str = "recorded") -> dict[str, object]:
    """The birth of a recorded sensor; temperatures are in degrees Celsius."""
    units = {name: {"unit": "Cel"} if name.startswith("temp") else {} for name in row.metrics}
    return {"lat": row.lat or 0.0, "lon": row.lon or 0.0, "kind": kind, "name": row.place, "metrics": units}


def back_fill(publisher: Publisher, site: str, rows: list[Row], stop: threading.Event) -> bool:
    """Publish all rows as history, in arrays. True when every one is acknowledged."""
    for sensor, series in recorded.by_sensor(rows).items():
        publisher.birth(site, sensor, birth(series[0]))
        for batch in recorded.batches(series):
            if stop.is_set():
                return False
            publisher.data(site, sensor, [{"ts": row.ts, "metrics": row.metrics, "hist": True} for row in batch])
    return publisher.flush(stop)


def replay_file(path: Path, speed: float, end_now: bool) -> None:
    """Publish a recording: `speed` times as fast as recorded, or at once (0) as history."""
    rows = read(path)
    if end_now:
        rows = recorded.shifted(rows, int(time.time() * 1000))
    site = recorded.fold(path.name.split(".")[0])
    stop = threading.Event()
    publisher = Publisher(settings(), f"weir-replay-{site}", [(site, name) for name in recorded.by_sensor(rows)])
    if speed <= 0:
        back_fill(publisher, site, rows, stop)
    else:
        for series in recorded.by_sensor(rows).values():
            publisher.birth(site, series[0].sensor, birth(series[0]))
        _paced(publisher, site, rows, speed, stop)
    publisher.close()
    print(f"{len(rows)} readings of {path.name} are published as site {site}")


def _paced(publisher: Publisher, site: str, rows: list[Row], speed: float, stop: threading.Event) -> None:
    begun = time.monotonic()
    for row in rows:
        due = begun + (row.ts - rows[0].ts) / 1000 / speed
        if stop.wait(max(0.0, due - time.monotonic())):
            return
        publisher.data(site, row.sensor, {"ts": row.ts, "metrics": row.metrics})
    publisher.flush(stop)
