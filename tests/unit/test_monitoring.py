"""The files for Prometheus and Grafana name only metrics that a worker has, and scrape all of its ports."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from deploy.environment import PORTS
from weir.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "deploy" / "monitoring"
_DEFINED = re.compile(r'(?:(Counter|Gauge|Histogram)\(\s*|name = )"(weir_[a-z_]+)"')
#: What Prometheus and its client make by themselves.
_GIVEN = {"up", "process_resident_memory_bytes", "process_cpu_seconds_total"}


def defined() -> set[str]:
    """The samples of every metric that the sources define."""
    found = set()
    for room in ("stream_apps", "spark_jobs", "web"):
        for path in (ROOT / room).rglob("*.py"):
            for kind, name in _DEFINED.findall(path.read_text()):
                found |= {f"{name}_total"} if kind == "Counter" else {name, f"{name}_bucket"}
    return found


def expressions(name: str) -> list[str]:
    if name == "dashboard.json":
        panels = json.loads((FOLDER / name).read_text())["panels"]
        return [target["expr"] for panel in panels for target in panel["targets"]]
    return re.findall(r"^\s+expr: (.+)$", (FOLDER / name).read_text(), re.MULTILINE)


@pytest.mark.parametrize("name", ["dashboard.json", "alerts.yml"])
def test_every_metric_named_is_one_that_a_worker_has(name: str) -> None:
    known = defined() | _GIVEN
    for expression in expressions(name):
        names = set(re.findall(r"\b(?:weir_[a-z_]+|process_[a-z_]+|up)\b", expression))
        assert names and names <= known, expression
    assert len(expressions(name)) >= 9


def test_every_worker_with_metrics_is_scraped_at_its_default_port() -> None:
    ports = [
        getattr(Settings(), name)
        for name in PORTS
        if name in ("bridge_port", "detector_port", "alerts_port", "spark_port")
    ]
    text = (FOLDER / "prometheus.yml").read_text()
    assert [int(port) for port in re.findall(r"127\.0\.0\.1:(\d+)", text)] == ports
    assert len(ports) == 4


def test_there_are_alert_rules_for_lag_ledger_gap_disk_and_silence() -> None:
    names = set(re.findall(r"alert: (\w+)", (FOLDER / "alerts.yml").read_text()))
    assert {"WeirDetectorLag", "WeirLedgerGap", "WeirDiskFull", "WeirSilence"} <= names
