"""`weir tail`, `weir sensors`, `weir query`: readings in the terminal."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from fnmatch import fnmatchcase
from typing import Annotated, Any

import msgspec
import numpy as np
import redis
import typer
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError
from redis.exceptions import RedisError
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from deploy import history
from deploy.accounts import printable, utc
from deploy.export import RELATION
from deploy.since import moment
from deploy.status import postgres_rows
from weir import connections, keys, topics
from weir.errors import Refused, SetupError
from weir.live import Latest
from weir.readings import Reading, decode_frame
from weir.settings import Settings, settings

console = Console(highlight=False)
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Site = Annotated[str, typer.Option(help="A site; `*` stands for anything.")]
Metric = Annotated[str, typer.Option(help="A metric; `*` stands for anything.")]

BARS = "▁▂▃▄▅▆▇█"
WIDTH = 60
_AWAY = "is Weir running? See `weir status`"
_SENSORS = """
SELECT site, sensor, kind, name, lat, lon, state, metrics, extract(epoch FROM seen) * 1000
FROM sensors ORDER BY site, sensor"""
_BUCKETS = f"""
SELECT width_bucket(extract(epoch FROM ts) * 1000, %s, %s, %s) AS b, avg(value) FROM {RELATION}
GROUP BY b ORDER BY b"""  # noqa: S608
_SUMMARY = f"""
SELECT count(*), avg(value), min(value), max(value), stddev_samp(value),
       (array_agg(value ORDER BY ts DESC))[1], extract(epoch FROM max(ts)) * 1000 FROM {RELATION}"""  # noqa: S608
_UNIT = "SELECT metrics -> %s ->> 'unit' FROM sensors WHERE site = %s AND sensor = %s"


def tail(
    site: Site = "*",
    sensor: Annotated[str, typer.Option(help="A sensor; `*` stands for anything.")] = "*",
    metric: Metric = "*",
    count: Annotated[int, typer.Option(help="Stop after so many readings; 0: never.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """Readings as they come. `~` marks a time that is that of receipt, `<` history."""
    try:
        asyncio.run(_tail(settings(), (site, sensor, metric), count, as_json))
    except (KafkaError, OSError) as error:
        if isinstance(error, BrokenPipeError):
            return
        raise SetupError(f"Kafka does not answer ({error}): {_AWAY}") from error
    except KeyboardInterrupt:
        return


async def _tail(config: Settings, wanted: tuple[str, str, str], count: int, as_json: bool) -> None:
    shown = 0
    async for reading in follow(config):
        found = chosen(reading, *wanted)
        if found is None:
            continue
        print(msgspec.json.encode(found).decode() if as_json else line(found), flush=True)
        shown += 1
        if shown == count:
            return


async def follow(config: Settings) -> AsyncIterator[Reading]:
    """Every reading from now on, as Kafka gets it. Belongs to no group: nothing is committed."""
    consumer = AIOKafkaConsumer(**connections.aiokafka(config), enable_auto_commit=False, fetch_max_wait_ms=100)
    await consumer.start()
    try:
        places = [TopicPartition(topics.READINGS, n) for n in range(config.partitions)]
        consumer.assign(places)
        await consumer.seek_to_end(*places)
        async for record in consumer:
            try:
                frame = decode_frame(record.value or b"")
            except Refused:
                continue  # the archive makes a dead letter of it
            for reading in frame:
                yield reading
    finally:
        await consumer.stop()


def chosen(reading: Reading, site: str, sensor: str, metric: str) -> Reading | None:
    """The reading with the metrics that are wanted; None if it is not (pure)."""
    if not (fnmatchcase(reading.site, site) and fnmatchcase(reading.sensor, sensor)):
        return None
    metrics = {name: value for name, value in reading.metrics.items() if fnmatchcase(name, metric)}
    return msgspec.structs.replace(reading, metrics=metrics) if metrics else None


def line(reading: Reading) -> str:
    """One reading as a line (pure)."""
    mark = "<" if reading.hist else "~" if reading.stamped else " "
    values = "  ".join(f"{name} {value:g}" for name, value in reading.metrics.items())
    return printable(f"{utc(reading.ts)}.{reading.ts % 1000:03d}{mark} {reading.site}/{reading.sensor}  {values}")


def sensors(
    site: Site = "*",
    unplaced: Annotated[bool, typer.Option("--unplaced", help="Only those without a position.")] = False,
    as_json: Json = False,
) -> None:
    """Every sensor: where it is, what it measures, when it was heard last."""
    config, now = settings(), int(time.time() * 1000)
    try:
        rows = postgres_rows(config, _SENSORS, ())
        latest = _latest(config)
    except (OSError, RedisError) as error:
        raise SetupError(f"{error}: {_AWAY}") from error
    found = [_sensor(row, latest) for row in rows if fnmatchcase(row[0], site)]
    if unplaced:
        found = [one for one in found if one["lat"] is None]
    if as_json:
        print(json.dumps(found))
        return
    table = Table("sensor", "name", "kind", "position", "measures", "last heard")
    for one in found:
        position = "[yellow]none[/yellow]" if one["lat"] is None else f"{one['lat']:.5f}, {one['lon']:.5f}"
        heard = "never" if one["ts"] is None else f"{ago(now - one['ts'])} ago"
        names = ", ".join(one["metrics"])
        cells = (f"{one['site']}/{one['sensor']}", one["name"], one["kind"])
        table.add_row(*(escape(printable(cell)) for cell in cells), position, escape(printable(names)), heard)
    console.print(table)
    without = sum(one["lat"] is None for one in found)
    console.print(f"{len(found):,} sensors" + (f", {without:,} without a position (`weir place`)" if without else ""))


def _latest(config: Settings) -> dict[str, Latest]:
    with redis.Redis.from_url(config.redis_url, socket_timeout=5) as client:
        held: Any = client.hgetall(keys.LATEST)
    return {key.decode(): msgspec.json.decode(value, type=Latest) for key, value in held.items()}


def _sensor(row: tuple[Any, ...], latest: dict[str, Latest]) -> dict[str, Any]:
    site, sensor, kind, name, lat, lon, state, metrics, _ = row
    last = latest.get(f"{site}/{sensor}")
    measures = sorted({*metrics, *(last.metrics if last else ())})
    return {
        "site": site, "sensor": sensor, "kind": kind, "name": name, "lat": lat, "lon": lon, "state": state,
        "metrics": measures, "ts": last.ts if last else None, "values": last.metrics if last else {},
    }  # fmt: skip


def query(
    sensor: Annotated[str, typer.Argument(help="SITE/SENSOR")],
    metric: str,
    last: Annotated[str, typer.Option(help="15m, 24h, 7d, or an ISO time.")] = "24h",
    as_json: Json = False,
) -> None:
    """One series in a line: its course, its numbers."""
    config, now = settings(), int(time.time() * 1000)
    since = moment(last, now)
    try:
        (one, *_) = history.series(config, sensor, metric)
        buckets = postgres_rows(config, _BUCKETS, (since, now, WIDTH, one.id, since, now))
        ((count, *numbers),) = postgres_rows(config, _SUMMARY, (one.id, since, now))
        units = postgres_rows(config, _UNIT, (one.metric, one.site, one.sensor))
    except OSError as error:
        raise SetupError(f"{error}: {_AWAY}") from error
    unit = units[0][0] or "" if units else ""
    values: list[float | None] = [None] * WIDTH
    for place, mean in buckets:
        values[min(max(int(place), 1), WIDTH) - 1] = float(mean)
    mean, low, high, spread, newest, at = (None if one is None else float(one) for one in numbers)
    if as_json:
        print(
            json.dumps(
                {
                    "series": str(one), "unit": unit, "from": since, "to": now, "n": count, "mean": mean, "min": low,
                    "max": high, "stddev": spread, "last": newest, "last_ts": at, "course": values,
                }
            )
        )  # fmt: skip
        return
    console.print(escape(printable(f"{one} {unit}, {utc(since)} to {utc(now)} UTC")), soft_wrap=True)
    if not count or newest is None or at is None:
        console.print(f"no readings since {last}")
        return
    console.print(sparkline(values), soft_wrap=True)
    console.print(
        f"{count:,} readings: last {newest:g} ({ago(now - int(at))} ago), mean {mean:g}, min {low:g}, max {high:g}"
        + (f", standard deviation {spread:.3g}" if spread is not None else "")
    )


def sparkline(values: list[float | None]) -> str:
    """Values as bars of eight heights, a blank where there is none; all alike: the middle one (pure).

    >>> sparkline([1, 2, None, 8])
    '▁▂ █'
    """
    known = np.array([value for value in values if value is not None], dtype=np.float64)
    if not len(known):
        return " " * len(values)
    low, high = float(known.min()), float(known.max())
    # Halved first: the span of two large floats may be none.
    span = high / 2 - low / 2
    if not span:
        return "".join(" " if value is None else BARS[3] for value in values)
    steps = len(BARS) - 1
    return "".join(" " if value is None else BARS[round((value / 2 - low / 2) / span * steps)] for value in values)


def ago(ms: int) -> str:
    """An age in its largest unit (pure).

    >>> ago(90_000), ago(0), ago(5 * 86_400_000)
    ('1 min', '0 s', '5 d')
    """
    seconds = max(0, ms) // 1000
    for size, name in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size} {name}"
    return f"{seconds} s"
