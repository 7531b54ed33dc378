"""Plotly figures (pure). Times go in as ms UTC and are drawn in the viewer's zone; hovering tells UTC as well."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import plotly.graph_objects as go

from web.queries import FlagRow
from web.sampling import alone, drawable
from web.units import number, pretty, symbol, utc
from web.window import FIVE_MINUTES, Points
from weir.ledger import Minute


class ForecastLike(Protocol):
    """What is drawn of a `weir.forecasting.Forecast`: arrays of one length, `ts` in ms."""

    @property
    def ts(self) -> np.ndarray: ...
    @property
    def mean(self) -> np.ndarray: ...
    @property
    def low80(self) -> np.ndarray: ...
    @property
    def high80(self) -> np.ndarray: ...


@dataclass(frozen=True)
class Viewer:
    """Who looks: on a dark page or not, and how far the local clock is ahead of UTC (minutes)."""

    dark: bool = False
    offset: int = 0

    @classmethod
    def of(cls, stored: object) -> Viewer:
        """From the browser's store; whatever is odd in it becomes the default."""
        data: dict[str, Any] = stored if isinstance(stored, dict) else {}
        offset = data.get("offset")
        return cls(data.get("dark") is True, offset if isinstance(offset, int) and abs(offset) <= 900 else 0)


LINE, FORECAST, FLAG, FENCE, DEAD, LATE = "#1c7ed6", "#7950f2", "#f08c00", "#868e96", "#e8590c", "#0ca678"
#: What left its fence, in words; fences of the others are not in the unit of the reading.
FEATURES = {
    "level": "the level",
    "mean12": "the mean of 12 readings",
    "lstd12": "the unrest of 12 readings (logarithm)",
    "lstd24": "the unrest of 24 readings (logarithm)",
    "hour": "the level for this hour of the day",
    "step": "the step from the readings before",
    "jump": "the jump from the reading before",
}
IN_READING_UNITS = frozenset({"level", "hour", "step", "jump", "limit"})
GOOD, BAD = "#2f9e44", "#e03131"


