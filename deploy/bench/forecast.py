"""How well Weir's forecasts do on recorded data: rolling origins, model by model, beside statsforecast's if installed.

Hourly means; from each origin the models see the last six weeks at most. docs/forecasting.md defines each figure.
"""

from __future__ import annotations

import importlib
import importlib.util
import time
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from weir.errors import WeirError
from weir.forecasting import COMBINED, HOUR_MS, MODELS, by_model, forecast

HORIZONS = {"1h": 1, "24h": 24}
SEED = 1
#: Bounds on the run time: forecasts in all, with and without the slow models beside ours, and series to take them from.
MOST_FORECASTS, MOST_BESIDE, MOST_SERIES = 400, 60, 100
HISTORY = 42 * 24
_LEAST_HISTORY = 72
_MOST_MISSING = 0.3
_PERIOD = 24


class BenchError(WeirError):
    """The file cannot be measured; the text says why."""


@dataclass(frozen=True)
class Case:
    """A series at one origin: `ts` ms and `values` of its history (NaN where missing), and the 24 hours after it.

    `centre`: the mean of the whole series, which R² is measured against.
    """

    series: str
    ts: np.ndarray
    values: np.ndarray
    truth: np.ndarray
    centre: float


@dataclass
class Scores:
    """One model at one horizon, one entry a forecast."""

    mase: list[float] = field(default_factory=list)
    spread: list[float] = field(default_factory=list)
    error: list[float] = field(default_factory=list)
    inside: list[float] = field(default_factory=list)


#: Mean, low and high of the 80 % interval, (steps,) each.
Path80 = tuple[np.ndarray, np.ndarray, np.ndarray]
#: From hourly values without gaps to `mean`, `lo-80` and `hi-80` of the next 24.
Model = Callable[[np.ndarray], dict[str, np.ndarray]]


def run(file: Path, horizons: Iterable[str] = ("1h", "24h"), extra: bool = False) -> dict[str, Any]:
    """`{"models": {name: {"mase_1h", ...}}, "seconds_per_series", "series", "forecasts"}` of a CSV, also `.gz`.

    `extra` also runs AutoETS, AutoTheta and AutoARIMA if statsforecast is installed. Raises `BenchError`.
    """
    wanted = list(dict.fromkeys(horizons))
    if not wanted or not set(wanted) <= set(HORIZONS):
        raise BenchError(f"horizons must be some of {', '.join(HORIZONS)}")
    beside = statsforecast() if extra else {}
    found = cases(read(file), MOST_BESIDE if beside else MOST_FORECASTS)
    if not found:
        raise BenchError(f"{file.name}: no series has three days of hourly values that vary, and a day after them")
    scores: dict[str, dict[str, Scores]] = {}
    seconds = 0.0
    for case in found:
        theirs = _theirs(case, beside)
        for horizon in wanted:
            started = time.perf_counter()
            forecast(case.ts, case.values, horizon_ms=HORIZONS[horizon] * HOUR_MS, step_ms=HOUR_MS)
            seconds += time.perf_counter() - started
            for name, path in (_ours(case, HORIZONS[horizon]) | theirs).items():
                _score(scores.setdefault(name, {}).setdefault(horizon, Scores()), case, path, HORIZONS[horizon])
    return {
        "models": {name: _figures(of) for name, of in scores.items()},
        "seconds_per_series": round(seconds / len(found), 4),
        "series": len({case.series for case in found}),
        "forecasts": len(found),
    }


