"""Publishes a load to the running stack, waits until all is settled, and accounts for every reading."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy import environment
from deploy.proof import accounting
from deploy.proof.accounting import Found
from deploy.proof.observer import Observer
from deploy.proof.usage import Usage
from deploy.stack import Stack
from edge import generator
from edge.generator import ACKNOWLEDGED, DONE, FIELDS, LATE, PUBLISHED, RECONNECTS
from edge.plan import TICK_MS, Plan
from weir.errors import WeirError
from weir.settings import Settings

#: Between a plan's making and its first tick: the generators must be there and connected.
LEAD_MS = 4000
LOOK_S = 0.5
#: Nothing new in Postgres for so long, and what is missing is lost.
STALLED_S = 60.0
SPIKY = 20


@dataclass(frozen=True)
class Moment:
    """How a load stands: seconds since its start, readings handed over and acknowledged."""

    at_s: float
    published: int
    acknowledged: int
    observer: Observer


@dataclass(frozen=True)
class Result:
    """What became of a load. Counts are of readings; `late_ms`: how far the generator ever was behind its clock;
    `settled_s`: from the last acknowledgement to the last reading in Postgres."""

    found: Found
    published: int
    acknowledged: int
    dead_lettered: int
    duplicate: int
    achieved_rate: float
    settled_s: float
    late_ms: int
    reconnects: int
    latency_ms: dict[str, dict[str, float] | None]
    cpu_s: dict[str, float]
    rss_mb: dict[str, float]
    bytes_per_point: float | None

    @property
    def lost(self) -> int:
        """Readings that are not in Postgres as they were published."""
        return self.found.lost + self.found.wrong

    def as_dict(self) -> dict[str, Any]:
        """The object of `weir load --json`."""
        return {
            "published": self.published,
            "acknowledged": self.acknowledged,
            "stored": self.found.stored,
            "dead_lettered": self.dead_lettered,
            "duplicate": self.duplicate,
            "lost": self.lost,
            "wrong": self.found.wrong,
            "unknown": self.found.unknown,
            "achieved_rate": round(self.achieved_rate, 1),
            "latency_ms": self.latency_ms,
            "cpu_s": {name: round(spent, 1) for name, spent in sorted(self.cpu_s.items())},
            "rss_mb": {name: round(size) for name, size in sorted(self.rss_mb.items())},
            "bytes_per_point": self.bytes_per_point,
            "settled_s": round(self.settled_s, 1),
            "generator_late_ms": self.late_ms,
            "reconnects": self.reconnects,
        }


def make_plan(rate: float, seconds: float, sensors: int, metrics: int = 3, payload: str = "json") -> Plan:
    """A plan that begins in a few seconds, on a site of its own. Raises `SetupError`."""
    now = time.time_ns() // 1_000_000
    start = now - now % TICK_MS + LEAD_MS
    plan = Plan(f"load-{start // 1000}", rate, seconds, sensors, start, metrics, min(SPIKY, sensors), payload=payload)
    plan.check()
    return plan


class Fleet:
    """The generator's processes, from their start to the retirement of their sensors."""

    def __init__(self, stack: Stack, plan: Plan, processes: int, port: int | None) -> None:
        context = multiprocessing.get_context("spawn")
        self._settled = context.Event()
        self._told: list[Any] = [context.Array("q", len(FIELDS), lock=False) for _ in range(processes)]
        self._processes = [
            context.Process(target=_generate, args=(str(stack.home), plan, i, processes, told, self._settled, port))
            for i, told in enumerate(self._told)
        ]
        for process in self._processes:
            process.start()

    @property
    def pids(self) -> list[int]:
        return [process.pid or 0 for process in self._processes]

    def told(self, field: int) -> list[int]:
        """What each process says, by `generator.FIELDS`. Raises `WeirError` when one has died."""
        for process in self._processes:
            if process.exitcode:
                raise WeirError(f"a load generator has died with exit code {process.exitcode}: see above")
        return [told[field] for told in self._told]

    def done(self) -> bool:
        return all(self.told(DONE))

    def end(self) -> None:
        """All is settled: retire the sensors and end."""
        self._settled.set()
        for process in self._processes:
            process.join()


def _generate(home: str, plan: Plan, part: int, parts: int, told: Any, settled: Any, port: int | None) -> None:
    config = environment.current(Path(home))
    if port is not None:
        config = config.model_copy(update={"mqtt_port": port})
    generator.run(config, plan, part, parts, told, settled)


