"""`weir scale`: the figures are those of the run log, and the sums are right."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from deploy import costs
from deploy.cli import cli
from deploy.scale import plan
from stream_apps.iqr import Detector
from weir.errors import SetupError

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("cost", costs.ALL, ids=lambda cost: cost.what)
def test_a_cost_stands_where_it_says_it_was_measured(cost: costs.Cost) -> None:
    if cost.source == costs.PROTOTYPE:
        assert cost.figures == ()
        return
    source = (ROOT / cost.source).read_text()
    for figure in cost.figures:
        assert figure in source, f"{cost.what}: measured anew? Then mend deploy/costs.py"


def test_a_series_takes_what_scale_counts_for_it() -> None:
    assert Detector().bytes_per_series == costs.DETECTOR_STATE.value


def needs(sensors: int, every: float, **more: int) -> dict[str, str]:
    return {line.what: line.need for line in plan(sensors, every, **more).lines}


def test_a_laptops_fleet_needs_one_of_each() -> None:
    found = plan(126, 10)
    assert (found.bridges, found.detectors, found.partitions, found.spark_cores) == (1, 1, 4, 2)


def test_a_million_sensors_a_minute() -> None:
    found = plan(1_000_000, 60, replicas=3)
    assert found.rate == pytest.approx(16_666.7, abs=0.1)
    assert found.bridges == 4  # 16,667 / (10,537 / 2) = 3.2
    assert found.detectors == 2  # 16,667 x 43 us / 0.5 = 1.4
    assert found.spark_cores == 3  # 16,667 x 73 us / 0.5 = 2.4
    assert found.partitions == 8
    assert found.settings == [
        "WEIR_PARTITIONS=8",
        "WEIR_BRIDGE_SHARDS=4",
        "WEIR_KAFKA_REPLICAS=3",
        "WEIR_KAFKA_MIN_INSYNC=2",
    ]


def test_twice_as_often_is_twice_the_readings_and_as_many_buckets() -> None:
    once, twice = needs(1000, 60), needs(1000, 30)
    assert once["Postgres' disk, readings"] == "788.8 MB"
    assert twice["Postgres' disk, readings"] == "1.6 GB"
    assert once["Postgres' disk, buckets"] == twice["Postgres' disk, buckets"]


def test_buckets_are_not_more_than_readings_nor_kept_longer_than_said() -> None:
    daily = needs(1000, 86_400)
    assert daily["Postgres' disk, buckets"] == "372.3 MB"  # 3,000 series x (1 + 1) x 365 days x 170 bytes
    assert needs(1000, 60, bucket_days=0)["Postgres' disk, buckets"] == "4.5 GB"  # hours alone


@pytest.mark.parametrize("wrong", [{"sensors": 0}, {"every_s": 0.0}, {"metrics": -1}])
def test_numbers_that_are_none_of_a_fleet_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(SetupError, match="more than 0"):
        plan(**{"sensors": 1, "every_s": 1.0, **wrong})  # type: ignore[arg-type]


def test_the_docs_show_what_the_command_prints() -> None:
    docs = (ROOT / "docs" / "scaling.md").read_text()
    printed = CliRunner().invoke(cli, ["scale", "--sensors", "1000000"], env={"COLUMNS": "200"}).output
    for line in plan(1_000_000, 60, replicas=3).lines:
        assert line.need in printed
        assert f"| {line.what} | {line.need} | {line.sum} |" in docs
