"""The pages for signing in and out: plain HTML, without scripts."""

from __future__ import annotations

import hmac
import logging
import math
import secrets
import threading
import time
from pathlib import Path
from typing import Any

from flask import Flask, Response, make_response, redirect, render_template, request, session

from web.access import addresses, books, passwords, sessions
from web.access.identity import current
from web.access.limiter import Limiter
from web.store import now_ms
from web.units import age
from weir.access import ACCOUNT

log = logging.getLogger("weir.web")

#: Tries to sign in: five for an account, then one in 30 s; twenty for an address, then one in 6 s.
_of_account = Limiter(rate=1 / 30, burst=5)
_of_address = Limiter(rate=1 / 6, burst=20)
_lock = threading.Lock()
MAX_FORM = 16 * 1024
CSS = Path(__file__).parent.parent / "templates" / "login.css"


def add(server: Flask) -> None:
    """Add `/login`, `/login.css`, `/account` and `/logout`."""

    @server.get("/login.css")
    def login_css() -> Response:
        return Response(CSS.read_text(), mimetype="text/css", headers={"Cache-Control": "public, max-age=3600"})

    @server.get("/login")
    def login_form() -> Response:
        return page()

    @server.post("/login")
    def sign_in() -> Any:
        request.max_content_length = MAX_FORM
        if not _own_form():
            return page("This form was too old: try again.", 400)
        name = request.form.get("name", "").strip().lower()
        wait = _wait(name)
        if wait:
            return page(f"Too many tries: wait {math.ceil(wait)} s.", 429, wait)
        account = passwords.check(name, request.form.get("password", ""))
        if account is None:
            # A name that nobody has may be a password typed into the wrong field: it is not written down.
            told = name if name in books.accounts() else "a name nobody has"
            log.warning("a log-in as %s from %s failed", told, request.remote_addr)
            return page("This name and this password do not belong together.", 401)
        with _lock:
            _of_account.forgive(name)
        sessions.begin_for(account)
        return redirect(addresses.safe_next(request.form.get("next", "")), 303)

    @server.get("/account")
    def account() -> Response:
        who = current()
        left = age(session.get("until", 0) - now_ms())
        return _private(render_template("account.html", who=who, left=left, csrf=_csrf()))

    @server.post("/logout")
    def sign_out() -> Any:
        request.max_content_length = MAX_FORM
        if not _own_form():
            return redirect("/account", 303)
        sessions.end()
        return redirect("/login", 303)


def page(problem: str = "", status: int = 200, wait: float = 0.0) -> Response:
    """The log-in page, with what went wrong; it leads on to where the request wanted to go."""
    here = f"{request.path}?{request.query_string.decode('utf-8', 'replace')}"
    target = addresses.safe_next(request.values.get("next", "") if request.path == "/login" else here)
    text = render_template("login.html", problem=problem, next=target, csrf=_csrf())
    answer = _private(text, status)
    if wait:
        answer.headers["Retry-After"] = str(math.ceil(wait))
    return answer


def _wait(name: str) -> float:
    """Seconds until this address may try this name, 0 if now. A name nobody can have counts for the address alone."""
    now = time.monotonic()
    with _lock:
        wait = _of_address.take(request.remote_addr or "", now)
        if not wait and ACCOUNT.match(name):
            wait = _of_account.take(name, now)
    return wait


def _csrf() -> str:
    """The token that forms of this session carry."""
    if "csrf" not in session:
        session["csrf"] = secrets.token_urlsafe(16)
    found: str = session["csrf"]
    return found


def _own_form() -> bool:
    sent, known = request.form.get("csrf", ""), session.get("csrf", "")
    return bool(known) and hmac.compare_digest(sent.encode(), known.encode())


def _private(text: str, status: int = 200) -> Response:
    answer = make_response(text, status)
    answer.headers["Cache-Control"] = "no-store"
    return answer
