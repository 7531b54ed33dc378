"""Several sensors in one chart."""

from __future__ import annotations

import html
from collections.abc import Sequence

import plotly.graph_objects as go

from web import figures, queries, units, window
from web.feed import feed
from web.figures import Viewer
from web.sampling import drawable
from web.store import store
from web.window import Points

#: Told apart also by who confuses red and green (Okabe and Ito, 2008); legible on light and dark.
COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00")


def draw(keys: Sequence[str], metric: str, since: int, until: int, viewer: Viewer) -> tuple[go.Figure, str]:
    """The 5-minute means of `metric` of each sensor ("<site>/<sensor>"), and a line on them. Raises `StoreDown`."""
    found: dict[str, Points] = {}
    for key in keys:
        site, _, sensor = key.partition("/")
        number = queries.series(store(), site, sensor).get(metric)
        if number is not None:
            points = window.five_minutes(store(), number, since, until)
            if len(points):
                found[key] = points
    without = [key for key in keys if key not in found]
    note = f"five-minute means of {len(found)} sensors"
    note += f" · nothing of {metric} in this window: {', '.join(without)}" if without else ""
    if not found:
        return figures.message("None of these sensors has this metric in this window", viewer), note
    one = feed().state.sensors.get(next(iter(found)))
    return figure(found, metric, one.unit(metric) if one else "", viewer), note


def figure(found: dict[str, Points], metric: str, unit: str, viewer: Viewer) -> go.Figure:
    """A line for each sensor; gaps stay gaps (pure)."""
    made = go.Figure()
    sign = html.escape(units.symbol(unit))
    for (key, points), colour in zip(found.items(), COLOURS, strict=False):
        shown = drawable(points)
        name = html.escape(key)
        made.add_scatter(
            x=figures.local_times(shown.ts.tolist(), viewer), y=shown.mean, mode="lines", name=name,
            line={"color": colour, "width": 1.8}, customdata=[units.utc(int(at)) for at in shown.ts],
            hovertemplate=f"<b>%{{y:.4~g}} {sign}</b> {name}<br>%{{customdata}}<extra></extra>",
        )  # fmt: skip
    figures.base_layout(made, viewer, 420)
    made.update_layout(hovermode="x")
    name = html.escape(units.pretty(metric))
    made.update_yaxes(title_text=f"{name} ({sign})" if sign else name)
    return made
