"""How the queries of the dashboard grow with the points: figures kept beside docs/storage.md, and drawn."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import plotly.graph_objects as go

from deploy.bench import plots

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "storage"


def keep(found: dict[str, Any], folder: Path = FOLDER) -> None:
    """Keep one run of `weir bench queries`, in place of an earlier one of about as many points."""
    folder.mkdir(exist_ok=True)
    path = folder / "queries.json"
    runs = json.loads(path.read_text()) if path.exists() else []
    others = [run for run in runs if not 0.7 < run["points"] / found["points"] < 1.4]
    path.write_text(json.dumps(sorted([*others, found], key=lambda run: run["points"]), indent=1) + "\n")


def figure(runs: list[dict[str, Any]]) -> go.Figure:
    """p99 of each query over the points that there are."""
    drawn = go.Figure(layout={
        "title": "Dashboard queries, p99 at the client, warm", "template": "plotly_white", "width": 900, "height": 420,
        "xaxis": {"title": "points stored", "type": "log"}, "yaxis": {"title": "ms", "rangemode": "tozero"},
        "margin": {"l": 50, "r": 20, "t": 45, "b": 45},
    })  # fmt: skip
    points = [run["points"] for run in runs]
    for name in runs[-1]["queries"]:
        p99 = [run["queries"].get(name, {}).get("p99_ms") for run in runs]
        drawn.add_scatter(x=points, y=p99, name=name, mode="lines+markers")
    drawn.add_hline(y=10, line={"dash": "dash", "color": "#868e96"})
    return drawn


def draw(folder: Path = FOLDER) -> Path:
    """Draw the runs kept. Raises `SetupError` without Chromium."""
    runs = json.loads((folder / "queries.json").read_text())
    path = folder / "growth.png"
    plots.draw({path: figure(runs)})
    return path
