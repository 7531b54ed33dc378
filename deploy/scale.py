"""`weir scale`: how many partitions, workers, cores and how much disk a fleet needs, with the sums shown (pure)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from deploy import costs
from weir.errors import SetupError
from weir.readings import Reading, encode_frame

console = Console(highlight=False)

#: Nothing is planned to be busier than this: the other half is for bursts, catching up and one machine less.
BUSY = 0.5
KAFKA_DAYS = 3
#: A day of readings is compacted 24 h after its end (`WEIR_COMPACT_AFTER`).
RAW_DAYS = 2
_DAY_S = 86_400


@dataclass(frozen=True)
class Line:
    """One need, and how it came about."""

    what: str
    need: str
    sum: str


@dataclass(frozen=True)
class Plan:
    """`lines` in the order in which readings pass; the numbers that settings are made of beside them."""

    rate: float
    bridges: int
    detectors: int
    partitions: int
    spark_cores: int
    replicas: int
    lines: tuple[Line, ...]

    @property
    def settings(self) -> list[str]:
        """What to set, as it stands in the environment."""
        return [
            f"WEIR_PARTITIONS={self.partitions}",
            f"WEIR_BRIDGE_SHARDS={self.bridges}",
            f"WEIR_KAFKA_REPLICAS={self.replicas}",
            f"WEIR_KAFKA_MIN_INSYNC={max(1, self.replicas - 1)}",
        ]


def plan(
    sensors: int,
    every_s: float,
    metrics: int = 3,
    days: int = 365,
    replicas: int = 1,
    forecast_s: int = 3600,
    bucket_days: int | None = None,
) -> Plan:
    """A fleet of `sensors` that each send `metrics` values every `every_s` seconds, kept for `days`, and their
    5-minute buckets for `bucket_days` (None: as long).

    Raises `SetupError` for numbers that are none of a fleet.
    """
    if min(sensors, every_s, metrics, days, replicas) <= 0:
        raise SetupError("sensors, seconds, metrics, days and replicas are all more than 0")
    rate = sensors / every_s
    series = sensors * metrics
    bridges = _most(rate, costs.BRIDGE_MOST.value * BUSY)
    detectors = _most(rate * costs.DETECTOR.value, BUSY)
    spark = max(2, _most(rate * costs.SPARK.value, BUSY))
    # A partition is one thread's work in Spark and one worker's in Faust; a multiple leaves room to add workers.
    partitions = max(4, 2 * max(bridges, detectors, spark))
    frame = kafka_bytes(metrics)
    lines = [
        Line("messages", f"{rate:,.0f}/s", f"{sensors:,} sensors / {every_s:g} s"),
        _mosquitto(rate, bridges),
        Line("bridges", f"{bridges}", f"{rate:,.0f}/s / ({costs.BRIDGE_MOST.value:,.0f}/s x {BUSY:g}), rounded up"),
        _cores("bridges' cores", rate, costs.BRIDGE),
        Line(
            "partitions", f"{partitions}",
            f"2 x the largest of {bridges} bridges, {detectors} detectors, {spark} Spark cores; at least 4",
        ),
        _cores("Kafka's cores", rate * replicas, costs.KAFKA, f", {replicas} replicas"),
        Line(
            "Kafka's disk", _bytes(rate * frame * KAFKA_DAYS * _DAY_S * replicas),
            f"{rate:,.0f}/s x {frame} bytes x {KAFKA_DAYS} days x {replicas} replicas, uncompressed",
        ),
        Line("detectors", f"{detectors}", f"{rate:,.0f}/s x {_us(costs.DETECTOR.value)} / {BUSY:g}, rounded up"),
        Line(
            "detectors' memory", _bytes(series * costs.DETECTOR_STATE.value),
            f"{series:,} series x {costs.DETECTOR_STATE.value:.0f} bytes, over all; the same again in Redis",
        ),
        _cores("Redis' cores", rate, costs.VALKEY),
        Line("Spark's cores", f"{spark}", f"{rate:,.0f}/s x {_us(costs.SPARK.value)} / {BUSY:g}, at least 2"),
        _forecasts(series, forecast_s),
        Line(
            "rows into Postgres", f"{rate * metrics:,.0f}/s",
            f"{rate:,.0f}/s x {metrics}; one connection writes {costs.POSTGRES_ROWS.value:,.0f}/s",
        ),
        _cores("Postgres' cores", rate, costs.POSTGRES),
        *_disk(rate * metrics, series, every_s, days, days if bucket_days is None else bucket_days),
    ]  # fmt: skip
    return Plan(rate, bridges, detectors, partitions, spark, replicas, tuple(lines))


def kafka_bytes(metrics: int) -> int:
    """The bytes of one reading in a frame, by encoding one."""
    values = {f"metric-{i}": 20.0 + i / 8 for i in range(metrics)}
    at = 1_795_431_817_932
    reading = Reading(site="site-0001", sensor="sensor-000001", ts=at, seq=123_456, rx=at + 18, metrics=values)
    return len(encode_frame([reading]))


def scale(
    sensors: Annotated[int, typer.Option(help="How many.")],
    every: Annotated[float, typer.Option(help="Seconds between two messages of a sensor.")] = 60.0,
    metrics: Annotated[int, typer.Option(help="Values in a message.")] = 3,
    days: Annotated[int, typer.Option(help="How long readings and hourly buckets are kept.")] = 365,
    days_5m: Annotated[int, typer.Option("--days-5m", help="How long 5-minute buckets are kept; 0: as long.")] = 0,
    replicas: Annotated[int, typer.Option(help="Brokers that hold each record.")] = 3,
    forecast_every: Annotated[int, typer.Option(help="Seconds between two forecasts of a series; 0: none.")] = 3600,
) -> None:
    """What a fleet needs: partitions, workers, cores, disk, each with its sum, from measured costs."""
    found = plan(sensors, every, metrics, days, replicas, forecast_every, days_5m or None)
    table = Table("what", "need", "how it comes about")
    for line in found.lines:
        table.add_row(line.what, f"[bold]{line.need}[/bold]", line.sum)
    console.print(table)
    console.print("set: " + " ".join(found.settings), soft_wrap=True)
    console.print("Costs: deploy/costs.py, measured on 2 cores; docs/scaling.md says what was not measured.")


def _most(load: float, each: float) -> int:
    return max(1, math.ceil(load / each))


def _cores(what: str, rate: float, cost: costs.Cost, note: str = "") -> Line:
    return Line(what, f"{rate * cost.value:.1f}", f"{rate:,.0f}/s x {_us(cost.value)}{note}")


def _mosquitto(rate: float, shards: int) -> Line:
    """Each shard's session is sent every message. Measured: one in and one out."""
    passes = (1 + shards) / 2
    need = rate * costs.MOSQUITTO.value * passes
    brokers = _most(need, BUSY)
    text = f"{rate:,.0f}/s x {_us(costs.MOSQUITTO.value)} x (1 + {shards} shards) / 2; one core a broker, so {brokers}"
    return Line("Mosquitto's cores", f"{need:.1f}", text)


