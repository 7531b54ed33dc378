"""Sparkplug B: `spBv1.0/<group>/<message type>/<edge node>[/<device>]`.

https://sparkplug.eclipse.org/specification/ The group is the site; the edge node is a sensor, and each of its devices
is one, `<edge node>_<device>`. Aliases and data types are learned from births. A gap in the sequence, data of a node
that was never born and an unknown alias ask the node for a rebirth, at most every 10 s; values that can be told
without the birth are kept, a message with an unknown alias is refused.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from stream_apps.decoders.base import LOST, ONLINE, Decoded, RefusedAsking, check_count, check_position, make_reading
from stream_apps.decoders.memory import Announcer, Bounded
from stream_apps.decoders.names import fold, readable
from stream_apps.decoders.sparkplug_metrics import Known, describe, known_metric, value_of
from stream_apps.decoders.sparkplug_wire import parse_payload, rebirth_command
from weir.errors import Reason, Refused
from weir.readings import MAX_METRICS, Metric, Reading

_ROOT = "spBv1.0"
_ASK_AGAIN_MS = 10_000
#: Nodes and devices often have more tags than Weir takes metrics, most of them text or settings.
_MAX_METRICS = 2_000
_MAX_ALIASES = 20_000
_MAX_DEVICES = 1_000
#: Of all nodes together.
_MAX_KNOWN = 1_000_000
_LATITUDES = ("latitude", "lat")
_LONGITUDES = ("longitude", "lon", "lng")


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`nodes`: how many edge nodes are remembered."""

    nodes: int = 2_000


class _Place(NamedTuple):
    kind: str
    node: tuple[str, str]
    device: str
    site: str
    sensor: str
    label: str


class _Node:
    """What is known of an edge node since its birth."""

    def __init__(self, before: _Node | None = None) -> None:
        self.aliases: dict[int, Known] = {}
        self.devices: dict[str, dict[str, Known]] = {}
        self.seq: int | None = None
        self.bd_seq: int | None = None
        # A rebirth forgets neither whose deaths to tell nor when the node was last asked.
        self.sensors: dict[str, tuple[str, str]] = dict(before.sensors) if before else {}
        self.asked: int | None = before.asked if before else None

    @property
    def size(self) -> int:
        return sum(map(len, self.devices.values()))


class Sparkplug:
    """Follows every edge node from its birth to its death."""

    options_type = Options
    name = "sparkplug"

    def __init__(self, options: Options = Options()) -> None:
        self._nodes: Bounded[tuple[str, str], _Node] = Bounded(max(options.nodes, 1))
        self._places: Bounded[str, _Place] = Bounded(50_000)
        self._announcer = Announcer()

    def decode(self, topic: str, payload: bytes, rx: int) -> Decoded:
        """Decode one message. Raises `Refused`, or `RefusedAsking` with a rebirth request."""
        place = self._places.get(topic) or self._places.put(topic, _split(topic))
        if place.kind in ("NDATA", "DDATA"):
            return self._data(place, parse_payload(payload), rx)
        if place.kind in ("NBIRTH", "DBIRTH"):
            return self._birth(place, parse_payload(payload), rx)
        if place.kind == "NDEATH":
            return self._node_death(place, parse_payload(payload))
        if place.kind == "DDEATH":
            return self._device_death(place, parse_payload(payload), rx)
        # Commands, also Weir's own, and STATE of the host applications.
        return Decoded()

    def _birth(self, place: _Place, message: Any, rx: int) -> Decoded:
        _check_size(message)
        requests: list[tuple[str, bytes]] = []
        if place.kind == "NBIRTH":
            node = self._nodes.put(place.node, _Node(self._nodes.get(place.node)))
            node.seq = int(message.seq)
        else:
            node, requests = self._follow(place, message, rx)
        names: dict[str, Known] = {}
        described: dict[str, Metric] = {}
        found: dict[str, float] = {}
        for metric in message.metrics:
            if metric.name == "bdSeq":
                node.bd_seq = int(metric.long_value or metric.int_value)
            known = known_metric(metric)
            names[metric.name] = known
            if metric.HasField("alias"):
                node.aliases[metric.alias] = known
            if known.kept:
                if known.metric in described:
                    raise Refused(Reason.NAME, f"two metrics are called {known.metric}")
                described[known.metric] = describe(metric)
                _note_place(found, known.metric, value_of(metric, known.datatype))
        node.devices[place.device] = names
        node.sensors[place.device] = (place.site, place.sensor)
        self._keep_within_bounds(place, node)
        readings, stamped = self._told(node, place, message, rx, requests)
        position = check_position(found["lat"], found["lon"]) if len(found) == 2 else None
        births = self._announcer.learn(place.site, place.sensor, described, position, place.label, "sparkplug")
        return Decoded(readings, births, [(place.site, place.sensor, ONLINE)], requests, stamped)

    def _keep_within_bounds(self, place: _Place, node: _Node) -> None:
        if len(node.aliases) > _MAX_ALIASES or len(node.devices) > _MAX_DEVICES or node.size > _MAX_ALIASES:
            self._nodes.pop(place.node, None)
            raise Refused(Reason.TOO_MANY_METRICS, "an edge node with too many metrics or devices")
        while len(self._nodes) > 1 and sum(each.size for each in self._nodes.values()) > _MAX_KNOWN:
            self._nodes.popitem(last=False)

    def _data(self, place: _Place, message: Any, rx: int) -> Decoded:
        _check_size(message)
        node, requests = self._follow(place, message, rx)
        if place.device not in node.devices:
            requests = requests or self._ask(place, node, rx)
        readings, stamped = self._told(node, place, message, rx, requests)
        births = []
        for reading in readings:
            births += self._announcer.seen(place.site, place.sensor, reading.metrics.keys(), lambda _: Metric())
        return Decoded(readings, births, requests=requests, stamped=stamped)

    def _told(
        self, node: _Node, place: _Place, message: Any, rx: int, requests: list[tuple[str, bytes]]
    ) -> tuple[list[Reading], int]:
        """The readings of a message; a refusal takes the requests that are due with it."""
        try:
            return _readings(node, place, message, rx)
        except Refused as refusal:
            if isinstance(refusal, _UnknownAlias):
                requests = requests or self._ask(place, node, rx)
            raise RefusedAsking(refusal.reason, refusal.detail, requests) from refusal

    def _node_death(self, place: _Place, message: Any) -> Decoded:
        _check_size(message)
        node = self._nodes.get(place.node)
        if node is None:
            return Decoded(states=[(place.site, place.sensor, LOST)])
        for metric in message.metrics:
            # The will of an older connection arrives late: the node has been born again since.
            if metric.name == "bdSeq" and node.bd_seq not in (None, metric.long_value or metric.int_value):
                return Decoded()
        del self._nodes[place.node]
        sensors = {(place.site, place.sensor), *node.sensors.values()}
        return Decoded(states=[(site, sensor, LOST) for site, sensor in sorted(sensors)])

    def _device_death(self, place: _Place, message: Any, rx: int) -> Decoded:
        node, requests = self._follow(place, message, rx)
        node.devices.pop(place.device, None)
        node.sensors.pop(place.device, None)
        return Decoded(states=[(place.site, place.sensor, LOST)], requests=requests)

    def _follow(self, place: _Place, message: Any, rx: int) -> tuple[_Node, list[tuple[str, bytes]]]:
        """The node of a message, its sequence advanced; and the rebirth request that is due if there was a gap."""
        node = self._nodes.get(place.node)
        if node is None:
            node = self._nodes.put(place.node, _Node())
        expected = None if node.seq is None else (node.seq + 1) % 256
        if message.HasField("seq"):
            node.seq = int(message.seq)
            if node.seq == expected:
                return node, []
        return node, self._ask(place, node, rx)

    def _ask(self, place: _Place, node: _Node, rx: int) -> list[tuple[str, bytes]]:
        if node.asked is not None and abs(rx - node.asked) < _ASK_AGAIN_MS:
            return []
        node.asked = rx
        group, edge = place.node
        return [(f"{_ROOT}/{group}/NCMD/{edge}", rebirth_command(rx))]


