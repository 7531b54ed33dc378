"""Tasmota telemetry: `tele/<device>/SENSOR` and the last will `tele/<device>/LWT`.

https://tasmota.github.io/docs/MQTT/ Names keep the chip they come from (`am2301_temperature`), as one device often
carries several. Tasmota sends local time without a zone unless `SetOption52 1` is set: then it is refused, unless the
option `zone` says which zone the fleet keeps.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from stream_apps.decoders.base import LOST, ONLINE, Decoded, make_reading, parse
from stream_apps.decoders.flatten import flatten
from stream_apps.decoders.memory import Announcer, Bounded
from stream_apps.decoders.names import TopicName, fold
from stream_apps.decoders.times import Times
from stream_apps.decoders.units import code, guess
from weir.errors import Reason, Refused
from weir.readings import Metric

_CHOSEN = ("TempUnit", "PressureUnit", "SpeedUnit")
_SKIP = ("Time", *_CHOSEN, "Epoch")
_STATES = {b"Online": ONLINE, b"Offline": LOST}
#: The kind of a value by the end of its name, and the unit where it is always the same.
_UNITS = {
    "voltage": "V",
    "current": "A",
    "power": "W",
    "apparentpower": "VA",
    "reactivepower": "var",
    "total": "kWh",
    "yesterday": "kWh",
    "today": "kWh",
    "period": "Wh",
    "frequency": "Hz",
    "illuminance": "lx",
    "carbondioxide": "ppm",
    "eco2": "ppm",
    "tvoc": "ppb",
    "distance": "cm",
    "factor": "/",
}
_TEMPERATURES = ("temperature", "dewpoint")
_PRESSURES = ("pressure", "seapressure")
_object = msgspec.json.Decoder(dict[str, Any])


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`site`: a name or a topic level such as `{0}`; `zone`: what a time without one means (see `Times`)."""

    site: str = "tasmota"
    zone: str = ""


class Tasmota:
    """Decodes SENSOR and LWT; other topics of a device (STATE, INFO, RESULT) hold no measurements."""

    options_type = Options
    name = "tasmota"

    def __init__(self, options: Options = Options()) -> None:
        self._site = TopicName(options.site)
        self._times = Times(options.zone)
        self._announcer = Announcer()
        self._topics: Bounded[str, tuple[str, str, str]] = Bounded(50_000)
        #: By topic and the name of the field.
        self._units: Bounded[tuple[str, str], str] = Bounded(100_000)

    def decode(self, topic: str, payload: bytes, rx: int) -> Decoded:
        """Decode one message. Raises `Refused`."""
        site, device, leaf = self._topics.get(topic) or self._topics.put(topic, self._split(topic))
        if leaf == "LWT":
            if payload not in _STATES:
                raise Refused(Reason.SHAPE, "LWT is Online or Offline")
            return Decoded(states=[(site, device, _STATES[payload])])
        if leaf != "SENSOR":
            return Decoded()
        message = parse(_object, payload)
        metrics = flatten(message, _SKIP)
        if not metrics:
            return Decoded()
        self._check_units(topic, message)
        time = message.get("Time")
        ts = rx if time is None else self._times.read(time, rx)
        reading = make_reading(site, device, ts, rx, metrics)
        births = self._announcer.seen(site, device, metrics.keys(), _describer(message))
        return Decoded([reading], births, stamped=int(ts == rx))

    def _check_units(self, topic: str, message: dict[str, Any]) -> None:
        """Somebody may switch a device to Fahrenheit: a series has one unit."""
        for field in _CHOSEN:
            unit = message.get(field)
            if unit is None:
                continue
            known = self._units.get((topic, field)) or self._units.put((topic, field), str(unit))
            if known != str(unit):
                raise Refused(Reason.UNIT, f"{field} was {known[:20]!r} before, is now {str(unit)[:20]!r}")

    def _split(self, topic: str) -> tuple[str, str, str]:
        # FullTopic may be `%prefix%/%topic%/` or `%topic%/%prefix%/`, with more levels around them.
        levels = topic.split("/")
        device = fold("_".join(level for level in levels[:-1] if level != "tele"))
        return self._site(levels), device, levels[-1]


def _describer(message: dict[str, Any]) -> Callable[[str], Metric]:
    temperature = "degF" if message.get("TempUnit") == "F" else "Cel"
    pressure = code(str(message.get("PressureUnit", "hPa")))

    def describe(metric: str) -> Metric:
        # An array's items are numbered: energy_power_2.
        last = metric.rstrip("0123456789").rstrip("_").rpartition("_")[2]
        if last in _TEMPERATURES:
            return Metric(temperature)
        if last in _PRESSURES:
            return Metric(pressure)
        return Metric(_UNITS[last]) if last in _UNITS else guess(metric)

    return describe
