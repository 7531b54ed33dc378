"""What each endpoint does: sensors, readings, flags and alerts. Parameters are parsed; raises `Wrong`, `StoreDown`."""

from __future__ import annotations

from typing import Any

from web import commands, queries_api
from web.access.identity import NotAllowed, acting, current
from web.api import answers
from web.api import parameters as take
from web.api import readings as windows
from web.api.problems import Wrong
from web.feed import feed
from web.live import LiveSensor
from web.store import now_ms, store
from weir.events import Alert

SERIES = tuple[str, str, str]
MAX_SPAN_MS = 400 * windows.DAY_MS


def whoami(_: take.Nothing) -> answers.Whoami:
    who = current()
    if who is None:
        raise Wrong("Sign in first.", status=401)
    return answers.Whoami(who.name, str(who.role), who.how)


def sensors(asked: take.OfSensors) -> answers.Sensors:
    after = take.uncursor(asked.cursor, tuple[str, str])
    rows = queries_api.sensors(store(), asked.limit + 1, after, **names(asked, "site", "sensor", "kind"))
    found = [
        answers.Sensor(
            site, sensor, kind, name, lat, lon, {m: one.get("unit", "") for m, one in metrics.items()}, state
        )
        for site, sensor, kind, name, lat, lon, metrics, state in rows[: asked.limit]
    ]
    return answers.Sensors(found, following(rows, asked.limit, lambda row: row[:2]))


def series(asked: take.OfSeries) -> answers.SeriesPage:
    after = take.uncursor(asked.cursor, SERIES)
    rows = queries_api.series(store(), asked.limit + 1, after, **names(asked, "site", "sensor", "metric"))
    found = [answers.Series(*row[1:]) for row in rows[: asked.limit]]
    return answers.SeriesPage(found, following(rows, asked.limit, lambda row: row[1:4]))


def latest(asked: take.OfLatest) -> answers.Latest:
    after = take.uncursor(asked.cursor, str)
    live = feed()
    with live.lock:
        chosen = sorted((one for one in live.state.sensors.values() if _wanted(one, asked)), key=lambda one: one.key)
        rows = [one for one in chosen if after is None or one.key > after][: asked.limit + 1]
        found = [_live(one) for one in rows[: asked.limit]]
        stale = live.down_since is not None
    return answers.Latest(now_ms(), stale, found, following(rows, asked.limit, lambda one: one.key))


def _wanted(one: LiveSensor, asked: take.OfLatest) -> bool:
    return (
        asked.site in (None, one.site)
        and asked.sensor in (None, one.sensor)
        and asked.kind in (None, one.kind)
        and asked.status in (None, one.status)
    )


def _live(one: LiveSensor) -> answers.Live:
    values = one.latest.metrics if one.latest else {}
    units = {metric: one.unit(metric) for metric in one.metrics()}
    return answers.Live(
        one.site, one.sensor, one.kind, one.status, one.latest.ts if one.latest else None, values, units
    )


def readings(asked: take.OfReadings) -> answers.Readings:
    now = now_ms()
    since, until = take.span(asked.since, asked.until, now, windows.LONGEST)
    started = take.uncursor(asked.cursor, tuple[int, int, int, str])
    start = since
    if started is not None:  # what `now` was on the first page holds on all
        start, since, until, resolution = started
        if resolution not in windows.MOST or not since <= start <= until:
            raise Wrong("This is not a `next` of such a page.", "cursor")
    else:
        resolution = windows.choose(asked.resolution, until - since)
    if until - since > windows.MOST[resolution]:
        raise Wrong(f"At most {windows.MOST[resolution] // windows.DAY_MS} days of {resolution} at once.", "since")
    number, unit = one_series(asked.site, asked.sensor, asked.metric)
    points, rest = windows.page(store(), number, start, until, resolution, asked.limit)
    more = None if rest is None else take.cursor((rest, since, until, resolution))
    return answers.Readings(
        asked.site, asked.sensor, asked.metric, unit, resolution, since, until, points.ts.tolist(),
        points.mean.tolist(), points.low.tolist(), points.high.tolist(), more,
    )  # fmt: skip