class _UnknownAlias(Refused):
    pass


def _readings(node: _Node, place: _Place, message: Any, rx: int) -> tuple[list[Reading], int]:
    names = node.devices.get(place.device, {})
    sent = int(message.timestamp)
    groups: dict[tuple[int, bool], dict[str, float]] = {}
    stamped = False
    for metric in message.metrics:
        known = names.get(metric.name) if metric.name else node.aliases.get(metric.alias)
        if known is None:
            if not metric.name:
                raise _UnknownAlias(Reason.SHAPE, f"alias {metric.alias} is of no birth")
            known = known_metric(metric)
        if not known.kept or metric.is_null:
            continue
        value = value_of(metric, known.datatype)
        if value is None:
            continue
        ts = int(metric.timestamp) or sent
        stamped = stamped or not ts
        group = groups.setdefault((ts or rx, metric.is_historical), {})
        # The same name twice at one time: the list is in order, and the later one is the newer.
        group[known.metric] = value
        if len(group) > MAX_METRICS:
            raise Refused(Reason.TOO_MANY_METRICS, f"more than {MAX_METRICS}")
    check_count(len(groups))
    readings = [
        make_reading(place.site, place.sensor, ts, rx, metrics, hist=hist) for (ts, hist), metrics in groups.items()
    ]
    return readings, sum(reading.ts == rx for reading in readings) if stamped else 0


def _check_size(message: Any) -> None:
    if len(message.metrics) > _MAX_METRICS:
        raise Refused(Reason.TOO_MANY_METRICS, f"{len(message.metrics)} metrics")


def _note_place(found: dict[str, float], metric: str, value: float | None) -> None:
    last = metric.rpartition("_")[2]
    if value is not None and last in _LATITUDES:
        found["lat"] = value
    elif value is not None and last in _LONGITUDES:
        found["lon"] = value


def _split(topic: str) -> _Place:
    levels = topic.split("/")
    if levels[0] != _ROOT or not 3 <= len(levels) <= 5:
        raise Refused(Reason.TOPIC, "not spBv1.0/<group>/<type>/<edge node>[/<device>]")
    if levels[1] == "STATE" or levels[2] in ("NCMD", "DCMD"):
        return _Place("", ("", ""), "", "", "", "")
    kind = levels[2]
    if kind not in ("NBIRTH", "NDATA", "NDEATH", "DBIRTH", "DDATA", "DDEATH"):
        raise Refused(Reason.TOPIC, f"{kind[:40]!r} is no Sparkplug message type")
    if len(levels) != (5 if kind[0] == "D" else 4):
        raise Refused(Reason.TOPIC, f"{kind} on a topic of {len(levels)} levels")
    group, edge = levels[1], levels[3]
    device = levels[4] if kind[0] == "D" else ""
    sensor = fold(f"{edge}_{device}") if device else fold(edge)
    return _Place(kind, (group, edge), device, fold(group), sensor, readable(device or edge))
