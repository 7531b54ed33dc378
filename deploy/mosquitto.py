"""Mosquitto's files: its configuration, the accounts of devices, what each may do; and telling it to read them anew."""

from __future__ import annotations

import getpass
import os
import re
import secrets
from collections.abc import Callable
from pathlib import Path

import msgspec

from deploy import conf
from deploy.environment import write_secret
from stream_apps.decoders import devices
from weir.errors import SetupError
from weir.readings import NAME
from weir.settings import Settings

_SPACE = re.compile(r"[\s\x00-\x1f\x7f]")


class Account(msgspec.Struct, frozen=True):
    """A device that may log in: `name` is `site/sensor`, `line` its line of the password file (a hash).

    `topics`: what it may write besides its own topics, for devices that speak other formats.
    """

    name: str
    line: str
    topics: list[str] = []


_accounts = msgspec.json.Decoder(list[Account])


def folder(config: Settings) -> Path:
    return config.home / "mosquitto"


def accounts(config: Settings) -> list[Account]:
    """Those of `<home>/mosquitto/accounts.json`, by name. Raises `SetupError`."""
    path = folder(config) / "accounts.json"
    if not path.exists():
        return []
    try:
        return sorted(_accounts.decode(path.read_bytes()), key=lambda one: one.name)
    except (OSError, msgspec.DecodeError) as error:
        raise SetupError(f"{path} cannot be read: {error}") from error


def add(config: Settings, name: str, topics: list[str]) -> str:
    """Let a device in, and return its password, which is kept nowhere. Raises `SetupError`."""
    known = {one.name: one for one in accounts(config)}
    _check(name, topics)
    if name in known:
        raise SetupError(f"{name} is there already: `weir device rotate {name}` gives it a new password")
    return _keep(config, known, name, topics)


def rotate(config: Settings, name: str) -> str:
    """Give a device a new password and return it; the old one no longer works. Raises `SetupError`."""
    known = {one.name: one for one in accounts(config)}
    return _keep(config, known, name, _known(known, name).topics)


def remove(config: Settings, name: str) -> None:
    """Let a device in no more. Raises `SetupError`."""
    known = {one.name: one for one in accounts(config)}
    _known(known, name)
    del known[name]
    _save(config, known)


def prepare(config: Settings) -> None:
    """Write what Mosquitto reads at start and, but for its configuration, again on SIGHUP."""
    where = folder(config)
    where.mkdir(parents=True, exist_ok=True)
    user = "root" if getattr(os, "geteuid", lambda: 1)() == 0 else getpass.getuser()  # Mosquitto uses it only as root
    (where / "mosquitto.conf").write_text(conf.mosquitto(config, where, user))
    write_accounts(config)


def write_accounts(config: Settings) -> None:
    """The password file and the access list."""
    found = accounts(config)
    own = conf.mosquitto_password(config.mqtt_user, config.mqtt_password, secrets.token_bytes(12))
    write_secret(folder(config) / "passwords", own + "".join(one.line for one in found))
    patterns = [rule.pattern for rule in devices.rules(config)]
    write_secret(folder(config) / "acl", conf.mosquitto_acl(config, patterns, {one.name: one.topics for one in found}))


def _keep(config: Settings, known: dict[str, Account], name: str, topics: list[str]) -> str:
    password = secrets.token_urlsafe(24)
    known[name] = Account(name, conf.mosquitto_password(name, password, secrets.token_bytes(12)), topics)
    _save(config, known)
    return password


def _save(config: Settings, known: dict[str, Account]) -> None:
    folder(config).mkdir(parents=True, exist_ok=True)
    write_secret(folder(config) / "accounts.json", msgspec.json.encode(list(known.values())).decode())
    write_accounts(config)


def _known(known: dict[str, Account], name: str) -> Account:
    try:
        return known[name]
    except KeyError:
        raise SetupError(f"there is no device {name}: `weir device list` shows them") from None


def _check(name: str, topics: list[str]) -> None:
    site, _, sensor = name.partition("/")
    if not (NAME.match(site) and NAME.match(sensor)):
        raise SetupError(f"{name!r} is no SITE/SENSOR: lower-case letters, digits, _ and -, one slash between")
    for topic in topics:
        if not topic or _SPACE.search(topic) or topic.startswith(("$", "weir/", "#", "+")):
            raise SetupError(f"{topic!r} is no topic a device may be given: it must begin with its own format's name")


def telling(signal: Callable[[str, str], object]) -> None:
    """Have the running Mosquitto read its accounts anew. `signal(name, number)` reaches a supervised process."""
    signal("mosquitto", "HUP")