def series(
    points: Points,
    flags: list[FlagRow],
    *,
    metric: str,
    unit: str,
    viewer: Viewer,
    banded: bool,
    since: int,
    until: int,
    forecast: ForecastLike | None = None,
    late: Sequence[tuple[int, int]] = (),
    height: int = 420,
) -> go.Figure:
    """One series: line, band between least and greatest if `banded`, flags with their fences, and a forecast.

    `late`: (start of a 5-minute bucket, readings of it that came late), marked at the bottom.
    """
    figure = go.Figure()
    shown = drawable(points)
    times = _times(shown.ts, viewer)
    if banded:
        _band(figure, times, shown.low, shown.high, LINE, "least to greatest")
    told = [utc(int(ts)) for ts in shown.ts]
    hover = f"<b>%{{y:.4~g}} {html.escape(symbol(unit))}</b><br>%{{customdata}}<extra></extra>"
    name = "mean" if banded else "reading"
    line = {"color": LINE, "width": 1.8}
    figure.add_scatter(x=times, y=shown.mean, mode="lines", name=name, line=line, customdata=told, hovertemplate=hover)
    if (single := alone(shown)).any():
        marker = {"color": LINE, "size": 4}
        figure.add_scatter(
            x=times[single], y=shown.mean[single], mode="markers", marker=marker, showlegend=False, hoverinfo="skip"
        )
    if flags:
        _flags(figure, flags, unit, viewer)
        _fences(figure, flags, (until - since) // 120, viewer)
    if late:
        _late(figure, late, viewer)
    end = until
    if forecast is not None and len(forecast.ts):
        _forecast(figure, points, forecast, unit, viewer)
        end = int(forecast.ts[-1])
    _style(figure, viewer, height)
    sign = html.escape(symbol(unit))
    title = f"{html.escape(pretty(metric))} ({sign})" if sign else html.escape(pretty(metric))
    figure.update_yaxes(title_text=title)
    figure.update_xaxes(range=[_time(since, viewer), _time(end, viewer)])
    return figure


def throughput(minutes: list[Minute], viewer: Viewer, height: int = 240) -> go.Figure:
    """Readings received each minute, and of them the dead-lettered."""
    figure = go.Figure()
    times = _times(np.array([one.minute for one in minutes], dtype=np.int64), viewer)
    told = [utc(one.minute) for one in minutes]
    for name, values, colour in (
        ("received", [one.received for one in minutes], LINE),
        ("dead-lettered", [one.dead_lettered for one in minutes], DEAD),
    ):
        hover = f"<b>%{{y:,}}</b> {name}<br>%{{customdata}}<extra></extra>"
        figure.add_bar(x=times, y=values, name=name, marker_color=colour, customdata=told, hovertemplate=hover)
    _style(figure, viewer, height)
    figure.update_layout(barmode="overlay", bargap=0.25)
    figure.update_yaxes(title_text="readings a minute", rangemode="tozero")
    return figure


def reasons(counts: dict[str, int], viewer: Viewer, height: int = 240) -> go.Figure:
    """Dead letters by reason, most on top."""
    names = [pretty(name) for name in counts][::-1]
    values = list(counts.values())[::-1]
    figure = go.Figure(
        go.Bar(
            x=values, y=names, orientation="h", marker_color=DEAD, text=values,
            hovertemplate="%{y}: %{x:,}<extra></extra>",
        )
    )  # fmt: skip
    _style(figure, viewer, height)
    figure.update_layout(showlegend=False, hovermode="closest", bargap=0.4)
    figure.update_xaxes(rangemode="tozero", showgrid=False, showticklabels=False)
    figure.update_yaxes(automargin=True)
    return figure


def message(text: str, viewer: Viewer, height: int = 420) -> go.Figure:
    """An empty figure that says why it is empty."""
    figure = go.Figure()
    _style(figure, viewer, height)
    figure.update_xaxes(visible=False)
    figure.update_yaxes(visible=False)
    colour = "#909296" if viewer.dark else "#6b7280"
    font = {"size": 15, "color": colour}
    figure.add_annotation(text=html.escape(text), showarrow=False, font=font, xref="paper", yref="paper", x=0.5, y=0.5)
    return figure


def explain(flag: FlagRow, unit: str) -> str:
    """Why a reading was flagged, as lines of safe HTML."""
    sign = html.escape(symbol(unit))
    head = f"<b>{number(flag.value)} {sign}</b> flagged by {html.escape(flag.detector)}<br>"
    if flag.feature == "flat":
        times = number(flag.score + flag.high)
        return f"{head}stuck: repeated {times} times, usual at most {number(flag.high)}<br>{utc(flag.ts)}"
    if flag.feature == "limit":
        return f"{head}outside what the sensor can measure: {number(flag.low)} … {number(flag.high)}<br>{utc(flag.ts)}"
    return (
        f"{head}{FEATURES.get(flag.feature, html.escape(flag.feature))} left the fence "
        f"{number(flag.low)} … {number(flag.high)}<br>"
        f"q1 {number(flag.q1)}, q3 {number(flag.q3)} of {flag.window} values<br>"
        f"score {number(flag.score)} (IQRs beyond the fence)<br>{utc(flag.ts)}"
    )


def _band(figure: go.Figure, times: Any, low: np.ndarray, high: np.ndarray, colour: str, name: str) -> None:
    """One closed outline for each run without a gap: Plotly would fill across gaps."""
    x: list[Any] = []
    y: list[Any] = []
    runs = np.ma.clump_unmasked(np.ma.masked_invalid(low + high)) if len(low) else []
    for run in runs:
        x += [*times[run], *times[run][::-1], None]
        y += [*high[run], *low[run][::-1], None]
    figure.add_scatter(
        x=x, y=y, name=name, mode="lines", line={"width": 0}, fill="toself", fillcolor=_pale(colour), hoverinfo="skip"
    )


def _flags(figure: go.Figure, flags: list[FlagRow], unit: str, viewer: Viewer) -> None:
    figure.add_scatter(
        x=_times(np.array([flag.ts for flag in flags], dtype=np.int64), viewer),
        y=[flag.value for flag in flags],
        mode="markers",
        name="flagged",
        marker={"color": FLAG, "size": 9, "symbol": "diamond", "line": {"color": "white", "width": 1}},
        customdata=[explain(flag, unit) for flag in flags],
        hovertemplate="%{customdata}<extra></extra>",
    )


def _late(figure: go.Figure, late: Sequence[tuple[int, int]], viewer: Viewer) -> None:
    figure.add_scatter(
        x=_times(np.array([bucket + FIVE_MINUTES.step // 2 for bucket, _ in late], dtype=np.int64), viewer),
        y=[0.02] * len(late),
        yaxis="y2",
        mode="markers",
        name="came late",
        marker={"color": LATE, "size": 9, "symbol": "triangle-up"},
        customdata=[f"<b>{n}</b> of these 5 minutes came late<br>{utc(bucket)}" for bucket, n in late],
        hovertemplate="%{customdata}<extra></extra>",
    )
    figure.update_layout(yaxis2={"overlaying": "y", "range": [0, 1], "visible": False, "fixedrange": True})


def _fences(figure: go.Figure, flags: list[FlagRow], half: int, viewer: Viewer) -> None:
    """The fence of each flag, `half` ms to both sides: it moves with time, so no line goes right across."""
    x: list[Any] = []
    y: list[Any] = []
    for flag in flags:
        if flag.feature in IN_READING_UNITS:
            ends = list(_times(np.array([flag.ts - half, flag.ts + half]), viewer))
            x += [*ends, None, *ends, None]
            y += [flag.low, flag.low, None, flag.high, flag.high, None]
    if x:
        line = {"color": FENCE, "width": 1.5}
        figure.add_scatter(x=x, y=y, mode="lines", name="fence", line=line, hoverinfo="skip")


def _forecast(figure: go.Figure, points: Points, forecast: ForecastLike, unit: str, viewer: Viewer) -> None:
    joined = len(points) > 0 and points.ts[-1] < forecast.ts[0]
    first = points.mean[-1:] if joined else np.array([])
    ts = np.concatenate([points.ts[-1:] if joined else np.array([], dtype=np.int64), forecast.ts])
    times = _times(ts, viewer)
    low, high = np.concatenate([first, forecast.low80]), np.concatenate([first, forecast.high80])
    _band(figure, times, low, high, FORECAST, "80 % interval")
    told = [f"{number(lo)} … {number(hi)}<br>{utc(int(at))}" for lo, hi, at in zip(low, high, ts, strict=True)]
    figure.add_scatter(
        x=times,
        y=np.concatenate([first, forecast.mean]),
        mode="lines",
        name="forecast",
        line={"color": FORECAST, "width": 2, "dash": "dash"},
        customdata=told,
        hovertemplate=(
            f"<b>%{{y:.4~g}} {html.escape(symbol(unit))}</b> forecast<br>80 %: %{{customdata}}<extra></extra>"
        ),
    )


def local_times(ms: list[int], viewer: Viewer) -> np.ndarray:
    """Times (ms UTC) on the clock of the viewer."""
    return _times(np.array(ms, dtype=np.int64), viewer)


def base_layout(figure: go.Figure, viewer: Viewer, height: int) -> None:
    """How every figure of Weir looks."""
    _style(figure, viewer, height)


def _times(ts: np.ndarray, viewer: Viewer) -> np.ndarray:
    return (ts + viewer.offset * 60_000).astype("datetime64[ms]")


def _time(ms: int, viewer: Viewer) -> str:
    return str(np.datetime64(ms + viewer.offset * 60_000, "ms"))


def _pale(colour: str) -> str:
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},0.18)"


def _style(figure: go.Figure, viewer: Viewer, height: int) -> None:
    """`uirevision` keeps zoom and hidden traces when fresh data comes."""
    ink, grid = ("#c1c2c5", "#2f343b") if viewer.dark else ("#495057", "#e9ecef")
    figure.update_layout(
        height=height,
        margin={"l": 8, "r": 12, "t": 28, "b": 8},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"family": "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif", "size": 12, "color": ink},
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 1, "xanchor": "right"},
        hovermode="closest",
        hoverlabel={"align": "left"},
        uirevision="keep",
    )
    figure.update_xaxes(gridcolor=grid, linecolor=grid, zeroline=False, automargin=True)
    figure.update_yaxes(gridcolor=grid, linecolor=grid, zeroline=False, automargin=True)
