"""Forecasts for the pages: `weir.forecasting` on the aggregates, each remembered for a minute."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from typing import Any

from web import window
from web.store import Store
from weir.errors import WeirError
from weir.forecasting import DAY_MS, HOUR_MS, ForecastError
from weir.forecasting import forecast as _forecast

KEEP_S = 60.0
STEP_MS = 300_000
MAX_KEPT = 500


class NoForecast(WeirError):
    """There is none; the text says why, for people."""


_lock = threading.Lock()
_one_at_a_time = threading.Lock()
_kept: OrderedDict[tuple[int, str], tuple[float, Any]] = OrderedDict()


def forecast(store: Store, series_id: int, now: int, ahead: str = "1h") -> Any:
    """A `weir.forecasting.Forecast` of the next hour (`1h`) or day (`24h`). Raises `NoForecast`, `StoreDown`."""
    key = (series_id, ahead)
    found = _fresh(key)
    if found is None:
        with _one_at_a_time:  # several pages asking for the same need it once
            found = _fresh(key) or _make(store, key, now)
    if isinstance(found, NoForecast):
        raise found
    return found


def _fresh(key: tuple[int, str]) -> Any:
    with _lock:
        held = _kept.get(key)
        return held[1] if held is not None and time.monotonic() - held[0] < KEEP_S else None


def _make(store: Store, key: tuple[int, str], now: int) -> Any:
    series_id, ahead = key
    day = ahead == "24h"
    step = HOUR_MS if day else STEP_MS
    if day:
        points = window.hourly(store, series_id, now - 42 * DAY_MS, now)
    else:
        points = window.five_minutes(store, series_id, now - 7 * DAY_MS, now)
    # The step that is still filling would pull the last mean towards its first readings.
    whole = points.ts + step <= now
    found: Any
    try:
        found = _forecast(points.ts[whole], points.mean[whole], horizon_ms=DAY_MS if day else HOUR_MS, step_ms=step)
    except ForecastError as error:
        found = NoForecast(f"this series cannot be forecast: {error}")
    with _lock:
        _kept[key] = (time.monotonic(), found)
        _kept.move_to_end(key)
        while len(_kept) > MAX_KEPT:
            _kept.popitem(last=False)
    return found
