"""`weir user`, `weir token`, `weir link` and `weir open`: who may use the dashboard and its API."""

from __future__ import annotations

import getpass
import http.client
import os
import secrets
import sys
import time
import webbrowser
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, TypeVar

import msgspec
import redis
import typer
from argon2 import PasswordHasher
from redis.exceptions import RedisError
from rich.console import Console
from rich.table import Table

from deploy import status
from weir import keys
from weir.access import (
    ACCOUNT,
    LINK_S,
    MAX_PASSWORD,
    MIN_PASSWORD,
    Account,
    Accounts,
    Role,
    Tokens,
    digest,
    new_token,
)
from weir.errors import SetupError
from weir.settings import Settings, settings

T = TypeVar("T")
DAY_MS = 86_400_000

user = typer.Typer(no_args_is_help=True, help="Who may sign in to the dashboard. Passwords are asked for, or read from "
                   "standard input.")  # fmt: skip
token = typer.Typer(no_args_is_help=True, help="Keys of programs that use the API.")
console = Console(highlight=False)

Named = Annotated[str, typer.Argument(help="Small letters, digits, and . _ @ -")]
As = Annotated[Role, typer.Option("--role", help="A viewer sees everything; an operator may act on alerts.")]


def link(config: Settings, path: str = "/") -> str:
    """An address that signs in whoever opens it first, within `LINK_S`. It is a secret. Raises `SetupError`."""
    url = status.url(config).rstrip("/") + path
    if config.auth == "off":
        return url
    secret = secrets.token_urlsafe(32)
    try:
        with redis.Redis.from_url(config.redis_url, socket_timeout=3) as client:
            client.set(keys.link(digest(secret)), str(Role.OPERATOR), ex=LINK_S, nx=True)
    except RedisError as error:
        raise SetupError(f"Redis takes no link ({error}): see `weir status`") from error
    return f"{url}{'&' if '?' in path else '?'}token={secret}"


def session(config: Settings) -> str:
    """A new session of an operator, as the value of a `Cookie` header: for benches and tests. Raises `SetupError`."""
    path = link(config).removeprefix(status.url(config).rstrip("/"))
    connection = http.client.HTTPConnection(config.host, config.web_port, timeout=10)
    try:
        connection.request("GET", path)
        told = connection.getresponse().headers.get("Set-Cookie", "")
    except OSError as error:
        raise SetupError(f"the dashboard does not answer ({error}): see `weir status`") from error
    finally:
        connection.close()
    return told.partition(";")[0]


def show_link() -> None:
    """Print a link that signs you in to the dashboard, once, within 15 minutes."""
    print(link(settings()))


def open_link() -> None:
    """Open the dashboard in this machine's browser, signed in."""
    if not webbrowser.open(link(settings())):
        raise SetupError("no browser was found: use `weir link`")


@user.command("add")
def add_user(name: Named, role: As = Role.VIEWER) -> None:
    """Make an account."""
    _check_name(name)
    hashed = PasswordHasher().hash(_password())
    with _changing(settings().users_file, Accounts) as (old, write):
        if any(one.name == name for one in old.users):
            raise SetupError(f"there is an account {name} already: `weir user passwd {name}`, or remove it first")
        write(Accounts((*old.users, Account(name, role, hashed, _now()))))
    console.print(f"{name} may sign in as {role}.")


@user.command("passwd")
def set_password(name: Named) -> None:
    """Give an account another password. Its sessions end."""
    _known(name)
    hashed = PasswordHasher().hash(_password())
    with _changing(settings().users_file, Accounts) as (old, write):
        write(Accounts(tuple(
            msgspec.structs.replace(one, hash=hashed, changed=_now()) if one.name == name else one for one in old.users
        )))  # fmt: skip
    console.print(f"{name} has a new password.")


@user.command("remove")
def remove_user(name: Named) -> None:
    """Remove an account. Its sessions end."""
    _known(name)
    with _changing(settings().users_file, Accounts) as (old, write):
        write(Accounts(tuple(one for one in old.users if one.name != name)))
    console.print(f"{name} may sign in no more.")


@user.command("list")
def list_users() -> None:
    """Every account and its role."""
    table = Table("name", "role", "password set (UTC)")
    for one in _read(settings().users_file, Accounts).users:
        table.add_row(one.name, str(one.role), _utc(one.changed))
    console.print(table)


@token.command("add")
def add_token(
    name: Named,
    role: As = Role.VIEWER,
    days: Annotated[int, typer.Option(min=0, help="How long it holds; 0: until it is revoked.")] = 365,
) -> None:
    """Make a token and print it, this once: only its hash is kept."""
    _check_name(name)
    text, made = new_token(name, role, _now(), _now() + days * DAY_MS if days else 0)
    with _changing(settings().tokens_file, Tokens) as (old, write):
        if any(one.name == name for one in old.tokens):
            raise SetupError(f"there is a token {name} already: revoke it first, or choose another name")
        write(Tokens((*old.tokens, made)))
    print(text)


@token.command("revoke")
def revoke_token(name: Named) -> None:
    """End a token, by its name. It opens nothing from now on."""
    with _changing(settings().tokens_file, Tokens) as (old, write):
        kept = tuple(one for one in old.tokens if one.name != name)
        if len(kept) == len(old.tokens):
            raise SetupError(f"there is no token {name}: see `weir token list`")
        write(Tokens(kept))
    console.print(f"{name} is revoked.")


@token.command("list")
def list_tokens() -> None:
    """Every token's name, role and end; never the token."""
    table = Table("name", "role", "made (UTC)", "ends (UTC)")
    for one in _read(settings().tokens_file, Tokens).tokens:
        table.add_row(one.name, str(one.role), _utc(one.made), _utc(one.expires) if one.expires else "never")
    console.print(table)


def _check_name(name: str) -> None:
    if ACCOUNT.match(name) is None:
        raise SetupError(f"{name[:60]!r} cannot be a name: small letters, digits and . _ @ -, at most 60")


def _known(name: str) -> None:
    if all(one.name != name for one in _read(settings().users_file, Accounts).users):
        raise SetupError(f"there is no account {name[:60]!r}: see `weir user list`")


def _password() -> str:
    """Asked for twice on a terminal, else the first line of standard input; never an argument."""
    if sys.stdin.isatty():
        found = getpass.getpass("Password: ")
        if getpass.getpass("Again: ") != found:
            raise SetupError("these were two different passwords")
    else:
        found = sys.stdin.readline().rstrip("\r\n")
    if not MIN_PASSWORD <= len(found) <= MAX_PASSWORD:
        raise SetupError(f"a password has {MIN_PASSWORD} to {MAX_PASSWORD} signs")
    return found


def _read(path: Path, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except FileNotFoundError:
        return kind()
    except msgspec.DecodeError as error:
        raise SetupError(f"{path} is damaged ({error}): mend or remove it") from error


@contextmanager
def _changing(path: Path, kind: type[T]) -> Iterator[tuple[T, Callable[[msgspec.Struct], None]]]:
    """The content, and a function that replaces it whole; one at a time."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with path.with_suffix(".lock").open("w") as lock:
        import fcntl  # Windows has none, and may run every other command

        fcntl.flock(lock, fcntl.LOCK_EX)
        yield _read(path, kind), lambda content: _write(path, content)


def _write(path: Path, content: msgspec.Struct) -> None:
    beside = path.with_suffix(".new")
    beside.unlink(missing_ok=True)
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(content), indent=1) + b"\n")
    beside.replace(path)


def _now() -> int:
    return time.time_ns() // 1_000_000


def _utc(ms: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.gmtime(ms / 1000))
