"""Homie 4 and 5: `homie/<device>/<node>/<property>` and `homie/5/<device>/<node>/<property>`.

https://homieiot.github.io/specification/ A device is a sensor, a property the metric `<node>_<property>`. Units, types
and ranges are learned from `$unit`, `$datatype` and `$format` (4) or `$description` (5), in whatever order they come.
Properties whose type is not known yet are taken as numbers where they are numbers.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from stream_apps.decoders.base import LOST, ONLINE, Decoded, finite, make_reading, parse, text_number
from stream_apps.decoders.memory import Announcer, Bounded
from stream_apps.decoders.names import TopicName, fold, readable
from stream_apps.decoders.units import code
from weir.errors import Reason, Refused
from weir.readings import Metric

_STATES = {"ready": ONLINE, "init": ONLINE, "alert": ONLINE, "sleeping": ONLINE, "lost": LOST, "disconnected": LOST}
_BOOLEANS = {"true": 1.0, "false": 0.0}
_NUMBERS = ("integer", "float")
_MAX_PROPERTIES = 500
_MAX_BELOW = 500
_MAX_TEXT = 1000


class _Property(msgspec.Struct):
    datatype: str = ""
    unit: str = ""
    format: str = ""


class _Node(msgspec.Struct):
    properties: dict[str, _Property] = {}


class _Description(msgspec.Struct):
    name: str = ""
    root: str = ""
    nodes: dict[str, _Node] = {}


_description = msgspec.json.Decoder(_Description)


class _Place(NamedTuple):
    site: str
    sensor: str
    #: `$state`, `$unit` and so on; empty for a value, `-` for what holds none.
    attribute: str
    metric: str


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`base`: the root topic, one or more levels; `site`: a name or a topic level such as `{0}`."""

    base: str = "homie"
    site: str = "homie"


