"""Hours of load: memory, file handles, disk and lag must be flat, and every reading accounted for."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import psutil

from deploy.proof import accounting, load
from deploy.proof.load import Moment
from deploy.stack import Stack
from edge.plan import Plan
from weir.settings import Settings

SAMPLES = 240
SHORTEST_S = 2.0
#: The first part of a soak is warm-up: caches fill, series are seen for the first time, JVMs grow to their heap.
WARM = 1 / 3
#: What still counts as flat between the second and the last third: a share, and in absolute terms MB and handles.
SHARE, MB, HANDLES = 0.10, 24.0, 16.0
#: `stored` follows Spark's trigger: it swings by seconds, and must not grow.
LAG_MS = 3000.0


@dataclass
class Series:
    """Samples of one quantity, at even intervals."""

    values: list[float] = field(default_factory=list)

    def growth(self) -> tuple[float, float]:
        """Medians of the second third and of the last one."""
        rest = np.array(self.values[int(len(self.values) * WARM) :])
        if len(rest) < 2:
            return (float("nan"),) * 2
        half = len(rest) // 2
        return float(np.median(rest[:half])), float(np.median(rest[half:]))

    def flat(self, slack: float) -> bool:
        """Whether it has not grown by more than a tenth and `slack`."""
        before, after = self.growth()
        return not after > before * (1 + SHARE) + slack


@dataclass
class Watch:
    """Samples memory and handles of every component, and how late readings are stored, while it is open."""

    stack: Stack
    every_s: float
    memory_mb: dict[str, Series] = field(default_factory=dict)
    handles: dict[str, Series] = field(default_factory=dict)
    lag_ms: Series = field(default_factory=Series)
    moment: Moment | None = None
    _stop: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Watch:
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(self.every_s):
            for one in self.stack.supervisor.processes():
                if one.state == "running":
                    memory, handles = held(one.pid)
                    self.memory_mb.setdefault(one.name, Series()).values.append(memory)
                    self.handles.setdefault(one.name, Series()).values.append(handles)
            newest = self.moment.observer.delays()["stored"].newest(200) if self.moment else np.empty(0)
            if len(newest):
                self.lag_ms.values.append(float(np.median(newest)))


def held(pid: int) -> tuple[float, float]:
    """Memory (PSS, MB) and open files of a process and its children."""
    memory = handles = 0.0
    for process in _tree(pid):
        try:
            memory += process.memory_full_info().pss / 2**20
            handles += process.num_fds()
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return memory, handles


def _tree(pid: int) -> Iterable[psutil.Process]:
    try:
        root = psutil.Process(pid)
        return [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


@dataclass(frozen=True)
class Report:
    """What a soak has found. `restarts`: of all components, none of which was asked for."""

    result: load.Result
    watch: Watch
    restarts: int
    bytes_a_point: tuple[float, float]

    def as_dict(self) -> dict[str, Any]:
        """The object of `weir soak --json`. Pairs are medians of the second and of the last third."""
        return {
            **self.result.as_dict(),
            "restarts": self.restarts,
            "memory_mb": {name: _pair(one) for name, one in self.watch.memory_mb.items()},
            "handles": {name: _pair(one) for name, one in self.watch.handles.items()},
            "lag_ms": _pair(self.watch.lag_ms),
            "bytes_per_point_halves": [round(one, 1) for one in self.bytes_a_point],
            "not_flat": self.not_flat(),
        }

    def not_flat(self) -> list[str]:
        """What has grown."""
        found = [f"memory of {name}" for name, one in self.watch.memory_mb.items() if not one.flat(MB)]
        found += [f"handles of {name}" for name, one in self.watch.handles.items() if not one.flat(HANDLES)]
        found += [] if self.watch.lag_ms.flat(LAG_MS) else ["lag"]
        first, second = self.bytes_a_point
        return found + (["disk a point"] if second > first * 1.25 else [])


def _pair(series: Series) -> list[float]:
    return [round(one, 1) for one in series.growth()]


def run(stack: Stack, config: Settings, plan: Plan, look: Callable[[Moment], None]) -> Report:
    """Publish the plan, and watch."""
    before = sum(one.restarts for one in stack.supervisor.processes())
    disk = Disk(config, plan)
    with Watch(stack, max(SHORTEST_S, plan.seconds / SAMPLES)) as watch:

        def follow(moment: Moment) -> None:
            watch.moment = moment
            disk.follow(moment)
            look(moment)

        result = load.run(stack, config, plan, 1, follow)
    after = sum(one.restarts for one in stack.supervisor.processes())
    return Report(result, watch, after - before, disk.halves())


class Disk:
    """Bytes of raw readings in Postgres at the start, in the middle and at the end of a plan."""

    def __init__(self, config: Settings, plan: Plan) -> None:
        self._config = config
        self._plan = plan
        self._start = accounting.bytes_stored(config)
        self._middle: tuple[int, int] | None = None

    def follow(self, moment: Moment) -> None:
        """Take the size once half of the plan is published."""
        if self._middle is None and time.time() * 1000 > self._plan.start + self._plan.seconds * 500:
            self._middle = moment.published, accounting.bytes_stored(self._config)

    def halves(self) -> tuple[float, float]:
        """Bytes a point in the first half and in the second."""
        published, size = self._middle or (self._plan.live, self._start)
        rest = max(1, self._plan.live - published)
        first = (size - self._start) / max(1, published) / self._plan.metrics
        return first, (accounting.bytes_stored(self._config) - size) / rest / self._plan.metrics
