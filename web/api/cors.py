"""Front ends of others, on servers of their own: pages of the origins in `WEIR_API_ORIGINS` may use `/api/v1`.

With a token only: a browser is never told that it may send our cookies along.
"""

from __future__ import annotations

from flask import Flask, Response, request

from weir.settings import settings

BASE = "/api/v1"


def allowed(origin: str | None) -> bool:
    """Is it one of the front ends named in the settings?"""
    return origin is not None and origin in settings().api_origins.split()


def preflight() -> Response | None:
    """The answer to a browser that asks whether such a page may send what it wants to; None if this is none."""
    if request.method != "OPTIONS" or not _concerned():
        return None
    headers = {
        "Access-Control-Allow-Methods": "GET, POST",
        "Access-Control-Allow-Headers": "Authorization, Content-Type, If-None-Match",
        "Access-Control-Max-Age": "600",
    }
    return Response(status=204, headers=headers)


def add(server: Flask) -> None:
    """Let such pages read the answers."""

    @server.after_request
    def share(response: Response) -> Response:
        if _concerned():
            response.headers["Access-Control-Allow-Origin"] = request.headers["Origin"]
            response.headers["Access-Control-Expose-Headers"] = "ETag, Retry-After"
            response.vary.add("Origin")
        return response


def _concerned() -> bool:
    return request.path.startswith(f"{BASE}/") and allowed(request.headers.get("Origin"))
