"""Which addresses a browser may be sent to after it has signed in (pure)."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlencode, urlsplit

HOME = "/"
#: Three times as long when it is quoted as `next`: gunicorn takes lines of 4094.
MAX_LENGTH = 1200
_NEVER = ("/login", "/logout")


def safe_next(target: str) -> str:
    """`target` if it is a path on this server, else `/`. A one-time token in it is left out.

    Browsers read a backslash as a slash and skip tabs and line ends, so that `/\\evil.example` would leave.
    """
    if not target.startswith("/") or target.startswith("//") or len(target) > MAX_LENGTH:
        return HOME
    if any(sign <= " " or sign in "\\\x7f" for sign in target):
        return HOME
    try:
        parts = urlsplit(target)
    except ValueError:
        return HOME
    if parts.scheme or parts.netloc or parts.path.startswith(("//", *_NEVER)):
        return HOME
    return without_token(parts.path, parts.query)


def without_token(path: str, query: str) -> str:
    """The address with all its parameters but `token`."""
    kept = [(name, value) for name, value in parse_qsl(query, keep_blank_values=True) if name != "token"]
    return f"{path}?{urlencode(kept, safe=',:/')}" if kept else path


def login_for(path: str, query: str) -> str:
    """Where to sign in, to come back to this address."""
    target = safe_next(f"{path}?{query}" if query else path)
    return "/login" if target == HOME else "/login?" + urlencode({"next": target})
