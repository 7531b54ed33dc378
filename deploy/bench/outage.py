"""The bridge's memory over a long run, with Kafka away in the middle: it must be flat, and nothing may be lost."""

from __future__ import annotations

import asyncio
import multiprocessing
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import psutil

from deploy.bench import bridge
from deploy.bench.runlog import Row
from deploy.stack import Stack

SAMPLE_S = 5.0


@dataclass
class Memory:
    """Samples of the bridge's resident memory: (seconds since the start, MiB)."""

    samples: list[tuple[float, float]] = field(default_factory=list)

    def take(self, stack: Stack, at: float) -> None:
        pid = next(one.pid for one in stack.supervisor.processes() if one.name == "bridge")
        self.samples.append((at, psutil.Process(pid).memory_info().rss / 2**20))

    def between(self, since: float, until: float) -> np.ndarray:
        """MiB of the samples of a span."""
        return np.array([size for at, size in self.samples if since <= at < until])


def run(minutes: float, outage: float, rate: float, port_base: int, say: Callable[[str], None]) -> list[Row]:
    """`minutes` at `rate` messages a second; Kafka is stopped in the middle for `outage` minutes."""
    memory = Memory()
    with bridge.servers(("bridge",), port_base) as (stack, config):
        bridge.measure(stack, config, 500, 3)
        ends = asyncio.run(bridge.ends(config))
        restarts = _restarts(stack)
        count = int(rate * minutes * 60)
        context = multiprocessing.get_context("spawn")
        process = context.Process(target=bridge.publish, args=(stack.home, rate, count, bridge.BACKLOG))
        begun = time.monotonic()
        process.start()
        away, back = (minutes - outage) * 30, (minutes + outage) * 30
        stopped = started = False
        while process.is_alive():
            time.sleep(SAMPLE_S)
            at = time.monotonic() - begun
            memory.take(stack, at)
            if at >= away and not stopped:
                stopped = True
                stack.supervisor.stop("kafka")
            if at >= back and not started:
                started = True
                stack.supervisor.start("kafka")
        account = asyncio.run(bridge.drained(config, ends, count))
        end = time.monotonic() - begun
        memory.take(stack, end)
        died = _restarts(stack) - restarts
    before, during, after = (
        memory.between(60, away), memory.between(away, back), memory.between(end - 300, end + 1)
    )  # fmt: skip
    measured = (
        f"before {before.mean():.0f} MiB, while Kafka was away at most {during.max():.0f} MiB, last 5 minutes "
        f"{after.mean():.0f} MiB; {count:,} messages, {account.lost} lost, {account.overtaken} overtaken; "
        f"the bridge restarted {died} times"
    )
    what = f"{rate:g} messages a second for {minutes:g} min, Kafka away for {outage:g} min in the middle"
    say(f"{what}: {measured}")
    return [(what, measured, "flat, 0 lost")]


def _restarts(stack: Stack) -> int:
    return next(one.restarts for one in stack.supervisor.processes() if one.name == "bridge")
