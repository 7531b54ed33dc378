"""Sensor.Community's airRohr: the JSON its firmware sends to an own server, as bridges publish it to MQTT.

https://github.com/opendata-stuttgart/sensors-software Values are text. `SDS_P1` is PM10 and `SDS_P2` PM2.5 in ug/m3,
pressures are Pa. There is no time. The sensor is `esp8266-<id>`, or what the topic says where the message has no id.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from stream_apps.decoders.base import Decoded, check_position, make_reading, parse, text_number
from stream_apps.decoders.memory import Announcer, Bounded
from stream_apps.decoders.names import TopicName, fold
from stream_apps.decoders.units import guess
from weir.errors import Reason, Refused
from weir.readings import MAX_METRICS, Metric

#: How busy the board's own loop was: nothing that was measured.
_SKIP = frozenset({"samples", "min_micro", "max_micro", "interval"})
_PLACE = {"GPS_lat": "lat", "GPS_lon": "lon"}
_UNITS = {"temperature": "Cel", "humidity": "%RH", "pressure": "Pa", "signal": "dBm", "height": "m"}
_DUST = frozenset({"p0", "p1", "p2", "p4"})
_COUNTS = frozenset({"n05", "n1", "n25", "n4", "n10"})


class _Value(msgspec.Struct, gc=False):
    value_type: str
    value: str | float


class _Message(msgspec.Struct):
    sensordatavalues: Annotated[list[_Value], msgspec.Meta(max_length=1000)]
    esp8266id: str | int = ""
    raspiid: str | int = ""


_message = msgspec.json.Decoder(_Message)


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`site` and `sensor`: names or topic levels such as `{1}`; `sensor` where the message has no id."""

    site: str = "sensor-community"
    sensor: str = "{-1}"


class AirRohr:
    """Decodes the `sensordatavalues` list."""

    options_type = Options
    name = "airrohr"

    def __init__(self, options: Options = Options()) -> None:
        self._site = TopicName(options.site)
        self._sensor = TopicName(options.sensor)
        self._sites: Bounded[str, str] = Bounded(50_000)
        self._announcer = Announcer()

    def decode(self, topic: str, payload: bytes, rx: int) -> Decoded:
        """Decode one message. Raises `Refused`."""
        message: _Message = parse(_message, payload)
        site = self._sites.get(topic) or self._sites.put(topic, self._site(topic.split("/")))
        if message.esp8266id:
            sensor = fold(f"esp8266-{message.esp8266id}")
        elif message.raspiid:
            sensor = fold(f"raspi-{message.raspiid}")
        else:
            sensor = self._sensor(topic.split("/"))
        metrics, place = _values(message.sensordatavalues)
        position = check_position(place["lat"], place["lon"]) if len(place) == 2 else None
        readings = [make_reading(site, sensor, rx, rx, metrics)] if metrics else []
        births = self._announcer.seen(site, sensor, metrics.keys(), _describe, position)
        return Decoded(readings, births, stamped=len(readings))


def _values(values: list[_Value]) -> tuple[dict[str, float], dict[str, float]]:
    metrics: dict[str, float] = {}
    place: dict[str, float] = {}
    for item in values:
        kind = item.value_type
        if kind in _SKIP:
            continue
        value = item.value if type(item.value) is float else text_number(str(item.value))
        if value is None:
            # GPS_date and GPS_time, or a sensor that had nothing to say.
            continue
        if kind in _PLACE:
            place[_PLACE[kind]] = value
            continue
        name = fold(kind)
        if name in metrics:
            raise Refused(Reason.NAME, f"two values are called {name}")
        metrics[name] = value
    if len(metrics) > MAX_METRICS:
        raise Refused(Reason.TOO_MANY_METRICS, f"{len(metrics)} metrics")
    return metrics, place


def _describe(metric: str) -> Metric:
    last = metric.rpartition("_")[2]
    if last in _DUST:
        return Metric("ug/m3")
    if last in _COUNTS:
        return Metric("1/cm3")
    return Metric(_UNITS[last]) if last in _UNITS else guess(metric)
