"""Two bridges share the sites; when one is killed the other takes its sites over, nothing lost, no sensor reordered."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer

from deploy import health
from deploy.stack import SERVERS, Stack
from edge.publisher import Publisher
from tests.conftest import eventually, running
from weir import topics
from weir.readings import decode_frame
from weir.settings import Settings

SHARDS = 4
SITES = 8
READINGS = 400


@pytest.fixture(scope="module")
def servers() -> Iterator[Stack]:
    with running("weir-two-", SERVERS, 12) as one:
        yield one


class Bridge:
    """One bridge process, on a port of its own."""

    def __init__(self, home: Path, config: Settings, port: int) -> None:
        self._probe = lambda: health.healthz(config.host, port)
        self._log = home / "log" / f"bridge-{port}.log"
        environment = {
            **os.environ,
            "WEIR_HOME": str(home),
            "WEIR_BRIDGE_PORT": str(port),
            "WEIR_BRIDGE_SHARDS": str(SHARDS),
        }
        with self._log.open("w") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "stream_apps.bridge"], env=environment, stdout=out, stderr=out
            )

    def well(self) -> bool:
        return self._probe() is None

    def shards(self) -> set[int]:
        """The shards it was given last: each line says one, and those of one assignment follow each other."""
        lines = [
            line.split("shard ")[1].split()[0] for line in self._log.read_text().splitlines() if " is ours" in line
        ]
        return {int(number) for number in lines}

    def end(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@pytest.fixture
def bridges(servers: Stack) -> Iterator[list[Bridge]]:
    config = Settings(_env_file=servers.home / "env", home=servers.home)
    found = [Bridge(servers.home, config, config.bridge_port), Bridge(servers.home, config, config.alerts_port + 1)]
    try:
        eventually(lambda: all(one.well() for one in found) and all(one.shards() for one in found))
        yield found
    finally:
        for one in found:
            one.end()


def records(config: Settings, count: int) -> list[tuple[str, str, int]]:
    """(site, sensor, seq) in the order of their partitions, once `count` different ones are there."""

    async def consume() -> list[tuple[str, str, int]]:
        consumer = AIOKafkaConsumer(
            topics.READINGS, bootstrap_servers=config.kafka, auto_offset_reset="earliest", enable_auto_commit=False
        )
        await consumer.start()
        found: list[tuple[str, str, int]] = []
        deadline = time.monotonic() + 90
        try:
            while len(set(found)) < count:
                assert time.monotonic() < deadline, f"only {len(set(found))} of {count}"
                for batch in (await consumer.getmany(timeout_ms=500)).values():
                    for record in batch:
                        found += [(one.site, one.sensor, one.seq or 0) for one in decode_frame(record.value)]
        finally:
            await consumer.stop()
        return found

    return asyncio.run(consume())


def test_a_killed_bridges_sites_go_to_the_other_and_no_reading_is_lost_or_overtaken(
    servers: Stack, bridges: list[Bridge]
) -> None:
    config = Settings(_env_file=servers.home / "env", home=servers.home)
    sensors = [(f"site-{i}", f"s-{i}") for i in range(SITES)]
    publisher = Publisher(config, "weir-two", [])
    start = int(time.time() * 1000)
    for seq in range(READINGS):
        for site, sensor in sensors:
            publisher.data(site, sensor, {"ts": start + seq, "seq": seq, "metrics": {"t": 1.0}})
        if seq == READINGS // 2:
            bridges[0].process.send_signal(signal.SIGKILL)
    publisher.close()
    found = records(config, SITES * READINGS)
    wanted = {(site, sensor, seq) for site, sensor in sensors for seq in range(READINGS)}
    assert set(found) == wanted
    for _, sensor in sensors:
        first_seen = list(dict.fromkeys(seq for _, name, seq in found if name == sensor))
        assert first_seen == list(range(READINGS))
