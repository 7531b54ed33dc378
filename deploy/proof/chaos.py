"""Breaks the running stack under load, fault after fault, and then checks what was promised."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

from deploy import health
from deploy.proof import accounting, alarms, load, promises
from deploy.proof.alarms import Alarms, Verdict
from deploy.proof.faults import HOLD_S, Fault, Striker
from deploy.proof.load import Moment
from deploy.proof.observer import Observer
from deploy.proof.promises import Aggregates
from deploy.proof.proxy import FaultProxy
from deploy.proof.trouble import Told, Trouble
from deploy.stack import Stack
from edge.plan import Plan
from weir.settings import Settings

#: Undisturbed before the first fault, and between two.
CALM_S = 5.0
PAUSE_S = 3.0
#: A fault begins only while so much of the load is left that its recovery can be seen.
NEEDED_S = HOLD_S + 15.0
#: Not well after so long: it does not recover by itself.
GIVE_UP_S = 120.0
PATIENCE_S = 120.0
LOOK_S = 0.2


@dataclass(frozen=True)
class Struck:
    """A fault that was done `at_s` seconds into the load; None: it was not well again within two minutes.

    `recovered_s`: from the fault's begin until every component was healthy and readings due after the begin were
    on the live picture and in Postgres.
    """

    what: str
    at_s: float
    recovered_s: float | None


@dataclass(frozen=True)
class Report:
    """What chaos has found."""

    faults: list[Struck]
    load: load.Result
    aggregates: Aggregates
    ledger_missing: int
    verdict: Verdict
    hostile: Told
    letters: int
    behind: int
    web: str | None

    def as_dict(self) -> dict[str, Any]:
        """The object of `weir chaos --json`."""
        return {
            "faults": [asdict(one) for one in self.faults],
            "published": self.load.published,
            "stored": self.load.found.stored,
            "lost": self.load.lost,
            "duplicate": self.load.duplicate,
            "wrong_aggregates": self.aggregates.wrong,
            "marked_aggregates": self.aggregates.marked,
            "ledger_missing": self.ledger_missing,
            "duplicate_alerts": self.verdict.duplicate_alerts,
            "missed_alerts": self.verdict.missed_alerts,
            "missed_flags": self.verdict.missed_flags,
            "unknown_flags": self.verdict.unknown_flags,
            "hostile": self.hostile.hostile,
            "dead_lettered": self.letters,
            "late": self.hostile.behind,
            "late_stored": self.behind,
            "web": self.web or "healthy",
            "broken": self.broken(),
        }

    def broken(self) -> list[str]:
        """The promises that were not kept, in words."""
        checks = {
            "every published reading is in Postgres, as it was published": not self.load.lost,
            "nothing is in Postgres that nobody published": not self.load.found.unknown,
            "aggregates are equal to SQL over raw, or marked": not self.aggregates.wrong,
            "the ledger balances": not self.ledger_missing,
            "the flags are those of an undisturbed run": not self.verdict.missed_flags + self.verdict.unknown_flags,
            "no alert is missed": not self.verdict.missed_alerts,
            "no alert is opened twice": not self.verdict.duplicate_alerts,
            "what cannot be used is a dead letter": self.letters >= self.hostile.hostile,
            "late is not lost": self.behind == self.hostile.behind,
            "the web is there": self.web is None,
            "every fault is recovered from": all(one.recovered_s is not None for one in self.faults),
        }
        return [what for what, kept in checks.items() if not kept]


def run(
    stack: Stack, config: Settings, plan: Plan, faults: list[Fault], look: Callable[[Moment], None],
    say: Callable[[str], None],
) -> Report:  # fmt: skip
    """Strike one fault after the other while the plan is published; those for which there is no time are left out."""
    broken = alarms.make(plan.site, plan.start, plan.seconds)
    with _quiet_client(), FaultProxy(config.host, config.mqtt_port) as proxy, Trouble(config, _bad(plan)) as trouble:
        storm = Storm(stack, config, plan, Striker(stack, config, proxy), faults, say)

        def follow(moment: Moment) -> None:
            storm.follow(moment.observer)
            look(moment)

        with Alarms(config, broken) as alarmed:
            result = load.run(stack, config, plan, 1, follow, proxy.port)
            storm.end()
            told = trouble.end()
            alarmed.end()
    report = _report(stack, config, plan, storm.struck, result, told, broken)
    alarmed.retire()
    return report


@contextmanager
def _quiet_client() -> Iterator[None]:
    """No line for every try of our own consumers to reach a broker that we have killed; recovery is what is told."""
    client = logging.getLogger("aiokafka")
    before = client.level
    client.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        client.setLevel(before)


def _report(
    stack: Stack, config: Settings, plan: Plan, struck: list[Struck], result: load.Result, told: Told,
    broken: list[alarms.Alarm],
) -> Report:  # fmt: skip
    def wait(look: Callable[[], Any], good: Callable[[Any], bool]) -> Any:
        return promises.settled(look, good, PATIENCE_S)

    sites = [plan.site, _bad(plan), *(one.site for one in broken)]
    probe = health.probes(config, config.dsn("reader"))["web"]
    return Report(
        faults=struck,
        load=result,
        behind=wait(lambda: promises.behind(config, _bad(plan)), lambda found: found == told.behind),
        letters=wait(lambda: accounting.dead_lettered(config, _bad(plan)), lambda found: found >= told.hostile),
        verdict=wait(lambda: alarms.verdict(config, broken), lambda found: found.good),
        ledger_missing=wait(lambda: promises.missing(config, plan.start), lambda found: found == 0),
        aggregates=wait(lambda: promises.aggregates(config, sites), lambda found: not found.wrong),
        hostile=told,
        web=wait(probe, lambda found: found is None),
    )


def _bad(plan: Plan) -> str:
    """The site of the devices that misbehave."""
    return f"{plan.site}-bad"


def watched(probed: Iterable[str], processes: Mapping[str, str]) -> list[str]:
    """Which of `probed` must be well: those that this stack has and that are not stopped (name -> state)."""
    return [name for name in probed if processes.get(name, "stopped") != "stopped"]


class Storm:
    """Strikes in a thread of its own, and measures how long each recovery takes."""

    def __init__(
        self, stack: Stack, config: Settings, plan: Plan, striker: Striker, faults: list[Fault],
        say: Callable[[str], None],
    ) -> None:  # fmt: skip
        self.struck: list[Struck] = []
        self._stack = stack
        self._plan = plan
        self._striker = striker
        self._faults = faults
        self._say = say
        self._probes = health.probes(config, config.dsn("reader"))
        self._stop = threading.Event()
        self._failure: BaseException | None = None
        self._observer: Observer | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def follow(self, observer: Observer) -> None:
        """The load has begun, and this is who watches it."""
        if self._observer is None:
            self._observer = observer
            self._thread.start()

    def end(self) -> None:
        """Wait for the last recovery."""
        self._stop.set()
        if self._observer is not None:
            self._thread.join()
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        try:
            self._stop.wait(max(0.0, self._plan.start / 1000 - time.time()) + CALM_S)
            for fault in self._faults:
                if self._left() < NEEDED_S or self._stop.is_set():
                    self._say(f"no time left for {fault.what} and what comes after it")
                    return
                self.struck.append(self._strike(fault))
                recovered = self.struck[-1].recovered_s
                self._say(f"{fault.what}: " + ("NOT RECOVERED" if recovered is None else f"{recovered:.1f} s"))
                self._stop.wait(PAUSE_S)
        except BaseException as error:  # raised again in the thread that waits for us
            self._failure = error

    def _left(self) -> float:
        return self._plan.start / 1000 + self._plan.seconds - time.time()

    def _strike(self, fault: Fault) -> Struck:
        begun = time.time()
        self._striker.strike(fault)
        while not self._well(begun) and time.time() - begun < GIVE_UP_S:
            time.sleep(LOOK_S)
        took = time.time() - begun
        return Struck(
            fault.what, round(begun - self._plan.start / 1000, 1), round(took, 1) if took < GIVE_UP_S else None
        )

    def _well(self, since: float) -> bool:
        """Healthy, and readings due after `since` (seconds since the epoch) have come through."""
        observer, at = self._observer, int(since * 1000)
        assert observer is not None  # noqa: S101 - the thread begins with it
        for stage in (observer.latest, observer.stored):
            if not stage.complete() and any(stage.newest(sensor) < at for sensor in stage.sensors):
                return False
        processes = {one.name: one.state for one in self._stack.supervisor.processes()}
        return all(
            processes[name] == "running" and self._probes[name]() is None for name in watched(self._probes, processes)
        )