def _forecasts(series: int, every_s: int) -> Line:
    if not every_s:
        return Line("cores for forecasts", "0", "no forecasts")
    need = series * costs.FORECAST.value / every_s
    return Line("cores for forecasts", f"{need:.1f}", f"{series:,} series x {costs.FORECAST.value:g} s / {every_s} s")


def _disk(values: float, series: int, every_s: float, days: int, bucket_days: int) -> list[Line]:
    """`values` a second; buckets of `series` series, of which none is empty or made without a reading."""
    raw, rest = min(days, RAW_DAYS), max(0, days - RAW_DAYS)
    fives, hours = (min(count, _DAY_S / every_s) for count in (288, 24))
    buckets = series * (fives * bucket_days + hours * days)
    return [
        Line(
            "Postgres' disk, readings", _bytes(values * _DAY_S * raw * costs.POSTGRES_ROW.value),
            f"{values:,.0f}/s x {costs.POSTGRES_ROW.value:g} bytes x {raw} days, until they are compacted",
        ),
        Line(
            "Postgres' disk, compacted", _bytes(values * _DAY_S * rest * costs.COMPACTED.value),
            f"{values:,.0f}/s x {costs.COMPACTED.value:g} bytes x {rest} days",
        ),
        Line(
            "Postgres' disk, buckets", _bytes(buckets * costs.BUCKET_ROW.value),
            f"{series:,} series x ({fives:.0f} x {bucket_days} days + {hours:.0f} x {days} days) "
            f"x {costs.BUCKET_ROW.value:g} bytes",
        ),
    ]  # fmt: skip


def _us(seconds: float) -> str:
    return f"{seconds * 1e6:.0f} us"


def _bytes(count: float) -> str:
    unit, size = next(((u, s) for u, s in (("TB", 1e12), ("GB", 1e9)) if count >= s), ("MB", 1e6))
    return f"{count / size:,.1f} {unit}"