def anomalies(asked: take.OfAnomalies) -> answers.Anomalies:
    since, until = take.span(asked.since, asked.until, now_ms(), MAX_SPAN_MS)
    after = take.uncursor(asked.cursor, tuple[int, int, str])
    wanted = names(asked, "site", "sensor", "metric")
    rows = queries_api.anomalies(store(), asked.limit + 1, after, since=since, until=until, **wanted)
    found = [answers.Anomaly(*row[:-1]) for row in rows[: asked.limit]]
    return answers.Anomalies(found, following(rows, asked.limit, lambda row: (row[4], row[-1], row[13])))


def alerts(asked: take.OfAlerts) -> answers.Alerts:
    since, until = take.span(asked.since, asked.until, now_ms(), take.times.MAX_MS)
    after = take.uncursor(asked.cursor, tuple[int, str])
    wanted = names(asked, "site", "sensor", "state", "severity", "rule")
    limits = {"since": since if asked.since else None, "until": until if asked.until else None}
    rows = queries_api.alerts(store(), asked.limit + 1, after, acknowledged=asked.acknowledged, **limits, **wanted)
    found = [answers.Alert(*row) for row in rows[: asked.limit]]
    return answers.Alerts(found, following(rows, asked.limit, lambda row: (row[8], row[0])))


def live_alerts(_: take.Nothing) -> answers.Alerts:
    live = feed()
    with live.lock:
        found = sorted(live.state.alerts.values(), key=lambda one: -one.opened)
    return answers.Alerts([_alert(one) for one in found], None)


def _alert(one: Alert) -> answers.Alert:
    return answers.Alert(
        one.id, one.site, one.sensor, one.metric, one.rule, one.severity, str(one.state), one.acknowledged, one.opened,
        one.at, one.n, one.text, one.by, one.shelved_until or None,
    )  # fmt: skip


def alert_history(asked: take.OfOneAlert) -> answers.History:
    rows = queries_api.history(store(), asked.id)
    if not rows:
        raise Wrong("There is no such alert, or it is not stored yet.", "id", 404)
    return answers.History(asked.id, [answers.Transition(*row) for row in rows])


def command(asked: take.OfOneAlert, body: take.Command) -> answers.Accepted:
    """Raises `Wrong` also for viewers (403), unknown alerts (404) and while Kafka is away (503)."""
    try:
        acting("")
    except NotAllowed as error:
        raise Wrong(f"{str(error)[:1].upper()}{str(error)[1:]}.", status=403) from None
    if not _exists(asked.id):
        raise Wrong("There is no such alert, or it is not stored yet.", "id", 404)
    now = now_ms()
    until = take.moment("until", body.until, now, 0)
    if body.verb == "shelve" and until <= now:
        raise Wrong("Say until when, a time to come.", "until")
    if body.verb == "comment" and not body.text.strip():
        raise Wrong("Write the comment.", "text")
    made = commands.command(asked.id, body.verb, "", now, body.text, until if body.verb == "shelve" else 0)
    try:
        commands.commands().send([made])
    except commands.NotSent as error:
        raise Wrong(f"{error}.", status=503, wait=5) from error
    return answers.Accepted(made.id, made.verb, acting(made.by), made.at)


def _exists(id: str) -> bool:
    live = feed()
    with live.lock:
        if id in live.state.alerts:
            return True
    return bool(queries_api.alerts(store(), 1, None, id=id))


def one_series(site: str, sensor: str, metric: str) -> tuple[int, str]:
    """The id and the unit of a series. Raises `Wrong` (404)."""
    rows = queries_api.series(store(), 1, None, site=site, sensor=sensor, metric=metric)
    if not rows:
        raise Wrong(f"Nothing of {site}/{sensor}/{metric} is stored.", "metric", 404)
    return rows[0][0], rows[0][4]


def names(asked: Any, *wanted: str) -> dict[str, Any]:
    return {name: getattr(asked, name) for name in wanted}


def following(rows: list[Any], limit: int, key: Any) -> str | None:
    """The cursor behind the page; None if `rows`, asked for one more than a page, are no more than a page."""
    return take.cursor(key(rows[limit - 1])) if len(rows) > limit else None
