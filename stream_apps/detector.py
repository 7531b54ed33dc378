"""The detector: judges every reading, flags go to `anomalies`. Run as `python -m stream_apps.detector`.

State and offset are one value in Redis per partition (see `snapshot`), so a crash repeats records and loses none.
What is repeated gives the same flags, with the same ids. A snapshot is written only after Kafka has acknowledged
the flags of everything it stands for.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from asyncio import Future
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, ClassVar, NoReturn

import faust
from faust.types import TP

from stream_apps.detector_metrics import lag_records, measure, snapshots_total, undecodable
from stream_apps.faust_base import make_app, run
from stream_apps.iqr import warm_up
from stream_apps.judging import Judge, read_overrides
from stream_apps.latest import LiveCache
from stream_apps.refusals import letter_of
from stream_apps.seeking import seeking_consumer
from stream_apps.sensor_topic import SensorTopic
from stream_apps.snapshot import Snapshots
from weir import topics
from weir.errors import Refused, WeirError
from weir.events import Flag
from weir.readings import Birth, decode_frame, encode
from weir.settings import settings

log = logging.getLogger("weir.detector")
config = settings()

FETCH_WAIT_MS = 25
SNAPSHOT_S = 3.0
#: A large state is written less often: Redis writes it to disk as well. What is judged again after a crash is little.
SNAPSHOT_BYTES_S = 2_000_000
#: How long a snapshot waits for Kafka to take the flags it stands for; then it is left for the next round.
FLAGS_S = 5.0
HAND_OVER_S = 6.0
STUCK_S = 30.0


overrides = read_overrides(config.detection_file)


class Part:
    """One partition's detector and the next offset it has not seen.

    `whole` is held while a frame is judged and its flags are handed to the producer, so that a snapshot never
    stands for flags that nobody has sent.
    """

    def __init__(self, judge: Judge, offset: int) -> None:
        self.judge = judge
        self.offset = offset
        self.saved = offset
        self.whole = asyncio.Lock()


parts: dict[int, Part] = {}
#: What was revoked last: still a good pair, used if Redis has lost its own by the time the partition comes back.
former: dict[int, Part] = {}
snapshots = Snapshots(config.redis_url)
cache = LiveCache(config.redis_url)
pending: set[Future[Any]] = set()
#: What sensors have said of themselves and people of them: their limits are told to every detector anew.
heard = SensorTopic(cache, lambda site, sensor, birth: _tell(site, sensor, birth))


async def positions(offsets: Mapping[TP, tuple[int, int]]) -> dict[TP, int]:
    """Where to start: `readings` at the snapshot, the compacted `sensors` at its beginning."""
    starts: dict[TP, int] = {}
    for tp, (first, end) in offsets.items():
        if tp.topic == topics.SENSORS:
            starts[tp] = first
        elif tp.topic == topics.READINGS:
            part = await _restore(tp.partition, end)
            if part is not None:
                # What Kafka no longer has cannot be judged; the state is still the best there is.
                part.offset = max(part.offset, first)
                starts[tp] = part.offset
            parts[tp.partition] = part or Part(Judge(overrides), 0)
    for (site, sensor), birth in heard.births.items():
        _tell(site, sensor, birth)
    former.clear()
    return starts


async def _restore(partition: int, end: int) -> Part | None:
    found, held = await snapshots.load(partition), former.get(partition)
    if held is not None and held.offset <= end and (found is None or found[0] <= held.offset):
        return Part(held.judge, held.offset)
    if found is None:
        log.info("partition %d: no snapshot, starting fresh", partition)
        return None
    offset, state = found
    if offset > end:
        log.warning(
            "partition %d: the snapshot (%d) is beyond the topic's end (%d): a new topic", partition, offset, end
        )
        await snapshots.forget(partition)
        return None
    try:
        return Part(await asyncio.to_thread(Judge.load, state, overrides), offset)
    except (ValueError, WeirError) as error:
        log.warning("partition %d: the snapshot does not fit this detector (%s): learning anew", partition, error)
        return Part(Judge(overrides), offset)


app = make_app("detector", config.detector_port, seeking_consumer(positions, FETCH_WAIT_MS))
revoked_signal: Any = app.on_partitions_revoked


@revoked_signal.connect
async def on_revoked(app: faust.App, revoked: set[TP], **kwargs: Any) -> None:
    """Hand over: write the state, then drop it. The next owner starts at its offset."""
    mine = [tp.partition for tp in revoked if tp.topic == topics.READINGS]
    with suppress(TimeoutError):  # the snapshot before this one is good too, only older
        await asyncio.wait_for(asyncio.gather(*(_snapshot(partition) for partition in mine)), HAND_OVER_S)
    for partition in mine:
        if partition in parts:
            former[partition] = parts.pop(partition)


class Keeper(faust.Service):
    """Writes snapshots and the live picture, beside the agents."""

    instance: ClassVar[Keeper | None] = None

    def __post_init__(self) -> None:
        self.progress = time.monotonic()

    async def on_start(self) -> None:
        app.checks["flags"] = self.problem
        Keeper.instance = self
        await cache.start()

    @faust.Service.task
    async def _save(self) -> None:
        written = 0
        while not self.should_stop:
            await self.sleep(max(SNAPSHOT_S, written / SNAPSHOT_BYTES_S))
            written = 0
            for partition in list(parts):
                written += await _snapshot(partition)
                _measure_lag(partition)

    async def on_stop(self) -> None:
        for partition in list(parts):
            await _snapshot(partition)
        await cache.stop()
        await snapshots.close()

    def problem(self) -> str | None:
        """For /healthz: Kafka goes on taking flags."""
        waited = time.monotonic() - self.progress
        return f"Kafka has taken no flag for {waited:.0f} s" if pending and waited > STUCK_S else None


app.service(Keeper)


def _measure_lag(partition: int) -> None:
    tp = TP(topics.READINGS, partition)
    end = app.consumer.highwater(tp) if tp in app.consumer.assignment() else None
    if partition in parts and end is not None:
        lag_records.labels(str(partition)).set(max(0, end - parts[partition].offset))


async def _snapshot(partition: int) -> int:
    """Write a partition's state, once Kafka has its flags; returns how many bytes were written."""
    part = parts.get(partition)
    if part is None or part.offset == part.saved:
        return 0
    async with part.whole:
        offset, state, flags = part.offset, part.judge.dump(), set(pending)
    if flags and (await asyncio.wait(flags, timeout=FLAGS_S))[1]:
        snapshots_total.labels("unsent").inc()
        return 0
    kept = await snapshots.save(partition, offset, state)
    snapshots_total.labels({True: "kept", False: "fenced", None: "failed"}[kept]).inc()
    if kept:
        part.saved = offset
    return len(state)


