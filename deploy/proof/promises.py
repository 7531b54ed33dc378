"""Checks what docs/design.md promises, in SQL, after whatever was done to the stack."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from deploy import status
from weir.settings import Settings

T = TypeVar("T")
LOOK_S = 1.0
# A bucket that is marked dirty is known to be wrong, and is computed anew once it is closed (spark_jobs/repair.py).
_AGGREGATES = """
WITH mine AS (SELECT series_id FROM series JOIN sensors USING (sensor_id) WHERE site = ANY(%s)),
raw AS (
    SELECT series_id, date_bin('5 minutes', ts, 'epoch'::timestamptz) AS bucket,
        count(*) AS n, avg(value) AS mean, min(value) AS min, max(value) AS max
    FROM all_readings WHERE series_id IN (SELECT series_id FROM mine) GROUP BY 1, 2
), kept AS (SELECT * FROM readings_5m WHERE series_id IN (SELECT series_id FROM mine))
SELECT count(*) FILTER (WHERE d.series_id IS NULL), count(*) FILTER (WHERE d.series_id IS NOT NULL)
FROM raw FULL JOIN kept USING (series_id, bucket) LEFT JOIN dirty_buckets d USING (series_id, bucket)
WHERE raw.n IS DISTINCT FROM kept.n OR raw.min IS DISTINCT FROM kept.min OR raw.max IS DISTINCT FROM kept.max
    OR abs(raw.mean - kept.mean) > 1e-9 * greatest(1, abs(raw.mean))"""
_BEHIND = """
SELECT count(*) FROM all_readings JOIN series USING (series_id) JOIN sensors USING (sensor_id)
WHERE site = %s AND sensor = 'behind'"""


@dataclass(frozen=True)
class Aggregates:
    """5-minute buckets that differ from SQL over raw: `wrong`, and those `marked` to be computed anew."""

    wrong: int
    marked: int


def aggregates(config: Settings, sites: list[str]) -> Aggregates:
    """Compare `readings_5m` with SQL over the raw readings of these sites."""
    ((wrong, marked),) = status.postgres_rows(config, _AGGREGATES, (sites,))
    return Aggregates(wrong, marked)


def missing(config: Settings, since: int) -> int:
    """Readings received since a time (ms) and accounted for nowhere, now; 0 once all has settled."""
    return sum(one.missing for one in status.ledger(config, since - since % 60_000))


def behind(config: Settings, site: str) -> int:
    """Readings of the sensor whose clock is an hour behind that are in Postgres."""
    ((count,),) = status.postgres_rows(config, _BEHIND, (site,))
    return int(count)


def settled(look: Callable[[], T], good: Callable[[T], bool], seconds: float) -> T:
    """Look until it is good, or for so long; returns what was seen last. A server that is away is looked at again."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            found = look()
        except OSError:
            if time.monotonic() > deadline:
                raise
        else:
            if good(found) or time.monotonic() > deadline:
                return found
        time.sleep(LOOK_S)
