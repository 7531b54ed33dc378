"""What of a site is in Postgres."""

from __future__ import annotations

import time
from typing import Any

from deploy import status
from weir.settings import Settings

STORED = """
SELECT sensor, metric, (extract(epoch FROM ts) * 1000)::bigint, value
FROM all_readings JOIN series USING (series_id) JOIN sensors USING (sensor_id) WHERE site = %s ORDER BY 1, 2, 3"""


def now() -> int:
    return int(time.time() * 1000)


def rows(config: Settings, site: str) -> list[tuple[Any, ...]]:
    """(sensor, metric, ts in ms, value), in that order."""
    return status.postgres_rows(config, STORED, (site,))
