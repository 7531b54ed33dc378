"""Mappings for JSON of no known format, guessed from what was heard (pure)."""

from __future__ import annotations

import json
from typing import Any

from stream_apps.decoders.base import number, text_number
from stream_apps.decoders.names import fold
from stream_apps.decoders.registry import Rule
from weir.errors import Refused
from weir.readings import MAX_METRICS

_TIMES = ("time", "timestamp", "ts", "datetime", "date", "created_at", "measured_at", "when")
_LATS = ("lat", "latitude")
_LONS = ("lon", "lng", "longitude")
_IDS = ("sensor", "sensor_id", "device", "device_id", "deviceid", "dev_id", "id", "mac", "serial")
_DEPTH = 3
_MAX_GROUPS = 200
_MAX_TOPICS = 1000


class _Group:
    """Topics of one first level and length; those of bare numbers also of one last level."""

    def __init__(self, levels: list[str]) -> None:
        self.levels: list[set[str]] = [set() for _ in levels]
        self.paths: dict[str, str] = {}
        self.time = self.lat = self.lon = self.id = ""

    def see(self, levels: list[str]) -> None:
        for seen, level in zip(self.levels, levels, strict=True):
            if len(seen) < _MAX_TOPICS:
                seen.add(level)

    def look(self, tree: dict[str, Any], before: str, depth: int) -> None:
        for key, value in tree.items():
            path = f"{before}{_quoted(key)}"
            low = key.lower()
            if isinstance(value, dict):
                if depth < _DEPTH:
                    self.look(value, f"{path}.", depth + 1)
            elif low in _TIMES and not self.time and isinstance(value, (str, int, float)):
                self.time = path
            elif low in _IDS and not self.id and isinstance(value, (str, int)):
                self.id = path
            elif low in _LATS:
                self.lat = path
            elif low in _LONS:
                self.lon = path
            elif _is_number(value) and len(self.paths) < MAX_METRICS:
                self._measure(path, low if not before else f"{before}{low}")

    def _measure(self, path: str, name: str) -> None:
        try:
            metric = fold(name)
        except Refused:
            return
        self.paths.setdefault(metric, path)

    def rule(self) -> Rule:
        pattern = "/".join(next(iter(seen)) if len(seen) == 1 else "+" for seen in self.levels)
        varying = [n for n, seen in enumerate(self.levels) if len(seen) > 1]
        options: dict[str, Any] = {"metrics": self.paths, "site": f"'{_site(self.levels[0])}'"}
        options["sensor"] = self.id or f"{{{varying[-1] if varying else len(self.levels) - 1}}}"
        options |= {"time": self.time} if self.time else {}
        options |= {"lat": self.lat, "lon": self.lon} if self.lat and self.lon else {}
        return Rule(pattern, "mapping", options)


class Documents:
    """Collects JSON by the shape of its topic."""

    def __init__(self) -> None:
        self._groups: dict[tuple[str, ...], _Group] = {}

    def see(self, topic: str, document: Any) -> None:
        """Take one message; what holds no number leaves no trace."""
        levels = topic.split("/")
        bare = not isinstance(document, dict) and _is_number(document) and len(levels) > 1
        if not bare and not isinstance(document, dict):
            return
        key = (levels[0], str(len(levels)), levels[-1] if bare else "")
        group = self._groups.get(key)
        if group is None:
            if len(self._groups) >= _MAX_GROUPS:
                return
            group = self._groups[key] = _Group(levels)
        group.see(levels)
        if isinstance(document, dict):
            group.look(document, "", 1)
        else:
            group.paths.setdefault(_metric(levels[-1]), "@")

    def rules(self) -> list[Rule]:
        """One rule for each group that measures something."""
        return [self._named(group) for group in self._groups.values() if group.paths]

    def _named(self, group: _Group) -> Rule:
        rule = group.rule()
        if rule.options["metrics"] == {_metric(rule.pattern.rpartition("/")[2]): "@"} and rule.options["sensor"] == (
            f"{{{len(group.levels) - 1}}}"
        ):
            # A topic per value: its last level is the metric, the one before it the sensor.
            rule.options["sensor"] = f"{{{len(group.levels) - 2}}}"
        return rule


def _is_number(value: Any) -> bool:
    """Also one written as text; true and false alone make no metric."""
    if isinstance(value, str):
        return text_number(value) is not None
    try:
        return number(value) is not None and not isinstance(value, bool)
    except Refused:
        return False


def _metric(level: str) -> str:
    try:
        return fold(level)
    except Refused:
        return "value"


def _site(first: set[str]) -> str:
    return _metric(next(iter(first)))


def _quoted(key: str) -> str:
    """A key as JMESPath writes it."""
    return key if key.isidentifier() and key.isascii() else json.dumps(key)
