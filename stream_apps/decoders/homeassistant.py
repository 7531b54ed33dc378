"""Home Assistant's MQTT discovery: config topics teach where values are, state topics carry them.

https://www.home-assistant.io/integrations/mqtt/#mqtt-discovery A device is a sensor. State topics may be anywhere:
the topics they live on need rules of the same format and options, which then share this decoder's memory.
`topics` lists those learned. There is no time in a state: it is the receive time.
"""

from __future__ import annotations

from typing import Any

import msgspec

from stream_apps.decoders.base import Decoded, make_reading, number, parse, text_number
from stream_apps.decoders.ha_config import Availability, Entity, parse_config
from stream_apps.decoders.ha_template import follow
from stream_apps.decoders.memory import Announcer, Bounded
from stream_apps.decoders.names import TopicName
from weir.errors import Reason, Refused
from weir.readings import MAX_METRICS, Metric

_json = msgspec.json.Decoder()
_NOTHING = ("", "unknown", "unavailable", "None")


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`prefix`: the discovery prefix; `site`: a name or a topic level of the state topic such as `{0}`."""

    prefix: str = "homeassistant"
    site: str = "homeassistant"


class _Topic:
    """What is learned of one state topic."""

    def __init__(self, site: str) -> None:
        self.site = site
        self.entities: dict[str, Entity] = {}
        self.availabilities: dict[str, Availability] = {}


class HomeAssistant:
    """Remembers what config topics teach; decodes the state topics they name."""

    options_type = Options
    name = "homeassistant"

    def __init__(self, options: Options = Options()) -> None:
        self._prefix = options.prefix.split("/")
        self._site = TopicName(options.site)
        self._topics: Bounded[str, _Topic] = Bounded(20_000)
        #: What a config topic taught (state topic, key), so that it can be taken back.
        self._taught: Bounded[str, list[tuple[str, str]]] = Bounded(20_000)
        self._announcer = Announcer()

    @property
    def topics(self) -> list[str]:
        """The state and availability topics learned so far, for the bridge to subscribe to."""
        return list(self._topics)

    def decode(self, topic: str, payload: bytes, rx: int) -> Decoded:
        """Decode one message. Raises `Refused` (TOPIC) for a topic that no discovery message named."""
        known = self._topics.get(topic)
        if known is not None:
            return self._state(known, payload, rx)
        if topic.endswith("/config"):
            levels = topic.split("/")
            depth = len(self._prefix)
            if levels[:depth] == self._prefix and len(levels) in (depth + 3, depth + 4):
                return self._config(topic, ["", *levels[depth:]], payload)
        elif topic == "/".join((*self._prefix, "status")):
            return Decoded()
        raise Refused(Reason.TOPIC, "no discovery message named this topic yet")

    def _config(self, topic: str, levels: list[str], payload: bytes) -> Decoded:
        if not payload:
            self._forget(topic)
            return Decoded()
        entities, availabilities = parse_config(levels, payload)
        self._forget(topic)
        taught: list[tuple[str, str]] = []
        births = []
        for entity in entities:
            key = f"{entity.sensor}/{entity.metric}"
            place = self._place(entity.topic)
            if len(place.entities) >= MAX_METRICS and key not in place.entities:
                raise Refused(Reason.TOO_MANY_METRICS, f"more than {MAX_METRICS} entities of one topic")
            place.entities[key] = entity
            taught.append((entity.topic, key))
            described = {entity.metric: entity.described}
            births += self._announcer.learn(place.site, entity.sensor, described, name=entity.label)
        for availability in availabilities:
            place = self._place(availability.topic)
            if len(place.availabilities) < MAX_METRICS:
                place.availabilities[availability.sensor] = availability
        self._taught.put(topic, taught)
        # The last birth of each sensor has all that the earlier ones have.
        return Decoded(births=list({birth[:2]: birth for birth in births}.values()))

    def _place(self, topic: str) -> _Topic:
        return self._topics.get(topic) or self._topics.put(topic, _Topic(self._site(topic.split("/"))))

    def _forget(self, config: str) -> None:
        for topic, key in self._taught.pop(config, []):
            place = self._topics.get(topic)
            if place is not None:
                place.entities.pop(key, None)
                if not place.entities and not place.availabilities:
                    del self._topics[topic]

    def _state(self, known: _Topic, payload: bytes, rx: int) -> Decoded:
        text = _text(payload)
        tree: Any = None
        if any(each.path is not None for each in known.entities.values()):
            tree = parse(_json, payload) if payload else None
        values: dict[str, dict[str, float]] = {}
        for entity in known.entities.values():
            value = _value(entity, text if entity.path is None else follow(entity.path, tree))
            if value is not None:
                values.setdefault(entity.sensor, {})[entity.metric] = value
        readings = [make_reading(known.site, sensor, rx, rx, metrics) for sensor, metrics in values.items()]
        births = []
        for reading in readings:
            births += self._announcer.seen(known.site, reading.sensor, reading.metrics.keys(), lambda _: Metric())
        return Decoded(readings, births, self._states(known, payload, text), stamped=len(readings))

    def _states(self, known: _Topic, payload: bytes, text: str) -> list[tuple[str, str, str]]:
        states = []
        for availability in known.availabilities.values():
            found: Any = text
            if availability.path is not None:
                found = follow(availability.path, parse(_json, payload))
            if isinstance(found, str) and found in availability.states:
                states.append((known.site, availability.sensor, availability.states[found]))
        return states


def _value(entity: Entity, found: Any) -> float | None:
    if entity.states is not None:
        if isinstance(found, bool):
            return float(found)
        return entity.states.get(found) if isinstance(found, str) else None
    if not isinstance(found, str):
        return number(found)
    value = text_number(found)
    if value is None and entity.path is None and entity.described.unit and found not in _NOTHING:
        # Text where a unit promises a number.
        raise Refused(Reason.SHAPE, f"no number: {found[:40]!r}")
    return value


def _text(payload: bytes) -> str:
    try:
        return payload.decode()
    except UnicodeDecodeError as error:
        raise Refused(Reason.SHAPE, "not UTF-8") from error
