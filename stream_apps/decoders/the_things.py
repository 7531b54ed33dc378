"""Uplinks of The Things Stack v3: `v3/<application>@<tenant>/devices/<device>/up`.

https://www.thethingsindustries.com/docs/integrations/data-formats/ The measurements are the numbers of
`decoded_payload`: the application must have a payload formatter. The time is when the network server received the
uplink; the frame counter is the reading's `seq`; the position is the device's registered one, unless the device itself
sends `latitude` and `longitude`.
"""

from __future__ import annotations

from typing import Any

import msgspec

from stream_apps.decoders.base import Decoded, check_position, make_reading, number, parse
from stream_apps.decoders.flatten import flatten
from stream_apps.decoders.memory import Announcer
from stream_apps.decoders.names import fold
from stream_apps.decoders.times import Times
from stream_apps.decoders.units import guess
from weir.errors import Reason, Refused

_OWN_POSITION = (("latitude", "longitude"), ("lat", "lon"), ("lat", "lng"))
_UP = "/up"


class _Location(msgspec.Struct, gc=False):
    # The stack leaves out what is zero.
    latitude: float = 0.0
    longitude: float = 0.0


class _Application(msgspec.Struct, gc=False):
    application_id: str


class _Device(msgspec.Struct, gc=False):
    device_id: str
    application_ids: _Application


class _Uplink(msgspec.Struct):
    decoded_payload: dict[str, Any] | None = None
    frm_payload: str = ""
    f_cnt: int = 0
    received_at: str = ""
    locations: dict[str, _Location] = {}


class _Message(msgspec.Struct):
    end_device_ids: _Device
    received_at: str = ""
    uplink_message: _Uplink | None = None


_message = msgspec.json.Decoder(_Message)


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """None: application and device name site and sensor."""


class TheThings:
    """Decodes uplinks; joins, downlinks and events hold no measurements."""

    options_type = Options
    name = "the-things"

    def __init__(self, options: Options = Options()) -> None:
        self._times = Times()
        self._announcer = Announcer()

    def decode(self, topic: str, payload: bytes, rx: int) -> Decoded:
        """Decode one message. Raises `Refused`."""
        if not topic.endswith(_UP):
            return Decoded()
        message: _Message = parse(_message, payload)
        uplink = message.uplink_message
        if uplink is None:
            return Decoded()
        if uplink.decoded_payload is None:
            if uplink.frm_payload:
                raise Refused(Reason.SHAPE, "no decoded_payload: give the application a payload formatter")
            return Decoded()
        site = fold(message.end_device_ids.application_ids.application_id)
        sensor = fold(message.end_device_ids.device_id)
        values = uplink.decoded_payload
        position, skip = _position(values, uplink.locations)
        metrics = flatten(values, skip)
        if not metrics:
            return Decoded(births=self._announcer.seen(site, sensor, metrics.keys(), guess, position))
        time = uplink.received_at or message.received_at
        ts = self._times.iso(time, rx) if time else rx
        if not 0 <= uplink.f_cnt < 2**32:
            raise Refused(Reason.SHAPE, f"f_cnt {uplink.f_cnt}")
        reading = make_reading(site, sensor, ts, rx, metrics, seq=uplink.f_cnt)
        births = self._announcer.seen(site, sensor, metrics.keys(), guess, position)
        return Decoded([reading], births, stamped=0 if time else 1)


def _position(
    values: dict[str, Any], locations: dict[str, _Location]
) -> tuple[tuple[float, float] | None, tuple[str, ...]]:
    for names in _OWN_POSITION:
        if names[0] in values and names[1] in values:
            lat, lon = number(values[names[0]]), number(values[names[1]])
            # Trackers send 0, 0 while they have no fix.
            if lat is not None and lon is not None and (lat or lon):
                return check_position(lat, lon), names
    for location in (locations.get("user"), *locations.values()):
        if location is not None and (location.latitude or location.longitude):
            return check_position(location.latitude, location.longitude), ()
    return None, ()
