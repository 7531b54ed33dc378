"""What `/api/v1` asks of Postgres beyond `queries`: whole tables, a page at a time. Each raises `StoreDown`.

A page is found by its key, not by counting rows off: the thousandth page costs what the first does. Times are ms since
the epoch, UTC. `after` is the key of the last row before the page, None for the first page.
"""

from __future__ import annotations

from typing import Any

from web.store import Row, Store

_MS = "(extract(epoch FROM {}) * 1000)::bigint"
_ALERT = ", ".join(
    ("id", "site", "sensor", "metric", "rule", "severity", "state", "acknowledged", _MS.format("opened"),
     _MS.format("at"), "n", "text", "by", _MS.format("shelved_until"))
)  # fmt: skip


def _at(name: str) -> str:
    """Exact: a key must come back as it went out."""
    return f"timestamptz 'epoch' + %({name})s::bigint * interval '1 millisecond'"


def _where(parameters: dict[str, Any], conditions: dict[str, str]) -> str:
    """The conditions whose parameter is given, joined."""
    found = [text for name, text in conditions.items() if parameters.get(name) not in (None, "")]
    return " AND ".join(found) or "true"


def sensors(store: Store, limit: int, after: tuple[str, str] | None, **wanted: str) -> list[Row]:
    """`(site, sensor, kind, name, lat, lon, metrics, state)` by site and sensor. `wanted`: `site`, `sensor`, `kind`."""
    parameters = {**wanted, "limit": limit, "after": after}
    where = _where(parameters, {
        "site": "site = %(site)s", "sensor": "sensor = %(sensor)s", "kind": "kind = %(kind)s",
        "after": "(site, sensor) > %(after)s",
    })  # fmt: skip
    sql = f"""SELECT site, sensor, kind, name, lat, lon, metrics, state FROM sensors WHERE {where}
              ORDER BY site, sensor LIMIT %(limit)s"""  # noqa: S608 (constants)
    return store.rows(sql, parameters)


def series(store: Store, limit: int, after: tuple[str, str, str] | None, **wanted: str) -> list[Row]:
    """`(series_id, site, sensor, metric, unit)` by name. `wanted`: `site`, `sensor`, `metric`."""
    parameters = {**wanted, "limit": limit, "after": after}
    where = _where(parameters, {
        "site": "site = %(site)s", "sensor": "sensor = %(sensor)s", "metric": "metric = %(metric)s",
        "after": "(site, sensor, metric) > %(after)s",
    })  # fmt: skip
    sql = f"""SELECT series_id, site, sensor, metric, coalesce(metrics -> metric ->> 'unit', '')
              FROM series JOIN sensors USING (sensor_id) WHERE {where}
              ORDER BY site, sensor, metric LIMIT %(limit)s"""  # noqa: S608 (constants)
    return store.rows(sql, parameters)


def anomalies(store: Store, limit: int, after: tuple[int, int, str] | None, **wanted: Any) -> list[Row]:
    """Flags, newest first. `wanted`: names, `since`, `until` (ms).

    The key is `ts`, `series_id` (the last column) and `detector`.
    """
    keys = dict(zip(("after", "after_series", "after_detector"), after or (None, None, None), strict=True))
    parameters = {**wanted, **keys, "limit": limit}
    where = _where(parameters, {
        "site": "site = %(site)s", "sensor": "sensor = %(sensor)s", "metric": "metric = %(metric)s",
        "since": f"ts >= {_at('since')}", "until": f"ts <= {_at('until')}",
        "after": f"(ts, series_id, detector) < ({_at('after')}, %(after_series)s, %(after_detector)s)",
    })  # fmt: skip
    sql = f"""SELECT site, sensor, metric, coalesce(metrics -> metric ->> 'unit', ''), {_MS.format("ts")}, value, score,
                     q1, q3, low, high, n, feature, detector, version, series_id
              FROM anomalies JOIN series USING (series_id) JOIN sensors USING (sensor_id) WHERE {where}
              ORDER BY ts DESC, series_id DESC, detector DESC LIMIT %(limit)s"""  # noqa: S608 (constants)
    return store.rows(sql, parameters)


