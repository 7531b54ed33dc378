"""The alert worker: flags, silences and commands in, alert transitions out. Run as `python -m stream_apps.alerts`.

One worker only: what happens at one site, or in a flood, is judged in one place (flags are few, so one is enough).
State and the offsets it stands for are one value in Redis (see `snapshot`); whatever it lacks is read back from the
compacted `alerts` topic at start, so that with Redis empty the alerts are rebuilt. Members of site and flood alerts
are then found anew.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from asyncio import Future
from collections.abc import Mapping
from typing import Any, NoReturn

import faust
import msgspec
from faust.types import TP
from prometheus_client import Counter, Gauge

from stream_apps import alert_state
from stream_apps.alert_view import AlertView, past_alerts
from stream_apps.conditions import Rules
from stream_apps.faust_base import make_app, run
from stream_apps.ledger_watch import LedgerWatch
from stream_apps.lifecycle import Lifecycle
from stream_apps.notifier import Notifier
from stream_apps.refusals import letter_of
from stream_apps.seeking import seeking_consumer
from stream_apps.snapshot import Snapshots
from weir import keys, topics
from weir.errors import Reason, Refused
from weir.events import Alert, AlertCommand, Flag
from weir.readings import encode
from weir.settings import settings

log = logging.getLogger("weir.alerts")
config = settings()

TICK_S = 1.0
VIEW_EVERY = 2
SAVE_EVERY = 5
LEDGER_S = 5.0
SENT_S = 5.0
STUCK_S = 30.0

flags_total = Counter("weir_alerts_flags", "Flags taken")
transitions_total = Counter("weir_alerts_transitions", "Transitions published", ["rule", "state"])
commands_total = Counter("weir_alerts_commands", "Commands by outcome", ["outcome"])
undecodable = Counter("weir_alerts_undecodable", "Records that could not be used", ["topic"])
live_alerts = Gauge("weir_alerts_live", "Alerts that are active or unacknowledged")
sensors_known = Gauge("weir_sensors", "Sensors that are watched, by whether they are heard", ["state"])

_flag = msgspec.json.Decoder(Flag)
_command = msgspec.json.Decoder(AlertCommand)


class Desk:
    """The book of alerts in this process and the offsets it stands for ("<topic>/<partition>" -> next offset).

    `whole` is held while the book changes and its transitions are handed to the producer.
    """

    def __init__(self) -> None:
        self.life = Lifecycle(_rules(), since=_now())
        self.offsets: dict[str, int] = {}
        self.ready = False
        self.dirty = True
        self.pending: set[Future[Any]] = set()
        self.whole = asyncio.Lock()
        self.progress = time.monotonic()
        self.clock = 0

    def now(self) -> int:
        """Milliseconds since the epoch; never goes back, even if the machine's clock does."""
        self.clock = max(self.clock, _now())
        return self.clock

    async def publish(self, transitions: list[Alert]) -> None:
        """Hand transitions to the producer, in order. Call with `whole` held."""
        for alert in transitions:
            transitions_total.labels(alert.rule, alert.state).inc()
            log.info("alert %s %s/%s %s: %r", alert.id, alert.site, alert.sensor, alert.state, alert.text)
            await self.send(topics.ALERTS, alert.id.encode(), encode(alert))
        if transitions:
            self.dirty = True
            view.changed(self.life, transitions)

    async def send(self, topic: str, key: bytes, value: bytes) -> None:
        future: Any = await app.producer.send(topic, key, value, None, None, None)
        self.pending.add(future)
        future.add_done_callback(self._sent)

    def _sent(self, future: Future[Any]) -> None:
        self.pending.discard(future)
        self.progress = time.monotonic()
        error = asyncio.CancelledError("cancelled") if future.cancelled() else future.exception()
        if error is not None:
            _give_up(f"Kafka did not take a transition: {error!r}")

    async def save(self) -> None:
        """Write the book, once Kafka has the transitions it stands for."""
        if not self.ready:
            return
        async with self.whole:
            state = alert_state.dump(self.life.book, self.offsets)
            total, sent, self.dirty = sum(self.offsets.values()), set(self.pending), False
        if sent and (await asyncio.wait(sent, timeout=SENT_S))[1]:
            self.dirty = True
            return
        if await snapshots.save(0, total, state) is None:
            self.dirty = True


def _now() -> int:
    return time.time_ns() // 1_000_000


def _rules() -> Rules:
    return Rules(silent_ms=config.silent_after_s * 1000)


def _give_up(why: str) -> NoReturn:
    """End the process: the snapshot does not stand for what failed, so the next one does it again."""
    log.critical("%s. The alert worker ends; the supervisor starts it again", why)
    os._exit(70)


