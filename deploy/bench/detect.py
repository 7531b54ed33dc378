"""How well and how fast readings are judged: any folder laid out like the Numenta Anomaly Benchmark.

The folder holds `data/<category>/<file>.csv` (lines of timestamp,value) and the labelled windows as `windows.json` or,
as in NAB's own repository, `labels/combined_windows.json`: a list of [first, last] timestamps by `<category>/<file>`.
"""

from __future__ import annotations

import csv
import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from deploy.bench import nab
from stream_apps.iqr import DEFAULT, Detector, Params
from weir.errors import SetupError
from weir.readings import Reading, decode_frame, encode_frame

DETECTOR = "weir"
#: The windows of the two baselines: that of `level`, and that of NAB's windowed Gaussian.
FENCE_WINDOW = 4032
GAUSSIAN_WINDOW = 6400
#: What arrives in one linger of 5 ms at 1,000 messages a second, each of three metrics.
FRAME_READINGS = 5
FRAME_METRICS = 3
_WARMUP_FRAMES = 200
_LABELS = ("windows.json", "labels/combined_windows.json")


@dataclass(frozen=True)
class Labelled:
    """One series: `times` (n, ms), `values` (n) and its anomalous windows by first and last row, both inside."""

    name: str
    stamps: list[str]
    times: np.ndarray
    values: np.ndarray
    windows: list[tuple[int, int]]


def read(data: Path) -> list[Labelled]:
    """Every series of a folder. Raises `SetupError` if it is not laid out as it should be."""
    found = next((data / one for one in _LABELS if (data / one).is_file()), None)
    files = sorted((data / "data").glob("*/*.csv"))
    if found is None or not files:
        raise SetupError(f"{data} needs data/<category>/<file>.csv and {_LABELS[0]} or {_LABELS[1]}")
    try:
        labels = json.loads(found.read_text(encoding="utf-8"))
        return [_series(file, f"{file.parent.name}/{file.name}", labels) for file in files]
    except (ValueError, KeyError, TypeError) as error:
        raise SetupError(f"{data} cannot be read: {error}") from error


def _series(file: Path, name: str, labels: dict[str, list[list[str]]]) -> Labelled:
    with file.open(encoding="utf-8", newline="") as lines:
        rows = [(line["timestamp"], float(line["value"])) for line in csv.DictReader(lines)]
    times = np.array([_ms(stamp) for stamp, _ in rows], np.int64)
    windows = []
    for first, last in labels.get(name, []):
        inside = np.flatnonzero((times >= _ms(first)) & (times <= _ms(last)))
        if len(inside):
            windows.append((int(inside[0]), int(inside[-1])))
    return Labelled(name, [stamp for stamp, _ in rows], times, np.array([value for _, value in rows]), sorted(windows))


def _ms(stamp: str) -> int:
    moment = datetime.fromisoformat(stamp)
    return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


def weir_scores(series: Labelled, params: Params = DEFAULT) -> np.ndarray:
    """The novelty of every reading of a series, judged as live readings are, (n, 0 to 1)."""
    detector = Detector(params, capacity=1)
    rows = np.full(len(series.times), detector.row("bench", "series", "value"), np.int64)
    return detector.points(rows, series.times, series.values, np.zeros(len(rows), np.bool_)).novelty


def plain_fence(series: Labelled) -> np.ndarray:
    """A Tukey fence over the values so far, at most 4032: the distance beyond it in IQRs, d/(1+d)."""
    found = np.zeros(len(series.values))
    for i in range(50, len(found)):
        q1, q3 = np.percentile(series.values[max(0, i - FENCE_WINDOW) : i], [25, 75])
        beyond = max(0.0, q1 - series.values[i], series.values[i] - q3) - 1.5 * (q3 - q1)
        found[i] = beyond / (beyond + max(q3 - q1, 1e-12)) if beyond > 0 else 0.0
    return found


def moving_gaussian(series: Labelled) -> np.ndarray:
    """1 less the tail of a normal distribution with mean and deviation of the values before, at most 6400."""
    sums = np.concatenate([[0.0], np.cumsum(series.values)])
    squares = np.concatenate([[0.0], np.cumsum(series.values**2)])
    ends = np.arange(len(series.values))
    begins = np.maximum(0, ends - GAUSSIAN_WINDOW)
    counts = np.maximum(1, ends - begins)
    means = (sums[ends] - sums[begins]) / counts
    deviations = np.sqrt(np.maximum((squares[ends] - squares[begins]) / counts - means**2, 1e-12))
    distances = np.abs(series.values - means) / deviations / math.sqrt(2)
    tails = 0.5 * np.array([math.erfc(one) for one in distances.tolist()])
    return np.where(ends < 2, 0.0, 1.0 - tails)


