"""`weir explain`, `weir redetect`, `weir alerts`: why something was flagged, what would be, and what is wrong now."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Annotated, Any

import msgspec
import redis
import typer
from redis.exceptions import RedisError
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from deploy import history
from deploy.accounts import printable, utc
from deploy.since import moment
from weir import keys
from weir.errors import SetupError
from weir.events import Alert, Flag
from weir.settings import Settings, settings

console = Console(highlight=False)
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]

WORDS = {
    "level": "the reading itself",
    "mean12": "the mean of the last 12 readings",
    "lstd12": "ln of the standard deviation of the last 12 readings",
    "lstd24": "ln of the standard deviation of the last 24 readings",
    "hour": "the reading, for this hour of the day",
    "step": "the reading, against the 11 before it",
    "jump": "the reading, against the one before it",
}
_SEVERITIES = ("info", "warning", "critical")


def explain(
    sensor: Annotated[str, typer.Argument(help="SITE/SENSOR")],
    metric: str,
    at: Annotated[str, typer.Option(help="ISO time, or 15m, 2h ...: the flag nearest to it.")] = "now",
    as_json: Json = False,
) -> None:
    """Why a reading was flagged: the fence as it was at that moment. Without a flag there, what the fences say now."""
    config = settings()
    when = moment(at, _now())
    try:
        (one, *_) = history.series(config, sensor, metric)
        flags = history.stored_flags(config, one, when - 3_600_000, when + 3_600_000)
        again = not flags
        if again:
            _, flags = history.redetect(config, one, when - 3_600_000, when + 60_000, [])
    except OSError as error:
        raise SetupError(f"{error}: is Weir running? See `weir status`") from error
    flag = min(flags, key=lambda found: abs(found.ts - when), default=None)
    if as_json:
        print(json.dumps({"flag": msgspec.to_builtins(flag) if flag else None, "judged_again": again}))
    elif flag is None:
        console.print(f"{escape(str(one))} was not flagged within an hour of {utc(when)}")
    else:
        console.print(escape(told(flag)), soft_wrap=True)
        if again:
            console.print("(judged again from history: it was not flagged live)")


def told(flag: Flag) -> str:
    """A flag in words (pure)."""
    head = f"{flag.site}/{flag.sensor} {flag.metric} {flag.value:g} at {utc(flag.ts)} UTC"
    tail = f"detector {flag.detector} version {flag.version}"
    if flag.feature == "flat":
        return f"{head}: stuck, {flag.score:g} repetitions more than the {flag.high:g} that are usual at most; {tail}"
    if flag.feature == "limit":
        return f"{head}: outside what the sensor can measure, {flag.low:g} to {flag.high:g}; {tail}"
    what = WORDS.get(flag.feature, flag.feature)
    return (
        f"{head}: {what} left the fence {flag.low:g} to {flag.high:g} by {flag.score:g} IQRs; quartiles {flag.q1:g} "
        f"and {flag.q3:g} of {flag.window} values; {tail}"
    )


def redetect(
    since: Annotated[str, typer.Option("--from", help="15m, 2h, 7d, or an ISO time.")] = "24h",
    until: Annotated[str, typer.Option("--to", help="The same.")] = "now",
    sensor: Annotated[str, typer.Option(help="SITE/SENSOR; `*` stands for anything.")] = "",
    metric: Annotated[str, typer.Option(help="A metric; `*` stands for anything.")] = "",
    changed: Annotated[list[str] | None, typer.Option("--set", help="NAME=VALUE of a parameter.")] = None,
    as_json: Json = False,
) -> None:
    """Run history through the detector: what would have been flagged. Live flags and alerts stay as they are."""
    config, now = settings(), _now()
    start, end = moment(since, now), moment(until, now)
    overrides = history.override(_pairs(changed or []))
    table = Table("series", "readings", "flags", "live flags")
    found: list[dict[str, Any]] = []
    try:
        for one in history.series(config, sensor, metric):
            count, flags = history.redetect(config, one, start, end, overrides)
            live = len(history.stored_flags(config, one, start, end))
            found.append({"series": str(one), "readings": count, "live_flags": live,
                          "flags": [msgspec.to_builtins(flag) for flag in flags]})  # fmt: skip
            if flags or live:
                table.add_row(escape(str(one)), f"{count:,}", str(len(flags)), str(live))
    except OSError as error:
        raise SetupError(f"{error}: is Weir running? See `weir status`") from error
    if as_json:
        print(json.dumps(found))
        return
    console.print(table)
    flagged, readings = sum(len(one["flags"]) for one in found), sum(one["readings"] for one in found)
    console.print(f"{len(found)} series, {readings:,} readings, {flagged} flags")


def alerts(
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on and tell every change.")] = False,
    severity: Annotated[str, typer.Option(help="At least this: info, warning or critical.")] = "info",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """The alerts that are active or that nobody has acknowledged."""
    if severity not in _SEVERITIES:
        raise SetupError(f"--severity is one of {', '.join(_SEVERITIES)}")
    config = settings()
    least = _SEVERITIES.index(severity)
    try:
        for alert in _alerts(config, follow):
            if _SEVERITIES.index(alert.severity) < least:
                continue
            print(msgspec.json.encode(alert).decode() if as_json else _line(alert), flush=True)
    except RedisError as error:
        raise SetupError(f"Redis does not answer ({error}): is Weir running? See `weir status`") from error
    except KeyboardInterrupt:
        return


def _alerts(config: Settings, follow: bool) -> Iterator[Alert]:
    """Every live alert, and with `follow` each again whenever it has changed."""
    told: dict[str, int] = {}
    decoder = msgspec.json.Decoder(Alert)
    with redis.Redis.from_url(config.redis_url, socket_timeout=5) as client:
        while True:
            values: Any = client.hvals(keys.LIVE_ALERTS)
            live = sorted((decoder.decode(value) for value in values), key=lambda alert: (alert.at, alert.id))
            yield from (alert for alert in live if told.get(alert.id, 0) < alert.n)
            told = {alert.id: alert.n for alert in live}
            if not follow:
                return
            time.sleep(1)


def _line(alert: Alert) -> str:
    where = "/".join(part for part in (alert.site, alert.sensor) if part)
    state = alert.state.value + ("" if alert.acknowledged else ", unacknowledged")
    text = f"{utc(alert.at)}  {alert.severity:8}  {alert.rule:8}  {where}  {alert.metric}  {alert.text}  ({state})"
    return printable(text)


def _pairs(changed: list[str]) -> dict[str, float]:
    try:
        return {name: float(value) for name, _, value in (one.partition("=") for one in changed)}
    except ValueError as error:
        raise SetupError(f"--set takes NAME=VALUE with a number: {error}") from None


def _now() -> int:
    return int(time.time() * 1000)