@app.agent(app.topic(topics.READINGS))
async def judge(stream: Any) -> None:
    """Judge each frame; the state moves only by whole frames."""
    async for event in stream.events():
        message = event.message
        part = parts.get(message.partition)
        if part is None or message.offset < part.offset or message.generation_id != app.consumer_generation_id:
            continue  # revoked meanwhile, already in the state, or fetched before the last rebalance
        try:
            async with part.whole:
                await _judge(part, message)
        except Exception as error:  # Faust would skip the frame and go on, and the state would lie
            log.exception("frame %d of partition %d could not be judged", message.offset, message.partition)
            _give_up(repr(error))


async def _judge(part: Part, message: Any) -> None:
    try:
        readings = decode_frame(message.value or b"")
    except Refused as refusal:
        part.offset = message.offset + 1
        await _dead_letter(message, refusal)
        return
    at = time.time_ns() // 1_000_000
    flags = part.judge.judge(readings, at)
    part.offset = message.offset + 1
    cache.readings(readings)
    sends = [_flag(flag) for flag in flags]
    measure(readings, at, len(flags))
    for send in sends:
        await send


async def _flag(flag: Flag) -> None:
    cache.flagged(f"{flag.site}/{flag.sensor}", flag.ts)
    partition = topics.partition_of(flag.sensor, config.partitions)
    await _send(topics.ANOMALIES, f"{flag.site}/{flag.sensor}".encode(), encode(flag), partition)


async def _send(topic: str, key: bytes, value: bytes | None, partition: int | None = None) -> None:
    future: Any = await app.producer.send(topic, key, value, partition, None, None)
    pending.add(future)
    future.add_done_callback(_sent)


def _sent(future: Future[Any]) -> None:
    pending.discard(future)
    if Keeper.instance is not None:
        Keeper.instance.progress = time.monotonic()
    error = asyncio.CancelledError("cancelled") if future.cancelled() else future.exception()
    if error is not None:
        _give_up(f"Kafka did not take a flag: {error!r}")


def _give_up(why: str) -> NoReturn:
    """End the process: the snapshot does not stand for what failed, so the next one judges it again."""
    log.critical("%s. The detector ends; the supervisor starts it again", why)
    os._exit(70)


async def _dead_letter(message: Any, refusal: Refused) -> None:
    undecodable.labels(message.topic).inc()
    await _send(topics.DEAD_LETTERS, message.topic.encode(), letter_of(message, refusal))


@app.agent(app.topic(topics.SENSORS))
async def sensors(stream: Any) -> None:
    """Births and states, read from the beginning at every start: the topic is compacted."""
    async for event in stream.events():
        message = event.message
        try:
            for forgotten in heard.take(message.key or b"", message.value, int(message.timestamp * 1000)):
                await _send(topics.SENSORS, forgotten, None, message.partition)
        except Refused as refusal:
            await _dead_letter(message, refusal)


def _tell(site: str, sensor: str, birth: Birth) -> None:
    part = parts.get(topics.partition_of(sensor, config.partitions))
    if part is not None:
        part.judge.born(site, sensor, birth)


if __name__ == "__main__":
    warm_up()
    run(app)
