"""What the server gives beside Dash: health, live values, events, the basemap."""

from __future__ import annotations

import gzip
from typing import Any

from flask import Flask, Response, request

from web import basemap
from web.feed import feed
from web.kept import Kept
from web.queries import ping
from web.store import StoreDown, store
from weir.readings import encode

LARGE = 2_000
#: From here on the line costs more than the packing.
HUGE = 200_000
#: From so many sensors on, all of them are packed once a second at most; the version in it says as of when.
MANY = 1_000
_wholes: Kept[tuple[bytes, bool]] = Kept(1.0, most=4)


def add(server: Flask) -> None:
    """Add the routes. `/healthz` is 200 once this process serves; what it leans on is told in its body."""

    @server.get("/healthz")
    def healthz() -> Response:
        return _json({"ok": True, "redis": _redis(), "postgres": _postgres()})

    @server.get("/api/live")
    def live() -> Response:
        since, one = request.args.get("since", ""), feed()
        if len(one.state.sensors) < MANY or one.follows(since):
            return _json(one.changes(since))
        # Pages that begin at once, all of them after a restart, would each cost the packing of a whole large fleet.
        gzipped = _takes_gzip()
        return _answer(*_wholes.get((one.epoch, gzipped), lambda: _packed(one.changes(""), gzipped)))

    @server.get("/api/places")
    def places() -> Response:
        return _json(basemap.places(), max_age=86_400)

    @server.get("/basemap/<name>.geojson")
    def base(name: str) -> Response:
        data = basemap.compressed(name)
        if data is None:
            return Response("no such map", 404, mimetype="text/plain")
        answer = Response(data, mimetype="application/geo+json")
        answer.headers["Content-Encoding"] = "gzip"
        answer.headers["Cache-Control"] = "public, max-age=86400"
        return answer

    @server.get("/events")
    def events() -> Response:
        stream = feed().events()
        if stream is None:
            return Response(status=204)  # too many listen: this page polls
        return Response(stream, mimetype="text/event-stream", headers={"Cache-Control": "no-store"})


def _redis() -> str:
    return "ok" if feed().down_since is None else "away"


def _postgres() -> str:
    try:
        ping(store())
    except StoreDown:
        return "away"
    return "ok"


def _json(body: Any, max_age: int = 0) -> Response:
    return _answer(*_packed(body, _takes_gzip()), max_age)


def _takes_gzip() -> bool:
    return "gzip" in request.headers.get("Accept-Encoding", "")


def _packed(body: Any, gzipped: bool) -> tuple[bytes, bool]:
    """`body` as JSON, and whether it was compressed."""
    data = encode(body)
    if gzipped and len(data) > LARGE:
        return gzip.compress(data, 6 if len(data) > HUGE else 1), True
    return data, False


def _answer(data: bytes, squeezed: bool, max_age: int = 0) -> Response:
    answer = Response(data, mimetype="application/json")
    if squeezed:
        answer.headers["Content-Encoding"] = "gzip"
    answer.headers["Vary"] = "Accept-Encoding"
    answer.headers["Cache-Control"] = f"public, max-age={max_age}" if max_age else "no-store"
    return answer
