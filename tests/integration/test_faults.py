"""Servers and workers killed and stopped under load: every published reading is in Postgres exactly once."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Iterator

import pytest

from deploy import status
from deploy.stack import Stack
from edge.publisher import Publisher
from tests.conftest import eventually
from weir.settings import Settings

SENSORS = 10
RATE = 400
SECONDS = 6


class Load:
    """Publishes in the background; the value of a reading is its number, so that each can be told from all others."""

    def __init__(self, config: Settings, site: str) -> None:
        self.site = site
        self.sent = 0
        self._config = config
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        names = [(self.site, f"s{i}") for i in range(SENSORS)]
        publisher = Publisher(self._config, f"weir-test-{self.site}", names)
        pace = threading.Event()
        start = int(time.time() * 1000)
        for n in range(RATE * SECONDS):
            site, sensor = names[n % SENSORS]
            publisher.data(site, sensor, {"ts": start + n, "seq": n // SENSORS, "metrics": {"n": float(n)}})
            self.sent = n + 1
            if n % 20 == 19:
                pace.wait(20 / RATE)
        publisher.flush(threading.Event())
        publisher.close()

    def reach(self, share: float) -> None:
        """Return when this share of the readings has been handed to MQTT."""
        eventually(lambda: self.sent >= share * RATE * SECONDS)

    def finish(self) -> None:
        self._thread.join(180)
        assert not self._thread.is_alive(), "not everything was acknowledged"


@pytest.fixture
def load(stack: Stack, config: Settings, request: pytest.FixtureRequest) -> Iterator[Load]:
    one = Load(config, f"{request.node.originalname[5:35]}-{request.node.callspec.id}".replace("_", "-"))
    yield one
    one.finish()


def pid(stack: Stack, name: str) -> int:
    return next(one.pid for one in stack.supervisor.processes() if one.name == name)


def running_again(stack: Stack, name: str, old: int) -> bool:
    return any(p.name == name and p.state == "running" and p.pid != old for p in stack.supervisor.processes())


def kill(stack: Stack, name: str) -> None:
    old = pid(stack, name)
    os.kill(old, signal.SIGKILL)
    eventually(lambda: running_again(stack, name, old))


def freeze(stack: Stack, name: str, load: Load) -> None:
    """Stop a process in the middle of the load and let it go on when all of the load has been sent or waits."""
    frozen = pid(stack, name)
    os.kill(frozen, signal.SIGSTOP)
    sent = load.sent
    try:
        eventually(lambda: load.sent >= min(sent + RATE, RATE * SECONDS))
    finally:
        os.kill(frozen, signal.SIGCONT)


_STORED = """
SELECT count(*), count(DISTINCT value), coalesce(min(value), -1), coalesce(max(value), -1)
FROM all_readings JOIN series USING (series_id) JOIN sensors USING (sensor_id) WHERE site = %s AND metric = 'n'"""
_GAPS = "SELECT coalesce(sum(absent), 0)::int FROM sequences WHERE site = %s"


def assert_all_is_stored_once(load: Load, config: Settings) -> None:
    load.finish()
    total = RATE * SECONDS
    wanted = (total, total, 0.0, float(total - 1))
    eventually(lambda: status.postgres_rows(config, _STORED, (load.site,)) == [wanted], 120)
    assert status.postgres_rows(config, _GAPS, (load.site,)) == [(0,)]


def balanced(config: Settings) -> bool:
    """Nothing is on its way any more, and nothing is missing."""
    found = status.ledger_totals(config)
    return found is not None and found.missing == 0 and found.pending == 0


@pytest.mark.parametrize("name", ["mosquitto", "kafka", "postgres", "valkey", "detector", "spark"])
def test_one_component_killed_under_load_costs_time_and_no_reading(
    name: str, stack: Stack, config: Settings, load: Load
) -> None:
    load.reach(0.3)
    kill(stack, name)
    assert_all_is_stored_once(load, config)
    eventually(lambda: balanced(config), 60)


@pytest.mark.parametrize("name", ["kafka", "postgres", "bridge"])
def test_a_component_that_hangs_for_a_while_costs_time_and_no_reading(
    name: str, stack: Stack, config: Settings, load: Load
) -> None:
    load.reach(0.3)
    freeze(stack, name, load)
    assert_all_is_stored_once(load, config)


@pytest.mark.parametrize("seed", [1])
def test_the_bridge_killed_again_and_again_loses_nothing(seed: int, stack: Stack, config: Settings, load: Load) -> None:
    chance = random.Random(seed)
    for share in sorted(chance.uniform(0.1, 0.9) for _ in range(3)):
        load.reach(share)
        kill(stack, "bridge")
    assert_all_is_stored_once(load, config)
    eventually(lambda: balanced(config), 60)
