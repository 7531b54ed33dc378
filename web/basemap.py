"""The vendored basemap: what the server gives of it. Data and credit: assets/basemap/README.md."""

from __future__ import annotations

import csv
from functools import lru_cache
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "assets" / "basemap"
FILES = ("switzerland", "world")
CREDIT = "Natural Earth"


@lru_cache
def compressed(name: str) -> bytes | None:
    """The gzipped GeoJSON of `name`, None if there is no such map."""
    return (FOLDER / f"{name}.geojson.gz").read_bytes() if name in FILES else None


@lru_cache
def places() -> list[dict[str, Any]]:
    """Towns to label: `name`, `at` [lat, lon] in degrees, `rank` from 1 (shown from afar) up."""
    with (FOLDER / "places.csv").open(encoding="utf-8", newline="") as file:
        return [
            {"name": row["name"], "at": [float(row["lat"]), float(row["lon"])], "rank": int(row["rank"])}
            for row in csv.DictReader(file)
        ]
