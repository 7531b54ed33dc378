"""`weir place` and `weir edit`: what people know of sensors that these do not tell."""

from __future__ import annotations

import asyncio
import csv
import getpass
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import msgspec
import redis
import typer
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from redis.exceptions import RedisError
from rich.console import Console
from rich.markup import escape

from deploy.status import postgres_rows
from stream_apps.decoders.names import fold
from weir import connections, edits, keys, topics
from weir.errors import Refused, SetupError
from weir.readings import Edit, Metric, SensorEvent, encode
from weir.settings import Settings, settings

console = Console(highlight=False)
_LAT = ("lat", "latitude")
_LON = ("lon", "lng", "long", "longitude")
_SENSORS = "SELECT site, sensor FROM sensors"
Named = tuple[str, str, Edit]


def place(
    file: Annotated[Path, typer.Argument(help="A CSV with sensor, lat, lon; perhaps site, name, kind, tags (a;b).")],
    site: Annotated[str, typer.Option(help="The site of rows that name none.")] = "",
) -> None:
    """Place sensors on the map. A sensor may be `SITE/SENSOR`, or a name that only one site has."""
    config = settings()
    try:
        known = postgres_rows(config, _SENSORS, ())
    except OSError as error:
        raise SetupError(f"{error}: is Weir running? See `weir status`") from error
    sites: dict[str, list[str]] = {}
    for one_site, sensor in known:
        sites.setdefault(sensor, []).append(one_site)
    found, wrong = read_places(file, site, sites)
    sent = publish(config, found)
    console.print(f"{sent:,} sensors placed")
    for text in wrong[:20]:
        console.print(escape(text), soft_wrap=True)
    if wrong:
        console.print(f"{len(wrong):,} rows were not understood")
        raise typer.Exit(1)


def read_places(path: Path, site: str, sites: dict[str, list[str]]) -> tuple[list[Named], list[str]]:
    """The edits of a file, and what is wrong with its other rows. `sites`: sensor -> where it is known.

    Raises `SetupError` for a file that is none.
    """
    found: list[Named] = []
    wrong: list[str] = []
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            names = {name.strip().lower(): name for name in reader.fieldnames or ()}
            lat, lon = (next((names[one] for one in usual if one in names), None) for usual in (_LAT, _LON))
            sensor = names.get("sensor") or names.get("sensor_id")
            if not (sensor and lat and lon):
                raise SetupError(f"{path} has no columns sensor, lat, lon: its first line names them")
            for row in reader:
                try:
                    found.append(_placed(row, names, (sensor, lat, lon), site, sites))
                except (Refused, ValueError) as error:
                    wrong.append(f"line {reader.line_num}: {error}")
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SetupError(f"{path} cannot be read: {error}") from error
    return found, wrong


def _placed(
    row: dict[str, Any], names: dict[str, str], columns: tuple[str, str, str], site: str, sites: dict[str, list[str]]
) -> Named:
    def cell(name: str) -> str:
        return str(row.get(names.get(name, "")) or "").strip()

    sensor, lat, lon = (str(row[column] or "").strip() for column in columns)
    where, _, plain = sensor.rpartition("/")
    where, plain = where or cell("site") or site, fold(plain)
    if not where:
        known = sites.get(plain, [])
        if len(known) != 1:
            at = f"there is one at {', '.join(known[:5])}" if known else "there is none"
            raise ValueError(f"{plain}: {at}: say which with SITE/SENSOR or --site")
        where = known[0]
    tags = [tag for tag in cell("tags").split(";") if tag.strip()] or None
    edit = Edit(
        lat=float(lat), lon=float(lon), name=cell("name") or None, tags=tags,
        kind=fold(cell("kind")) if cell("kind") else None,
    )  # fmt: skip
    where = fold(where)
    return where, plain, edits.checked(where, plain, edit)


