"""What the server gives beside Dash: health, live values, events, the basemap."""

from __future__ import annotations

import gzip
from typing import Any

from flask import Flask, Response, request

from web import basemap
from web.feed import feed
from web.queries import ping
from web.store import StoreDown, store
from weir.readings import encode

LARGE = 2_000
#: From here on the line costs more than the packing.
HUGE = 200_000


def add(server: Flask) -> None:
    """Add the routes. `/healthz` is 200 once this process serves; what it leans on is told in its body."""

    @server.get("/healthz")
    def healthz() -> Response:
        return _json({"ok": True, "redis": _redis(), "postgres": _postgres()})

    @server.get("/api/live")
    def live() -> Response:
        return _json(feed().changes(request.args.get("since", "")))

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
            return Response("too many pages listen: this one polls", 503, {"Retry-After": "30"}, mimetype="text/plain")
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
    data = encode(body)
    squeezed = len(data) > LARGE and "gzip" in request.headers.get("Accept-Encoding", "")
    if squeezed:
        data = gzip.compress(data, 6 if len(data) > HUGE else 1)
    answer = Response(data, mimetype="application/json")
    if squeezed:
        answer.headers["Content-Encoding"] = "gzip"
    answer.headers["Vary"] = "Accept-Encoding"
    answer.headers["Cache-Control"] = f"public, max-age={max_age}" if max_age else "no-store"
    return answer
