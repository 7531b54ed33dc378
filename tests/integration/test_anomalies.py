"""Flags explained, history judged again, alerts followed: the commands, on the real stack."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deploy import status
from deploy.stack import Stack
from edge.publisher import Publisher
from tests.conftest import eventually
from weir.settings import Settings

COUNT = 300


@pytest.fixture(scope="module")
def spiky(stack: Stack, config: Settings) -> Iterator[int]:
    """A series with one spike, published as history and then live; gives the time of the spike (ms)."""
    publisher = Publisher(config, "weir-test-anomalies", [])
    start = int(time.time() * 1000) - (COUNT + 20) * 1000
    history = [{"ts": start + i * 1000, "metrics": {"t": 20 + i % 5}, "hist": True} for i in range(COUNT)]
    publisher.data("ano", "spiky", history)
    spike = start + (COUNT + 5) * 1000
    for i in range(COUNT, COUNT + 10):
        ts = start + i * 1000
        publisher.data("ano", "spiky", {"ts": ts, "metrics": {"t": 90.0 if ts == spike else 20.0 + i % 5}})
    publisher.close()
    query = (
        "SELECT count(*) FROM anomalies JOIN series USING (series_id) JOIN sensors USING (sensor_id) "
        "WHERE site = 'ano' AND value = 90"
    )
    eventually(lambda: status.postgres_rows(config, query, ()) == [(1,)])
    stored = (
        "SELECT count(*) FROM all_readings JOIN series USING (series_id) JOIN sensors USING (sensor_id) "
        "WHERE site = 'ano' AND sensor = 'spiky'"
    )
    eventually(lambda: status.postgres_rows(config, stored, ()) == [(COUNT + 10,)])
    yield spike


def test_explain_tells_the_fence_as_it_was(weir: Any, spiky: int) -> None:
    code, output = weir("explain", "ano/spiky", "t", "--json")
    flag = json.loads(output)["flag"]
    assert code == 0
    assert (flag["ts"], flag["value"]) == (spiky, 90.0)
    assert flag["q1"] <= flag["q3"] < flag["high"] < 90
    _, text = weir("explain", "ano/spiky", "t")
    assert "left the fence" in text


def test_history_judged_again_gives_the_same_flags_and_raises_none(weir: Any, spiky: int, config: Settings) -> None:
    count = "SELECT count(*) FROM anomalies"
    before = status.postgres_rows(config, count, ())
    code, output = weir("redetect", "--sensor", "ano/spiky", "--from", "5m", "--json")
    (found,) = json.loads(output)
    assert code == 0
    assert spiky in [flag["ts"] for flag in found["flags"]]
    assert status.postgres_rows(config, count, ()) == before


def test_other_parameters_judge_otherwise(weir: Any, spiky: int) -> None:
    _, output = weir("redetect", "--sensor", "ano/spiky", "--from", "5m", "--set", "warmup=100000", "--json")
    assert json.loads(output)[0]["flags"] == []


def test_live_alerts_are_listed_as_json(weir: Any, config: Settings) -> None:
    publisher = Publisher(config, "weir-test-alerts", [])
    start = int(time.time() * 1000) - 400_000
    publisher.data(
        "ano", "wild", [{"ts": start + i * 1000, "metrics": {"t": 20 + i % 5}, "hist": True} for i in range(300)]
    )
    for i in range(12):
        publisher.data("ano", "wild", {"ts": start + (380 + i) * 1000, "metrics": {"t": 500.0 + 90 * i}})
    publisher.close()

    def found() -> list[dict[str, Any]]:
        _, output = weir("alerts", "--json")
        return [one for one in map(json.loads, output.splitlines()) if (one["site"], one["sensor"]) == ("ano", "wild")]

    (alert,) = eventually(found)
    assert (alert["rule"], alert["metric"], alert["state"]) == ("anomaly", "t", "active")


def test_the_example_consumer_of_the_document_prints_what_was_flagged(
    spiky: int, config: Settings, tmp_path: Path
) -> None:
    document = (Path(__file__).parents[2] / "docs" / "consumers.md").read_text()
    (tmp_path / "consumer.py").write_text(document.split("```python\n")[1].split("```")[0])
    # Other tests' flags are on the topic too, and more may come: it is told to go on, and stopped when ours was seen.
    command = [sys.executable, "-u", "consumer.py", config.kafka, "anomalies", "1000000"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        seen = any(line.strip() == "ano spiky t 90.0" for line in running.stdout)
        running.kill()
    assert seen
