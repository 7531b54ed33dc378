"""Tokens of programs: `Authorization: Bearer weir_...`."""

from __future__ import annotations

from web.access import books
from web.access.identity import Identity
from weir.access import fits, split_token


def identify(header: str, now: int) -> Identity | None:
    """Whose token the header carries at `now` (ms); None if nobody's."""
    scheme, _, text = header.partition(" ")
    parts = split_token(text.strip()) if scheme.lower() == "bearer" else None
    if parts is None:
        return None
    number, secret = parts
    token = books.tokens().get(number)
    if token is None or not fits(token, secret, now):
        return None
    return Identity(token.name, token.role, "token", f"token:{number}")
