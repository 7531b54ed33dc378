"""Which decoder a topic belongs to: rules from the settings, the first that matches wins.

Other packages add formats by an entry point of the group `weir.decoders`: a class whose `options_type` is a
`msgspec.Struct` and that is built from one (see `stream_apps.decoders.base.Decoder`).
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from typing import Any

import msgspec
from msgspec.structs import replace

from stream_apps.decoders.base import Decoded, Decoder
from stream_apps.decoders.births import Births
from stream_apps.decoders.topic_filter import compile_filter
from weir.errors import Reason, Refused, SetupError
from weir.readings import MAX_PAYLOAD_BYTES, Birth

ENTRY_POINTS = "weir.decoders"
#: format: where its class is. Loaded when a rule names it, as some need a library of their own.
BUILT_IN = {
    "airrohr": "airrohr:AirRohr",
    "homeassistant": "homeassistant:HomeAssistant",
    "homie": "homie:Homie",
    "mapping": "mapping:Mapping",
    "senml": "senml:SenML",
    "senml-cbor": "senml:SenMLCbor",
    "sparkplug": "sparkplug:Sparkplug",
    "tasmota": "tasmota:Tasmota",
    "the-things": "the_things:TheThings",
    "zigbee2mqtt": "zigbee2mqtt:Zigbee2Mqtt",
}
_MAX_TOPICS = 100_000
#: Decoders remember topics: so their length is bounded, as their number is.
_MAX_TOPIC = 512
#: What code of others may raise for a message it did not expect.
_FAILURES = (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One line of the settings: messages whose topic matches `pattern` are of `format`."""

    pattern: str
    format: str
    options: dict[str, Any] = {}


@dataclass
class Counts:
    """What became of the messages of one decoder. `empty`: valid, without a measurement; `stamped`: see `Decoded`."""

    messages: int = 0
    readings: int = 0
    births: int = 0
    states: int = 0
    requests: int = 0
    empty: int = 0
    stamped: int = 0
    refused: dict[Reason, int] = field(default_factory=dict)


class Channel:
    """A decoder with the patterns it serves and its counts."""

    def __init__(self, decoder: Decoder, built_in: bool, births: Births) -> None:
        self.decoder = decoder
        self._births = births
        self._source = f"{decoder.name}-{id(decoder)}"
        self.patterns: list[str] = []
        self.counts = Counts()
        self._expected = () if built_in else _FAILURES

    @property
    def name(self) -> str:
        return self.decoder.name

    def decode(self, topic: str, payload: bytes, rx: int) -> Decoded:
        """Decode and count one message. Raises `Refused`."""
        counts = self.counts
        counts.messages += 1
        try:
            if len(payload) > MAX_PAYLOAD_BYTES:
                raise Refused(Reason.TOO_LARGE, f"{len(payload)} bytes")
            if len(topic) > _MAX_TOPIC:
                raise Refused(Reason.TOPIC, f"{len(topic)} characters")
            decoded = self._decoded(topic, payload, rx)
        except Refused as refusal:
            counts.refused[refusal.reason] = counts.refused.get(refusal.reason, 0) + 1
            raise
        counts.readings += len(decoded.readings)
        counts.births += len(decoded.births)
        counts.states += len(decoded.states)
        counts.requests += len(decoded.requests)
        counts.stamped += decoded.stamped
        counts.empty += not decoded
        if decoded.births:
            decoded = replace(decoded, births=[self._merged(*birth) for birth in decoded.births])
        return _marked(decoded)

    def _merged(self, site: str, sensor: str, birth: Birth) -> tuple[str, str, Birth]:
        return site, sensor, self._births.merged(self._source, site, sensor, birth)

    def _decoded(self, topic: str, payload: bytes, rx: int) -> Decoded:
        try:
            return self.decoder.decode(topic, payload, rx)
        except self._expected as error:
            raise Refused(Reason.SHAPE, f"decoder {self.name} failed: {error!r}") from error


def _marked(decoded: Decoded) -> Decoded:
    """Readings whose time is that of their receipt say so."""
    if not decoded.stamped:
        return decoded
    readings = [replace(one, stamped=True) if one.ts == one.rx else one for one in decoded.readings]
    return replace(decoded, readings=readings)


class Registry:
    """All rules of a bridge. Rules of the same format and options share one decoder and its memory."""

    def __init__(self, rules: Iterable[Rule | dict[str, Any]]) -> None:
        """Raises `SetupError` for a pattern, format or option that is not right."""
        self._rules: list[tuple[Callable[[str], bool], Channel]] = []
        self._topics: dict[str, Channel | None] = {}
        self.channels: list[Channel] = []
        self.births = Births()
        shared: dict[tuple[str, bytes], Channel] = {}
        for each in rules:
            rule = _rule(each)
            matches = compile_filter(rule.pattern)
            key = (rule.format, msgspec.json.encode(rule.options, order="deterministic"))
            if key not in shared:
                shared[key] = _channel(rule, self.births)
                self.channels.append(shared[key])
            shared[key].patterns.append(rule.pattern)
            self._rules.append((matches, shared[key]))

    @property
    def patterns(self) -> list[str]:
        """The topic filters to subscribe to, in the order of the rules."""
        return list(dict.fromkeys(pattern for channel in self.channels for pattern in channel.patterns))

    def find(self, topic: str) -> Channel | None:
        """The channel of the first rule that matches, or None. Remembered per topic."""
        try:
            return self._topics[topic]
        except KeyError:
            pass
        found = next((channel for matches, channel in self._rules if matches(topic)), None)
        if len(topic) <= _MAX_TOPIC:
            if len(self._topics) >= _MAX_TOPICS:
                self._topics.clear()
            self._topics[topic] = found
        return found

    def decode(self, topic: str, payload: bytes, rx: int) -> Decoded:
        """Decode a message by the rule of its topic. Raises `Refused`; TOPIC where no rule matches."""
        channel = self.find(topic)
        if channel is None:
            raise Refused(Reason.TOPIC, "no rule matches this topic")
        return channel.decode(topic, payload, rx)


def _rule(given: Rule | dict[str, Any]) -> Rule:
    if isinstance(given, Rule):
        return given
    try:
        return msgspec.convert(given, Rule)
    except msgspec.ValidationError as error:
        raise SetupError(f"a decoder rule has a pattern, a format and options: {error}") from error


def _channel(rule: Rule, births: Births) -> Channel:
    kind, built_in = _load(rule.format)
    try:
        options = msgspec.convert(rule.options, kind.options_type)
    except msgspec.ValidationError as error:
        raise SetupError(f"options of the format {rule.format} for {rule.pattern}: {error}") from error
    return Channel(kind(options), built_in, births)


def _load(name: str) -> tuple[Any, bool]:
    place = BUILT_IN.get(name)
    if place is not None:
        module, _, kind = place.partition(":")
        try:
            return getattr(importlib.import_module(f"stream_apps.decoders.{module}"), kind), True
        except ModuleNotFoundError as error:
            raise SetupError(f"the format {name} needs the Python package {error.name}: install it") from error
    for entry in entry_points(group=ENTRY_POINTS):
        if entry.name == name:
            return entry.load(), False
    raise SetupError(f"no format is called {name!r}: there are {', '.join(sorted(BUILT_IN))}")
