"""The last day of the whole fleet, from the 5-minute aggregates. Times are ms since the epoch, UTC.

Each raises `StoreDown`. A slot is the number of a step since `since`.
"""

from __future__ import annotations

from web.store import Store

#: "<site>/<sensor>" -> slots and the mean in each of them.
Series = list[tuple[str, list[int], list[float]]]

_SLOT = "floor((extract(epoch FROM {}) * 1000 - %(since)s) / %(step)s)::int"
_VALUES = f"""
SELECT site || '/' || sensor, array_agg(slot), array_agg(value) FROM (
    SELECT series_id, {_SLOT.format("bucket")} AS slot, avg(mean) AS value
    FROM readings_5m
    WHERE series_id IN (SELECT series_id FROM series WHERE metric = %(metric)s)
      AND bucket >= to_timestamp(%(since)s / 1000.0) AND bucket < to_timestamp(%(until)s / 1000.0)
    GROUP BY series_id, slot) s
JOIN series USING (series_id) JOIN sensors USING (sensor_id) GROUP BY site, sensor"""  # noqa: S608 (constants)
_HEARD = f"""
SELECT site || '/' || sensor, array_agg(DISTINCT {_SLOT.format("bucket")})
FROM readings_5m JOIN series USING (series_id) JOIN sensors USING (sensor_id)
WHERE bucket >= to_timestamp(%(since)s / 1000.0) AND bucket < to_timestamp(%(until)s / 1000.0)
GROUP BY site, sensor"""  # noqa: S608 (constants)
_FLAGGED = f"""
SELECT site || '/' || sensor, array_agg(DISTINCT {_SLOT.format("ts")})
FROM anomalies JOIN series USING (series_id) JOIN sensors USING (sensor_id)
WHERE ts >= to_timestamp(%(since)s / 1000.0) AND ts < to_timestamp(%(until)s / 1000.0)
GROUP BY site, sensor"""  # noqa: S608 (constants)
_ALERTS = f"""
SELECT site || '/' || sensor, {_SLOT.format("opened")}, {_SLOT.format("at")}, state = 'active'
FROM alerts WHERE sensor <> '' AND rule <> 'silence'
  AND opened < to_timestamp(%(until)s / 1000.0) AND (state = 'active' OR at >= to_timestamp(%(since)s / 1000.0))
"""  # noqa: S608 (constants)


def values(store: Store, metric: str, since: int, until: int, step: int) -> Series:
    """The means of one metric of every sensor."""
    parameters = {"metric": metric, "since": since, "until": until, "step": step}
    return [(key, slots, found) for key, slots, found in store.rows(_VALUES, parameters)]


def heard(store: Store, since: int, until: int, step: int) -> dict[str, list[int]]:
    """In which slots each sensor was heard."""
    return dict(store.rows(_HEARD, {"since": since, "until": until, "step": step}))


def flagged(store: Store, since: int, until: int, step: int) -> dict[str, list[int]]:
    """In which slots a reading of each sensor was flagged."""
    return dict(store.rows(_FLAGGED, {"since": since, "until": until, "step": step}))


def alerts(store: Store, since: int, until: int, step: int) -> list[tuple[str, int, int, bool]]:
    """`(sensor, slot of opening, slot of the last change, still active)` of each alert but silences."""
    return [tuple(row) for row in store.rows(_ALERTS, {"since": since, "until": until, "step": step})]
