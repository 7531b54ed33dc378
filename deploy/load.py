"""`weir load`: publish at a rate, wait until all is settled, and account for every reading."""

from __future__ import annotations

import threading
import time
from dataclasses import asdict, dataclass

import numpy as np
import psycopg2

from edge.profiles import PROFILES
from edge.publisher import Publisher
from edge.simulate import Sensor, make_sensors, measure
from weir.settings import Settings

_TICK_S = 0.02
_SETTLE_S = 120.0


@dataclass(frozen=True)
class Account:
    """What became of a load: readings; rate in messages a second; `settled_s` from the last PUBACK to the last row."""

    published: int
    acknowledged: int
    stored: int
    lost: int
    achieved_rate: float
    settled_s: float

    def as_dict(self) -> dict[str, float]:
        return asdict(self)


def run(config: Settings, rate: float, seconds: float, sensors: int) -> Account:
    """Publish for `seconds` on a site of its own, then count the distinct readings that are in Postgres."""
    run_id = int(time.time())
    site = f"load-{run_id}"
    fleet = make_sensors(sensors, PROFILES, seed=run_id)
    publisher = Publisher(config, f"weir-{site}", [(site, one.name) for one in fleet])
    begun = time.monotonic()
    published = _publish(publisher, site, fleet, rate, seconds)
    publisher.flush(threading.Event())
    took = time.monotonic() - begun
    acknowledged = publisher.acknowledged
    flushed = time.monotonic()
    stored = _count(config, site)
    while stored < published and time.monotonic() < flushed + _SETTLE_S:
        time.sleep(0.5)
        stored = _count(config, site)
    settled = time.monotonic() - flushed
    publisher.retire()  # or a hundred silent sensors would be an alert
    publisher.flush(threading.Event())
    publisher.close()
    return Account(published, acknowledged, stored, published - stored, published / took, round(settled, 1))


def _publish(publisher: Publisher, site: str, fleet: list[Sensor], rate: float, seconds: float) -> int:
    rng = np.random.default_rng(1)
    begun = time.monotonic()
    start_ms = int(time.time() * 1000)
    sent = 0
    while sent < int(rate * seconds):
        due = min(int((time.monotonic() - begun) * rate) + 1, int(rate * seconds))
        for n in range(sent, due):
            sensor = fleet[n % len(fleet)]
            # Distinct by sensor, and never ahead of the clock by more than the rate is.
            ts = start_ms + int(n * 1000 / rate)
            publisher.data(site, sensor.name, {"ts": ts, "seq": n // len(fleet), "metrics": measure(sensor, ts, rng)})
        sent = max(sent, due)
        time.sleep(_TICK_S)
    return sent


def _count(config: Settings, site: str) -> int:
    """Distinct (sensor, time) of a site in Postgres: temperature is a metric that every reading has."""
    connection = psycopg2.connect(config.dsn("reader"))
    try:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT count(*) FROM readings JOIN series USING (series_id) JOIN sensors USING (sensor_id) "
                "WHERE site = %s AND metric = 'temperature'",
                (site,),
            )
            row = cursor.fetchone()
    finally:
        connection.close()
    return int(row[0]) if row else 0
