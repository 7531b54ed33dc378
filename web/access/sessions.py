"""Sessions in a browser: begun by a password or a one-time link, ended by time, by signing out or with the account."""

from __future__ import annotations

import logging
import math
import secrets
import threading
import time
from typing import Any

import redis
from flask import Flask, Request, g, session
from flask.sessions import SecureCookieSessionInterface
from flask_login import LoginManager, login_user, logout_user
from redis.exceptions import RedisError

from web.access import books
from web.access.identity import Identity
from web.store import now_ms
from weir import keys
from weir.access import Account, Role, digest
from weir.settings import Settings, settings

log = logging.getLogger("weir.web")

LOOK_S = 5.0
LINK_NAME = "local"
KEPT = 1000
KEEP_S = 60.0


class Sessions:
    """What of sessions is kept outside the browser: which were signed out, and which links were not used yet."""

    def __init__(self, url: str) -> None:
        self._redis: Any = redis.Redis.from_url(url, socket_timeout=1, socket_connect_timeout=1)
        self._ended: dict[str, int] = {}  # id -> from when on (ms) it would be over anyway
        self._looked = -math.inf
        self._looking = threading.Lock()

    def take_link(self, token: str) -> str | None:
        """What a one-time link may do, and it can do so no more; None if it is used or too old. Raises `RedisError`."""
        found = self._redis.getdel(keys.link(digest(token)))
        return found.decode() if found else None

    def end(self, sid: str, until: int) -> None:
        """Never again, here at once, in other processes within `LOOK_S`. Raises `RedisError`: then only here."""
        self._ended[sid] = until
        self._redis.zadd(keys.ENDED_SESSIONS, {sid: until})

    def ended(self, sid: str) -> bool:
        """Was it signed out? While Redis is away the answer is of when it was last there."""
        first = self._looked == -math.inf
        if time.monotonic() - self._looked > LOOK_S and self._looking.acquire(blocking=first):
            try:
                self._look()
            except RedisError as error:
                log.warning("which sessions were signed out cannot be read (%s)", error)
            finally:
                self._looked = time.monotonic()
                self._looking.release()
        return sid in self._ended

    def _look(self) -> None:
        now = now_ms()
        pipe = self._redis.pipeline(transaction=False)
        pipe.zremrangebyscore(keys.ENDED_SESSIONS, 0, now)
        pipe.zrange(keys.ENDED_SESSIONS, 0, -1, withscores=True)
        found = {sid.decode(): int(until) for sid, until in pipe.execute()[1]}
        self._ended = {sid: until for sid, until in {**self._ended, **found}.items() if until > now}


_sessions: Sessions | None = None
_making = threading.Lock()


def sessions() -> Sessions:
    """Of this process, made at first use."""
    global _sessions
    with _making:
        if _sessions is None:
            _sessions = Sessions(settings().redis_url)
        return _sessions


def cookie_name(config: Settings) -> str:
    """Of this installation alone: cookies ignore ports, so two on one machine would overwrite each other's."""
    own = digest(f"cookie:{config.web_secret}")[:10] if config.web_secret else str(config.web_port)
    return f"__Host-weir-{own}" if config.web_tls else f"weir-{own}"


class _Quick(SecureCookieSessionInterface):
    """Remembers for a minute what a cookie says: a page that polls would have its signature worked out each time.

    Only what was signed by us is remembered, at most `KEPT` of it. Whether it still holds is asked each time (`_load`).
    """

    def __init__(self) -> None:
        self._kept: dict[str, tuple[float, dict[str, Any]]] = {}

    def open_session(self, app: Flask, request: Request) -> Any:
        text, now = request.cookies.get(self.get_cookie_name(app), ""), time.monotonic()
        kept = self._kept.get(text)
        if kept is not None and now < kept[0]:
            return self.session_class(kept[1])
        opened = super().open_session(app, request)
        if opened:
            if len(self._kept) >= KEPT:
                self._kept.clear()
            self._kept[text] = (now + KEEP_S, dict(opened))
        return opened


def configure(server: Flask, config: Settings) -> None:
    """Flask's session and Flask-Login. Its guard by address and browser is off: phones change their address."""
    if not config.web_secret:
        log.warning("WEIR_WEB_SECRET is not set: sessions end with this process")
    server.secret_key = config.web_secret or secrets.token_urlsafe(32)
    server.session_interface = _Quick()
    server.config.update(
        SESSION_COOKIE_NAME=cookie_name(config),
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_COOKIE_SECURE=config.web_tls,
        SESSION_COOKIE_PATH="/",
        SESSION_REFRESH_EACH_REQUEST=False,
        PERMANENT_SESSION_LIFETIME=config.session_hours * 3600,
    )
    manager = LoginManager()
    manager.session_protection = None
    manager.user_loader(_load)
    manager.init_app(server)


def begin_for(account: Account) -> Identity:
    """Sign `account` in, in a session of its own."""
    return _begin(Identity(account.name, account.role, "account", ""), account.stamp)


def begin_by_link(role: Role) -> Identity:
    """Sign in whoever had the link."""
    return _begin(Identity(LINK_NAME, role, "link", ""), str(role))


def _begin(who: Identity, stamp: str) -> Identity:
    """A new session with a new id: what was known of the old one, to anybody, is worth nothing."""
    _end_old()
    session.clear()
    session.permanent = True
    session["sid"] = secrets.token_urlsafe(16)
    session["stamp"] = stamp
    session["until"] = now_ms() + settings().session_hours * 3_600_000
    login_user(who)
    session.pop("_id", None)  # a digest of the browser's name and address, for the guard that is off
    g.identity = _load(who.get_id())
    return who


def end() -> None:
    """Sign out: the cookie goes, and a copy of it opens nothing."""
    _end_old()
    logout_user()
    session.clear()


def _end_old() -> None:
    sid, until = session.get("sid"), session.get("until", 0)
    if not sid:
        return
    try:
        sessions().end(sid, int(until))
    except RedisError as error:
        log.warning("a session was signed out in this process only (%s)", error)


def _load(user_id: str) -> Identity | None:
    """Who a session is of, while it holds. The session's content is signed: it is ours."""
    sid = session.get("sid", "")
    if not sid or session.get("until", 0) < now_ms() or sessions().ended(sid):
        return None
    how, _, name = user_id.partition(":")
    if how == "link":
        return Identity(name, Role(session["stamp"]), how, sid)
    account = books.accounts().get(name)
    if account is None or account.stamp != session.get("stamp"):
        return None
    return Identity(name, account.role, how, sid)