class Homie:
    """Remembers the properties of devices; decodes values and states."""

    options_type = Options
    name = "homie"

    def __init__(self, options: Options = Options()) -> None:
        self._depth = len(options.base.split("/"))
        self._base = options.base.split("/")
        self._site = TopicName(options.site)
        self._places: Bounded[str, _Place] = Bounded(50_000)
        self._properties: Bounded[tuple[str, str, str], _Property] = Bounded(100_000)
        #: The devices below a root device: only its own last will tells that they are lost.
        self._below: Bounded[tuple[str, str], set[str]] = Bounded(10_000)
        self._announcer = Announcer()

    def decode(self, topic: str, payload: bytes, rx: int) -> Decoded:
        """Decode one message. Raises `Refused`."""
        place = self._places.get(topic) or self._places.put(topic, self._split(topic))
        if place.attribute == "-":
            return Decoded()
        if place.attribute == "$description":
            return self._described(place, payload)
        if len(payload) > _MAX_TEXT:
            raise Refused(Reason.TOO_LARGE, f"{len(payload)} bytes in one property")
        text = _text(payload)
        if not place.attribute:
            return self._value(place, text, rx)
        if place.attribute == "$state":
            # An empty retained message removes the device.
            state = _STATES.get(text) if text else LOST
            if state is None:
                raise Refused(Reason.SHAPE, f"no Homie state: {text[:40]!r}")
            return Decoded(states=self._states(place, state))
        if place.attribute == "$name" and not place.metric:
            return Decoded(births=self._announcer.learn(place.site, place.sensor, {}, name=readable(text)))
        self._learn(place, text)
        return Decoded()

    def _states(self, place: _Place, state: str) -> list[tuple[str, str, str]]:
        below = self._below.get((place.site, place.sensor), ()) if state == LOST else ()
        return [(place.site, sensor, state) for sensor in (place.sensor, *sorted(below))]

    def _value(self, place: _Place, text: str, rx: int) -> Decoded:
        known = self._properties.get((place.site, place.sensor, place.metric))
        datatype = known.datatype if known is not None else ""
        value: float | None = None
        if datatype in _NUMBERS or not datatype:
            value = text_number(text)
            if value is None and datatype:
                raise Refused(Reason.SHAPE, f"no {datatype}: {text[:40]!r}")
        if datatype == "boolean" or not datatype:
            value = _BOOLEANS.get(text, value)
            if value is None and datatype:
                raise Refused(Reason.SHAPE, f"no boolean: {text[:40]!r}")
        if value is None:
            return Decoded()
        reading = make_reading(place.site, place.sensor, rx, rx, {place.metric: value})
        metric = _metric(known, place.metric) if known is not None else Metric()
        births = self._announcer.learn(place.site, place.sensor, {place.metric: metric})
        return Decoded([reading], births, stamped=1)

    def _learn(self, place: _Place, text: str) -> None:
        key = (place.site, place.sensor, place.metric)
        known = self._properties.get(key) or self._properties.put(key, _Property())
        if place.attribute == "$datatype":
            known.datatype = text
        elif place.attribute == "$unit":
            known.unit = text
        elif place.attribute == "$format":
            known.format = text

    def _described(self, place: _Place, payload: bytes) -> Decoded:
        if not payload:
            return Decoded()
        message: _Description = parse(_description, payload)
        if message.root:
            key = (place.site, fold(message.root))
            below = self._below.get(key) or self._below.put(key, set())
            if len(below) < _MAX_BELOW:
                below.add(place.sensor)
        metrics: dict[str, Metric] = {}
        count = sum(len(node.properties) for node in message.nodes.values())
        if count > _MAX_PROPERTIES:
            raise Refused(Reason.TOO_MANY_METRICS, f"{count} properties")
        for node_id, node in message.nodes.items():
            for property_id, given in node.properties.items():
                metric = fold(f"{node_id}_{property_id}")
                # An enumeration's format may be long, and says nothing about numbers.
                known = _Property(given.datatype[:20], given.unit[:64], given.format[:100])
                self._properties.put((place.site, place.sensor, metric), known)
                if known.datatype in _NUMBERS or known.datatype == "boolean":
                    metrics[metric] = _metric(known, metric)
        return Decoded(births=self._announcer.learn(place.site, place.sensor, metrics, name=readable(message.name)))

    def _split(self, topic: str) -> _Place:
        levels = topic.split("/")
        if levels[: self._depth] != self._base or len(levels) <= self._depth + 1:
            raise Refused(Reason.TOPIC, f"not below {'/'.join(self._base)}")
        site = self._site(levels)
        rest = levels[self._depth :]
        if rest[0] == "5":
            rest = rest[1:]
        if rest[0].startswith("$") or len(rest) < 2:
            # $broadcast
            return _Place(site, "", "-", "")
        return _place(site, fold(rest[0]), rest[1:])


def _place(site: str, sensor: str, path: list[str]) -> _Place:
    if len(path) == 1:
        device = path[0] if path[0] in ("$state", "$name", "$description") else "-"
        return _Place(site, sensor, device, "")
    if path[0].startswith("$") or path[1].startswith("$") or len(path) > 3:
        return _Place(site, sensor, "-", "")
    metric = fold(f"{path[0]}_{path[1]}")
    if len(path) == 2:
        return _Place(site, sensor, "", metric)
    # What is set or aimed at ($target) was not measured.
    attribute = path[2] if path[2] in ("$unit", "$datatype", "$format") else "-"
    return _Place(site, sensor, attribute, metric)


def _metric(known: _Property, metric: str) -> Metric:
    low = high = None
    if known.datatype in _NUMBERS and ":" in known.format:
        bounds: list[Any] = known.format.split(":")
        low, high = finite(text_number(bounds[0])), finite(text_number(bounds[1]))
    return Metric(code(known.unit, metric), low, high)


def _text(payload: bytes) -> str:
    try:
        return payload.decode()
    except UnicodeDecodeError as error:
        raise Refused(Reason.SHAPE, "not UTF-8") from error
