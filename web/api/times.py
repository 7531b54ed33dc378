"""Times as requests write them (pure)."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

_AGO = re.compile(r"-(\d{1,6})(s|m|h|d)\Z")
_UNIT_MS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MAX_MS = 32_503_680_000_000  # the year 3000


def parse(text: str, now: int) -> int:
    """Ms since the epoch of `1795431817932`, `2026-11-23T20:14:05Z`, or `-6h` before `now` (ms).

    Raises `ValueError` with words for people. Without an offset a time is UTC. A `+` that a query string has turned
    into a blank is taken for what it was.
    """
    text = text.strip()
    if text.isascii() and text.isdigit():
        return _within(int(text[:20]))
    ago = _AGO.match(text)
    if ago:
        return _within(now - int(ago[1]) * _UNIT_MS[ago[2]])
    try:
        found = datetime.fromisoformat(re.sub(r" (\d\d:\d\d)\Z", r"+\1", text) if "T" in text else text)
    except ValueError:
        raise ValueError("a time is ms since the epoch, RFC 3339 (2026-11-23T20:14:05Z), or -6h") from None
    return _within((found if found.tzinfo else found.replace(tzinfo=UTC)) - _EPOCH)


def _within(time: int | timedelta) -> int:
    ms = time if isinstance(time, int) else time // timedelta(milliseconds=1)
    if not 0 <= ms <= MAX_MS:
        raise ValueError("this time is before 1970 or after the year 3000")
    return ms
