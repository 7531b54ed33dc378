"""`weir discover`: listen to a broker, tell which formats it carries, and write the settings that read them."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import msgspec
import paho.mqtt.client as mqtt
import typer
from paho.mqtt.enums import CallbackAPIVersion
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table

from deploy import foreign
from deploy.accounts import printable
from stream_apps import broker
from stream_apps.broker import Broker
from stream_apps.decoders import Registry, Rule, devices
from stream_apps.decoders.recognise import Message, rules_for
from weir.errors import Refused, SetupError
from weir.readings import parse_data
from weir.settings import settings

console = Console(highlight=False)
#: Kept of what is heard: enough to tell a format, not enough to fill the memory.
PER_TOPIC = 20
TOPICS = 20_000
MOST_BYTES = 64 * 1024 * 1024
CONNECT_S = 10.0


@dataclass
class Heard:
    """What came in a while. `kept`: the first messages of each topic, in the order of arrival."""

    count: int = 0
    kept: list[Message] = field(default_factory=list)
    topics: dict[str, int] = field(default_factory=dict)
    size: int = 0

    def take(self, topic: str, payload: bytes) -> None:
        self.count += 1
        seen = self.topics.get(topic, 0)
        if seen >= PER_TOPIC or self.size > MOST_BYTES or (not seen and len(self.topics) >= TOPICS):
            return
        self.topics[topic] = seen + 1
        self.size += len(payload) + len(topic)
        self.kept.append(Message(topic, payload))


@dataclass
class Found:
    """What one format would bring."""

    name: str
    patterns: list[str]
    messages: int = 0
    readings: int = 0
    sensors: set[str] = field(default_factory=set)
    metrics: set[str] = field(default_factory=set)
    refused: dict[str, int] = field(default_factory=dict)
    detail: str = ""

    def as_dict(self) -> dict[str, object]:
        return {
            "format": self.name, "patterns": self.patterns, "messages": self.messages, "readings": self.readings,
            "sensors": sorted(self.sensors), "metrics": sorted(self.metrics), "refused": self.refused,
        }  # fmt: skip


def listen(at: Broker, seconds: float, filters: list[str], told: threading.Event | None = None) -> Heard:
    """Everything a broker sends in a while, what it retains first. Raises `SetupError` where it does not answer."""
    heard = Heard()
    connected = threading.Event()
    problem: list[str] = []
    client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
    at.prepare(client)

    def on_connect(client: mqtt.Client, userdata: object, flags: object, reason: object, properties: object) -> None:
        if getattr(reason, "is_failure", False):
            problem.append(str(reason))
        else:
            client.subscribe([(one, 0) for one in filters])
        connected.set()

    def on_message(client: mqtt.Client, userdata: object, raw: mqtt.MQTTMessage) -> None:
        try:
            heard.take(raw.topic, bytes(raw.payload))
        except UnicodeDecodeError:
            return  # such a topic cannot be named in a rule

    client.on_connect, client.on_message = on_connect, on_message
    try:
        client.connect(at.host, at.port, keepalive=30)
    except OSError as error:
        raise SetupError(f"{at} does not answer: {error}") from error
    client.loop_start()
    try:
        if not connected.wait(CONNECT_S) or problem:
            raise SetupError(f"{at} refuses the connection: {problem[0] if problem else 'no answer'}")
        (told or threading.Event()).wait(seconds)
    finally:
        client.disconnect()
        client.loop_stop()
    return heard


def judged(messages: Iterable[Message], rules: list[Rule], rx: int) -> tuple[list[Found], dict[str, int]]:
    """What rules make of messages, by format, and the topics that none reads (pure)."""
    registry = Registry(rules)
    found: dict[str, Found] = {}
    unread: dict[str, int] = {}
    for topic, payload in messages:
        channel = registry.find(topic)
        if channel is None and not topic.startswith("weir/"):
            unread[topic] = unread.get(topic, 0) + 1
            continue
        name = channel.name if channel else "weir"
        one = found.setdefault(name, Found(name, []))
        one.messages += 1
        try:
            if channel is not None:
                one.patterns = channel.patterns if not one.patterns else sorted({*one.patterns, *channel.patterns})
                readings = channel.decode(topic, payload, rx).readings
            else:
                one.patterns = ["weir/#"]
                levels = topic.split("/")
                is_data = len(levels) == 4 and levels[3] == "data"
                readings = parse_data(levels[1], levels[2], payload, rx) if is_data else []
        except Refused as refusal:
            one.refused[str(refusal.reason)] = one.refused.get(str(refusal.reason), 0) + 1
            one.detail = refusal.detail
            continue
        one.readings += len(readings)
        for reading in readings:
            one.sensors.add(f"{reading.site}/{reading.sensor}")
            one.metrics.update(reading.metrics)
    return list(found.values()), unread


def new_rules(messages: list[Message], known: list[Rule]) -> list[Rule]:
    """The rules to be added to those that are there already (pure)."""
    registry = Registry(known)
    patterns = {rule.pattern for rule in known}
    unread = [one for one in messages if registry.find(one.topic) is None]
    return [rule for rule in rules_for(unread) if rule.pattern not in patterns]


def discover(
    url: Annotated[
        str, typer.Option("--broker", help="mqtt[s]://[user@]host[:port]; the local one if not given.")
    ] = "",
    seconds: Annotated[float, typer.Option(help="How long to listen.")] = 20.0,
    filters: Annotated[list[str] | None, typer.Option("--filter", help="Topics to listen to.")] = None,
    password_file: foreign.PasswordFile = None,
    ca: foreign.Ca = None,
    write: Annotated[bool, typer.Option("--write", help="Add the rules to the settings file.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Listen to a broker, show what would be ingested, and with --write put the rules into devices.json."""
    config = settings()
    at = foreign.chosen(url, password_file, ca) if url else broker.local(config)
    path = config.devices_file
    known = devices.read(path) if path.exists() else []
    heard = _listened(at, seconds, filters or ["#"], quiet=as_json)
    added = new_rules(heard.kept, known)
    found, unread = judged(heard.kept, [*known, *added], time.time_ns() // 1_000_000)
    if as_json:
        about = {"heard": heard.count, "formats": [one.as_dict() for one in found], "unread": sorted(unread)}
        print(json.dumps({**about, "rules": msgspec.to_builtins(added)}))
    else:
        _show(heard, found, unread)
    if write and added:
        write_rules(path, [*known, *added])
    if not as_json:
        _tell(path, added, write)


def _listened(at: Broker, seconds: float, filters: list[str], quiet: bool) -> Heard:
    stop = threading.Event()
    shown = Progress(TextColumn(f"listening to {at}"), BarColumn(), console=console, transient=True)
    with shown if not quiet and console.is_terminal else Progress(disable=True) as progress:
        task = progress.add_task("", total=seconds)
        done = threading.Event()

        def tick() -> None:
            while not done.wait(0.25):
                progress.advance(task, 0.25)

        ticking = threading.Thread(target=tick, daemon=True)
        ticking.start()
        try:
            return listen(at, seconds, filters, stop)
        finally:
            done.set()
            ticking.join()


def write_rules(path: Path, rules: list[Rule]) -> None:
    """Write the settings file anew; the one before is kept beside it. Raises `SetupError`."""
    lines = ",\n  ".join(json.dumps(msgspec.to_builtins(rule), ensure_ascii=False) for rule in rules)
    beside = path.with_suffix(".new")
    try:
        beside.write_text(f"[\n  {lines}\n]\n")
        if path.exists():
            path.replace(path.with_suffix(".json.before"))
        beside.replace(path)
    except OSError as error:
        raise SetupError(f"{path} cannot be written: {error.strerror}") from error


def _show(heard: Heard, found: list[Found], unread: dict[str, int]) -> None:
    console.print(f"{heard.count:,} messages on {len(heard.topics):,} topics")
    table = Table("format", "topics", "messages", "readings", "sensors", "metrics", "refused")
    for one in sorted(found, key=lambda each: -each.readings):
        refused = ", ".join(f"{reason} {count}" for reason, count in one.refused.items())
        table.add_row(
            one.name, _few(one.patterns), f"{one.messages:,}", f"{one.readings:,}", _few(sorted(one.sensors)),
            _few(sorted(one.metrics)), escape(printable(f"{refused}: {one.detail}" if refused else "")),
        )  # fmt: skip
    if found:
        console.print(table)
    if unread:
        console.print(f"not recognised: {_few(sorted(unread), 8)}", soft_wrap=True)


def _few(names: list[str], most: int = 4) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return escape(printable(", ".join(names[:most]) + more))


def _tell(path: Path, added: list[Rule], written: bool) -> None:
    if not added:
        console.print("nothing to add to the settings")
        return
    if written:
        console.print(f"{len(added)} rules added to {path}: they hold from the next `weir up` on", soft_wrap=True)
        return
    console.print("rules that read it (--write puts them into the settings file):")
    for rule in added:
        console.print(escape(printable(json.dumps(msgspec.to_builtins(rule)))), soft_wrap=True)
