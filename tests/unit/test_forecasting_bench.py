import gzip
from pathlib import Path

import numpy as np
import pytest

from deploy.bench import forecast as bench
from weir.errors import WeirError
from weir.forecasting import MODELS

HOUR = 3_600_000
FIGURES = {"mase_1h", "mase_24h", "r2_1h", "coverage80_1h", "coverage80_24h"}


def lines(sensors: int = 2, days: int = 9, iso: bool = False) -> list[str]:
    random = np.random.default_rng(4)
    rows = ["sensor_id,ts,temperature,place"]
    for sensor in range(sensors):
        for hour in range(days * 24):
            value = 10 * np.sin(2 * np.pi * hour / 24) + random.normal()
            at = np.datetime64(hour * HOUR + 1_500_000_000_000, "ms")
            rows.append(f"s{sensor},{f'{at}+00:00' if iso else at.astype(int)},{value:.3f},town")
    return rows


def written(path: Path, rows: list[str]) -> Path:
    path.write_text("\n".join(rows) + "\n")
    return path


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "MOST_FORECASTS", 8)


def test_every_model_has_every_figure_and_the_combination_beats_the_last_value(tmp_path: Path) -> None:
    found = bench.run(written(tmp_path / "a.csv", lines()))
    assert set(found["models"]) == set(MODELS)
    assert all(set(figures) == FIGURES for figures in found["models"].values())
    combined, last = found["models"]["combined"], found["models"]["repeat-last"]
    assert combined["mase_1h"] < last["mase_1h"] and combined["mase_24h"] < last["mase_24h"]
    assert combined["r2_1h"] > 0.9 and found["series"] == 2 and found["forecasts"] == 8
    assert 0 < found["seconds_per_series"] < 5


def test_iso_times_and_gzip_give_the_same_as_milliseconds(tmp_path: Path) -> None:
    one = bench.run(written(tmp_path / "a.csv", lines()))
    packed = tmp_path / "a.csv.gz"
    packed.write_bytes(gzip.compress("\n".join(lines(iso=True)).encode()))
    assert bench.run(packed)["models"] == one["models"]


def test_a_column_named_value_wins_over_an_earlier_one_and_bad_rows_are_left_out(tmp_path: Path) -> None:
    rows = ["timestamp,quality,value", "2026-01-01 00:00:00,9,1.5", "never,9,2", "2026-01-01 01:00:00,9,n/a"]
    ts, values = bench.read(written(tmp_path / "b.csv", rows))["b.csv"]
    assert list(ts) == [1_767_225_600_000] and list(values) == [1.5]


def test_only_the_horizons_asked_for_are_measured(tmp_path: Path) -> None:
    found = bench.run(written(tmp_path / "a.csv", lines()), horizons=["1h"])
    assert set(found["models"]["combined"]) == {"mase_1h", "r2_1h", "coverage80_1h"}


def test_repeating_yesterday_scores_one_where_each_day_differs_like_the_last(tmp_path: Path) -> None:
    found = bench.run(written(tmp_path / "a.csv", lines(days=30)), horizons=["24h"])
    assert found["models"]["repeat-yesterday"]["mase_24h"] == pytest.approx(1, abs=0.2)
    assert bench.scale(np.array([1.0, 2.0, np.nan, 5.0]), 1) == 1.0


def test_a_constant_series_cannot_be_scaled_and_is_left_out(tmp_path: Path) -> None:
    rows = lines(1) + [f"flat,{hour * HOUR},3.0,town" for hour in range(9 * 24)]
    assert bench.run(written(tmp_path / "a.csv", rows))["series"] == 1


@pytest.mark.parametrize(
    "rows", [[], ["a,b"], ["sensor_id,ts"], ["sensor_id,ts,v"], ["sensor_id,ts,v", "a,1,2"], ["ts,v", "x,y"]]
)
def test_a_file_that_cannot_be_measured_is_one_clear_error(tmp_path: Path, rows: list[str]) -> None:
    with pytest.raises(WeirError, match=r"bad\.csv"):
        bench.run(written(tmp_path / "bad.csv", rows))


def test_a_missing_file_and_an_unknown_horizon_are_clear_errors(tmp_path: Path) -> None:
    with pytest.raises(bench.BenchError, match="cannot be read"):
        bench.run(tmp_path / "none.csv")
    with pytest.raises(bench.BenchError, match="horizons"):
        bench.run(written(tmp_path / "a.csv", lines()), horizons=["2h"])


def test_models_beside_ours_are_scored_on_the_same_forecasts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def perfect_last(values: np.ndarray) -> dict[str, np.ndarray]:
        mean = np.full(24, values[-1])
        return {"mean": mean, "lo-80": mean - 1e9, "hi-80": mean + 1e9}

    monkeypatch.setattr(bench, "statsforecast", lambda: {"AutoLast": perfect_last})
    found = bench.run(written(tmp_path / "a.csv", lines()), extra=True)["models"]
    assert found["AutoLast"]["mase_24h"] == found["repeat-last"]["mase_24h"]
    assert found["AutoLast"]["coverage80_1h"] == 1
