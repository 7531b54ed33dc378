"""What each component of the running stack costs: CPU seconds and memory, also over restarts."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass, field

import psutil

from deploy.stack import Stack

CPU_EVERY_S = 1.0
#: Reading the memory of a process with many pages costs milliseconds.
MEMORY_EVERY = 10
GENERATOR, OBSERVER = "load", "observer"


@dataclass
class Usage:
    """Samples while it is open. `cpu_s` and `peak_mb` by component; `load` is the load generator, whose processes are
    added to `generators`, and `observer` this process, which watches.

    Memory is proportional (PSS): pages that Postgres' processes share are counted once.
    """

    stack: Stack
    cpu_s: dict[str, float] = field(default_factory=dict)
    peak_mb: dict[str, float] = field(default_factory=dict)
    generators: list[int] = field(default_factory=list)
    _last: dict[tuple[str, int], float] = field(default_factory=dict)
    _stop: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Usage:
        self._sample(memory=True, first=True)
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._sample(memory=True)

    def _watch(self) -> None:
        n = 0
        while not self._stop.wait(CPU_EVERY_S):
            n += 1
            self._sample(memory=n % MEMORY_EVERY == 0)

    def _sample(self, memory: bool, first: bool = False) -> None:
        held: dict[str, float] = {}
        for name, pid in self._roots():
            tree = _tree(pid) if name != OBSERVER else [psutil.Process(pid)]
            spent = sum(_spent(one, ended=name != OBSERVER) for one in tree)
            known = self._last.get((name, pid))
            if known is None:
                known = spent if first else 0.0
            # A child that has just died may not be in its parent's account yet: what is spent never shrinks.
            self.cpu_s[name] = self.cpu_s.get(name, 0.0) + max(0.0, spent - known)
            self._last[name, pid] = max(spent, known)
            if memory:
                held[name] = held.get(name, 0.0) + sum(map(_pss_mb, tree))
        for name, size in held.items():
            self.peak_mb[name] = max(self.peak_mb.get(name, 0.0), size)

    def _roots(self) -> list[tuple[str, int]]:
        try:
            found = [(one.name, one.pid) for one in self.stack.supervisor.processes() if one.state == "running"]
        except OSError:  # not ours to watch: containers, or another machine
            found = []
        return [*found, *((GENERATOR, pid) for pid in self.generators), (OBSERVER, os.getpid())]


def _tree(pid: int) -> list[psutil.Process]:
    try:
        root = psutil.Process(pid)
        return [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _spent(process: psutil.Process, ended: bool) -> float:
    """User and system time, if asked for with that of children which have ended."""
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    own = times.user + times.system
    return own + times.children_user + times.children_system if ended else own


def _pss_mb(process: psutil.Process) -> float:
    try:
        return process.memory_full_info().pss / 2**20
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return 0.0
