"""What the page of sensors asks of Postgres. Each raises `StoreDown`."""

from __future__ import annotations

from typing import Any

from web.store import Store

_KNOWN = """
SELECT s.site, s.sensor, s.name, s.kind, s.lat, s.lon, s.tags, s.metrics, array_remove(array_agg(r.metric), NULL)
FROM sensors s LEFT JOIN series r USING (sensor_id) GROUP BY s.sensor_id ORDER BY s.site, s.sensor"""
_HISTORY = """
SELECT (extract(epoch FROM at) * 1000)::bigint, by, edit FROM sensor_history
WHERE site = %s AND sensor = %s ORDER BY at DESC LIMIT %s"""


def known(store: Store) -> list[dict[str, Any]]:
    """Every sensor that was ever archived; `metrics`: name -> what is known of it."""
    return [
        {
            "site": site, "sensor": sensor, "name": name, "kind": kind, "lat": lat, "lon": lon, "tags": tags,
            "metrics": {**{one: {} for one in sorted(measured)}, **metrics},
        }
        for site, sensor, name, kind, lat, lon, tags, metrics, measured in store.rows(_KNOWN)
    ]  # fmt: skip


def history(store: Store, site: str, sensor: str, limit: int = 20) -> list[tuple[int, str, dict[str, Any]]]:
    """The newest edits of a sensor: when (ms), by whom, all that was said."""
    return [(at, by, edit) for at, by, edit in store.rows(_HISTORY, (site, sensor, limit))]
