"""docs/results.md as it is written: every figure from the run, no cell empty."""

from __future__ import annotations

import re

from deploy.bench import results, results_plots

STAGE = {"p50": 1.0, "p95": 2.0, "p99": 3.0, "max": 4.0, "n": 9}
ONE = {
    "published": 6000, "stored": 6000, "lost": 0, "achieved_rate": 100.0, "settled_s": 2.0, "bytes_per_point": 98.0,
    "latency_ms": {"kafka": STAGE, "flag": None, "latest": STAGE, "stored": STAGE},
    "cpu_s": {"bridge": 6.2, "spark": 31.0},
}  # fmt: skip
RUN = {
    "machine": "2 cores", "versions": "numpy 2", "at": "2026-11-25 01:00", "seconds": 60.0, "highest": 100.0,
    "loads": {"100": ONE, "200": {**ONE, "held": False}}, "overload": {"rate": 300.0, **ONE},
    "chaos": {"rate": 50, "published": 9, "stored": 8, "lost": 1, "wrong_aggregates": 0, "missed_alerts": 0,
              "duplicate_alerts": 0, "broken": ["it is lost"],
              "faults": [{"what": "kill kafka", "at_s": 5.0, "recovered_s": 9.1},
                         {"what": "stop spark", "at_s": 30.0, "recovered_s": None}]},
}  # fmt: skip


def test_the_page_says_what_was_held_lost_and_broken() -> None:
    page = results.page(RUN)
    assert "**100** readings a second" in page
    assert "200 (not held)" in page
    assert "Broken promises: it is lost" in page
    assert "| stop spark | 30 | not within 120 |" in page
    assert results.lost(RUN) == 1


def test_tables_are_whole() -> None:
    for table in re.findall(r"(?:^\|.*\n)+", results.page(RUN), re.MULTILINE):
        assert len({row.count("|") for row in table.splitlines()}) == 1, table


def test_cores_are_over_the_time_from_the_first_reading_to_the_last_stored() -> None:
    assert results.cores(ONE)["bridge"] == 6.2 / 62
    figures = [results_plots.cores({"100": results.cores(ONE)}), results_plots.latency(RUN["loads"]),
               results_plots.recovery(RUN["chaos"]["faults"])]  # fmt: skip
    assert all(len(one.data) for one in figures)
