"""What each component of the running stack costs: CPU seconds and memory, also over restarts."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

import psutil

from deploy.stack import Stack

CPU_EVERY_S = 1.0
#: Reading the memory of a process with many pages costs milliseconds.
MEMORY_EVERY = 10
GENERATOR, OBSERVER = "load", "observer"


class Seen(NamedTuple):
    """A process at a moment: `own` CPU seconds, and `ended`, those of its children that have ended."""

    pid: int
    parent: int
    own: float
    ended: float


class Tally:
    """CPU seconds of a tree of processes, of those in it that have ended as well (pure).

    A process that ends is in its parent's account if that one has waited for it: not yet, or never (PySpark's workers).
    So each is counted by its own time as last seen, and of a parent's account only what exceeds that: children that
    came and went between two looks.
    """

    def __init__(self) -> None:
        self._seen: dict[int, Seen] = {}
        self._known: dict[int, float] = {}  # by parent: of `ended`, what was already counted as its children's own
        self._over = 0.0

    def add(self, tree: Iterable[Seen]) -> None:
        """The tree as it is now."""
        now = {one.pid: one for one in tree}
        for pid, gone in list(self._seen.items()):
            if pid not in now:
                del self._seen[pid]
                self._over += gone.own + self._unseen(gone)
                if gone.parent in now:
                    self._known[gone.parent] = self._known.get(gone.parent, 0.0) + gone.own + gone.ended
        self._seen.update(now)

    @property
    def total(self) -> float:
        return self._over + sum(one.own + self._unseen(one) for one in self._seen.values())

    def _unseen(self, one: Seen) -> float:
        return max(0.0, one.ended - self._known.get(one.pid, 0.0))


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
    _tallies: dict[tuple[str, int], Tally] = field(default_factory=dict)
    _before: dict[tuple[str, int], float] = field(default_factory=dict)
    _spent: dict[tuple[str, int], float] = field(default_factory=dict)
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
            tally = self._tallies.setdefault((name, pid), Tally())
            tally.add(seen for one in tree if (seen := _seen(one, ended=name != OBSERVER)))
            # A process that was there before is counted from now on, one that comes later as a whole.
            before = self._before.setdefault((name, pid), tally.total if first else 0.0)
            self._spent[name, pid] = tally.total - before
            if memory:
                held[name] = held.get(name, 0.0) + sum(map(_pss_mb, tree))
        self.cpu_s = {}
        for (name, _), spent in self._spent.items():
            self.cpu_s[name] = self.cpu_s.get(name, 0.0) + spent
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


def _seen(process: psutil.Process, ended: bool) -> Seen | None:
    """None when it is gone; `ended`: with the time of children which have ended."""
    try:
        times, parent = process.cpu_times(), process.ppid()
    except psutil.NoSuchProcess:
        return None
    children = times.children_user + times.children_system if ended else 0.0
    return Seen(process.pid, parent, times.user + times.system, children)


def _pss_mb(process: psutil.Process) -> float:
    try:
        return process.memory_full_info().pss / 2**20
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return 0.0
