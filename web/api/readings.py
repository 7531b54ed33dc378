"""Readings for the API, a page at a time, at the resolution that fits the span."""

from __future__ import annotations

from collections.abc import Callable

from web import window as series
from web.store import Store
from web.window import MAX_RAW, Points

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
#: The longest span of each resolution, and up to which `auto` chooses it (ms).
MOST = {"raw": 7 * DAY_MS, "5m": 400 * DAY_MS, "1h": 3_700 * DAY_MS, "1d": 3_700 * DAY_MS}
AUTO = {"raw": 6 * HOUR_MS, "5m": 8 * DAY_MS, "1h": 180 * DAY_MS}
LONGEST = MOST["1d"]


def choose(resolution: str, span_ms: int) -> str:
    """`auto` -> `raw` up to 6 hours, `5m` up to 8 days, `1h` up to 180, `1d` beyond; others stay."""
    if resolution != "auto":
        return resolution
    return next((name for name, most in AUTO.items() if span_ms <= most), "1d")


def window(store: Store, series_id: int, since: int, until: int, resolution: str) -> Points:
    """All points of [since, until], oldest first; of raw readings the newest `MAX_RAW`. Raises `StoreDown`."""
    ask: Callable[[Store, int, int, int], Points] = {
        "raw": series.raw, "5m": series.five_minutes, "1h": series.hourly, "1d": series.daily,
    }[resolution]  # fmt: skip
    return ask(store, series_id, since, until)


def page(
    store: Store, series_id: int, since: int, until: int, resolution: str, limit: int
) -> tuple[Points, int | None]:
    """The first `limit` points of [since, until], and where the next page starts (ms), None after the last one.

    A span with more raw readings than one query gives is halved until it has fewer, so that the oldest come first.
    """
    end = until
    points = window(store, series_id, since, end, resolution)
    while len(points) >= MAX_RAW and end > since:
        end = since + (end - since) // 2
        points = window(store, series_id, since, end, resolution)
    if len(points) > limit:
        return _head(points, limit), int(points.ts[limit])
    return points, end + 1 if end < until else None


def _head(points: Points, count: int) -> Points:
    return Points(points.ts[:count], points.mean[:count], points.low[:count], points.high[:count])
