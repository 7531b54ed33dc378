"""Every series with what its forecasts are worth. Times are ms since the epoch, UTC. Each raises `StoreDown`."""

from __future__ import annotations

from dataclasses import dataclass

from web.store import Store


@dataclass(frozen=True)
class FleetRow:
    """The newest forecast of one series, at the end of its horizon, and how good those of the last 7 days were.

    `mase`: mean absolute error over that of repeating the last value. `cross_*`: the limit that will be crossed.
    """

    series: int
    site: str
    sensor: str
    metric: str
    made: int
    until: int
    mean: float
    low80: float
    high80: float
    last: float | None
    model: str
    n: int | None
    mase: float | None
    r2: float | None
    coverage80: float | None
    cross_above: bool | None
    cross_level: float | None
    cross_at: int | None
    cross_probability: float | None


_MS = "(extract(epoch FROM {}) * 1000)::bigint"
_FLEET = f"""
WITH newest AS (SELECT max(made) AS made FROM forecasts WHERE horizon = %(horizon)s),
ends AS (
    SELECT DISTINCT ON (series_id) series_id, f.made, ts, mean, low80, high80, last, model
    FROM forecasts f, newest WHERE horizon = %(horizon)s AND f.made = newest.made ORDER BY series_id, ts DESC
), first_crossing AS (
    SELECT DISTINCT ON (series_id) series_id, above, level, at, probability FROM crossings ORDER BY series_id, at
)
SELECT series_id, site, sensor, metric, {_MS.format("e.made")}, {_MS.format("e.ts")}, mean, low80, high80, last, model,
       k.n, k.mae / nullif(k.mae_last, 0), k.r2, k.coverage80,
       c.above, c.level, {_MS.format("c.at")}, c.probability
FROM ends e JOIN series USING (series_id) JOIN sensors USING (sensor_id)
LEFT JOIN (SELECT * FROM forecast_skill WHERE horizon = %(horizon)s) k USING (series_id)
LEFT JOIN first_crossing c USING (series_id)
ORDER BY c.probability DESC NULLS LAST, site, sensor, metric LIMIT %(limit)s"""  # noqa: S608 (constants)


def fleet(store: Store, horizon: str, limit: int = 40_000) -> list[FleetRow]:
    """Every series forecast in the newest round for `horizon` (`1h` or `24h`); those about to cross a limit first."""
    return [FleetRow(*row) for row in store.rows(_FLEET, {"horizon": horizon, "limit": limit})]
