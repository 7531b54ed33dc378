"""The pictures of docs/results.md, drawn by Chromium as those of the forecasts are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import plotly.graph_objects as go

from deploy.bench.plots import draw

_COLOURS = (
    "#1c7ed6",
    "#e8590c",
    "#2f9e44",
    "#7950f2",
    "#e03131",
    "#0c8599",
    "#f08c00",
    "#868e96",
    "#ae3ec9",
    "#495057",
    "#82c91e",
    "#66d9e8",
    "#212529",
    "#ffc9c9",
)
#: Of a core: what takes less cannot be seen.
LEAST = 0.005
_STAGES = ("kafka", "flag", "latest", "stored")


def _figure(title: str, **axes: Any) -> go.Figure:
    return go.Figure(layout={"title": title, "template": "plotly_white", "width": 900, "height": 360,
                             "margin": {"l": 60, "r": 20, "t": 45, "b": 60}, **axes})  # fmt: skip


def cores(shares: dict[str, dict[str, float]]) -> go.Figure:
    """Shares of a core by rate, stacked by component."""
    drawn = _figure("Cores used", barmode="stack", xaxis={"title": "readings a second", "type": "category"},
                    yaxis={"title": "cores"})  # fmt: skip
    names = sorted(
        {name for one in shares.values() for name, share in one.items() if share >= LEAST},
        key=lambda n: -max(o.get(n, 0) for o in shares.values()),
    )
    for name, colour in zip(names, _COLOURS, strict=False):
        drawn.add_bar(x=list(shares), y=[one.get(name, 0) for one in shares.values()], name=name, marker_color=colour)
    return drawn


def latency(loads: dict[str, Any]) -> go.Figure:
    """p50 to p99 by stage and rate, on a logarithmic axis."""
    drawn = _figure("Latency by stage: p50, p95, p99", barmode="group",
                    xaxis={"title": "readings a second", "type": "category"},
                    yaxis={"title": "ms", "type": "log", "dtick": 1})  # fmt: skip
    for stage, colour in zip(_STAGES, _COLOURS, strict=False):
        known = {rate: one["latency_ms"][stage] for rate, one in loads.items() if one["latency_ms"].get(stage)}
        for share, opacity in (("p50", 1.0), ("p95", 0.6), ("p99", 0.3)):
            drawn.add_bar(x=list(known), y=[one[share] for one in known.values()], name=f"{stage} {share}",
                          marker_color=colour, opacity=opacity)  # fmt: skip
    return drawn


def recovery(faults: list[dict[str, Any]]) -> go.Figure:
    """Seconds to recover, by fault."""
    known = sorted((one for one in faults if one["recovered_s"] is not None), key=lambda one: one["recovered_s"])
    drawn = _figure("Recovery", xaxis={"title": "s"}, yaxis={"automargin": True})
    drawn.update_layout(height=max(220, 90 + 22 * len(known)))
    drawn.add_bar(x=[one["recovered_s"] for one in known], y=[one["what"] for one in known], orientation="h",
                  marker_color=_COLOURS[0])  # fmt: skip
    return drawn


def write(run: dict[str, Any], shares: dict[str, dict[str, float]], folder: Path) -> None:
    """Draw all of them into `folder`. Raises `SetupError` without Chromium."""
    pictures = {"cores": cores(shares), "latency": latency(run["loads"]), "recovery": recovery(run["chaos"]["faults"])}
    draw({folder / f"{name}.png": figure for name, figure in pictures.items()})
