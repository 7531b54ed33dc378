"""Births of one sensor from several sources: two formats may describe the same sensor, each a part of it."""

from __future__ import annotations

from stream_apps.decoders.memory import Bounded
from weir.readings import MAX_METRICS, Birth, Metric

_NO_KIND = Birth().kind


class Births:
    """Remembers what each source said of a sensor last, so that one does not erase what another knows."""

    def __init__(self, sensors: int = 100_000) -> None:
        self._said: Bounded[tuple[str, str], dict[str, Birth]] = Bounded(sensors)

    def merged(self, source: str, site: str, sensor: str, birth: Birth) -> Birth:
        """All that is known of the sensor now that `source` says `birth`: its own words first.

        A sensor that only one source describes is what that source says, no less and no more.
        """
        key = (site, sensor)
        said = self._said.get(key)
        if said is None:
            said = self._said.put(key, {})
        said.pop(source, None)
        said[source] = birth
        merged = birth
        for other in list(said.values())[-2::-1]:
            merged = _filled(merged, other)
        return merged

    def forget(self, site: str, sensor: str) -> None:
        """The sensor was retired."""
        self._said.pop((site, sensor), None)


def _filled(birth: Birth, other: Birth) -> Birth:
    """`birth` with what it leaves open taken from `other`."""
    lat, lon = (other.lat, other.lon) if birth.lat is None else (birth.lat, birth.lon)
    kind = other.kind if birth.kind in ("", _NO_KIND) else birth.kind
    metrics = dict(birth.metrics)
    for name, metric in other.metrics.items():
        if len(metrics) < MAX_METRICS or name in metrics:
            metrics[name] = _described(metrics.get(name), metric)
    return Birth(lat, lon, kind, metrics, birth.name or other.name, birth.tags or other.tags)


def _described(mine: Metric | None, other: Metric) -> Metric:
    if mine is None:
        return other
    # A range belongs to the unit that it was given in.
    if mine.unit and other.unit and mine.unit != other.unit:
        return mine
    low = other.min if mine.min is None else mine.min
    high = other.max if mine.max is None else mine.max
    return Metric(mine.unit or other.unit, low, high)