def read(file: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """(ts ms, values) by sensor, from columns `sensor_id`, `ts` (ISO 8601 or ms) and the first other, or `value`.

    Without `sensor_id` the file is one series; `timestamp` will do for `ts`. Rows that do not parse are left out.
    """
    try:
        names = list(pd.read_csv(file, nrows=0).columns)
        times = next((name for name in ("ts", "timestamp") if name in names), None)
        rest = [name for name in names if name not in ("sensor_id", times)]
        if times is None or not rest:
            raise BenchError(f"{file.name}: the columns must be sensor_id, ts and a value; found {', '.join(names)}")
        value = next((name for name in rest if name.lower() == "value"), rest[0])
        wanted = [name for name in ("sensor_id", times, value) if name in names]
        table = pd.read_csv(file, usecols=wanted, low_memory=False)
    except (OSError, EOFError, ValueError) as error:  # pandas' own are ValueErrors
        raise BenchError(f"{file.name}: cannot be read as CSV: {error}") from error
    good = pd.DataFrame({"ts": _milliseconds(table[times]), "value": pd.to_numeric(table[value], errors="coerce")})
    good["sensor"] = table["sensor_id"].astype(str) if "sensor_id" in names else file.name
    good = good[np.isfinite(good["value"]) & (good["ts"] > 0)]
    return {
        str(name): (part["ts"].to_numpy(np.int64), part["value"].to_numpy(np.float64))
        for name, part in good.groupby("sensor")
    }


def _milliseconds(column: pd.Series) -> pd.Series:
    """int64 ms; 0 for what is no time."""
    if pd.api.types.is_numeric_dtype(column):
        return column.where(column.between(0, 2**53), 0).fillna(0).astype(np.int64)
    parsed = pd.to_datetime(column, utc=True, format="ISO8601", errors="coerce")
    return parsed.dt.as_unit("ms").astype(np.int64).where(parsed.notna(), 0)


def cases(data: dict[str, tuple[np.ndarray, np.ndarray]], most: int) -> list[Case]:
    """Origins drawn with a fixed seed from the newer two thirds of each series, at most `most` in all."""
    random = np.random.default_rng(SEED)
    names = sorted(data)
    chosen = [names[at] for at in random.permutation(len(names))[: min(most, MOST_SERIES)]]
    result: list[Case] = []
    for name in chosen:
        ts, values = _hourly(*data[name])
        first, end = max(_LEAST_HISTORY, len(values) // 3), len(values) - _PERIOD
        origins = random.permutation(np.arange(first, max(first, end)))
        made = (_case(name, ts, values, int(origin)) for origin in origins[: 20 * most])
        result += _take(made, max(1, most // len(chosen)))
    return result


def _take(made: Iterable[Case | None], most: int) -> list[Case]:
    taken: list[Case] = []
    for case in made:
        if len(taken) == most:
            break
        if case is not None:
            taken.append(case)
    return taken


def _hourly(ts: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Start of each hour from the first to the last, ms, and its mean; NaN where there is none."""
    hour = ts // HOUR_MS
    if hour.max() - hour.min() > 20 * 366 * 24:  # a wrong clock must not ask for gigabytes
        keep = hour > hour.max() - 366 * 24
        hour, values = hour[keep], values[keep]
    slot = hour - hour.min()
    count = np.bincount(slot)
    means = np.bincount(slot, values) / np.where(count > 0, count, np.nan)
    return (hour.min() + np.arange(len(means))) * HOUR_MS, means


def _case(name: str, ts: np.ndarray, values: np.ndarray, origin: int) -> Case | None:
    """None if too much is missing, or the scales of the history are 0."""
    start = max(0, origin - HISTORY)
    history, truth = values[start:origin], values[origin : origin + _PERIOD]
    missing = np.isnan(history[-1]) or np.isnan(truth[0])
    if missing or max(np.isnan(history).mean(), np.isnan(truth).mean()) > _MOST_MISSING:
        return None
    case = Case(name, ts[start:origin], history, truth, float(np.nanmean(values)))
    return case if min(scale(history, 1), scale(history, _PERIOD)) > 0 else None


def scale(history: np.ndarray, lag: int) -> float:
    """Mean absolute difference at `lag` hours in the history: MASE's denominator (Hyndman & Koehler 2006)."""
    differences = np.abs(history[lag:] - history[:-lag])
    return float(np.nanmean(differences)) if np.isfinite(differences).any() else 0.0


def _ours(case: Case, steps: int) -> dict[str, Path80]:
    made = by_model(case.ts, case.values, horizon_ms=steps * HOUR_MS, step_ms=HOUR_MS)
    # Without a trial every model repeats the last value.
    return {name: (one.mean, one.low80, one.high80) for name, one in ((n, made.get(n, made[COMBINED])) for n in MODELS)}


def _theirs(case: Case, beside: dict[str, Model]) -> dict[str, Path80]:
    """(24,) each: one fit serves both horizons."""
    known = np.isfinite(case.values)
    filled = np.interp(case.ts, case.ts[known], case.values[known])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of convergence, once a fit
        said = {name: model(filled) for name, model in beside.items()}
    return {name: (one["mean"], one["lo-80"], one["hi-80"]) for name, one in said.items()}


def _score(scores: Scores, case: Case, path: Path80, steps: int) -> None:
    mean, low, high = (one[:steps] for one in path)
    truth = case.truth[:steps]
    known = np.isfinite(truth)
    denominator = scale(case.values, steps)
    error = (truth - mean)[known] / denominator
    scores.mase.append(float(np.abs(error).mean()))
    scores.inside.append(float(((low <= truth) & (truth <= high))[known].mean()))
    scores.spread.append(float(truth[known][-1] - case.centre) / denominator)
    scores.error.append(float(error[-1]))


def _figures(scores: dict[str, Scores]) -> dict[str, float | None]:
    figures: dict[str, float | None] = {}
    for horizon, of in scores.items():
        figures[f"mase_{horizon}"] = round(float(np.mean(of.mase)), 4)
        if horizon == "1h":
            figures["r2_1h"] = _r2(of)
        figures[f"coverage80_{horizon}"] = round(float(np.mean(of.inside)), 4)
    return figures


def _r2(scores: Scores) -> float | None:
    """1 less the squared errors over those of each series' own mean, both in units of MASE's scale."""
    spread = float(np.square(scores.spread).sum())
    return round(1 - float(np.square(scores.error).sum()) / spread, 4) if spread > 0 else None


def statsforecast() -> dict[str, Model]:
    """The published models, by name; empty if the `bench` extra is not installed.

    AutoARIMA sees the last two weeks and approximates its likelihoods while searching: without, one fit takes 5-20 s.
    """
    if importlib.util.find_spec("statsforecast") is None:
        return {}
    models = importlib.import_module("statsforecast.models")

    def fitted(model: Any, days: int) -> Model:
        return lambda values: model.forecast(y=values[-days * _PERIOD :], h=_PERIOD, level=[80])

    return {
        "AutoETS": fitted(models.AutoETS(season_length=_PERIOD), HISTORY // _PERIOD),
        "AutoTheta": fitted(models.AutoTheta(season_length=_PERIOD), HISTORY // _PERIOD),
        "AutoARIMA": fitted(models.AutoARIMA(season_length=_PERIOD, approximation=True), 14),
    }
