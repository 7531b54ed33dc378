"""`weir load` and `weir chaos` in small: what they find, not how fast it was."""

from __future__ import annotations

import json
from typing import Any

import pytest

STAGES = {"kafka", "flag", "latest", "stored"}


def test_a_small_load_is_accounted_for_to_the_last_reading(weir: Any) -> None:
    code, output = weir("load", "--rate", "200", "--seconds", "8", "--sensors", "40", "--json")
    found = json.loads(output.splitlines()[-1])
    assert code == 0
    assert found["published"] == found["acknowledged"] == found["stored"] == 1600 + 20 * 100
    assert (found["lost"], found["wrong"], found["unknown"]) == (0, 0, 0)
    assert set(found["latency_ms"]) == STAGES
    assert all(found["latency_ms"][stage] for stage in STAGES - {"flag"})
    assert {"bridge", "detector", "kafka", "spark", "postgres", "load"} <= set(found["cpu_s"]) & set(found["rss_mb"])


def test_arrays_from_several_generators_and_hostile_devices_are_accounted_for_as_well(weir: Any) -> None:
    code, output = weir("load", "--rate", "200", "--seconds", "4", "--sensors", "30", "--metrics", "5",
                        "--payload", "array", "--processes", "2", "--faults", "hostile", "--json")  # fmt: skip
    found = json.loads(output.splitlines()[-1])
    assert (code, found["lost"]) == (0, 0)
    assert found["dead_lettered"] >= found["published"] - found["stored"] > 20
    assert found["stored"] > 800 + 20 * 100


def test_every_promise_is_kept_when_connections_are_cut(weir: Any) -> None:
    code, output = weir("chaos", "--rate", "100", "--seconds", "60", "--only", "cut,stall", "--json")
    found = json.loads(output.splitlines()[-1])
    assert found["broken"] == []
    assert code == 0
    assert {one["what"] for one in found["faults"]} == {"cut devices", "stall devices", "cut postgres", "cut valkey"}


@pytest.mark.timeout(600)
def test_the_whole_bench_in_small_loses_nothing_and_breaks_no_promise(weir: Any) -> None:
    code, output = weir("bench", "results", "--small")
    assert code == 0, output
    assert "0 lost" in output
