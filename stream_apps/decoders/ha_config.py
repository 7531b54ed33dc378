"""The discovery messages of Home Assistant: which topic carries which value of which device.

https://www.home-assistant.io/integrations/mqtt/#mqtt-discovery Single components
(`homeassistant/sensor/[<node>/]<object>/config`) and whole devices (`homeassistant/device/<object>/config`).
"""

from __future__ import annotations

from typing import Any

import msgspec

from stream_apps.decoders.base import LOST, ONLINE, parse
from stream_apps.decoders.ha_template import Path, path_of
from stream_apps.decoders.names import fold, readable
from stream_apps.decoders.units import code
from weir.errors import Reason, Refused
from weir.readings import MAX_METRICS, Metric

#: The components that report numbers or on and off.
COMPONENTS = ("sensor", "binary_sensor", "number")
_LONG = {
    "stat_t": "state_topic",
    "val_tpl": "value_template",
    "unit_of_meas": "unit_of_measurement",
    "dev_cla": "device_class",
    "dev": "device",
    "pl_on": "payload_on",
    "pl_off": "payload_off",
    "avty": "availability",
    "avty_t": "availability_topic",
    "avty_tpl": "availability_template",
    "pl_avail": "payload_available",
    "pl_not_avail": "payload_not_available",
    "cmps": "components",
    "p": "platform",
    "t": "topic",
    "ids": "identifiers",
}
_MAX_TEXT = 512
_object = msgspec.json.Decoder(dict[str, Any])


class Entity(msgspec.Struct, frozen=True):
    """One value: where it comes from and what it is. `states` maps the payloads of a binary sensor to 1 and 0."""

    topic: str
    path: Path | None
    sensor: str
    metric: str
    described: Metric
    label: str
    states: dict[str, float] | None = None


class Availability(msgspec.Struct, frozen=True):
    """A topic that says whether a sensor is there."""

    topic: str
    path: Path | None
    sensor: str
    states: dict[str, str]


def parse_config(levels: list[str], payload: bytes) -> tuple[list[Entity], list[Availability]]:
    """What a discovery message teaches; `levels` are those of its topic. Raises `Refused`.

    Components that measure nothing (lights, buttons) teach nothing.
    """
    component, node, name = levels[1], levels[2] if len(levels) == 5 else "", levels[-2]
    message = _expanded(parse(_object, payload))
    if component == "device":
        return _device(message, name)
    if component not in COMPONENTS:
        return [], []
    return _one(component, message, node, name)


def _device(message: dict[str, Any], name: str) -> tuple[list[Entity], list[Availability]]:
    components = message.get("components")
    if not isinstance(components, dict):
        raise Refused(Reason.SHAPE, "a device without components")
    if len(components) > 4 * MAX_METRICS:
        raise Refused(Reason.TOO_MANY_METRICS, f"{len(components)} components")
    shared = {key: value for key, value in message.items() if key != "components"}
    entities: list[Entity] = []
    availabilities: list[Availability] = []
    for object_id, component in components.items():
        if not isinstance(component, dict):
            raise Refused(Reason.SHAPE, "a component is an object")
        one = shared | _expanded(component, shared.get("~"))
        if one.get("platform") in COMPONENTS and one.get("state_topic"):
            found, there = _one(one["platform"], one, name, object_id)
            entities += found
            availabilities += [each for each in there if each not in availabilities]
    return entities, availabilities


def _one(component: str, message: dict[str, Any], node: str, name: str) -> tuple[list[Entity], list[Availability]]:
    topic = _text(message, "state_topic")
    if not topic:
        raise Refused(Reason.SHAPE, "no state_topic")
    path = path_of(_text(message, "value_template"))
    device = message.get("device")
    identity, label = _identity(device if isinstance(device, dict) else {})
    sensor = fold(identity or node or _of_topic(topic, name))
    if path:
        metric = fold("_".join(str(step) for step in path))
    elif identity or node:
        metric = fold(name)
    else:
        metric = fold(_text(message, "device_class") or "value")
    unit = code(_text(message, "unit_of_measurement"), f"{metric} {_text(message, 'device_class')}")
    states = None
    if component == "binary_sensor":
        states = {_text(message, "payload_on", "ON"): 1.0, _text(message, "payload_off", "OFF"): 0.0}
    entity = Entity(topic, path, sensor, metric, Metric(unit), label, states)
    return [entity], _availabilities(message, sensor)


def _availabilities(message: dict[str, Any], sensor: str) -> list[Availability]:
    found = []
    topic = _text(message, "availability_topic")
    if topic:
        found.append(_availability(message, topic, _text(message, "availability_template"), sensor))
    given = message.get("availability")
    for one in given[:8] if isinstance(given, list) else []:
        if isinstance(one, dict):
            entry = _expanded(one, message.get("~"))
            topic = _text(entry, "topic")
            if topic:
                found.append(_availability(entry, topic, _text(entry, "value_template"), sensor))
    return found


def _availability(entry: dict[str, Any], topic: str, template: str, sensor: str) -> Availability:
    states = {
        _text(entry, "payload_available", "online"): ONLINE,
        _text(entry, "payload_not_available", "offline"): LOST,
    }
    return Availability(topic, path_of(template), sensor, states)


def _identity(device: dict[str, Any]) -> tuple[str, str]:
    """What tells the device from others (its first identifier, or its name), and its name for people."""
    identifiers = device.get("identifiers")
    if isinstance(identifiers, list):
        identifiers = identifiers[0] if identifiers else None
    name = device.get("name")
    label = name if isinstance(name, str) else ""
    return (identifiers if isinstance(identifiers, str) else "") or label, readable(label)


def _of_topic(topic: str, name: str) -> str:
    # All of it: `kitchen/temperature/state` and `hall/temperature/state` are two sensors.
    levels = [level for level in topic.split("/") if level]
    if len(levels) > 2 and levels[1] in COMPONENTS:
        # homeassistant/sensor/...
        levels = levels[2:]
    if len(levels) > 1 and levels[-1] == "state":
        levels.pop()
    return "_".join(levels) or name


def _expanded(message: dict[str, Any], base: Any = None) -> dict[str, Any]:
    """Abbreviations written out, `~` at either end of a topic replaced by the base topic."""
    base = message.get("~", base)
    expanded: dict[str, Any] = {}
    for short, value in message.items():
        key = _LONG.get(short, short)
        if key == "device" and isinstance(value, dict):
            value = {_LONG.get(inner, inner): item for inner, item in value.items()}
        if isinstance(base, str) and isinstance(value, str) and key.endswith("topic"):
            if value.startswith("~"):
                value = base + value[1:]
            elif value.endswith("~"):
                value = value[:-1] + base
        expanded[key] = value
    return expanded


def _text(message: dict[str, Any], key: str, default: str = "") -> str:
    value = message.get(key)
    if not isinstance(value, str):
        return default
    if len(value) > _MAX_TEXT:
        raise Refused(Reason.TOO_LARGE, f"{len(value)} characters of {key}")
    return value
