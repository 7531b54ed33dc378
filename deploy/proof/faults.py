"""What can be done to a component, how it is done, and in which order (the order is pure)."""

from __future__ import annotations

import itertools
import os
import random
import signal
import time
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass

import psutil
import psycopg2
import redis

from deploy.proof.proxy import FaultProxy
from deploy.stack import SERVERS, WORKERS, Stack
from weir.errors import SetupError
from weir.settings import Settings

COMPONENTS = (*SERVERS, *WORKERS)
#: People say Redis; ours is Valkey.
ALIASES = {"redis": "valkey"}
#: Those that write files of their own and end, or die, when they cannot. Postgres takes EFBIG, which is all that a
#: limit on a process can give, for something else than a full disk: see docs/load.md.
FILLABLE = ("mosquitto", "kafka", "valkey", "spark")
#: Those that end all connections of their clients when they are asked to.
CUTTABLE = ("postgres", "valkey")
KINDS = ("kill", "stop", "slow", "fill", "cut", "stall")
#: How long a component is stopped or slow, and connections are cut, in seconds.
HOLD_S = 5.0
#: Out of every so many seconds a slow component runs a tenth.
_TURN_S = 0.1
_PAIRS = 4


@dataclass(frozen=True)
class Fault:
    """`kind` (one of `KINDS`) done to `names` at once. `cut` and `stall` are done to connections: the devices' or those
    of a server's clients."""

    kind: str
    names: tuple[str, ...]

    @property
    def what(self) -> str:
        return f"{self.kind} {'+'.join(self.names)}"


def names_of(text: str) -> tuple[str, ...]:
    """The components named in `a,b,c`; all of them for an empty text. Raises `SetupError`."""
    names = tuple(ALIASES.get(one.strip(), one.strip()) for one in text.split(",") if one.strip())
    if wrong := set(names) - set(COMPONENTS):
        raise SetupError(f"no component {', '.join(sorted(wrong))}: there are {', '.join(COMPONENTS)}")
    return names or COMPONENTS


def catalogue(names: Iterable[str], seed: int, kills_only: bool) -> list[Fault]:
    """Every fault for these components, shuffled: each alone, and some pairs killed at once."""
    names = list(names)
    chance = random.Random(seed)  # noqa: S311 - an order, not a secret
    found = [Fault("kill", (name,)) for name in names]
    pairs = list(itertools.combinations(names, 2))
    found += [Fault("kill", pair) for pair in chance.sample(pairs, min(_PAIRS, len(pairs)))]
    if not kills_only:
        found += [Fault(kind, (name,)) for kind in ("stop", "slow") for name in names]
        found += [Fault("fill", (name,)) for name in names if name in FILLABLE]
        found += [Fault("cut", (name,)) for name in ("devices", *names) if name in ("devices", *CUTTABLE)]
        found += [Fault("stall", ("devices",))]
    chance.shuffle(found)
    return found


class Striker:
    """Does faults to a running stack, and undoes what does not undo itself."""

    def __init__(self, stack: Stack, config: Settings, proxy: FaultProxy) -> None:
        self._stack = stack
        self._config = config
        self._proxy = proxy

    def strike(self, fault: Fault) -> None:
        """Returns when the fault is over; a killed process is the supervisor's to start again."""
        if fault.names == ("devices",):
            (self._proxy.cut if fault.kind == "cut" else self._proxy.stall)()
            time.sleep(HOLD_S)
            self._proxy.mend()
            return
        if fault.kind == "cut":
            self._cut_clients(fault.names)
            return
        pids = [self._pid(name) for name in fault.names]
        if fault.kind == "kill":
            for pid in pids:
                os.kill(pid, signal.SIGKILL)
        elif fault.kind == "fill":
            for pid in pids:
                _fill(pid)
        else:
            _hold([process for pid in pids for process in _tree(pid)], slow=fault.kind == "slow")

    def _cut_clients(self, names: tuple[str, ...]) -> None:
        """End every connection to a server, which goes on: all at once, in the middle of whatever they do."""
        if "postgres" in names:
            with closing(psycopg2.connect(self._stack.admin_dsn(self._config))) as admin, admin.cursor() as cursor:
                cursor.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
                )
        if "valkey" in names:
            with redis.Redis.from_url(self._config.redis_url) as client:
                for kind in ("normal", "pubsub"):
                    client.execute_command("CLIENT", "KILL", "TYPE", kind)

    def _pid(self, name: str) -> int:
        """Of a running component; waits for one that is just being started."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            for one in self._stack.supervisor.processes():
                if one.name == name and one.state == "running":
                    return one.pid
            time.sleep(0.1)
        raise SetupError(f"{name} does not run: start it with `weir up` before it can be broken")


def _tree(pid: int) -> list[psutil.Process]:
    root = psutil.Process(pid)
    return [root, *root.children(recursive=True)]


def _send(processes: list[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        try:
            process.send_signal(number)
        except psutil.NoSuchProcess:  # a worker that has ended meanwhile
            continue


def _hold(processes: list[psutil.Process], slow: bool) -> None:
    """Stop processes for `HOLD_S`, or let them run a tenth of that time; they go on whatever happens to us."""
    until = time.monotonic() + HOLD_S
    try:
        while time.monotonic() < until:
            _send(processes, signal.SIGSTOP)
            time.sleep(0.9 * _TURN_S if slow else HOLD_S)
            _send(processes, signal.SIGCONT)
            time.sleep(0.1 * _TURN_S if slow else 0)
    finally:
        _send(processes, signal.SIGCONT)


def _fill(pid: int) -> None:
    """For `HOLD_S` no file of these processes grows beyond a page, as if their quota were used up."""
    import resource  # Windows has none, and may run every other command

    limit = resource.RLIMIT_FSIZE
    processes = _tree(pid)
    before = [(one, _limit(one.pid, limit, (4096, -1))) for one in processes]
    time.sleep(HOLD_S)
    for one, old in before:
        if old is not None and one.is_running():
            _limit(one.pid, limit, old)


def _limit(pid: int, which: int, limits: tuple[int, int]) -> tuple[int, int] | None:
    """Set a limit of another process; returns the old one, None when the process is gone."""
    import resource

    try:
        soft, hard = resource.prlimit(pid, which)
        resource.prlimit(pid, which, (limits[0], hard))
    except ProcessLookupError:
        return None
    return soft, hard
