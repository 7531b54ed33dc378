"""What every decoder takes and gives: a topic and a payload in; readings, births and states out, or a reason.

A decoder is pure: no I/O and no clock. The receive time `rx` (ms since the epoch) is passed in, and what a decoder
must remember (aliases, units, discovery) is bounded.
"""

from __future__ import annotations

import math
from typing import Any, Protocol

import msgspec

from weir.errors import Reason, Refused
from weir.readings import MAX_AHEAD_MS, MAX_METRICS, MAX_READINGS_PER_MESSAGE, Birth, Reading

ONLINE = "online"
LOST = "lost"


class Decoded(msgspec.Struct, frozen=True):
    """What one message says. All of it empty: the message is valid and carries no measurement.

    `states` holds (site, sensor, `online` or `lost`); `requests` what to publish in answer (topic, payload);
    `stamped` how many of the readings named no time, so that theirs is the receive time (`ts == rx`).
    """

    readings: list[Reading] = []
    births: list[tuple[str, str, Birth]] = []
    states: list[tuple[str, str, str]] = []
    requests: list[tuple[str, bytes]] = []
    stamped: int = 0

    def __bool__(self) -> bool:
        return bool(self.readings or self.births or self.states or self.requests)


class RefusedAsking(Refused):
    """A refusal that also asks the device for something: `requests` is to be published (topic, payload)."""

    def __init__(self, reason: Reason, detail: str, requests: list[tuple[str, bytes]]) -> None:
        super().__init__(reason, detail)
        self.requests = requests


class Decoder(Protocol):
    """One format: built from its options, called for every message of the topics it was given.

    The class names the type of its options, a `msgspec.Struct`, in `options_type`.
    """

    @property
    def name(self) -> str:
        """The name of the format in the settings and in counters."""

    def decode(self, topic: str, payload: bytes, rx: int) -> Decoded:
        """Decode one message received at `rx` (ms). Raises `Refused` and nothing else."""


def parse(decoder: Any, payload: bytes) -> Any:
    """Decode JSON with a msgspec decoder. Raises `Refused`: NOT_JSON, or SHAPE where it is JSON of the wrong shape."""
    try:
        return decoder.decode(payload)
    except msgspec.ValidationError as error:
        raise Refused(Reason.SHAPE, str(error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Refused(Reason.NOT_JSON, str(error)) from error


def make_reading(
    site: str, sensor: str, ts: int, rx: int, metrics: dict[str, float], *, seq: int | None = None, hist: bool = False
) -> Reading:
    """A reading, held to the limits of Weir's own format; names must have been folded. Raises `Refused`."""
    if ts > rx + MAX_AHEAD_MS:
        raise Refused(Reason.FUTURE, f"{ts - rx} ms ahead")
    if ts < 0:
        raise Refused(Reason.ANCIENT, str(ts))
    if len(metrics) > MAX_METRICS:
        raise Refused(Reason.TOO_MANY_METRICS, f"{len(metrics)} metrics")
    # One sum tells whether anything is not finite; large finite values may overflow it, so it only raises suspicion.
    if not math.isfinite(sum(metrics.values())):
        for metric, value in metrics.items():
            if not math.isfinite(value):
                raise Refused(Reason.NOT_FINITE, f"{metric}={value}")
    return Reading(site, sensor, ts, rx, metrics, seq, hist)


def check_count(readings: int) -> None:
    """Raise `Refused` where one message holds more readings than Weir takes."""
    if readings > MAX_READINGS_PER_MESSAGE:
        raise Refused(Reason.TOO_MANY_READINGS, str(readings))


def number(value: Any) -> float | None:
    """A JSON value as a measurement: numbers as they are, true and false as 1 and 0, anything else None."""
    kind = type(value)
    if kind is float:
        return float(value)
    if kind is int:
        try:
            return float(value)
        except OverflowError:
            raise Refused(Reason.NOT_FINITE, "an integer beyond the range of a float") from None
    if kind is bool:
        return 1.0 if value else 0.0
    return None


def finite(value: float | None) -> float | None:
    """A bound of a range, None where there is none or it is infinite."""
    return value if value is not None and math.isfinite(value) else None


def text_number(text: str) -> float | None:
    """A number written as text, or None. Python's digit separators are not part of anyone's format."""
    try:
        return None if "_" in text else float(text)
    except ValueError:
        return None


def check_position(lat: float, lon: float) -> tuple[float, float]:
    """Return the position if it is on Earth; raise `Refused` otherwise. NaN is not."""
    if not (abs(lat) <= 90 and abs(lon) <= 180):
        raise Refused(Reason.POSITION, f"{lat},{lon}")
    return lat, lon
