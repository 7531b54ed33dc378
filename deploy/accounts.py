"""`weir dead-letters` and `weir ledger`: what was refused, and whether all is accounted for."""

from __future__ import annotations

import json
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from deploy import dead_letters, status
from deploy.since import moment
from edge.publisher import Publisher
from weir.errors import SetupError
from weir.ledger import Minute, totals
from weir.readings import NAME
from weir.settings import Settings, settings

console = Console(highlight=False)
letters = typer.Typer(help="What was refused: list it, put mended ones back.", invoke_without_command=True)

Since = Annotated[str, typer.Option(help="90s, 15m, 2h, 7d, or an ISO time.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Reason = Annotated[str, typer.Option(help="Only those refused for this reason.")]
Limit = Annotated[int, typer.Option(help="At most so many, the newest.")]

_ABSENT = "SELECT site, sensor, absent, seq, gaps FROM sequences WHERE absent > 0 ORDER BY absent DESC, site, sensor"


@letters.callback()
def show_letters(
    context: typer.Context, since: Since = "24h", reason: Reason = "", limit: Limit = 200, as_json: Json = False
) -> None:
    """List dead letters, newest first. With --json one a line, which `replay FILE` takes back when mended."""
    if context.invoked_subcommand:
        return
    found = _letters(settings(), since, reason, limit)
    if as_json:
        for one in found:
            print(msgspec.json.encode(one).decode())
        return
    table = Table("when (UTC)", "reason", "source", "detail", "payload")
    for one in found:
        text = one.payload[:60].decode("utf-8", "backslashreplace")
        table.add_row(utc(one.at), *(escape(printable(cell)) for cell in (one.reason, one.source, one.detail, text)))
    console.print(table if found else f"nothing was refused since {since}")


@letters.command("replay")
def replay_letters(
    file: Annotated[Path | None, typer.Argument(help="Mended letters, as --json prints them.")] = None,
    since: Since = "24h",
    reason: Reason = "",
    limit: Limit = 10_000,
) -> None:
    """Publish dead letters again: those of FILE, or as they were those that match. Each only once."""
    config = settings()
    found = dead_letters.read_file(file) if file else _letters(config, since, reason, limit)
    try:
        done = dead_letters.replay(config, found)
    except OSError as error:
        raise SetupError(str(error)) from error
    console.print(f"{done.published} published again")
    for id, why in done.left:
        console.print(escape(f"left: {id}: {why}"), soft_wrap=True)
    if done.left:
        raise typer.Exit(1)


def ledger(
    since: Since = "1h",
    sensors: Annotated[bool, typer.Option("--sensors", help="Readings that never arrived, per sensor.")] = False,
    as_json: Json = False,
) -> None:
    """Per minute of arrival: received = stored + dead-lettered + duplicate. Exit code 1 if something is missing."""
    config = settings()
    now = int(time.time() * 1000)
    try:
        minutes = status.ledger(config, moment(since, now))
        absent = status.postgres_rows(config, _ABSENT, ())
    except OSError as error:
        raise SetupError(f"{error}: is Weir running? See `weir status`") from error
    found = totals(minutes, now)
    if as_json:
        print(
            json.dumps(
                {
                    "totals": {name: getattr(found, name) for name in found.__dataclass_fields__},
                    "minutes": [_minute(one, now) for one in minutes],
                    "never_arrived": [
                        {"site": site, "sensor": sensor, "readings": count, "seq": seq, "gaps": gaps}
                        for site, sensor, count, seq, gaps in absent
                    ],
                }
            )
        )
    elif sensors:
        table = Table("sensor", "never arrived", "newest seq", "gaps")
        for site, sensor, count, seq, gaps in absent:
            table.add_row(f"{site}/{sensor}", str(count), str(seq), _gaps(gaps))
        console.print(table if absent else "no sensor's counter has a gap")
    else:
        _print_minutes(minutes, now)
        console.print(", ".join(f"{name} {getattr(found, name):,}" for name in found.__dataclass_fields__))
        if absent:
            console.print(
                f"never arrived: {sum(row[2] for row in absent):,} readings of {len(absent)} sensors (--sensors)"
            )
    if found.missing:
        raise typer.Exit(1)


def retire(sensors: Annotated[list[str], typer.Argument(help="SITE/SENSOR, several of them.")]) -> None:
    """Take sensors off the map and end their alerts. What they measured stays; a later reading revives them."""
    pairs = []
    for one in sensors:
        site, _, sensor = one.partition("/")
        if not (NAME.match(site) and NAME.match(sensor)):
            raise SetupError(f"{one!r} is no SITE/SENSOR")
        pairs.append((site, sensor))
    publisher = Publisher(settings(), "weir-retire", pairs)
    publisher.retire()
    publisher.flush(threading.Event())
    publisher.close()
    console.print(f"{len(pairs)} retired")


def printable(text: str) -> str:
    """Text that cannot steer a terminal: control characters are spelled out."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def _letters(config: Settings, since: str, reason: str, limit: int) -> list[dead_letters.DeadLetterRow]:
    now = int(time.time() * 1000)
    try:
        return dead_letters.letters(config, moment(since, now), reason, limit)
    except OSError as error:
        raise SetupError(f"{error}: is Weir running? See `weir status`") from error


def _minute(one: Minute, now: int) -> dict[str, int | bool]:
    return {
        "minute": one.minute,
        "received": one.received,
        "stored": one.stored,
        "dead_lettered": one.dead_lettered,
        "duplicate": one.duplicate,
        "missing": one.missing,
        "settled": one.settled_at <= now,
    }


def _print_minutes(minutes: list[Minute], now: int) -> None:
    table = Table("minute (UTC)", "received", "stored", "dead-lettered", "duplicate", "missing")
    for one in minutes:
        gone = "…" if one.settled_at > now else f"[red]{one.missing}[/red]" if one.missing else "0"
        counts = (one.received, one.stored, one.dead_lettered, one.duplicate)
        table.add_row(utc(one.minute), *(f"{count:,}" for count in counts), gone)
    console.print(table)


def _gaps(gaps: list[list[int]]) -> str:
    return ", ".join(str(first) if first == last else f"{first}–{last}" for first, last in gaps[-5:])


def utc(ms: int) -> str:
    """A time (ms) as people read it, in UTC."""
    return f"{datetime.fromtimestamp(ms / 1000, UTC):%Y-%m-%d %H:%M:%S}"
