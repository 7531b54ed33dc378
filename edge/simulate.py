"""The simulated fleet (pure): what a sensor measures at a time, and the faults it may have.

Temperature follows a daily cosine with its maximum at 15:00 UTC+1, humidity falls as temperature rises, the battery
discharges over a month; Gaussian jitter comes from the generator passed in.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from edge.profiles import Profile

FAULTS = ("spike", "drift", "stuck", "drop-out", "wrong-clock")
_DAY_MS = 24 * 3600 * 1000
_MONTH_MS = 30 * _DAY_MS
_WARMEST = 14 / 24


@dataclass(frozen=True)
class Sensor:
    """A simulated sensor at a spot near its profile's; `offset` in Cel."""

    name: str
    profile: Profile
    lat: float
    lon: float
    offset: float


@dataclass(frozen=True)
class Fault:
    """A label: this sensor had this fault from `start` to `end` (ms)."""

    sensor: str
    kind: str
    start: int
    end: int


def make_sensors(count: int, profiles: Iterable[Profile], seed: int) -> list[Sensor]:
    """`count` sensors spread evenly over the profiles, the same ones for the same seed."""
    kinds = list(profiles)
    rng = np.random.default_rng(seed)
    sensors = []
    for i in range(count):
        profile = kinds[i % len(kinds)]
        name = f"{profile.name}-{i // len(kinds) + 1:03d}"
        lat = profile.lat + rng.normal(0, 0.002)
        lon = profile.lon + rng.normal(0, 0.003)
        sensors.append(Sensor(name, profile, round(lat, 5), round(lon, 5), rng.normal(0, 0.4)))
    return sensors


def measure(sensor: Sensor, at: int, rng: np.random.Generator) -> dict[str, float]:
    """What a healthy sensor reads at `at` (ms): temperature (Cel), humidity (%RH), battery (%), perhaps wind (m/s)."""
    profile = sensor.profile
    cycle = math.cos(2 * math.pi * (at / _DAY_MS - _WARMEST))
    temperature = profile.mean + sensor.offset + profile.swing * cycle + rng.normal(0, profile.jitter)
    humidity = profile.humidity - 3.0 * profile.swing * cycle + rng.normal(0, 1.0)
    metrics = {
        "temperature": round(temperature, 2),
        "humidity": round(min(100.0, max(5.0, humidity)), 1),
        "battery": round(100 - 80 * _drained(sensor, at), 1),
    }
    if profile.wind is not None:
        metrics["wind"] = round(abs(profile.wind * (1 + 0.3 * cycle) + rng.normal(0, 0.8)), 1)
    return metrics


def _drained(sensor: Sensor, at: int) -> float:
    """The share of its month that a battery has behind it; each was charged at another time."""
    charged = int(sensor.offset * _DAY_MS)
    return ((at - charged) % _MONTH_MS) / _MONTH_MS


@dataclass
class Faulty:
    """Injects faults, one at a time per sensor, and keeps their labels. `share`: of readings that start a fault."""

    kinds: tuple[str, ...]
    rng: np.random.Generator
    share: float = 0.002
    labels: list[Fault] = field(default_factory=list)
    _open: dict[str, Fault] = field(default_factory=dict)
    _stuck: dict[str, float] = field(default_factory=dict)

    def apply(self, sensor: str, at: int, metrics: dict[str, float]) -> tuple[int, dict[str, float]] | None:
        """The reading as a faulty sensor would send it: its time and metrics, or None when it sends nothing."""
        fault = self._current(sensor, at)
        if fault is None:
            return at, metrics
        temperature = metrics["temperature"]
        if fault.kind == "drop-out":
            return None
        if fault.kind == "wrong-clock":
            return at + 3_600_000, metrics
        if fault.kind == "stuck":
            return at, {**metrics, "temperature": self._stuck.setdefault(sensor, temperature)}
        shift = 25.0 if fault.kind == "spike" else (at - fault.start) / 60_000
        return at, {**metrics, "temperature": round(temperature + shift, 2)}

    def _current(self, sensor: str, at: int) -> Fault | None:
        fault = self._open.get(sensor)
        if fault is not None and at <= fault.end:
            return fault
        self._open.pop(sensor, None)
        self._stuck.pop(sensor, None)
        if not self.kinds or self.rng.random() >= self.share:
            return None
        kind = self.kinds[int(self.rng.integers(len(self.kinds)))]
        length = 0 if kind == "spike" else int(self.rng.integers(60_000, 600_000))
        fault = self._open[sensor] = Fault(sensor, kind, at, at + length)
        self.labels.append(fault)
        return fault