async def positions(offsets: Mapping[TP, tuple[int, int]]) -> dict[TP, int]:
    """Load the book on the first assignment; start where it ends."""
    if sum(tp.topic == topics.ANOMALIES for tp in offsets) < config.partitions:
        log.error("this worker does not have all partitions: only one alert worker may run")
    if not desk.ready:
        await _load()
    starts: dict[TP, int] = {}
    for tp, (first, end) in offsets.items():
        wanted = desk.offsets.get(_name(tp.topic, tp.partition))
        if wanted is None:
            continue
        if wanted > end:
            log.warning("%s ends at %d, before the snapshot's %d: starting at its beginning", tp, end, wanted)
            wanted = first
            await snapshots.forget(0)
        starts[tp] = desk.offsets[_name(tp.topic, tp.partition)] = max(wanted, first)
    return starts


async def _load() -> None:
    found = await snapshots.load(0)
    if found is not None:
        try:
            book, desk.offsets = alert_state.load(found[1])
            desk.life = Lifecycle(_rules(), book, since=_now())
        except ValueError as error:
            log.warning("the snapshot cannot be used (%s): rebuilding from the topic", error)
    count = 0
    async for alert in past_alerts(config):
        desk.life.restore(alert)
        count += 1
    log.info("%d alerts live; %d records read back from the topic", len(desk.life.live()), count)
    view.changed(desk.life, [])
    desk.ready = True


app = make_app("alerts", config.alerts_port, seeking_consumer(positions))
snapshots = Snapshots(config.redis_url, lambda _: keys.ALERTS_STATE)
view = AlertView(config.redis_url)
desk = Desk()
watch = LedgerWatch(config)


class Keeper(faust.Service):
    """Lets time pass: silences, closing, shelves; the view in Redis; snapshots."""

    async def on_start(self) -> None:
        app.checks["alerts"] = self.problem
        self.notifier = Notifier(config)
        self.notifier.start()

    @faust.Service.task
    async def _run(self) -> None:
        rounds = 0
        while not self.should_stop:
            await self.sleep(TICK_S)
            if not desk.ready:
                continue
            try:
                await self._round(rounds)
            except Exception as error:
                log.exception("the timer failed")
                _give_up(repr(error))
            rounds += 1

    @faust.Service.task
    async def _watch(self) -> None:
        while not self.should_stop:
            await self.sleep(LEDGER_S)
            found = await asyncio.to_thread(watch.look, _now()) if desk.ready else None
            if found is not None:
                async with desk.whole:
                    for rule, conditions in found.conditions().items():
                        desk.life.report(rule, conditions)

    async def _round(self, rounds: int) -> None:
        if rounds % VIEW_EVERY == 0:
            await view.read(desk.life)
        async with desk.whole:
            await desk.publish(desk.life.tick(desk.now(), silence=view.fresh))
        live_alerts.set(await view.write())
        known = desk.life.book.sensors.values()
        silent = sum(one.silent for one in known)
        sensors_known.labels("silent").set(silent)
        sensors_known.labels("heard").set(len(known) - silent)
        if desk.dirty or rounds % SAVE_EVERY == 0:
            await desk.save()

    async def on_stop(self) -> None:
        await desk.save()
        await self.notifier.stop()
        await view.close()
        watch.close()
        await snapshots.close()

    def problem(self) -> str | None:
        """For /healthz: Kafka goes on taking transitions."""
        waited = time.monotonic() - desk.progress
        return f"Kafka has taken no transition for {waited:.0f} s" if desk.pending and waited > STUCK_S else None


app.service(Keeper)


@app.agent(app.topic(topics.ANOMALIES))
async def anomalies(stream: Any) -> None:
    """Flags, from every partition."""
    async for event in stream.events():
        await _guarded(event.message, _take_flag)


@app.agent(app.topic(topics.ALERT_COMMANDS))
async def commands(stream: Any) -> None:
    """What people have decided."""
    async for event in stream.events():
        await _guarded(event.message, _take_command)


async def _guarded(message: Any, take: Any) -> None:
    """Take one record: use it, or dead-letter it. Anything else ends the process."""
    name = _name(message.topic, message.partition)
    try:
        async with desk.whole:
            if not desk.ready or message.offset < desk.offsets.get(name, 0):
                return
            try:
                await desk.publish(take(message.value or b""))
            except Refused as refusal:
                await _dead_letter(message, refusal)
            desk.offsets[name] = message.offset + 1
    except Exception as error:
        log.exception("record %d of %s could not be taken", message.offset, name)
        _give_up(repr(error))


def _take_flag(value: bytes) -> list[Alert]:
    flags_total.inc()
    return desk.life.flag(_decode(_flag, value), desk.now())


def _take_command(value: bytes) -> list[Alert]:
    try:
        out = desk.life.command(_decode(_command, value), desk.now())
    except Refused as refusal:
        commands_total.labels("refused").inc()
        log.warning("a command was refused: %s", refusal)
        raise
    commands_total.labels("done" if out else "repeated").inc()
    return out


def _decode(decoder: Any, value: bytes) -> Any:
    try:
        return decoder.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Refused(Reason.SHAPE, str(error)) from error


async def _dead_letter(message: Any, refusal: Refused) -> None:
    undecodable.labels(message.topic).inc()
    await desk.send(topics.DEAD_LETTERS, message.topic.encode(), letter_of(message, refusal))


def _name(topic: str, partition: int) -> str:
    return f"{topic}/{partition}"


if __name__ == "__main__":
    run(app)
