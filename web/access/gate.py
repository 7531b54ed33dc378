"""Before every request: who asks, and may they? One place for pages, callbacks, assets, events and the API."""

from __future__ import annotations

import logging
from typing import Any

from flask import Flask, Response, g, redirect, request
from flask_login import current_user
from redis.exceptions import RedisError
from werkzeug.middleware.proxy_fix import ProxyFix

from web.access import addresses, bearer, login, sessions
from web.access.identity import Identity
from web.api import cors
from web.api.problems import problem
from web.security import LOOPBACK
from web.store import now_ms
from weir.access import Role
from weir.errors import SetupError
from weir.settings import settings

log = logging.getLogger("weir.web")

#: Open to everybody: whether it serves, and what signing in needs.
OPEN = frozenset({"/healthz", "/login", "/login.css"})
MAX_BODY = 8 * 1024 * 1024
_NO_PAGES = ("/api/", "/_dash", "/assets/", "/basemap/", "/events", "/_reload")
_EVERYBODY = Identity("everybody", Role.OPERATOR, "open", "everybody")


def protect(server: Flask) -> None:
    """Let nobody in who is not known. Raises `SetupError` if sign-in is off where others could reach it."""
    config = settings()
    server.config["MAX_CONTENT_LENGTH"] = MAX_BODY
    if config.web_proxies:
        server.wsgi_app = ProxyFix(server.wsgi_app, x_for=config.web_proxies, x_proto=0)  # type: ignore[method-assign]
    if config.auth == "off":
        if config.host not in LOOPBACK or config.web_name or config.web_proxies:
            raise SetupError("WEIR_AUTH=off is for a loopback address without a proxy in front: remove it")
        log.warning("WEIR_AUTH=off: whoever reaches port %s may do everything", config.web_port)
    sessions.configure(server, config)
    login.add(server)
    everybody = _EVERYBODY if config.auth == "off" else None

    @server.before_request
    def gate() -> Any:
        g.identity = None
        if request.path in OPEN:
            return None
        asked = cors.preflight()
        if asked is not None:
            return asked
        if request.method == "GET" and "token" in request.args and _is_page():
            return _by_link(request.args["token"])
        g.identity = everybody or _identify()
        return None if g.identity is not None else _refuse()


def _identify() -> Identity | None:
    """A token counts under `/api/` only, and there it goes before a cookie."""
    header = request.headers.get("Authorization")
    if header is not None and request.path.startswith("/api/"):
        return bearer.identify(header, now_ms())
    user = current_user._get_current_object()
    return user if isinstance(user, Identity) else None


def _is_page() -> bool:
    return not request.path.startswith(_NO_PAGES)


def _by_link(token: str) -> Any:
    """Sign in whoever has a link nobody has used, and go on without its token."""
    try:
        role = sessions.sessions().take_link(token) if 20 <= len(token) <= 100 else None
    except RedisError:
        return Response("Redis does not answer: try the link again in a moment.", 503, {"Retry-After": "5"})
    if role in set(Role):
        sessions.begin_by_link(Role(role))
    elif _identify() is None:
        return login.page("This link was used before, or is too old: `weir link` prints a new one.", 401)
    query = request.query_string.decode("utf-8", "replace")
    return redirect(addresses.safe_next(f"{request.path}?{query}"), 303)


def _refuse() -> Any:
    if request.method in ("GET", "HEAD") and _is_page() and request.headers.get("Sec-Fetch-Mode") in (None, "navigate"):
        return redirect(addresses.login_for(request.path, request.query_string.decode("utf-8", "replace")), 303)
    answer = problem(401, "Sign in first", "Neither a session nor a valid token came with the request.")
    answer.headers["WWW-Authenticate"] = 'Bearer realm="weir"'
    return answer
