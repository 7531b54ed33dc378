"""What scripts of the pages ask for beside Dash: the past of the fleet and of one sensor."""

from __future__ import annotations

import gzip
from itertools import chain
from typing import Any

from flask import Flask, Response, request

from web import export, playback, queries, queries_playback, window
from web.feed import feed
from web.kept import Kept
from web.store import StoreDown, now_ms, store
from web.urls import parse
from weir.readings import NAME, encode

#: Name -> what makes the file, and what it is.
FORMS = {"csv": (export.csv, "text/csv"), "parquet": (export.parquet, "application/vnd.apache.parquet")}
SPARK_MS = 6 * 3_600_000
_past: Kept[bytes] = Kept(20.0, most=20)
_sparks: Kept[bytes] = Kept(15.0, most=500)


def add(server: Flask) -> None:
    """Add the routes. Each answers 400 to what makes no sense and 503 while Postgres is away."""

    @server.get("/pages/playback")
    def day() -> Response:
        colour = request.args.get("colour", "status")
        if NAME.match(colour) is None:
            return _refused("colour is `status` or the name of a metric")
        return _kept(_past, colour, lambda: gzip.compress(playback.encoded(_frames(colour)), 6))

    @server.get("/pages/spark")
    def spark() -> Response:
        names = tuple(request.args.get(name, "") for name in ("site", "sensor", "metric"))
        if not all(NAME.match(name) for name in names):
            return _refused("site, sensor and metric are names")
        return _kept(_sparks, names, lambda: gzip.compress(encode(_points(*names)), 1), "application/json")

    @server.get("/pages/export")
    def exported() -> Response:
        return _file()


def _file() -> Response:
    view = parse(request.args)
    names = (view.site, view.sensor, view.metric)
    form = request.args.get("format", "csv")
    if not all(names) or form not in FORMS or view.notices:
        return _refused("site, sensor, metric, window and format (csv or parquet) say what is exported")
    until = now_ms()
    try:
        number = queries.series(store(), view.site, view.sensor).get(view.metric)
        if number is None:
            return Response("nothing of this series has been archived", 404, mimetype="text/plain")
        found = export.pieces(store(), number, until - view.window_ms, until)
        first = next(found)  # that the database is away is told before the file begins
    except StoreDown as error:
        return Response(str(error), 503, mimetype="text/plain")
    live = feed().state.sensors.get(f"{view.site}/{view.sensor}")
    make, mimetype = FORMS[form]
    body = make(chain([first], found), *names, live.unit(view.metric) if live else "")
    answer = Response(body, mimetype=mimetype)
    answer.headers["Content-Disposition"] = f'attachment; filename="{"_".join(names)}.{form}"'
    answer.headers["Cache-Control"] = "no-store"
    return answer


def _frames(colour: str) -> playback.Frames:
    held, live = store(), feed()
    with live.lock:
        sensors = len(live.state.sensors)
    step = playback.step_for(max(1, sensors))
    until = now_ms() // step * step
    since = until - playback.DAY_MS
    if colour != "status":
        return playback.of_metric(queries_playback.values(held, colour, since, until, step), since, step)
    span = (held, since, until, step)
    return playback.of_status(
        queries_playback.heard(*span), queries_playback.flagged(*span), queries_playback.alerts(*span), since, step
    )


def _points(site: str, sensor: str, metric: str) -> dict[str, list[Any]]:
    now = now_ms()
    number = queries.series(store(), site, sensor).get(metric)
    if number is None:
        return {"ts": [], "mean": []}
    points = window.five_minutes(store(), number, now - SPARK_MS, now)
    return {"ts": points.ts.tolist(), "mean": [round(float(one), 4) for one in points.mean]}


def _kept(kept: Kept[bytes], key: Any, make: Any, mimetype: str = "application/octet-stream") -> Response:
    try:
        body = kept.get(key, make)
    except StoreDown as error:
        return Response(str(error), 503, mimetype="text/plain")
    answer = Response(body, mimetype=mimetype)
    answer.headers["Content-Encoding"] = "gzip"
    answer.headers["Cache-Control"] = "no-store"
    return answer


def _refused(why: str) -> Response:
    return Response(why, 400, mimetype="text/plain")