def cross_validated(corpus: list[nab.Scored], repeats: int = 200, seed: int = 0) -> dict[str, float]:
    """The threshold chosen on one half of the series and applied to the other, over random halves: mean and spread."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(repeats if len(corpus) > 1 else 0):
        order = rng.permutation(len(corpus)).tolist()
        chosen, held = order[: len(order) // 2], order[len(order) // 2 :]
        threshold, _ = nab.best_threshold([corpus[i] for i in chosen])
        found.append(nab.normalised([corpus[i] for i in held], threshold))
    if not found:
        return {"mean": 0.0, "deviation": 0.0}
    return {"mean": round(float(np.mean(found)), 1), "deviation": round(float(np.std(found)), 1)}


def us_per_point(corpus: list[Labelled]) -> float:
    """Microseconds a value takes, from the bytes of its frame to its judgement, in frames of a busy minute."""
    metrics = [one.values for one in corpus]
    frames, points = [], 0
    sensors = [metrics[i : i + FRAME_METRICS] for i in range(0, len(metrics), FRAME_METRICS)]
    batch: list[Reading] = []
    for at in range(max(len(one) for one in metrics)):
        for n, group in enumerate(sensors):
            values = {f"m{k}": float(one[at]) for k, one in enumerate(group) if at < len(one)}
            if values:
                batch.append(Reading("bench", f"s{n}", 300_000 * (at + 1), 0, values, at))
            if len(batch) == FRAME_READINGS:
                frames.append(encode_frame(batch))
                batch = []
    detector = Detector()
    begun = 0.0
    for n, frame in enumerate(frames):
        if n == min(_WARMUP_FRAMES, len(frames) - 1):
            begun, points = time.perf_counter(), 0
        readings = decode_frame(frame)
        detector.judge(readings, 0)
        points += sum(len(one.metrics) for one in readings)
    return 1e6 * (time.perf_counter() - begun) / points if points else 0.0


def run(data: Path, scores: Path | None = None) -> dict[str, Any]:
    """Judge every series of a folder and score it as NAB does, standard profile.

    With `scores`, the score of every reading is written there as NAB's own scorer reads it:
    `<scores>/weir/<category>/weir_<file>.csv`. Raises `SetupError` when the folder cannot be read.
    """
    corpus = read(data)
    found = {one.name: weir_scores(one) for one in corpus}
    judged = {one.name: nab.scored(found[one.name], one.windows) for one in corpus}
    threshold, _ = nab.best_threshold(judged.values())
    if scores is not None:
        for one in corpus:
            _write(scores, one, found[one.name])
    shipped = DEFAULT.threshold
    return {
        "nab_standard": round(nab.normalised(judged.values(), threshold), 1),
        "threshold": threshold,
        "us_per_point": round(us_per_point(corpus), 2),
        "bytes_per_series": Detector().bytes_per_series,
        "baselines": {name: _scored(corpus, one) for name, one in BASELINES.items()},
        "series": {name: _summary(one, threshold) for name, one in judged.items()},
        "shipped": {"threshold": shipped, "nab_standard": round(nab.normalised(judged.values(), shipped), 1)},
        "cross_validated": cross_validated(list(judged.values())),
    }


BASELINES: dict[str, Callable[[Labelled], np.ndarray]] = {
    "plain_fence": plain_fence,
    "moving_gaussian": moving_gaussian,
}


def _scored(corpus: list[Labelled], judge: Callable[[Labelled], np.ndarray]) -> float:
    judged = [nab.scored(judge(one), one.windows) for one in corpus]
    return round(nab.normalised(judged, nab.best_threshold(judged)[0]), 1)


def _summary(one: nab.Scored, threshold: float) -> dict[str, float]:
    """Raw score (between minus and plus `windows`, less for false detections), windows found, false detections."""
    hit = one.score >= threshold
    return {
        "score": round(one.at(threshold), 3),
        "windows": one.windows,
        "found": len(set(one.window[hit & (one.window >= 0)].tolist())),
        "false": int((hit & (one.window < 0)).sum()),
    }


def _write(scores: Path, one: Labelled, found: np.ndarray) -> None:
    category, file = one.name.split("/")
    path = scores / DETECTOR / category / f"{DETECTOR}_{file}"
    path.parent.mkdir(parents=True, exist_ok=True)
    labels = np.zeros(len(found), int)
    for first, last in one.windows:
        labels[first : last + 1] = 1
    with path.open("w", encoding="utf-8", newline="") as out:
        lines = csv.writer(out)
        lines.writerow(["timestamp", "value", "anomaly_score", "label"])
        rows = zip(one.stamps, one.values.tolist(), found.tolist(), labels.tolist(), strict=True)
        lines.writerows([stamp, value, repr(score), label] for stamp, value, score, label in rows)
