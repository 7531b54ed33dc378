"""An alert of the running stack, opened by readings as any other is."""

from __future__ import annotations

import time
from typing import Any

import msgspec
import redis

from edge.publisher import Publisher
from tests.conftest import eventually
from weir import keys
from weir.events import Alert
from weir.settings import Settings


def provoke(config: Settings, site: str, sensor: str) -> Alert:
    """Five minutes of steady readings, then twelve wild ones; returns the alert they open."""
    publisher = Publisher(config, f"weir-test-{site}-{sensor}", [])
    start = int(time.time() * 1000) - 400_000
    steady = [{"ts": start + i * 1000, "metrics": {"t": 20 + i % 5}, "hist": True} for i in range(300)]
    publisher.birth(site, sensor, {"lat": 46.9, "lon": 7.4, "kind": "park", "metrics": {"t": {"unit": "Cel"}}})
    publisher.data(site, sensor, steady)
    for i in range(12):
        publisher.data(site, sensor, {"ts": start + (380 + i) * 1000, "metrics": {"t": 500.0 + 90 * i}})
    publisher.close()
    return eventually(lambda: _open(config, site, sensor), 120)


def _open(config: Settings, site: str, sensor: str) -> Alert | None:
    with redis.Redis.from_url(config.redis_url) as client:
        held: Any = client.hvals(keys.LIVE_ALERTS)
    found = [msgspec.json.decode(one, type=Alert) for one in held]
    return next((one for one in found if (one.site, one.sensor, one.rule) == (site, sensor, "anomaly")), None)
