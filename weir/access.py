"""Who may use the dashboard and its API: roles, the files that name people and tokens, and their checks (pure).

People are in `<home>/users.json`, tokens of programs in `<home>/tokens.json`, both mode 0600, written by `weir user`
and `weir token` and only read by the web. Neither holds a secret in the clear: passwords are argon2id hashes, and of
tokens, which are 256 random bits, the SHA-256 is kept.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from enum import StrEnum

import msgspec

#: How an account or a token may be named.
ACCOUNT = re.compile(r"[a-z0-9][a-z0-9._@-]{0,59}\Z")
MIN_PASSWORD = 10
MAX_PASSWORD = 1024
#: How long a one-time link holds.
LINK_S = 15 * 60
_TOKEN = re.compile(r"weir_([0-9a-f]{12})_([0-9A-Za-z_-]{43})\Z")


class Role(StrEnum):
    """A viewer sees everything; an operator may also acknowledge, shelve and comment."""

    VIEWER = "viewer"
    OPERATOR = "operator"


class Account(msgspec.Struct, frozen=True):
    """A person. `hash`: argon2id, as argon2-cffi writes it; `changed`: when (ms)."""

    name: str
    role: Role
    hash: str
    changed: int

    @property
    def stamp(self) -> str:
        """Changes with the password and the role: a session that carries another one is over."""
        return hashlib.sha256(f"{self.role}:{self.hash}".encode()).hexdigest()[:16]


class Token(msgspec.Struct, frozen=True):
    """A program's key. `hash`: hex SHA-256 of its secret part; `expires` (ms), 0: never."""

    id: str
    name: str
    role: Role
    hash: str
    made: int
    expires: int = 0


class Accounts(msgspec.Struct, frozen=True):
    """The content of `users.json`."""

    users: tuple[Account, ...] = ()


class Tokens(msgspec.Struct, frozen=True):
    """The content of `tokens.json`."""

    tokens: tuple[Token, ...] = ()


def new_token(name: str, role: Role, now: int, expires: int = 0) -> tuple[str, Token]:
    """The text for its holder, which is nowhere else, and what is kept of it."""
    number, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
    return f"weir_{number}_{secret}", Token(number, name, role, digest(secret), now, expires)


def split_token(text: str) -> tuple[str, str] | None:
    """The id and the secret of a token; None if it cannot be one."""
    found = _TOKEN.match(text)
    return (found[1], found[2]) if found else None


def fits(token: Token, secret: str, now: int) -> bool:
    """Does `secret` open `token` at `now` (ms)? Compared in constant time."""
    same = hmac.compare_digest(token.hash, digest(secret))
    return same and (token.expires == 0 or now < token.expires)


def digest(secret: str) -> str:
    """Hex SHA-256: enough for secrets of 256 random bits, which nobody can try out."""
    return hashlib.sha256(secret.encode()).hexdigest()
