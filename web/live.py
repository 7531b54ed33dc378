"""The live state of every sensor, as one process sees it: built from Redis, versioned, given out as changes (pure).

`LiveState` knows no Redis: `feed` gives it what was read. Every change gets a version, so that a page that has seen
version n asks only for what came after.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from weir.events import Alert, AlertState
from weir.live import Latest, status
from weir.readings import SensorEvent

_latest = msgspec.json.Decoder(Latest)
_event = msgspec.json.Decoder(SensorEvent)
_alert = msgspec.json.Decoder(Alert)


@dataclass
class LiveSensor:
    """One sensor. `version`: when anything of it changed last; `born`: when its birth did."""

    key: str
    birth: SensorEvent | None = None
    latest: Latest | None = None
    state: str = ""
    flagged: int | None = None
    status: str = "silent"
    version: int = 0
    born: int = 0

    @property
    def site(self) -> str:
        return self.key.partition("/")[0]

    @property
    def sensor(self) -> str:
        return self.key.partition("/")[2]

    @property
    def kind(self) -> str:
        return self.birth.birth.kind if self.birth and self.birth.birth else "unknown"

    def unit(self, metric: str) -> str:
        known = self.birth.birth.metrics.get(metric) if self.birth and self.birth.birth else None
        return known.unit if known else ""

    def metrics(self) -> list[str]:
        """Names of all metrics, announced or seen."""
        announced = set(self.birth.birth.metrics) if self.birth and self.birth.birth else set()
        return sorted(announced | set(self.latest.metrics if self.latest else ()))


@dataclass(frozen=True)
class Raw:
    """Fields as read from Redis; a field that is None is gone. Keys are "<site>/<sensor>"."""

    latest: Mapping[str, bytes | None] = field(default_factory=dict)
    births: Mapping[str, bytes | None] = field(default_factory=dict)
    states: Mapping[str, bytes | None] = field(default_factory=dict)
    flagged: Mapping[str, bytes | None] = field(default_factory=dict)


class LiveState:
    """Not safe among threads: the caller holds a lock. `unreadable` counts values that could not be decoded."""

    def __init__(self, silent_after_ms: int) -> None:
        self._silent_after = silent_after_ms
        self.sensors: dict[str, LiveSensor] = {}
        self.alerts: dict[str, Alert] = {}
        #: The same sensors, the one that changed last at the end.
        self._touched: dict[str, LiveSensor] = {}
        self.version = 0
        self.unreadable = 0
        self._alarmed: frozenset[str] = frozenset()
        self._alarmed_sites: frozenset[str] = frozenset()
        self._seen: dict[tuple[str, str], bytes] = {}

    def retire(self, raw: Raw, whole: bool) -> bool:
        """Forget sensors of which Redis has neither a value nor a birth any more; `whole`: `raw` is all there is.

        True if there were any. An empty Redis has lost what it knew: then the last values stay.
        """
        asked = self.sensors if whole and raw.latest else [key for key in raw.latest if key in self.sensors]
        gone = [key for key in asked if raw.latest.get(key) is None and raw.births.get(key) is None]
        for key in gone:
            del self.sensors[key]
            self._touched.pop(key, None)
            for name in ("latest", "birth", "state", "flagged"):
                self._seen.pop((name, key), None)
        return bool(gone)

    def feed(self, raw: Raw) -> None:
        """Take what was read; equal bytes are passed over without decoding."""
        for name, decoder, values in (
            ("latest", _latest, raw.latest),
            ("birth", _event, raw.births),
        ):
            for key, data in values.items():
                if data is not None and self._seen.get((name, key)) != data:
                    self._set(name, key, self._decode(decoder, data), data)
        for key, data in raw.states.items():
            self._set("state", key, data.decode("utf-8", "replace") if data else "", data)
        for key, data in raw.flagged.items():
            if data is not None and data.isdigit():
                self._set("flagged", key, int(data), data)

    def feed_alerts(self, values: Iterable[bytes]) -> None:
        """Take all live alerts. A silent sensor stays grey: only other rules make it red, its site's too."""
        decoded = (self._decode(_alert, value) for value in values)
        self.alerts = {alert.id: alert for alert in decoded if alert is not None}
        self._alarmed = frozenset(
            f"{alert.site}/{alert.sensor}"
            for alert in self.alerts.values()
            if alert.state is AlertState.ACTIVE and alert.sensor and alert.rule != "silence"
        )
        self._alarmed_sites = frozenset(
            alert.site for alert in self.alerts.values() if alert.state is AlertState.ACTIVE and alert.rule == "site"
        )

    @property
    def critical(self) -> int:
        """How many critical alerts wait for somebody."""
        return sum(
            one.severity == "critical" and one.state is AlertState.ACTIVE and not one.acknowledged
            for one in self.alerts.values()
        )

    def judge(self, now: int, keys: Iterable[str] | None = None) -> None:
        """Work out the status of `keys` (all of them when None) as of `now` (ms)."""
        for key in self.sensors if keys is None else keys:
            one = self.sensors.get(key)
            if one is None:
                continue
            last = None if one.state == "lost" or one.latest is None else one.latest.ts
            alarmed = key in self._alarmed or one.site in self._alarmed_sites
            found = status(now, last, one.flagged, alarmed, self._silent_after)
            if found != one.status:
                self._touch(one)
                one.status = found

    def changes(self, since: int) -> list[dict[str, Any]]:
        """What a page needs of each sensor that changed after version `since`, as JSON-ready dicts.

        `k` key, `s` status, `t` measured (ms), `m` values; and only if the birth changed `b`: position, kind, name.
        """
        found = []
        for one in reversed(self._touched.values()):  # each poll of each page: it must not look at all of a large fleet
            if one.version <= since:
                break
            found.append(_wire(one, since))
        return found[::-1]

    def counts(self) -> dict[str, int]:
        """How many sensors there are of each status."""
        found = {"ok": 0, "flagged": 0, "alert": 0, "silent": 0}
        for one in self.sensors.values():
            found[one.status] += 1
        return found

    def newest(self) -> int | None:
        """When the newest value was cached (ms)."""
        return max((one.latest.at for one in self.sensors.values() if one.latest), default=None)

    def _set(self, name: str, key: str, value: Any, data: bytes | None) -> None:
        if value is None:
            return
        one = self.sensors.get(key)
        if one is None:
            one = self.sensors[key] = LiveSensor(key)
            self._touch(one)
            one.born = one.version
        if getattr(one, name) != value:
            setattr(one, name, value)
            self._touch(one)
            if name == "birth":
                one.born = one.version
        if data is not None:
            self._seen[name, key] = data

    def _touch(self, one: LiveSensor) -> None:
        self.version += 1
        one.version = self.version
        self._touched.pop(one.key, None)
        self._touched[one.key] = one

    def _decode(self, decoder: Any, data: bytes) -> Any:
        try:
            return decoder.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError):
            self.unreadable += 1
            return None


def _wire(one: LiveSensor, since: int) -> dict[str, Any]:
    found: dict[str, Any] = {"k": one.key, "s": one.status}
    if one.latest is not None:
        found |= {"t": one.latest.ts, "m": one.latest.metrics}
    if one.born > since:
        birth = one.birth.birth if one.birth else None
        found["b"] = {
            "kind": one.kind,
            "name": birth.name if birth else "",
            "at": [birth.lat, birth.lon] if birth and birth.lat is not None else None,
            "units": {name: metric.unit for name, metric in birth.metrics.items()} if birth else {},
        }
    return found


def latency(state: LiveState, now: int, within_ms: int = 60_000) -> tuple[float, float] | None:
    """p50 and p95 (ms) of bridge to Redis, over the sensors whose value was cached in the last `within_ms`."""
    found = sorted(
        one.latest.at - one.latest.rx
        for one in state.sensors.values()
        if one.latest is not None and now - one.latest.at < within_ms
    )
    if not found:
        return None
    return float(found[len(found) // 2]), float(found[min(len(found) - 1, int(len(found) * 0.95))])
