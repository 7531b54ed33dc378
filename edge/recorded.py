"""Recorded fleets (pure): a CSV of readings, shifted in time and cut into messages."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from weir.errors import SetupError

_PLACE = {"sensor_id", "ts", "lat", "lon", "elev_m", "place", "site"}
MAX_BATCH = 200


@dataclass(frozen=True)
class Row:
    """One recorded reading. `ts` in ms; `lat`, `lon` None when the file has no positions."""

    sensor: str
    ts: int
    metrics: dict[str, float]
    lat: float | None
    lon: float | None
    place: str


def fold(name: str) -> str:
    """A name as Weir allows them: lower case, letters, digits, hyphen and underscore, at most 64."""
    folded = re.sub(r"[^a-z0-9_-]+", "-", name.lower()).strip("-_")
    return folded[:64] or "unnamed"


def parse(lines: Iterable[str]) -> list[Row]:
    """Rows in the order of time. Raises `SetupError` with the line's number when one cannot be read."""
    reader = csv.DictReader(lines)
    if not {"sensor_id", "ts"} <= set(reader.fieldnames or ()):
        raise SetupError("the file needs a first line with sensor_id, ts and at least one value column")
    values = [name for name in reader.fieldnames or () if name not in _PLACE]
    rows = []
    for line in reader:
        try:
            metrics = {fold(name): float(line[name]) for name in values if line[name]}
            lat, lon = (float(line[name]) if line.get(name) else None for name in ("lat", "lon"))
            if metrics:
                place = line.get("place") or line["sensor_id"]
                rows.append(Row(fold(line["sensor_id"]), parse_time(line["ts"]), metrics, lat, lon, place))
        except (ValueError, TypeError) as error:
            raise SetupError(f"line {reader.line_num} cannot be read: {error}") from error
    rows.sort(key=lambda row: row.ts)
    return rows


def parse_time(text: str) -> int:
    """Milliseconds since the epoch from a number of ms or an ISO 8601 time (UTC when it has no zone)."""
    if text.isdigit():
        return int(text)
    moment = datetime.fromisoformat(text)
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


def shifted(rows: list[Row], end: int) -> list[Row]:
    """The same rows, moved in time so that the last one is at `end` (ms)."""
    by = end - max((row.ts for row in rows), default=end)
    return [Row(row.sensor, row.ts + by, row.metrics, row.lat, row.lon, row.place) for row in rows]


def by_sensor(rows: Iterable[Row]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row.sensor, []).append(row)
    return found


def batches(rows: list[Row]) -> Iterator[list[Row]]:
    """At most `MAX_BATCH` rows at a time."""
    for start in range(0, len(rows), MAX_BATCH):
        yield rows[start : start + MAX_BATCH]
