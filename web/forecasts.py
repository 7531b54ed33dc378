"""Forecasts for the pages: `weir.forecasting` on 5-minute means, each remembered for a minute."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from typing import Any

from web import queries
from web.store import Store
from weir.errors import WeirError
from weir.forecasting import forecast as _forecast

KEEP_S = 60.0
HISTORY_MS = 7 * 86_400_000
STEP_MS = 300_000
LEAST = 24
MAX_KEPT = 500


class NoForecast(WeirError):
    """There is none; the text says why, for people."""


_lock = threading.Lock()
_one_at_a_time = threading.Lock()
_kept: OrderedDict[int, tuple[float, Any]] = OrderedDict()


def forecast(store: Store, series_id: int, now: int) -> Any:
    """A `weir.forecasting.Forecast` of the next hour. Raises `NoForecast`, `StoreDown`."""
    found = _fresh(series_id)
    if found is None:
        with _one_at_a_time:  # several pages asking for the same need it once
            found = _fresh(series_id) or _make(store, series_id, now)
    if isinstance(found, NoForecast):
        raise found
    return found


def _fresh(series_id: int) -> Any:
    with _lock:
        held = _kept.get(series_id)
        return held[1] if held is not None and time.monotonic() - held[0] < KEEP_S else None


def _make(store: Store, series_id: int, now: int) -> Any:
    points = queries.five_minutes(store, series_id, now - HISTORY_MS, now)
    # The bucket that is still filling would pull the last mean towards its first readings.
    whole = points.ts + STEP_MS <= now
    ts, mean = points.ts[whole], points.mean[whole]
    found: Any
    if len(ts) < LEAST:
        found = NoForecast(f"not enough history yet: {len(ts)} of {LEAST} five-minute means")
    else:
        try:
            found = _forecast(ts, mean, horizon_ms=3_600_000, step_ms=STEP_MS)
        except ValueError as error:
            found = NoForecast(f"this series cannot be forecast: {error}")
    with _lock:
        _kept[series_id] = (time.monotonic(), found)
        _kept.move_to_end(series_id)
        while len(_kept) > MAX_KEPT:
            _kept.popitem(last=False)
    return found
