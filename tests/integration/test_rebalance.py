"""Two bridges and three detectors share the work; under load one of each is killed and a detector joins again."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
import redis

from deploy import health
from deploy.stack import SERVERS, Stack
from edge.publisher import Publisher
from tests.conftest import eventually, running
from tests.integration.test_two_bridges import records
from weir import keys
from weir.live import Latest
from weir.settings import Settings

SENSORS = [(f"site-{i}", f"s-{i}") for i in range(12)]
ROUNDS = 300


class Worker:
    """One process of a worker, on a port of its own."""

    def __init__(self, home: Path, module: str, setting: str, port: int) -> None:
        self.port = port
        environment = {**os.environ, "WEIR_HOME": str(home), setting: str(port)}
        with (home / "log" / f"{module}-{port}.log").open("w") as out:
            command = [sys.executable, "-m", module]
            self.process = subprocess.Popen(command, env=environment, stdout=out, stderr=out)

    def well(self) -> bool:
        return health.healthz("127.0.0.1", self.port) is None

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture
def stack(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stack]:
    monkeypatch.setenv("WEIR_BRIDGE_SHARDS", "4")  # `up` makes a session for each, before anything is published
    with running("weir-share-", SERVERS, 16, 28_240) as one:
        yield one


def test_nothing_is_lost_when_bridges_and_detectors_are_killed_and_join_under_load(stack: Stack) -> None:
    config = Settings(_env_file=stack.home / "env", home=stack.home)
    ports = iter(range(config.alerts_port + 1, config.alerts_port + 8))
    workers: list[Worker] = []

    def start(module: str, setting: str) -> Worker:
        workers.append(Worker(stack.home, module, setting, next(ports)))
        return workers[-1]

    try:
        bridges = [start("stream_apps.bridge", "WEIR_BRIDGE_PORT") for _ in range(2)]
        detectors = [start("stream_apps.detector", "WEIR_DETECTOR_PORT") for _ in range(3)]
        eventually(lambda: all(one.well() for one in workers), 90)
        publisher = Publisher(config, "weir-share", [])
        start_ms = int(time.time() * 1000) - ROUNDS * 1000
        for seq in range(ROUNDS):
            for site, sensor in SENSORS:
                value = {"ts": start_ms + seq * 1000, "seq": seq, "metrics": {"t": float(seq)}}
                publisher.data(site, sensor, value)
            if seq == ROUNDS // 3:
                detectors[0].kill()
                bridges[0].kill()
            if seq == 2 * ROUNDS // 3:
                start("stream_apps.detector", "WEIR_DETECTOR_PORT")
        assert publisher.flush(threading.Event())
        publisher.close()
        wanted = {f"{site}/{sensor}": start_ms + (ROUNDS - 1) * 1000 for site, sensor in SENSORS}
        eventually(lambda: newest(config) == wanted, 90)
        sent = {(site, sensor, seq) for site, sensor in SENSORS for seq in range(ROUNDS)}
        assert set(records(config, len(sent))) == sent
        eventually(lambda: all(one.well() for one in workers if one.process.poll() is None), 60)
    finally:
        for one in workers:
            one.kill()


def newest(config: Settings) -> dict[str, int]:
    """When each sensor was last measured, as the detectors have put it into Redis."""
    with redis.Redis.from_url(config.redis_url) as cache:
        values = cache.hvals(keys.LATEST)  # type: ignore[misc]
    found = [msgspec.json.decode(value, type=Latest) for value in values]  # type: ignore[union-attr]
    return {f"{one.site}/{one.sensor}": one.ts for one in found}