def alerts(store: Store, limit: int, after: tuple[int, str] | None, **wanted: Any) -> list[Row]:
    """Alerts, the last opened first. `wanted`: `site`, `sensor`, `state`, `severity`, `rule`, `since`, `until` (ms)."""
    parameters = {**wanted, "limit": limit, "after": after and after[0], "after_id": after and after[1]}
    where = _where(parameters, {
        **{name: f"{name} = %({name})s" for name in ("id", "site", "sensor", "state", "severity", "rule")},
        "acknowledged": "acknowledged = %(acknowledged)s",
        "since": f"opened >= {_at('since')}", "until": f"opened <= {_at('until')}",
        "after": f"(opened, id) < ({_at('after')}, %(after_id)s)",
    })  # fmt: skip
    sql = f"SELECT {_ALERT} FROM alerts WHERE {where} ORDER BY opened DESC, id DESC LIMIT %(limit)s"  # noqa: S608
    return store.rows(sql, parameters)


def history(store: Store, id: str) -> list[Row]:
    """`(n, at, state, acknowledged, by, text)` of each transition of an alert, the first one first."""
    sql = f"""SELECT n, {_MS.format("at")}, state, acknowledged, by, text FROM alert_history
              WHERE id = %s ORDER BY n"""  # noqa: S608 (constants)
    return store.rows(sql, (id,))


def dead_letters(store: Store, limit: int, after: tuple[int, str] | None, **wanted: Any) -> list[Row]:
    """`(id, at, source, reason, detail, payload)`, newest first. `wanted`: `reason`, `since`, `until` (ms)."""
    parameters = {**wanted, "limit": limit, "after": after and after[0], "after_id": after and after[1]}
    where = _where(parameters, {
        "reason": "reason = %(reason)s", "since": f"at >= {_at('since')}", "until": f"at <= {_at('until')}",
        "after": f"(at, id) < ({_at('after')}, %(after_id)s)",
    })  # fmt: skip
    sql = f"""SELECT id, {_MS.format("at")}, source, reason, detail, substring(payload FOR 4096), octet_length(payload)
              FROM dead_letters WHERE {where} ORDER BY at DESC, id DESC LIMIT %(limit)s"""  # noqa: S608 (constants)
    return store.rows(sql, parameters)


def skill(store: Store, limit: int, after: int | None, horizon: str) -> list[Row]:
    """`(series_id, site, sensor, metric, n, mae, mae_last, r2, coverage80)` by series, of one horizon."""
    parameters = {"horizon": horizon, "after": after, "limit": limit}
    where = _where(parameters, {"horizon": "horizon = %(horizon)s", "after": "series_id > %(after)s"})
    sql = f"""SELECT series_id, site, sensor, metric, coalesce(metrics -> metric ->> 'unit', ''), n, mae, mae_last, r2,
                     coverage80
              FROM forecast_skill JOIN series USING (series_id) JOIN sensors USING (sensor_id) WHERE {where}
              ORDER BY series_id LIMIT %(limit)s"""  # noqa: S608 (constants)
    return store.rows(sql, parameters)


def crossings(store: Store, limit: int) -> list[Row]:
    """`(site, sensor, metric, unit, above, level, at, probability, made)` of limits soon crossed, the soonest first."""
    sql = f"""SELECT site, sensor, metric, coalesce(metrics -> metric ->> 'unit', ''), above, level, {_MS.format("at")},
                     probability, {_MS.format("made")}
              FROM crossings JOIN series USING (series_id) JOIN sensors USING (sensor_id)
              ORDER BY at, series_id LIMIT %s"""  # noqa: S608 (constants)
    return store.rows(sql, (limit,))
