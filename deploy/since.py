"""Points in time as people write them (pure)."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from weir.errors import SetupError

_UNITS = {"s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}


def moment(text: str, now: int) -> int:
    """`90s`, `15m`, `2h`, `7d`, `1w` before `now`, `now` itself, or an ISO 8601 time (UTC if it names no zone).

    Returns ms since the epoch. Raises `SetupError`.
    """
    if text == "now":
        return now
    if match := re.fullmatch(r"(\d+(?:\.\d+)?)([smhdw])", text.strip()):
        return now - int(float(match[1]) * _UNITS[match[2]])
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise SetupError(f"{text!r} is no time: give 90s, 15m, 2h, 7d, or 2026-01-31T12:00") from None
    return int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000)
