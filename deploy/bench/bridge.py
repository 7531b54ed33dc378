"""How much the bridge carries: alone, with the detector beside it, and a backlog; each on servers of its own."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import shutil
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
from aiokafka import AIOKafkaConsumer, TopicPartition
from prometheus_client.parser import text_string_to_metric_families

from deploy import environment, postgres
from deploy.bench.runlog import Row
from deploy.stack import SERVERS, Stack
from edge.publisher import Publisher
from weir import connections, topics
from weir.readings import decode_frame
from weir.settings import Settings

SENSORS = 200
BACKLOG = "backlog"
JUDGED = "weir_detector_readings_total"
TICK_S = 0.02


@dataclass(frozen=True)
class Rate:
    """One run: messages a second asked for and achieved, seconds the bridge needed after the last message.

    `cpu`: shares of a core by component. `kafka_p99_ms`: from receipt to Kafka's acknowledgement, per record.
    """

    asked: float
    achieved: float
    behind_s: float
    cpu: dict[str, float]
    kafka_p99_ms: float


@contextmanager
def servers(workers: tuple[str, ...], port_base: int) -> Iterator[tuple[Stack, Settings]]:
    """A stack of its own with these workers, taken away afterwards."""
    home = Path(tempfile.mkdtemp(prefix="weir-bench-"))
    stack = Stack(home, port_base)
    try:
        config = stack.up(lambda _: nullcontext(), (*SERVERS, *workers))
        yield stack, config
    finally:
        stack.down()
        postgres.remove_data(home)
        shutil.rmtree(home, ignore_errors=True)


def publish(home: Path, rate: float, count: int, site: str) -> None:
    """Publish `count` messages of 3 metrics at `rate` a second (0: as fast as it goes)."""
    config = environment.current(home)
    publisher = Publisher(config, f"weir-{site}", [])
    names = [f"s{i}" for i in range(SENSORS)]
    begun, start = time.monotonic(), int(time.time() * 1000)
    sent = 0
    while sent < count:
        due = min(count, int((time.monotonic() - begun) * rate) + 1) if rate else min(count, sent + 500)
        for n in range(sent, due):
            seq = n // SENSORS
            metrics = {"temperature": 20 + n % 50 / 10, "humidity": 40 + n % 30 / 10, "battery": 90.0}
            publisher.data(site, names[n % SENSORS], {"ts": start + n // SENSORS, "seq": seq, "metrics": metrics})
        sent = max(sent, due)
        if rate:
            time.sleep(TICK_S)
    publisher.flush(threading.Event())
    publisher.close()


def metric(port: int, name: str) -> float:
    """The sum of a metric's samples on a worker's /metrics."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        text = answer.read().decode()
    samples = [s for family in text_string_to_metric_families(text) for s in family.samples if s.name == name]
    return sum(sample.value for sample in samples)


def quantile(port: int, name: str, share: float, before: dict[float, float]) -> float:
    """A histogram's quantile since `before`, in its own unit: the upper bound of the bucket that holds it."""
    now = buckets(port, name)
    counts = {bound: now[bound] - before.get(bound, 0.0) for bound in sorted(now)}
    total = counts[float("inf")]
    return next((bound for bound, count in counts.items() if count >= share * total), float("nan"))


