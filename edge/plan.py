"""What a load consists of (pure): for every message its sensor, its number, its time and its values.

Everything follows from the message's place `n` in the load, so that whoever accounts for the load knows what must
be there, to the value. Messages of one tick are due at the tick: its time is their `ts`, whenever they really get
out, so that a generator or a broker that falls behind shows as latency (no coordinated omission).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from weir import wire
from weir.errors import SetupError
from weir.readings import MAX_METRICS, MAX_READINGS_PER_MESSAGE
from weir.topics import mqtt_topic

#: Waking up more often costs more than the publishing.
TICK_MS = 20
#: How many different sets of values there are; a sensor walks through them in an order of its own.
VARIANTS = 1009
_STEP, _SHIFT = 613, 71
METRICS = ("temperature", "humidity", "battery")
_LEVEL, _NOISE = (20.0, 55.0, 90.0), (0.4, 1.0, 0.5)
#: Sensors with spikes send this much history first, so that their fences judge from the first reading on.
HISTORY = 100
HISTORY_STEP_MS = 1000
SPIKE = 30.0
PAYLOADS = ("json", "array")
ARRAY = 10


@dataclass(frozen=True)
class Plan:
    """A load. `rate`: readings a second; `start`: ms since the epoch; `spiky`: how many sensors have a spike in every
    `spike_every`th reading; `payload`: one reading a message (`json`), or ten in an array, in the order of time."""

    site: str
    rate: float
    seconds: float
    sensors: int
    start: int
    metrics: int = 3
    spiky: int = 0
    spike_every: int = 50
    payload: str = "json"

    def check(self) -> None:
        """Raises `SetupError`."""
        if self.rate <= 0 or self.seconds <= 0 or not 1 <= self.sensors <= 100_000:
            raise SetupError("--rate and --seconds must be more than 0, --sensors 1 to 100000")
        if not 1 <= self.metrics <= MAX_METRICS:
            raise SetupError(f"--metrics: 1 to {MAX_METRICS}")
        if self.rate > self.sensors * 1000:
            raise SetupError("more than one reading a millisecond from one sensor: more --sensors are needed")
        if self.payload not in PAYLOADS:
            raise SetupError(f"--payload {self.payload}: there are {', '.join(PAYLOADS)}")

    @property
    def live(self) -> int:
        """Readings published by the clock."""
        return int(self.rate * self.seconds)

    @property
    def total(self) -> int:
        """All readings, with the history of the spiky sensors."""
        return self.live + self.spiky * HISTORY

    @cached_property
    def names(self) -> list[str]:
        """The sensors' names, by number."""
        return [f"s{i:05d}" for i in range(self.sensors)]

    @cached_property
    def metric_names(self) -> list[str]:
        return [*METRICS, *(f"m{i + 1}" for i in range(3, self.metrics))][: self.metrics]

    @cached_property
    def _milli(self) -> int:
        return max(1, round(self.rate * 1000))

    def due(self, tick: int) -> int:
        """How many readings are due before tick `tick`; exact, so that two processes agree."""
        return min(self.live, -(-tick * TICK_MS * self._milli // 1_000_000))

    @property
    def ticks(self) -> int:
        """How many ticks the plan has."""
        return -(-self.live * 1_000_000 // (self._milli * TICK_MS)) + 1

    def due_of(self, tick: int, part: int, parts: int) -> int:
        """How many readings of one part are due at a tick."""
        first, end = self.due(tick), self.due(tick + 1)
        if parts == 1:
            return end - first
        return sum(n % self.sensors % parts == part for n in range(first, end))

    def times(self, sensor: int) -> np.ndarray:
        """When each live reading of a sensor is due, ms since the epoch, ascending."""
        n = np.arange(sensor, self.live, self.sensors, dtype=np.int64)
        tick = n * 1_000_000 // (self._milli * TICK_MS)
        first = -(-tick * TICK_MS * self._milli // 1_000_000)
        # Two readings of one sensor in one tick are a millisecond apart: (sensor, time) names a reading.
        return self.start + tick * TICK_MS + (n - first) // self.sensors

    def history(self, sensor: int) -> np.ndarray:
        """Times of the history of a spiky sensor; empty for others."""
        count = HISTORY if sensor < self.spiky else 0
        return self.start - HISTORY_STEP_MS * np.arange(count, 0, -1, dtype=np.int64)

    def expected(self, sensor: int) -> np.ndarray:
        """The times of all readings of a sensor."""
        return np.concatenate([self.history(sensor), self.times(sensor)])

    @cached_property
    def _table(self) -> np.ndarray:
        """Values by variant and metric."""
        rng = np.random.default_rng(7)
        level = [(_LEVEL[i], _NOISE[i]) if i < 3 else (float(i), 0.5) for i in range(self.metrics)]
        return np.column_stack([np.round(rng.normal(mean, noise, VARIANTS), 2) for mean, noise in level])

    def values(self, sensor: int) -> np.ndarray:
        """The values of all readings of a sensor, in the order of `expected`: (readings, metrics)."""
        history = len(self.history(sensor))
        count = len(range(sensor, self.live, self.sensors))
        seq = np.arange(-history, count)
        found = self._table[(seq * _STEP + sensor * _SHIFT) % VARIANTS]
        if sensor < self.spiky:
            found = found.copy()
            found[self._spikes(seq), 0] = np.round(found[self._spikes(seq), 0] + SPIKE, 2)
        return found

    def _spikes(self, seq: np.ndarray) -> np.ndarray:
        return (seq > 0) & (seq % self.spike_every == 0)

    @cached_property
    def topics(self) -> list[bytes]:
        """The sensors' MQTT topics as they go over the wire."""
        return [wire.text(mqtt_topic(self.site, name, "data")) for name in self.names]

    @cached_property
    def _tails(self) -> tuple[list[bytes], list[bytes]]:
        """The end of each variant's payload, prepared: without and with a spike."""
        plain: list[bytes] = []
        spiked: list[bytes] = []
        for row in self._table.tolist():
            for tails, first in ((plain, row[0]), (spiked, round(row[0] + SPIKE, 2))):
                pairs = zip(self.metric_names, [first, *row[1:]], strict=True)
                inside = ",".join(f'"{name}":{value!r}' for name, value in pairs)
                tails.append(b',"metrics":{' + inside.encode() + b"}}")
        return plain, spiked

    def messages(self, tick: int, part: int = 0, parts: int = 1) -> Iterator[tuple[bytes, bytes]]:
        """What part `part` of `parts` publishes at a tick: (topic, payload). Parts share the sensors."""
        first, end = self.due(tick), self.due(tick + 1)
        plain, spiked = self._tails
        at = self.start + tick * TICK_MS
        sensors, topics, spiky, every, arrays = self.sensors, self.topics, self.spiky, self.spike_every, self._arrays
        for n in range(first, end):
            seq, sensor = divmod(n, sensors)
            if parts > 1 and sensor % parts != part:
                continue
            if arrays:
                if seq % ARRAY == ARRAY - 1 or n + sensors >= self.live:
                    yield topics[sensor], self._array(sensor, seq)
                continue
            tails = spiked if sensor < spiky and seq and seq % every == 0 else plain
            tail = tails[(seq * _STEP + sensor * _SHIFT) % VARIANTS]
            yield topics[sensor], b'{"ts":%d,"seq":%d%b' % (at + (n - first) // sensors, seq, tail)

    @property
    def _arrays(self) -> bool:
        return self.payload == "array"

    def _array(self, sensor: int, last: int) -> bytes:
        """The readings of a sensor since its last array, up to number `last`."""
        plain, spiked = self._tails
        found = []
        for seq in range(last - last % ARRAY, last + 1):
            n = seq * self.sensors + sensor
            tick = n * 1_000_000 // (self._milli * TICK_MS)
            at = self.start + tick * TICK_MS + (n - self.due(tick)) // self.sensors
            tails = spiked if sensor < self.spiky and seq and seq % self.spike_every == 0 else plain
            tail = tails[(seq * _STEP + sensor * _SHIFT) % VARIANTS]
            found.append(b'{"ts":%d,"seq":%d%b' % (at, seq, tail))
        return b"[" + b",".join(found) + b"]"

    def back_fill(self, part: int = 0, parts: int = 1) -> Iterator[tuple[bytes, bytes]]:
        """The history of the spiky sensors, an array for each."""
        plain, _ = self._tails
        for sensor in range(part, self.spiky, parts):
            times = self.history(sensor).tolist()
            rows = [
                b'{"ts":%d,"hist":true%b' % (at, plain[((i - HISTORY) * _STEP + sensor * _SHIFT) % VARIANTS])
                for i, at in enumerate(times)
            ]
            for some in range(0, HISTORY, MAX_READINGS_PER_MESSAGE):
                yield self.topics[sensor], b"[" + b",".join(rows[some : some + MAX_READINGS_PER_MESSAGE]) + b"]"
