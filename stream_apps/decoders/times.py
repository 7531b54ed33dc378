"""Times as devices write them, as milliseconds since the epoch."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from weir.errors import Reason, Refused, SetupError

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)
#: Numbers above are milliseconds, below seconds: 1e11 s is the year 5138, 1e11 ms is 1973.
_SECONDS_END = 1e11
RECEIVE = "receive"


class Times:
    """Reads times. `zone` says what a time without a zone means: the name of a zone (`Europe/Zurich`, `UTC`),
    `receive` (the device's clock is not trusted, the receive time is taken), or empty: such a time is refused.
    """

    def __init__(self, zone: str = "") -> None:
        self._receive = zone == RECEIVE
        try:
            self._zone = ZoneInfo(zone) if zone and not self._receive else None
        except (KeyError, ValueError, OSError) as error:
            raise SetupError(f"zone {zone!r} is not known: give one such as Europe/Zurich, UTC, or receive") from error

    def read(self, value: Any, rx: int) -> int:
        """A time in ms from ISO 8601 text or a number (s or ms by its size). Raises `Refused`."""
        if type(value) is str:
            return self.iso(value, rx)
        if type(value) is int or type(value) is float:
            return epoch(value)
        raise Refused(Reason.SHAPE, f"a {type(value).__name__} is not a time")

    def iso(self, text: str, rx: int) -> int:
        """A time in ms from ISO 8601 text. `rx` decides which of two equal local times is meant. Raises `Refused`."""
        try:
            when = datetime.fromisoformat(text)
            if when.tzinfo is None:
                return self._local(when, rx)
            return (when - _EPOCH) // _MS
        except (ValueError, OverflowError) as error:
            raise Refused(Reason.SHAPE, f"not a time: {text[:40]!r}") from error

    def _local(self, when: datetime, rx: int) -> int:
        if self._receive:
            return rx
        if self._zone is None:
            raise Refused(
                Reason.LOCAL_TIME, "local time without a zone: have the device send one, or set the option `zone`"
            )
        # In the hour that comes twice, the reading is taken for the one nearer to when it arrived.
        first, second = ((when.replace(tzinfo=self._zone, fold=fold) - _EPOCH) // _MS for fold in (0, 1))
        return first if abs(first - rx) <= abs(second - rx) else second


def epoch(value: float) -> int:
    """Milliseconds from a number of seconds or milliseconds since the epoch. Raises `Refused` where it is neither."""
    if not -1e15 < value < 1e15:
        raise Refused(Reason.SHAPE, f"not a time: {value:.3g}")
    return round(value * 1000) if abs(value) < _SECONDS_END else round(value)
