"""`/api/v1` on the server: limits, parameters, answers, conditional requests."""

from __future__ import annotations

import gzip
import logging
import threading
import time
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import msgspec
from flask import Flask, Response, render_template, request
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge

from web.access.identity import current
from web.access.limiter import Limiter
from web.api import arrow, cors, problems
from web.api.answers import Readings
from web.api.cors import BASE
from web.api.endpoints import ENDPOINTS, Endpoint
from web.api.openapi import document
from web.api.parameters import check, parse
from web.api.problems import Wrong
from web.store import StoreDown
from weir.readings import encode
from weir.settings import settings

log = logging.getLogger("weir.web")

MAX_BODY = 16 * 1024
LARGE = 2_000
BURST_S = 4.0
_lock = threading.Lock()


@lru_cache
def _limiter() -> Limiter:
    rate = settings().api_rate
    return Limiter(rate, max(1.0, rate * BURST_S))


def add(server: Flask) -> None:
    """Add every endpoint, `openapi.json` and `docs`. What else is under the base is a 404 of the API's kind."""
    cors.add(server)
    for one in ENDPOINTS:
        path = one.path.replace("{id}", "<id>")
        server.add_url_rule(f"{BASE}{path}", f"api_{one.name}", _serve(one), methods=[one.method])

    @server.get(f"{BASE}/openapi.json")
    def api_openapi() -> Response:
        return _answer(encode(document()))

    @server.get(f"{BASE}/docs")
    def api_docs() -> str:
        return render_template("api.html", api=document())

    @server.route(f"{BASE}/", defaults={"rest": ""})
    @server.route(f"{BASE}/<path:rest>", methods=["GET", "POST", "PUT", "PATCH", "DELETE"])
    def api_nowhere(rest: str) -> Response:
        known = [one.method for one in ENDPOINTS if one.path == f"/{rest}"]
        if known:
            return problems.problem(405, "Method Not Allowed", f"This takes {known[0]} only.")
        return problems.problem(404, "Not Found", f"See {BASE}/openapi.json for what there is.")


def _serve(one: Endpoint) -> Callable[..., Response]:
    def serve(**path: str) -> Response:
        try:
            _slow_down(one.cost)
            found = one.handle(*_asked(one, path))
            if isinstance(found, Readings) and request.accept_mimetypes.best == arrow.MIMETYPE:
                return _answer(arrow.stream(found), one.status, arrow.MIMETYPE)
            return _answer(encode(found), one.status)
        except Wrong as error:
            return problems.of(error)
        except StoreDown as error:
            text = f"{str(error)[:1].upper()}{str(error)[1:]}."
            return problems.of(Wrong(text, status=503, wait=5))
        except RequestEntityTooLarge:
            return problems.problem(413, "Content Too Large", f"A body has at most {MAX_BODY} bytes.")
        except HTTPException as error:
            return problems.problem(error.code or 400, error.name, str(error.description))
        except Exception:
            log.exception("%s failed", request.path)
            return problems.problem(500, "Internal Server Error", "This is a fault of ours; it is in the log.")

    return serve


def _slow_down(cost: int) -> None:
    who = current()
    with _lock:
        wait = _limiter().take(who.key if who else request.remote_addr or "", time.monotonic(), cost)
    if wait:
        raise Wrong(f"At most {settings().api_rate:g} requests a second.", status=429, wait=wait)


def _asked(one: Endpoint, path: dict[str, str]) -> list[Any]:
    given = {name: request.args.getlist(name) for name in request.args}
    twice = next((name for name in path if name in given), None)
    if twice:
        raise Wrong("It is in the path already.", twice)
    found: list[Any] = [parse(one.takes, given | {name: [text] for name, text in path.items()})]
    if one.body is not None:
        request.max_content_length = MAX_BODY
        body, kind = request.get_data(), one.body
        found.append(check(lambda: msgspec.json.decode(body, type=kind)))
    return found


def _answer(body: bytes, status: int = 200, mimetype: str = "application/json") -> Response:
    """With a validator of its content; nobody but the asker may keep it, and must ask again before using it."""
    answer = Response(body, status, mimetype=mimetype)
    answer.headers["Cache-Control"] = "private, no-cache"
    answer.headers["Vary"] = "Authorization, Cookie, Accept, Accept-Encoding"
    if request.method in ("GET", "HEAD"):
        answer.add_etag(weak=True)
        answer.make_conditional(request)
    if answer.status_code == status and len(body) > LARGE and "gzip" in request.headers.get("Accept-Encoding", ""):
        answer.set_data(gzip.compress(body, 1))
        answer.headers["Content-Encoding"] = "gzip"
    return answer