@contextmanager
def fleet(stack: Stack, plan: Plan, processes: int, port: int | None) -> Iterator[Fleet]:
    """Generators that are ended, and their sensors retired, whatever happens. `port`: another than Mosquitto's."""
    one = Fleet(stack, plan, processes, port)
    try:
        yield one
    finally:
        one.end()


def run(
    stack: Stack, config: Settings, plan: Plan, processes: int = 1, look: Callable[[Moment], None] = lambda _: None,
    port: int | None = None,
) -> Result:  # fmt: skip
    """Publish the plan, wait until it is settled, account for it. `look` is called twice a second meanwhile.

    `port`: where the generators find Mosquitto, if not at its own port.
    """
    before = accounting.bytes_stored(config)
    already = accounting.duplicates(config, plan.start / 1000)
    with Usage(stack) as usage, Observer(config, plan) as observer, fleet(stack, plan, processes, port) as running:
        usage.generators += running.pids
        while not running.done():
            time.sleep(LOOK_S)
            look(_moment(plan, running, observer))
        ended = max(running.told(DONE))
        found = settle(config, plan, observer, lambda: look(_moment(plan, running, observer)))
        settled_s = max(0.0, time.time() - ended / 1000)
        told = {field: running.told(field) for field in FIELDS}
    return Result(
        found=found,
        published=sum(told[PUBLISHED]) + plan.total - plan.live,
        acknowledged=sum(told[ACKNOWLEDGED]) + plan.total - plan.live,
        dead_lettered=accounting.dead_lettered(config, plan.site),
        duplicate=accounting.duplicates(config, plan.start / 1000) - already,
        achieved_rate=plan.live / (ended - plan.start) * 1000,
        settled_s=settled_s,
        late_ms=max(told[LATE]),
        reconnects=sum(told[RECONNECTS]),
        latency_ms=observer.summary(),
        cpu_s=usage.cpu_s,
        rss_mb=usage.peak_mb,
        bytes_per_point=_per_point(accounting.bytes_stored(config) - before, found.points),
    )


def settle(config: Settings, plan: Plan, observer: Observer, look: Callable[[], None]) -> Found:
    """Wait until all of the plan is in Postgres, or nothing of it has come for a minute; say what is there.

    The watched sensors tell when it is time to look at all of them.
    """
    moved, seen = time.monotonic(), -1
    while not observer.stored.complete() and time.monotonic() - moved < STALLED_S:
        time.sleep(LOOK_S)
        look()
        if len(observer.stored.delays) > seen:
            moved, seen = time.monotonic(), len(observer.stored.delays)
    found = accounting.account(config, plan)
    while found.lost and time.monotonic() - moved < STALLED_S:
        time.sleep(2 * LOOK_S)
        look()
        again = accounting.account(config, plan)
        if again != found:
            moved, found = time.monotonic(), again
    return found


def _moment(plan: Plan, running: Fleet, observer: Observer) -> Moment:
    at = time.time() - plan.start / 1000
    return Moment(at, sum(running.told(PUBLISHED)), sum(running.told(ACKNOWLEDGED)), observer)


def _per_point(size: int, points: int) -> float | None:
    """None when deletions elsewhere have given back more than came."""
    return round(size / points, 1) if points and size > 0 else None


def held(result: Result, plan: Plan, worst_ms: float) -> bool:
    """Whether a rate is sustained: all published in time, nothing lost, and `latest` p99 under `worst_ms`."""
    latest = result.latency_ms["latest"]
    in_time = result.achieved_rate >= 0.97 * plan.rate
    return in_time and not result.lost and latest is not None and latest["p99"] < worst_ms


def ramp(
    first: float, attempt: Callable[[float], bool], closeness: float = 0.1, most: int = 10
) -> Sequence[tuple[float, bool]]:
    """Try rates, half as much again each time and then between the highest held and the lowest not held, until they
    are within `closeness` of each other. Returns (rate, held) in the order of the attempts. Pure but for `attempt`."""
    tried: list[tuple[float, bool]] = []
    low, high, rate = 0.0, float("inf"), first
    while len(tried) < most and (high == float("inf") or high - low > closeness * high):
        ok = attempt(rate)
        tried.append((rate, ok))
        low, high = (max(low, rate), high) if ok else (low, min(high, rate))
        rate = low * 1.5 if high == float("inf") else (low + high) / 2
        rate = float(round(rate, -2)) or rate
        if any(rate == known for known, _ in tried):
            break
    return tried