def buckets(port: int, name: str) -> dict[float, float]:
    """A histogram's cumulative counts by upper bound."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        text = answer.read().decode()
    return {
        float(sample.labels["le"]): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == f"{name}_bucket"
    }


def cpu_seconds(stack: Stack) -> dict[str, float]:
    """User and system time by component, children included."""
    found = {}
    for one in stack.supervisor.processes():
        if one.state == "running":
            tree = [psutil.Process(one.pid), *psutil.Process(one.pid).children(recursive=True)]
            found[one.name] = sum(sum(process.cpu_times()[:2]) for process in tree)
    return found


def measure(stack: Stack, config: Settings, rate: float, seconds: float) -> Rate:
    """Publish at a rate and see whether the bridge keeps up."""
    before, cpu = metric(config.bridge_port, "weir_bridge_messages_total"), cpu_seconds(stack)
    kafka = buckets(config.bridge_port, "weir_received_to_kafka_seconds")
    count = int(rate * seconds)
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=publish, args=(stack.home, rate, count, f"bench-{time.time_ns()}"))
    begun = time.monotonic()
    process.start()
    process.join()
    if process.exitcode:
        raise RuntimeError("the publisher has failed: see above")
    took = time.monotonic() - begun
    while metric(config.bridge_port, "weir_bridge_messages_total") - before < count and time.monotonic() < begun + 600:
        time.sleep(0.05)
    behind = time.monotonic() - begun - took
    after = cpu_seconds(stack)
    shares = {name: (after[name] - cpu.get(name, 0.0)) / (took + behind) for name in after}
    p99 = quantile(config.bridge_port, "weir_received_to_kafka_seconds", 0.99, kafka)
    return Rate(rate, count / (took + behind), behind, shares, p99 * 1000)


@dataclass(frozen=True)
class Drained:
    """What became of messages: when the last was in Kafka (monotonic), readings lost and readings overtaken."""

    at: float
    lost: int
    overtaken: int


def backlog(stack: Stack, config: Settings, count: int) -> tuple[float, Drained]:
    """Fill Mosquitto while the bridge is away, then let it drain: messages a second, and what became of them.

    Until the bridge has handed over all, and the detector, where it runs, has judged all.
    """
    start = asyncio.run(ends(config))
    detects = any(one.name == "detector" and one.state == "running" for one in stack.supervisor.processes())
    judged = metric(config.detector_port, JUDGED) if detects else 0.0
    stack.supervisor.stop("bridge")
    publish(stack.home, 0, count, BACKLOG)
    begun = time.monotonic()
    stack.supervisor.start("bridge")
    found = asyncio.run(drained(config, start, count))
    end = found.at
    while detects and metric(config.detector_port, JUDGED) - judged < count and time.monotonic() < found.at + 120:
        time.sleep(0.05)
        end = time.monotonic()
    return count / (end - begun), found


async def drained(config: Settings, start: dict[TopicPartition, int], count: int) -> Drained:
    """Read `readings` from `start` on until `count` of the backlog's were seen, and account for them."""
    found: dict[str, list[int]] = {f"s{i}": [] for i in range(SENSORS)}
    at = await _drain(config, start, found, count)
    wanted = {name: range((count - i + SENSORS - 1) // SENSORS) for i, name in enumerate(found)}
    lost = sum(len(set(wanted[name]) - set(seqs)) for name, seqs in found.items())
    overtaken = sum(int(np.sum(np.diff(list(dict.fromkeys(seqs))) < 0)) for seqs in found.values())
    return Drained(at, lost, overtaken)


async def ends(config: Settings) -> dict[TopicPartition, int]:
    """The end offset of each partition of `readings`."""
    consumer = AIOKafkaConsumer(**connections.aiokafka(config))
    await consumer.start()
    try:
        return await consumer.end_offsets([TopicPartition(topics.READINGS, i) for i in range(config.partitions)])
    finally:
        await consumer.stop()


async def _drain(config: Settings, start: dict[TopicPartition, int], found: dict[str, list[int]], count: int) -> float:
    """Read `readings` from `start` on until `count` were seen, or a minute of nothing; returns when (monotonic)."""
    consumer = AIOKafkaConsumer(**connections.aiokafka(config), enable_auto_commit=False, fetch_max_bytes=8_000_000)
    await consumer.start()
    seen, moved = 0, time.monotonic()
    try:
        consumer.assign(list(start))
        for partition, end in start.items():
            consumer.seek(partition, end)
        while seen < count and time.monotonic() - moved < 60:
            for records in (await consumer.getmany(timeout_ms=200)).values():
                for record in records:
                    for reading in (one for one in decode_frame(record.value) if one.site == BACKLOG):
                        found[reading.sensor].append(reading.seq or 0)
                        seen += 1
                moved = time.monotonic()
    finally:
        await consumer.stop()
    return moved


def run(messages: int, seconds: float, port_base: int, say: Callable[[str], None]) -> list[Row]:
    """A live rate and a backlog, with the bridge alone and with the detector beside it."""
    rows: list[Row] = []

    def note(what: str, measured: str, reach: str) -> None:
        rows.append((what, measured, reach))
        say(f"{what}: {measured}")

    for workers, rate, count, reach in (
        (("bridge",), 1000, messages, "8,000 a second, 0 lost, 0 overtaken"),
        (("bridge", "detector"), 3000, messages // 3, "5,000 a second, 0 lost, 0 overtaken"),
    ):
        with servers(workers, port_base) as (stack, config):
            measure(stack, config, 500, 3)  # compiled, connected, warm
            one = measure(stack, config, rate, seconds)
            name = " + ".join(workers)
            note(f"{name}, {rate:,} messages a second x 3 metrics, live", told(one), "receipt to Kafka p99 50 ms")
            speed, found = backlog(stack, config, count)
            note(
                f"{name}, a backlog of {count:,} messages x 3 metrics",
                f"{speed:,.0f} a second, {found.lost} lost, {found.overtaken} overtaken",
                reach,
            )
    return rows


def told(one: Rate) -> str:
    """A run in words."""
    cpu = json.dumps({name: round(share, 2) for name, share in one.cpu.items() if share >= 0.01}).replace('"', "")
    return (
        f"{one.achieved:,.0f} a second, {one.behind_s:.1f} s behind at the end; receipt to Kafka p99 at most "
        f"{one.kafka_p99_ms:g} ms; cores {cpu}"
    )