def edit(
    sensor: Annotated[str, typer.Argument(help="SITE/SENSOR")],
    name: Annotated[str | None, typer.Option(help="What people call it.")] = None,
    kind: Annotated[str | None, typer.Option(help="What it is.")] = None,
    lat: float | None = None,
    lon: float | None = None,
    tag: Annotated[list[str] | None, typer.Option(help="All its tags, one each; one empty: none.")] = None,
    unit: Annotated[list[str] | None, typer.Option(help="METRIC=UNIT, a SenML code.")] = None,
    limit: Annotated[list[str] | None, typer.Option(help="METRIC=MIN:MAX, what can be measured at all.")] = None,
    forget: Annotated[bool, typer.Option("--forget", help="Take back all that was ever edited first.")] = False,
) -> None:
    """Name, place, tag a sensor; its units and limits. What is not given stays as it is."""
    site, _, plain = sensor.partition("/")
    said = Edit(lat=lat, lon=lon, name=name, kind=kind, tags=tag, metrics=_metrics(unit or [], limit or []))
    try:
        publish(settings(), [(site, plain, edits.checked(site, plain, said))], forget=forget)
    except Refused as error:
        raise SetupError(str(error)) from error
    console.print("done")


def _metrics(units: list[str], limits: list[str]) -> dict[str, Metric]:
    found: dict[str, Metric] = {}
    for text in units:
        metric, _, unit = text.partition("=")
        found[metric] = Metric(unit.strip())
    for text in limits:
        metric, _, span = text.partition("=")
        low, colon, high = span.partition(":")
        try:
            bounds = [float(one) if one.strip() else None for one in (low, high)]
        except ValueError:
            raise SetupError(f"--limit {text!r}: give METRIC=MIN:MAX, one of them may be left out") from None
        if not colon:
            raise SetupError(f"--limit {text!r}: give METRIC=MIN:MAX")
        found[metric] = Metric(found.get(metric, Metric()).unit, *bounds)
    return found


def publish(config: Settings, found: Iterable[Named], forget: bool = False) -> int:
    """Send edits, each with what was said before and still holds. Returns how many. Raises `SetupError`."""
    held = list(found)
    if not held:
        return 0
    before = {} if forget else _before(config, [f"{site}/{sensor}" for site, sensor, _ in held])
    who, at = getpass.getuser(), time.time_ns() // 1_000_000
    events: list[tuple[bytes, SensorEvent]] = []
    for site, sensor, said in held:
        field = f"{site}/{sensor}"
        # A sensor may be named twice in one file: the later row adds to the earlier.
        whole = before[field] = edits.merged(before.get(field), msgspec.structs.replace(said, by=who))
        events.append(edits.event(site, sensor, whole, at))
    try:
        asyncio.run(_send(config, events))
    except (KafkaError, OSError) as error:
        raise SetupError(f"Kafka does not answer ({error}): is Weir running? See `weir status`") from error
    return len(events)


def _before(config: Settings, fields: list[str]) -> dict[str, Edit | None]:
    try:
        with redis.Redis.from_url(config.redis_url, socket_timeout=5) as client:
            values: Any = client.hmget(keys.EDITS, fields)
    except RedisError as error:
        raise SetupError(f"Redis does not answer ({error}): is Weir running? See `weir status`") from error
    return {
        field: msgspec.json.decode(value, type=Edit)
        for field, value in zip(fields, values, strict=True)
        if value is not None
    }  # fmt: skip


async def _send(config: Settings, events: list[tuple[bytes, SensorEvent]]) -> None:
    producer: Any = AIOKafkaProducer(**connections.aiokafka(config), acks="all", enable_idempotence=True)
    try:
        await producer.start()
        sent = [
            await producer.send(
                topics.SENSORS, encode(event), key=key,
                partition=topics.partition_of(event.sensor, config.partitions),
            )
            for key, event in events
        ]  # fmt: skip
        for future in sent:
            await future
    finally:
        await producer.stop()
