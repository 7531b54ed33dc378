"""Zigbee2MQTT: `zigbee2mqtt/<friendly name>`, its availability, and the device list of the bridge.

https://www.zigbee2mqtt.io/guide/usage/mqtt_topics_and_messages.html The friendly name (with its slashes) is the
sensor. `last_seen` is the time where it is switched on, else the receive time. Units come from the `exposes` of
`bridge/devices`; until that was seen, from the usual ones.
"""

from __future__ import annotations

from typing import Any

import msgspec

from stream_apps.decoders.base import LOST, ONLINE, Decoded, finite, make_reading, parse
from stream_apps.decoders.flatten import flatten
from stream_apps.decoders.memory import Announcer, Bounded
from stream_apps.decoders.names import TopicName, fold, readable
from stream_apps.decoders.times import Times
from stream_apps.decoders.units import code, guess
from weir.errors import Reason, Refused
from weir.readings import MAX_METRICS, Metric

#: Not measured by the sensor: when it was heard, firmware updates, who it is.
_SKIP = ("last_seen", "elapsed", "update", "update_available", "device")
_STATES = {b"online": ONLINE, b"offline": LOST}
_USUAL = {"pressure": "hPa", "power": "W", "energy": "kWh", "current": "A", "soil_moisture": "%"}
_MAX_DEVICES = 2_000
_MAX_DEPTH = 4


class _Expose(msgspec.Struct):
    property: str = ""
    type: str = ""
    unit: str | None = None
    value_min: float | None = None
    value_max: float | None = None
    features: list[_Expose] = []


class _Definition(msgspec.Struct):
    description: str | None = ""
    exposes: list[_Expose] = []


class _Device(msgspec.Struct):
    friendly_name: str = ""
    type: str = ""
    definition: _Definition | None = None


class _Availability(msgspec.Struct):
    state: str


_object = msgspec.json.Decoder(dict[str, Any])
_devices = msgspec.json.Decoder(list[_Device])
_availability = msgspec.json.Decoder(_Availability)


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`base`: the base topic, one or more levels; `site`: a name or a topic level such as `{0}`."""

    base: str = "zigbee2mqtt"
    site: str = "{0}"
    zone: str = ""


class Zigbee2Mqtt:
    """Learns units from the bridge's device list; decodes what devices report."""

    options_type = Options
    name = "zigbee2mqtt"

    def __init__(self, options: Options = Options()) -> None:
        self._prefix = f"{options.base}/"
        self._site = TopicName(options.site)
        self._times = Times(options.zone)
        self._topics: Bounded[str, tuple[str, str, str]] = Bounded(50_000)
        self._announcer = Announcer()

    def decode(self, topic: str, payload: bytes, rx: int) -> Decoded:
        """Decode one message. Raises `Refused`."""
        site, sensor, kind = self._topics.get(topic) or self._topics.put(topic, self._split(topic))
        if kind == "devices":
            return self._list(site, payload)
        if kind == "availability":
            state = _STATES.get(payload) or _STATES.get(parse(_availability, payload).state.encode())
            if state is None:
                raise Refused(Reason.SHAPE, "availability is online or offline")
            return Decoded(states=[(site, sensor, state)])
        # An empty payload clears a retained state.
        if kind or not payload:
            return Decoded()
        message = parse(_object, payload)
        metrics = flatten(message, _SKIP)
        if not metrics:
            return Decoded()
        time = message.get("last_seen")
        ts = rx if time is None else self._times.read(time, rx)
        reading = make_reading(site, sensor, ts, rx, metrics)
        births = self._announcer.seen(site, sensor, metrics.keys(), _describe)
        return Decoded([reading], births, stamped=int(time is None))

    def _list(self, site: str, payload: bytes) -> Decoded:
        devices: list[_Device] = parse(_devices, payload)
        if len(devices) > _MAX_DEVICES:
            raise Refused(Reason.TOO_MANY_READINGS, f"{len(devices)} devices")
        births = []
        for device in devices:
            if device.type == "Coordinator" or not device.friendly_name or device.definition is None:
                continue
            metrics: dict[str, Metric] = {}
            for expose in device.definition.exposes:
                _collect(metrics, expose, "", 1)
            label = readable(device.friendly_name)
            births += self._announcer.learn(site, fold(device.friendly_name), metrics, name=label, kind="zigbee")
        return Decoded(births=births)

    def _split(self, topic: str) -> tuple[str, str, str]:
        if not topic.startswith(self._prefix):
            raise Refused(Reason.TOPIC, f"not below {self._prefix}")
        site = self._site(topic.split("/"))
        levels = topic[len(self._prefix) :].split("/")
        if levels[0] == "bridge":
            return site, "", "devices" if levels[1:] == ["devices"] else "bridge"
        last = levels[-1]
        if last == "availability" and len(levels) > 1:
            return site, fold("/".join(levels[:-1])), last
        # .../set, .../get, and with an attribute behind them.
        command = any(level in ("set", "get") for level in levels[1:])
        return site, fold("/".join(levels)), "command" if command else ""


def _describe(metric: str) -> Metric:
    return Metric(_USUAL[metric]) if metric in _USUAL else guess(metric)


def _collect(metrics: dict[str, Metric], expose: _Expose, prefix: str, depth: int) -> None:
    if depth > _MAX_DEPTH or len(metrics) >= MAX_METRICS:
        return
    if expose.features:
        # A light or a switch has features of its own; a composite's are nested below its property.
        below = f"{prefix}{expose.property}_" if expose.type == "composite" and expose.property else prefix
        for feature in expose.features:
            _collect(metrics, feature, below, depth + 1)
    elif expose.type in ("numeric", "binary") and expose.property:
        metric = fold(f"{prefix}{expose.property}")
        unit = code(expose.unit, metric) if expose.unit else ""
        metrics[metric] = Metric(unit, finite(expose.value_min), finite(expose.value_max))
