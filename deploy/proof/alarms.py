"""Sensors that break in the middle of a load, each once: what must be flagged and which alerts must open is known."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

import numpy as np

from deploy import status
from edge.lean import LeanPublisher
from stream_apps.judging import Judge
from weir import wire
from weir.readings import Reading, encode
from weir.settings import Settings
from weir.topics import mqtt_topic

#: Each is a site of its own, or they would be one alert for the site; more within ten minutes would be a flood.
COUNT = 8
SENSOR, METRIC = "s", "temperature"
STEP_MS = 500
HISTORY = 150
BURST = 6
FLUSH_S = 120.0
_FLAGS = """
SELECT (extract(epoch FROM ts) * 1000)::bigint
FROM anomalies JOIN series USING (series_id) JOIN sensors USING (sensor_id) WHERE site = %s"""
# In a flood one alert stands for all that open: then none of ours is missed.
_FLOODS = """
SELECT count(*) FROM alerts WHERE rule = 'flood' AND (state = 'active' OR at >= to_timestamp(%s / 1000.0))"""
_ALERTS = "SELECT count(*) FROM alerts WHERE site = %s AND sensor = %s AND rule = 'anomaly'"


@dataclass(frozen=True)
class Alarm:
    """One sensor's readings, in the order of time, and which of them must be flagged."""

    site: str
    readings: list[Reading]
    flagged: frozenset[int]


@dataclass(frozen=True)
class Verdict:
    """Flags that are missing or too many, alerts that did not open or opened more than once."""

    missed_flags: int
    unknown_flags: int
    missed_alerts: int
    duplicate_alerts: int

    @property
    def good(self) -> bool:
        return self == Verdict(0, 0, 0, 0)


def make(site: str, start: int, seconds: float, count: int = COUNT) -> list[Alarm]:
    """Alarms whose live readings begin at `start` (ms) and last `seconds`. The same for the same arguments. Pure."""
    return [_one(f"{site}-a{i}", start, int(seconds * 1000 / STEP_MS), (i + 1) / (count + 1), i) for i in range(count)]


def _one(site: str, start: int, live: int, share: float, seed: int) -> Alarm:
    rng = np.random.default_rng(seed)
    values = np.round(rng.normal(20, 0.4, HISTORY + live), 2)
    begin = HISTORY + int(share * max(0, live - BURST))
    values[begin : begin + BURST] += 40 + 5 * np.arange(len(values[begin : begin + BURST]))
    readings = [
        Reading(site, SENSOR, start + (i - HISTORY) * STEP_MS, 0, {METRIC: round(float(value), 2)}, hist=i < HISTORY)
        for i, value in enumerate(values)
    ]
    judge = Judge()
    flags = (flag.ts for reading in readings for flag in judge.judge([reading], reading.ts))
    return Alarm(site, readings, frozenset(flags))


def verdict(config: Settings, alarms: list[Alarm]) -> Verdict:
    """Compare with what Postgres has. Raises `OSError` when Postgres is away."""
    missed = unknown = silent = twice = 0
    ((floods,),) = status.postgres_rows(config, _FLOODS, (alarms[0].readings[HISTORY].ts,))
    for alarm in alarms:
        found = {ts for (ts,) in status.postgres_rows(config, _FLAGS, (alarm.site,))}
        missed += len(alarm.flagged - found)
        unknown += len(found - alarm.flagged)
        ((opened,),) = status.postgres_rows(config, _ALERTS, (alarm.site, SENSOR))
        silent += opened == 0 and not floods
        twice += max(0, opened - 1)
    return Verdict(missed, unknown, silent, twice)


class Alarms:
    """Publishes the alarms by the clock while it is open."""

    def __init__(self, config: Settings, alarms: list[Alarm]) -> None:
        self.failure: BaseException | None = None
        self._config = config
        self._alarms = alarms
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Alarms:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self) -> None:
        """Wait until all is published and acknowledged."""
        self._thread.join()
        if self.failure is not None:
            raise self.failure

    def retire(self) -> None:
        """Take the sensors off the map, once nobody has to look at their alerts any more."""
        publisher = LeanPublisher(self._config, f"weir-{self._alarms[0].site}-retire")
        topics = [mqtt_topic(one.site, SENSOR, "birth") for one in self._alarms]
        publisher.publish([(wire.text(topic), b"") for topic in topics], retain=True)
        publisher.flush(FLUSH_S)
        publisher.close()

    def _run(self) -> None:
        try:
            self._publish()
        except BaseException as error:  # raised again in the thread that waits for us
            self.failure = error

    def _publish(self) -> None:
        publisher = LeanPublisher(self._config, f"weir-{self._alarms[0].site}")
        topics = [wire.text(mqtt_topic(one.site, SENSOR, "data")) for one in self._alarms]
        pairs = list(zip(topics, self._alarms, strict=True))
        publisher.publish([(topic, _payload(one.readings[:HISTORY])) for topic, one in pairs])
        clock = time.monotonic() - time.time()
        for i in range(HISTORY, len(self._alarms[0].readings)):
            publisher.pump(self._alarms[0].readings[i].ts / 1000 + clock)
            publisher.publish([(topic, _payload(one.readings[i : i + 1])) for topic, one in pairs])
        publisher.flush(FLUSH_S)
        publisher.close()


def _payload(readings: list[Reading]) -> bytes:
    return encode([{"ts": one.ts, "metrics": one.metrics, "hist": one.hist} for one in readings])
