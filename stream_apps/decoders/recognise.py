"""Tells from topics and payloads which formats a broker carries, and which rules would read them (pure)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import cbor2
import msgspec

from stream_apps.decoders.guessing import Documents
from stream_apps.decoders.registry import Rule
from weir.topics import MQTT_ROOT

_json = msgspec.json.Decoder()
_HOMIE = ("$homie", "$state", "$nodes", "$description", "$name")
_ZIGBEE = ("devices", "info", "state", "logging", "groups", "extensions", "definitions")
_MAX_CBOR_DEPTH = 4


class Message(NamedTuple):
    """One message as it was heard."""

    topic: str
    payload: bytes


def rules_for(messages: Iterable[Message]) -> list[Rule]:
    """Rules that read what was heard, the more particular first. Weir's own topics need none.

    Formats that are known by their topics come first, then those known by their payloads; other JSON gets a mapping.
    """
    heard = [message for message in messages if message.topic]
    found: list[Rule] = []
    rest: list[Message] = []
    for message in heard:
        rule = _by_topic(message) or _by_payload(message)
        if rule is None:
            rest.append(message)
        elif rule not in found:
            found.append(rule)
    found = [*found, *_homeassistant_states(heard, found)]
    documents = Documents()
    for message in rest:
        if not message.topic.startswith((f"{MQTT_ROOT}/", "$")) and not _covered(message.topic, found):
            documents.see(message.topic, _document(message.payload))
    return sorted([*found, *documents.rules()], key=lambda rule: _breadth(rule.pattern))


def _breadth(pattern: str) -> tuple[bool, int, str]:
    """Those that end in # after those that do not, short ones last."""
    return pattern.endswith("#"), -pattern.count("/"), pattern


def _covered(topic: str, rules: list[Rule]) -> bool:
    return any(rule.pattern.endswith("/#") and topic.startswith(rule.pattern[:-1]) for rule in rules)


def _by_topic(message: Message) -> Rule | None:
    levels = message.topic.split("/")
    last = levels[-1]
    if levels[0] == MQTT_ROOT:
        return None
    if levels[0] == "spBv1.0":
        return Rule("spBv1.0/#", "sparkplug")
    if len(levels) > 2 and levels[0] == "v3" and levels[2] == "devices":
        return Rule("v3/#", "the-things")
    if last in ("SENSOR", "STATE", "LWT") and "tele" in levels:
        at = levels.index("tele")
        return Rule("/".join([*["+"] * at, "tele", "#"]), "tasmota")
    if len(levels) > 2 and levels[-2] == "bridge" and last in _ZIGBEE:
        base = "/".join(levels[:-2])
        options = {} if base == "zigbee2mqtt" else {"base": base}
        return Rule(f"{base}/#", "zigbee2mqtt", options)
    if levels[0] == "zigbee2mqtt" and len(levels) > 1:
        return Rule("zigbee2mqtt/#", "zigbee2mqtt")
    return _homie(levels) or _homeassistant(levels, message.payload)


def _homie(levels: list[str]) -> Rule | None:
    at = next((n for n, level in enumerate(levels) if level in _HOMIE), 0)
    if at < 2:
        return None
    base = levels[: at - 1]
    if base[-1] == "5" and len(base) > 1:
        base.pop()
    text = "/".join(base)
    return Rule(f"{text}/#", "homie", {} if text == "homie" else {"base": text})


def _homeassistant(levels: list[str], payload: bytes) -> Rule | None:
    if levels[-1] != "config" or len(levels) < 4:
        return None
    document = _document(payload)
    if not isinstance(document, dict) or not document.keys() & {"state_topic", "stat_t", "cmps", "components"}:
        return None
    depth = next((n for n in (len(levels) - 3, len(levels) - 4) if n > 0 and _component(levels[n])), 0)
    if not depth:
        return None
    prefix = "/".join(levels[:depth])
    return Rule(f"{prefix}/#", "homeassistant", {} if prefix == "homeassistant" else {"prefix": prefix})


def _component(level: str) -> bool:
    return level in ("sensor", "binary_sensor", "number", "device", "switch", "light", "climate")


def _homeassistant_states(messages: list[Message], found: list[Rule]) -> list[Rule]:
    """Rules for the topics that discovery messages name and no other rule reads."""
    config = next((rule for rule in found if rule.format == "homeassistant"), None)
    if config is None:
        return []
    from stream_apps.decoders.homeassistant import HomeAssistant, Options
    from weir.errors import Refused

    learner = HomeAssistant(msgspec.convert(config.options, Options))
    for message in messages:
        if message.topic.endswith("/config"):
            try:
                learner.decode(message.topic, message.payload, 0)
            except Refused:
                continue  # it teaches nothing; the count of refusals tells of it
    states: dict[str, Rule] = {}
    for topic in learner.topics:
        first = topic.split("/", 1)[0]
        pattern = f"{first}/#" if "/" in topic else topic
        if not _covered(topic, found) and first != MQTT_ROOT:
            states[pattern] = Rule(pattern, "homeassistant", config.options)
    return list(states.values())


def _by_payload(message: Message) -> Rule | None:
    levels = message.topic.split("/")
    if levels[0] in (MQTT_ROOT, "") or levels[0].startswith("$"):
        return None
    pattern = f"{levels[0]}/#" if len(levels) > 1 else message.topic
    document = _document(message.payload)
    for is_format, name in _SHAPES:
        if is_format(document):
            return Rule(pattern, name)
    return Rule(pattern, "senml-cbor") if document is None and _is_senml_cbor(message.payload) else None


def _document(payload: bytes) -> Any:
    try:
        return _json.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _is_senml(document: Any) -> bool:
    if not isinstance(document, list) or not document or not all(isinstance(one, dict) for one in document):
        return False
    return any(one.keys() & {"bn", "n"} for one in document) and any(
        one.keys() & {"v", "vb", "vs", "s"} for one in document
    )


def _is_airrohr(document: Any) -> bool:
    return isinstance(document, dict) and isinstance(document.get("sensordatavalues"), list)


def _is_uplink(document: Any) -> bool:
    return isinstance(document, dict) and "end_device_ids" in document


_SHAPES: tuple[tuple[Callable[[Any], bool], str], ...] = (
    (_is_senml, "senml"),
    (_is_airrohr, "airrohr"),
    (_is_uplink, "the-things"),
)


def _is_senml_cbor(payload: bytes) -> bool:
    # An array (major type 4) of maps: nothing else is decoded at all.
    if len(payload) < 2 or payload[0] >> 5 != 4:
        return False
    try:
        pack = cbor2.loads(payload, max_depth=_MAX_CBOR_DEPTH)
    except (cbor2.CBORError, ValueError, TypeError, RecursionError, OverflowError, MemoryError):
        return False
    return (
        isinstance(pack, list)
        and bool(pack)
        and all(isinstance(one, dict) and all(type(key) is int and -8 < key < 10 for key in one) for one in pack)
    )
