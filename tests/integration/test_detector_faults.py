"""The detector killed, frozen, and joined by a second one: the flags are those of a run without any of it."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from deploy import health, status
from deploy.stack import Stack
from edge.publisher import Publisher
from stream_apps.judging import Judge
from tests.conftest import eventually, free_ports
from tests.integration.test_faults import kill, pid
from weir.readings import Reading
from weir.settings import Settings

SENSORS = 12
COUNT = 240

_FLAGS = """
SELECT sensor, (extract(epoch FROM ts) * 1000)::bigint
FROM anomalies JOIN series USING (series_id) JOIN sensors USING (sensor_id) WHERE site = %s"""
_READ = """
SELECT count(*) FROM all_readings JOIN series USING (series_id) JOIN sensors USING (sensor_id) WHERE site = %s"""


def stream(site: str) -> list[Reading]:
    """Every sensor has noise and some spikes; the same for the same site."""
    chance = random.Random(site)
    start = int(time.time() * 1000) - COUNT * 1000
    return [
        Reading(
            site, f"s{n}", start + i * 1000, 0,
            {"t": 20.0 + chance.gauss(0, 1) + (40.0 if i > 60 and chance.random() < 0.01 else 0.0)},
        )
        for i in range(COUNT)
        for n in range(SENSORS)
    ]  # fmt: skip


def expected(readings: list[Reading]) -> set[tuple[str, int]]:
    judge = Judge()
    return {(flag.sensor, flag.ts) for reading in readings for flag in judge.judge([reading], reading.ts)}


def publish(config: Settings, readings: list[Reading]) -> None:
    publisher = Publisher(config, f"weir-test-{readings[0].site}", [])
    for reading in readings:
        publisher.data(reading.site, reading.sensor, {"ts": reading.ts, "metrics": reading.metrics})
    publisher.flush(threading.Event())
    publisher.close()


def assert_flags_are_as_expected(config: Settings, readings: list[Reading]) -> None:
    site, wanted = readings[0].site, expected(readings)
    assert len(wanted) > SENSORS
    eventually(lambda: status.postgres_rows(config, _READ, (site,)) == [(len(readings),)], 90)
    eventually(lambda: set(status.postgres_rows(config, _FLAGS, (site,))) >= wanted, 60)
    assert set(status.postgres_rows(config, _FLAGS, (site,))) == wanted


def test_a_killed_detector_flags_what_it_would_have_flagged(stack: Stack, config: Settings) -> None:
    readings = stream("det-killed")
    third = len(readings) // 3
    publish(config, readings[:third])
    kill(stack, "detector")
    publish(config, readings[third : 2 * third])
    kill(stack, "detector")
    publish(config, readings[2 * third :])
    assert_flags_are_as_expected(config, readings)


def test_a_frozen_detector_that_wakes_up_changes_nothing(stack: Stack, config: Settings) -> None:
    readings = stream("det-frozen")
    half = len(readings) // 2
    publish(config, readings[:half])
    frozen = pid(stack, "detector")
    os.kill(frozen, signal.SIGSTOP)
    publish(config, readings[half:])
    os.kill(frozen, signal.SIGCONT)
    assert_flags_are_as_expected(config, readings)


@pytest.fixture
def second(stack: Stack, config: Settings) -> Iterator[subprocess.Popen[bytes]]:
    """A second detector, which takes over half of the partitions."""
    port = free_ports(1, 29_000)
    environment = {**os.environ, "WEIR_HOME": str(stack.home), "WEIR_DETECTOR_PORT": str(port)}
    with (stack.home / "log" / "detector-2.log").open("w") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "stream_apps.detector"], env=environment, stdout=out, stderr=out
        )
    eventually(lambda: health.healthz(config.host, port) is None)
    yield process
    process.kill()
    process.wait()


def test_state_moves_with_the_partitions_between_two_detectors(
    stack: Stack, config: Settings, second: subprocess.Popen[bytes]
) -> None:
    readings = stream("det-moved")
    half = len(readings) // 2
    publish(config, readings[:half])
    second.send_signal(signal.SIGKILL)
    publish(config, readings[half:])
    assert_flags_are_as_expected(config, readings)
