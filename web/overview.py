"""What an operator wants to know first, put together from the live state and the ledger (pure)."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from web.live import LiveSensor
from weir.events import Alert, AlertState
from weir.ledger import Minute

SEVERITIES = ("critical", "warning", "info")
_WEIGHT = {"alert": 1000.0, "silent": 300.0, "flagged": 100.0, "ok": 0.0}
_GRAVE = {"critical": 500.0, "warning": 200.0, "info": 50.0}


@dataclass(frozen=True)
class Worst:
    """A sensor that needs somebody, and why in words."""

    key: str
    name: str
    status: str
    why: str


def by_severity(alerts: Iterable[Alert]) -> dict[str, int]:
    """How many alerts are active, by severity, gravest first; shelved ones do not count."""
    found = Counter(one.severity for one in alerts if one.state is AlertState.ACTIVE and not one.shelved_until)
    return {name: found[name] for name in SEVERITIES}


def rate(minutes: list[Minute], now: int, over: int = 5) -> float:
    """Readings a second, the mean of the last `over` whole minutes at `now` (ms)."""
    whole = [one for one in minutes if now - (over + 1) * 60_000 < one.minute <= now - 60_000]
    return sum(one.received for one in whole) / (60 * over)


def rates(minutes: list[Minute], now: int, count: int = 60) -> list[float]:
    """Readings a second of each of the last `count` whole minutes, oldest first; a minute without any is 0."""
    known = {one.minute: one.received for one in minutes}
    last = now // 60_000 - 1
    return [known.get((last - back) * 60_000, 0) / 60 for back in reversed(range(count))]


def missing(minutes: list[Minute], now: int, count: int = 60) -> list[float]:
    """Unaccounted readings of each of the last `count` settled minutes, oldest first."""
    known = {one.minute: one.missing for one in minutes if one.settled_at <= now}
    last = now // 60_000 - 4
    return [float(known.get((last - back) * 60_000, 0)) for back in reversed(range(count))]


def worst(
    sensors: Iterable[LiveSensor], alerts: Iterable[Alert], flags: Mapping[str, int], now: int, most: int = 5
) -> list[Worst]:
    """The sensors that need somebody first: by their gravest alert, then silence, then flags of the last hour."""
    grave: dict[str, Alert] = {}
    for one in alerts:
        key = f"{one.site}/{one.sensor}"
        held = grave.get(key)
        if one.state is AlertState.ACTIVE and one.sensor and (held is None or _grade(one) > _grade(held)):
            grave[key] = one
    scored = []
    for sensor in sensors:
        alert, flagged = grave.get(sensor.key), flags.get(sensor.key, 0)
        score = _WEIGHT.get(sensor.status, 0.0) + (_grade(alert) if alert else 0.0) + min(99, flagged)
        if score > 0:
            scored.append((-score, sensor.key, sensor, alert, flagged))
    scored.sort(key=lambda one: one[:2])
    return [Worst(s.key, _name(s), s.status, _why(s, alert, n, now)) for _, _, s, alert, n in scored[:most]]


def _grade(alert: Alert) -> float:
    return _GRAVE.get(alert.severity, 0.0) * (0.5 if alert.acknowledged else 1.0)


def _name(sensor: LiveSensor) -> str:
    birth = sensor.birth.birth if sensor.birth else None
    return birth.name if birth and birth.name else sensor.sensor


def _why(sensor: LiveSensor, alert: Alert | None, flags: int, now: int) -> str:
    if alert is not None:
        return f"{alert.severity}: {alert.text}"
    if sensor.status == "silent":
        if sensor.latest is None:
            return "never heard"
        return f"silent for {max(0, now - sensor.latest.ts) // 60_000} min"
    return f"{flags} readings flagged in the last hour" if flags else "just flagged"


class Samples:
    """The last `most` samples of a figure that nobody keeps; one at most each `every_ms`."""

    def __init__(self, most: int = 360, every_ms: int = 10_000) -> None:
        self._every = every_ms
        self._found: deque[tuple[int, float | None]] = deque(maxlen=most)

    def add(self, now: int, value: float | None) -> None:
        if not self._found or now - self._found[-1][0] >= self._every:
            self._found.append((now, value))

    def values(self) -> list[float | None]:
        return [value for _, value in self._found]
