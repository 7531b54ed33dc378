"""Readings and frames: what travels on MQTT and on the `readings` topic, parsed once at the border."""

from __future__ import annotations

import math
import re
from typing import Any

import msgspec

from weir.errors import Reason, Refused

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}\Z")
MAX_PAYLOAD_BYTES = 256 * 1024
MAX_METRICS = 64
MAX_READINGS_PER_MESSAGE = 1000
MAX_AHEAD_MS = 2 * 60 * 1000


class Measured(msgspec.Struct, frozen=True, gc=False):
    """One reading as a device publishes it. `ts`: ms since the epoch, UTC, None where the device knows no time;
    `seq`: the device's own counter.
    """

    metrics: dict[str, float]
    ts: int | None = None
    seq: int | None = None
    hist: bool = False


class Reading(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """One reading inside Weir. `rx` is when the bridge received it (ms since the epoch).

    `stamped`: the device told no time, so that `ts` is the time of receipt.
    """

    site: str
    sensor: str
    ts: int
    rx: int
    metrics: dict[str, float]
    seq: int | None = None
    hist: bool = False
    stamped: bool = False


class Metric(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a birth says of one metric: its SenML unit and, if known, the range that is possible."""

    unit: str = ""
    min: float | None = None
    max: float | None = None


class Birth(msgspec.Struct, frozen=True):
    """The retained `birth` of a sensor. `lat`, `lon` in degrees WGS84, None while nobody has told its place."""

    lat: float | None = None
    lon: float | None = None
    kind: str = "unknown"
    metrics: dict[str, Metric] = {}
    name: str = ""
    tags: list[str] = []


class Edit(msgspec.Struct, frozen=True, omit_defaults=True):
    """What people say of a sensor, over what it says of itself (`weir.edits`); None: nothing.

    All that is said at once: an edit replaces the one before. `by`: who.
    """

    by: str = ""
    lat: float | None = None
    lon: float | None = None
    name: str | None = None
    kind: str | None = None
    tags: list[str] | None = None
    metrics: dict[str, Metric] = {}


class SensorEvent(msgspec.Struct, frozen=True, omit_defaults=True):
    """A record of the `sensors` topic: a birth, a state change (`online` / `lost`), or an edit."""

    site: str
    sensor: str
    at: int
    birth: Birth | None = None
    state: str | None = None
    edit: Edit | None = None


_message = msgspec.json.Decoder(Measured | list[Measured])
_birth = msgspec.json.Decoder(Birth)
_frame = msgspec.json.Decoder(list[Reading])
_encoder = msgspec.json.Encoder()
encode = _encoder.encode


def decode_frame(data: bytes) -> list[Reading]:
    """Decode one record of `readings`. Raises `Refused` if it is not a frame."""
    try:
        return _frame.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Refused(Reason.SHAPE, str(error)) from error


def encode_frame(readings: list[Reading]) -> bytes:
    """Encode readings as one record of `readings`: a JSON array."""
    return _encoder.encode(readings)


def check_name(name: str) -> str:
    """Return `name` if it may name a site, sensor or metric; raise `Refused` otherwise."""
    if NAME.match(name) is None:
        raise Refused(Reason.NAME, repr(name[:80]))
    return name


def parse_data(site: str, sensor: str, payload: bytes, rx: int) -> list[Reading]:
    """Parse the payload of a `data` message, one reading or an array of them.

    The whole message is refused if any reading in it is, so that its original bytes can be kept.
    Raises `Refused`.
    """
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise Refused(Reason.TOO_LARGE, f"{len(payload)} bytes")
    check_name(site)
    check_name(sensor)
    decoded = _decode(_message, payload)
    batch = decoded if isinstance(decoded, list) else [decoded]
    if len(batch) > MAX_READINGS_PER_MESSAGE:
        raise Refused(Reason.TOO_MANY_READINGS, str(len(batch)))
    return [checked(site, sensor, item, rx) for item in batch]


def parse_birth(payload: bytes) -> Birth:
    """Parse the payload of a `birth`. Raises `Refused`."""
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise Refused(Reason.TOO_LARGE, f"{len(payload)} bytes")
    birth: Birth = _decode(_birth, payload)
    placed = birth.lat is not None and birth.lon is not None and abs(birth.lat) <= 90 and abs(birth.lon) <= 180
    if not placed and (birth.lat, birth.lon) != (None, None):
        raise Refused(Reason.POSITION, f"{birth.lat},{birth.lon}")
    if len(birth.metrics) > MAX_METRICS:
        raise Refused(Reason.TOO_MANY_METRICS, str(len(birth.metrics)))
    for metric in birth.metrics:
        check_name(metric)
    return birth


def _decode(decoder: Any, payload: bytes) -> Any:
    try:
        return decoder.decode(payload)
    except msgspec.ValidationError as error:
        raise Refused(Reason.SHAPE, str(error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Refused(Reason.NOT_JSON, str(error)) from error


_known_metrics: set[str] = set()


def checked(site: str, sensor: str, item: Measured, rx: int) -> Reading:
    """A reading held to the limits of Weir; `site` and `sensor` have been checked. Raises `Refused`."""
    ts = rx if item.ts is None else item.ts
    if ts > rx + MAX_AHEAD_MS:
        raise Refused(Reason.FUTURE, f"{ts - rx} ms ahead")
    if ts < 0:
        raise Refused(Reason.ANCIENT, str(ts))
    if not 0 < len(item.metrics) <= MAX_METRICS:
        raise Refused(Reason.TOO_MANY_METRICS if item.metrics else Reason.SHAPE, f"{len(item.metrics)} metrics")
    for metric, value in item.metrics.items():
        if metric not in _known_metrics:
            check_name(metric)
            if len(_known_metrics) < 10_000:
                _known_metrics.add(metric)
        if not math.isfinite(value):
            raise Refused(Reason.NOT_FINITE, f"{metric}={value}")
    if item.seq is not None and not -(2**63) <= item.seq < 2**63:
        raise Refused(Reason.SHAPE, "seq is out of range")
    return Reading(site, sensor, ts, rx, item.metrics, item.seq, item.hist, item.ts is None)
