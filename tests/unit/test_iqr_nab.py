"""The benchmark of the detector: NAB's scoring by its published definition, and the folder it reads."""

import csv
import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.bench import detect, nab
from weir.errors import SetupError

ROWS = 1000
WINDOWS = [(300, 399), (700, 799)]


def corpus(*rows: int) -> list[nab.Scored]:
    scores = np.zeros(ROWS)
    scores[list(rows)] = 0.5
    return [nab.scored(scores, WINDOWS)]


def test_silence_scores_0_and_the_first_row_of_each_window_alone_scores_100() -> None:
    assert nab.normalised(corpus(), 0.5) == 0
    assert nab.normalised(corpus(300, 700), 0.5) == pytest.approx(100)


def test_the_curve_is_that_of_the_paper() -> None:
    assert nab.scaled_sigmoid(-1) == pytest.approx(0.98661, abs=1e-5)
    assert nab.scaled_sigmoid(-0.5) == pytest.approx(0.84828, abs=1e-5)
    assert nab.scaled_sigmoid(0) == 0
    assert nab.scaled_sigmoid(1) == pytest.approx(-0.98661, abs=1e-5)
    assert nab.scaled_sigmoid(3.1) == -1


def test_a_false_detection_costs_more_the_farther_it_lies_after_a_window() -> None:
    costs = [nab.normalised(corpus(300, 700, row), 0.5) for row in (800, 820, 850, 999)]
    assert costs == sorted(costs, reverse=True)
    before = nab.normalised(corpus(300, 700, 200), 0.5)
    assert before == pytest.approx(100 - 100 * nab.FALSE_POSITIVE / 4)


def test_only_the_earliest_detection_in_a_window_counts_and_a_late_one_counts_less() -> None:
    assert nab.normalised(corpus(300, 350, 399, 700), 0.5) == pytest.approx(100)
    late = nab.worths(ROWS, WINDOWS)[0][390] / 2 * 50 + 50 + 25
    assert nab.normalised(corpus(390, 700), 0.5) == pytest.approx(late)


def test_what_is_said_in_the_first_15_percent_is_not_scored() -> None:
    assert nab.probation(ROWS) == 150 and nab.probation(22_695) == 750
    assert nab.normalised(corpus(149, 300, 700), 0.5) == pytest.approx(100)
    assert nab.normalised(corpus(150, 300, 700), 0.5) < 100


@given(st.lists(st.sampled_from([0.0, 0.1, 0.2, 0.3, 0.7, 1.0]), min_size=40, max_size=40), st.integers(7, 15))
def test_the_threshold_found_is_the_best_there_is(scores: list[float], first: int) -> None:
    series = [nab.scored(np.array(scores), [(first, first + 9), (30, 35)]), nab.scored(np.array(scores[::-1]), [])]
    threshold, raw = nab.best_threshold(series)
    tried = [sum(one.at(level) for one in series) for level in [nab.NOTHING, *scores]]
    assert raw == pytest.approx(max(tried))
    assert sum(one.at(threshold) for one in series) == pytest.approx(raw)


def folder(path: Path) -> Path:
    """Three series of 900 readings, of which two have a spike at row 600."""
    labels = {}
    for n in range(3):
        file = path / "data" / "real" / f"series_{n}.csv"
        file.parent.mkdir(parents=True, exist_ok=True)
        values = np.random.default_rng(n).normal(50, 1, 900)
        if n < 2:
            values[600:640] += 40
            labels[f"real/{file.name}"] = [["2020-01-03 01:55:00", "2020-01-03 04:00:00"]]
        with file.open("w", newline="") as out:
            lines = csv.writer(out)
            lines.writerow(["timestamp", "value"])
            for i, value in enumerate(values):
                day, minute = divmod(i * 5, 1440)
                lines.writerow([f"2020-01-{day + 1:02d} {minute // 60:02d}:{minute % 60:02d}:00", value])
    (path / "windows.json").write_text(json.dumps(labels))
    return path


def test_the_benchmark_reads_any_folder_laid_out_like_nab_and_writes_its_results_format(tmp_path: Path) -> None:
    found = detect.run(folder(tmp_path), tmp_path / "results")
    assert found["nab_standard"] > 90
    assert set(found["baselines"]) == {"plain_fence", "moving_gaussian"}
    assert found["series"]["real/series_0.csv"]["found"] == 1
    assert found["series"]["real/series_2.csv"]["windows"] == 0
    assert found["us_per_point"] > 0 and found["bytes_per_series"] < 12 * 1024
    with (tmp_path / "results" / "weir" / "real" / "weir_series_0.csv").open() as lines:
        rows = list(csv.DictReader(lines))
    assert list(rows[0]) == ["timestamp", "value", "anomaly_score", "label"]
    assert len(rows) == 900 and rows[0]["timestamp"] == "2020-01-01 00:00:00"
    assert all(0 <= float(row["anomaly_score"]) <= 1 for row in rows)
    assert sum(int(row["label"]) for row in rows) == 26
    assert max(rows, key=lambda row: float(row["anomaly_score"]))["timestamp"] == "2020-01-03 02:00:00"


def test_the_scores_of_the_baselines_are_finite_and_point_at_the_spike(tmp_path: Path) -> None:
    series = detect.read(folder(tmp_path))[0]
    for scores in (detect.plain_fence(series), detect.moving_gaussian(series)):
        assert all(math.isfinite(one) and 0 <= one <= 1 for one in scores.tolist())
        assert 600 <= int(np.argmax(scores)) < 640


def test_cross_validation_holds_some_series_back(tmp_path: Path) -> None:
    series = detect.read(folder(tmp_path))
    judged = [nab.scored(detect.weir_scores(one), one.windows) for one in series]
    found = detect.cross_validated(judged, repeats=10)
    assert found == detect.cross_validated(judged, repeats=10)
    assert found["mean"] <= 100 and found["deviation"] >= 0


def test_a_folder_that_is_not_laid_out_so_is_refused_with_what_it_needs(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match=r"windows\.json"):
        detect.run(tmp_path)
