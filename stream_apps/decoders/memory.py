"""What decoders remember, within bounds: the oldest entry goes when there is no room."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, KeysView
from typing import TypeVar

from weir.readings import MAX_METRICS, Birth, Metric

K = TypeVar("K")
V = TypeVar("V")
#: A sensor that moves less than this (degrees, about 50 m) has not moved: GPS noise makes no births.
MOVED = 0.0005


class Bounded(OrderedDict[K, V]):
    """A dictionary of at most `limit` entries; `put` drops the oldest where it must."""

    # Not dict: deleting its first entry again and again scans over the holes left behind.

    def __init__(self, limit: int) -> None:
        super().__init__()
        self.limit = limit

    def put(self, key: K, value: V) -> V:
        """Store and return `value`."""
        if len(self) >= self.limit and key not in self:
            self.popitem(last=False)
        self[key] = value
        return value


class Announcer:
    """Says when there is news of a sensor: seen for the first time, a new metric or unit, a new place.

    After a restart every sensor is news once more, which the compacted topic bears.
    """

    def __init__(self, sensors: int = 50_000) -> None:
        self._known: Bounded[tuple[str, str], Birth] = Bounded(sensors)

    def seen(
        self,
        site: str,
        sensor: str,
        metrics: KeysView[str],
        describe: Callable[[str], Metric],
        position: tuple[float, float] | None = None,
    ) -> list[tuple[str, str, Birth]]:
        """The births due when a sensor reports these metrics: none or one. `describe` is asked for new metrics only."""
        if not metrics and position is None:
            return []
        known = self._known.get((site, sensor))
        if known is not None:
            fresh: Iterable[str] = () if metrics <= known.metrics.keys() else metrics - known.metrics.keys()
            full = len(known.metrics) >= MAX_METRICS
            if (not fresh or full) and (position is None or _near(known, position)):
                return []
        else:
            fresh = metrics
        return self.learn(site, sensor, {metric: describe(metric) for metric in fresh}, position)

    def learn(
        self,
        site: str,
        sensor: str,
        metrics: dict[str, Metric],
        position: tuple[float, float] | None = None,
        name: str = "",
        kind: str = "",
    ) -> list[tuple[str, str, Birth]]:
        """Add what was learned of a sensor; the births due are none (nothing new) or one, with all that is known."""
        known = self._known.get((site, sensor))
        if known is None:
            known = Birth()
            changed = True
        else:
            changed = False
        merged = known.metrics | metrics
        if len(merged) > MAX_METRICS:
            merged = {metric: merged[metric] for metric in list(merged)[:MAX_METRICS]}
        moved = position is not None and not _near(known, position)
        lat, lon = position if moved and position is not None else (known.lat, known.lon)
        news = Birth(lat, lon, kind or known.kind, merged, name or known.name)
        if not changed and news == known:
            return []
        self._known.put((site, sensor), news)
        return [(site, sensor, news)]


def _near(known: Birth, position: tuple[float, float]) -> bool:
    if known.lat is None or known.lon is None:
        return False
    return abs(known.lat - position[0]) < MOVED and abs(known.lon - position[1]) < MOVED
