"""What the page of alerts asks of Postgres. Times are ms since the epoch, UTC. Each raises `StoreDown`."""

from __future__ import annotations

from typing import Any

from web.store import Store

_MS = "(extract(epoch FROM {}) * 1000)::bigint"
_SPANS = f"""
SELECT id, site, sensor, metric, rule, severity, text, {_MS.format("opened")},
       CASE WHEN state = 'active' THEN NULL ELSE {_MS.format("at")} END
FROM alerts WHERE opened < to_timestamp(%(until)s / 1000.0)
  AND (state = 'active' OR at >= to_timestamp(%(since)s / 1000.0))
ORDER BY opened DESC LIMIT %(limit)s"""  # noqa: S608 (constants)
_NAMES = ("id", "site", "sensor", "metric", "rule", "severity", "text", "opened", "closed")


def spans(store: Store, since: int, until: int, limit: int = 500) -> list[dict[str, Any]]:
    """The alerts that were active at some time in [since, until], newest first; `closed` is None while one is."""
    rows = store.rows(_SPANS, {"since": since, "until": until, "limit": limit})
    return [dict(zip(_NAMES, row, strict=True)) for row in rows]
