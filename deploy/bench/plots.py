"""Pictures of forecasts beside what came, the best and the worst of many, for docs/forecasting.md."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import plotly.graph_objects as go

from edge import recorded, replay
from edge.fleet import RECORDED
from weir.errors import SetupError
from weir.forecasting import DAY_MS, HOUR_MS, Forecast, ForecastError, forecast

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "forecasts"
ORIGINS = 3
BEFORE_MS = 3 * DAY_MS


@dataclass(frozen=True)
class Case:
    """One forecast of a day and the truth: `error` is its mean absolute error over that of the last value."""

    sensor: str
    ts: np.ndarray
    values: np.ndarray
    made: Forecast
    error: float


def cases() -> list[Case]:
    """A day ahead for every recorded sensor, from three origins each, by their error, best first."""
    found = []
    for sensor, rows in recorded.by_sensor(replay.read(RECORDED)).items():
        at = np.array([row.ts for row in rows]) // HOUR_MS
        values = np.array([row.metrics["temperature"] for row in rows])
        hours = np.unique(at)
        means = np.array([values[at == hour].mean() for hour in hours])
        for back in range(1, ORIGINS + 1):
            case = _case(sensor, hours * HOUR_MS, means, len(hours) - 24 * back)
            if case is not None:
                found.append(case)
    return sorted(found, key=lambda one: one.error)


def _case(sensor: str, ts: np.ndarray, values: np.ndarray, origin: int) -> Case | None:
    if origin < 72:
        return None
    try:
        made = forecast(ts[:origin], values[:origin], horizon_ms=DAY_MS, step_ms=HOUR_MS)
    except ForecastError:
        return None
    known, mine, theirs = np.intersect1d(made.ts, ts, return_indices=True)
    if len(known) < 20:
        return None
    of_last = np.abs(values[theirs] - values[origin - 1]).mean()
    return Case(sensor, ts, values, made, float(np.abs(values[theirs] - made.mean[mine]).mean() / of_last))


def figure(case: Case, title: str) -> go.Figure:
    """History and truth, the forecast and its 80 % interval."""
    made = case.made
    shown = (case.ts >= made.ts[0] - BEFORE_MS) & (case.ts <= made.ts[-1])
    drawn = go.Figure(layout={"title": title, "template": "plotly_white", "width": 900, "height": 320,
                              "margin": {"l": 50, "r": 20, "t": 45, "b": 35}, "yaxis": {"title": "°C"}})  # fmt: skip
    when, ahead = _time(case.ts[shown]), _time(made.ts)
    outline = np.concatenate([ahead, ahead[::-1]])
    band = np.concatenate([made.high80, made.low80[::-1]])
    drawn.add_scatter(x=outline, y=band, fill="toself", line={"width": 0}, name="80 % interval", fillcolor="#e5dbff")
    drawn.add_scatter(x=when, y=case.values[shown], name="measured", line={"color": "#1c7ed6"})
    drawn.add_scatter(x=ahead, y=made.mean, name="forecast", line={"color": "#7950f2", "dash": "dash"})
    return drawn


def write(folder: Path = FOLDER) -> list[Path]:
    """The best, the median and the worst case as PNG. Raises `SetupError` without Chromium."""
    folder.mkdir(exist_ok=True)
    found = cases()
    chosen = {"best": found[0], "median": found[len(found) // 2], "worst": found[-1]}
    pictures = {}
    for name, case in chosen.items():
        title = f"{name} of {len(found)}: {case.sensor}, error {case.error:.2f} of that of the last value"
        pictures[folder / f"{name}.png"] = figure(case, title)
    draw(pictures)
    return list(pictures)


def draw(pictures: dict[Path, go.Figure]) -> None:
    """Write figures as PNG, drawn by Chromium, each as large as it says. Raises `SetupError` without Chromium."""
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        raise SetupError("Chromium is missing: run `sh deploy/system-packages --test`")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for path, drawn in pictures.items():
            width, height = drawn.layout.width + 20, drawn.layout.height + 20
            page = browser.new_page(viewport={"width": width, "height": height})
            page.set_content(drawn.to_html(include_plotlyjs=True))
            page.locator(".plotly .main-svg").first.wait_for()
            page.screenshot(path=path)
            page.close()
        browser.close()


def _time(ts: np.ndarray) -> np.ndarray:
    return ts.astype("datetime64[ms]")
