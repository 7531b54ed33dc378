"""Alerts as rows of tables and bars of a timeline (pure)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from html import escape
from typing import Any

import plotly.graph_objects as go

from web.figures import Viewer, base_layout, local_times
from web.units import utc
from weir.events import Alert

RANK = {"critical": 0, "warning": 1, "info": 2}
COLOURS = {"critical": "#e03131", "warning": "#f08c00", "info": "#1c7ed6"}
#: More bars than this nobody can tell apart.
MOST_BARS = 40


@dataclass(frozen=True)
class Wanted:
    """What of the alerts is shown; empty: all. As the address says it."""

    severity: tuple[str, ...] = ()
    state: str = ""
    site: str = ""
    rule: str = ""

    def fits(self, row: Mapping[str, Any]) -> bool:
        """`row`: with `severity`, `state`, `site` and `rule`."""
        return (
            (not self.severity or row["severity"] in self.severity)
            and (not self.state or row["state"] == self.state)
            and (not self.site or row["site"] == self.site)
            and (not self.rule or row["rule"] == self.rule)
        )


def rows(alerts: Iterable[Alert], wanted: Wanted = Wanted()) -> list[dict[str, Any]]:
    """Rows of the live table: unacknowledged first, then by severity, then the newest."""
    ordered = sorted(alerts, key=lambda one: (one.acknowledged, RANK.get(one.severity, 3), -one.opened))
    found = [
        {
            "id": one.id,
            "severity": one.severity,
            "state": str(one.state),
            "site": one.site,
            "rule": one.rule,
            "where": where(one.site, one.sensor),
            "metric": one.metric,
            "text": one.text,
            "opened": one.opened,
            "handled": (f"by {one.by}" if one.by else "yes") if one.acknowledged else "",
            "shelved": one.shelved_until or None,
        }
        for one in ordered
    ]
    return [row for row in found if wanted.fits(row)]


def where(site: Any, sensor: Any) -> str:
    """Whose alert it is, in words."""
    if site == "*":
        return "everywhere"
    return f"{site}/{sensor}" if sensor else f"{site or '?'} (whole site)"


def timeline(found: list[dict[str, Any]], since: int, until: int, viewer: Viewer) -> go.Figure:
    """A bar for each alert from opening to clearing, the newest on top. `found`: `opened`, `closed` (None: active)."""
    figure = go.Figure()
    shown = sorted(found, key=lambda one: one["opened"])[-MOST_BARS:]
    for severity, colour in COLOURS.items():
        mine = [(i, one) for i, one in enumerate(shown) if one["severity"] == severity]
        if not mine:
            continue
        starts = [max(since, one["opened"]) for _, one in mine]
        ends = [min(until, one["closed"] or until) for _, one in mine]
        figure.add_bar(
            orientation="h", name=severity, marker_color=colour, y=[i for i, _ in mine], width=0.72,
            base=[str(at) for at in local_times(starts, viewer)],
            x=[max(60_000, end - start) for start, end in zip(starts, ends, strict=True)],
            customdata=[_told(one) for _, one in mine], hovertemplate="%{customdata}<extra></extra>",
        )  # fmt: skip
    base_layout(figure, viewer, 60 + max(6, len(shown)) * 17)
    figure.update_layout(barmode="overlay")
    figure.update_xaxes(type="date", range=[str(at) for at in local_times([since, until], viewer)])
    names = [_short(one) for one in shown]
    figure.update_yaxes(tickvals=list(range(len(shown))), ticktext=names, showgrid=False, automargin=True)
    return figure


def _short(one: Mapping[str, Any]) -> str:
    name = str(one["sensor"] or one["site"])
    return name if len(name) <= 24 else name[:23] + "…"


def _told(one: Mapping[str, Any]) -> str:
    closed = f"to {utc(one['closed'])}" if one["closed"] else "still active"
    return (
        f"<b>{escape(str(one['text'])[:120])}</b><br>{escape(where(one['site'], one['sensor']))} · "
        f"{escape(str(one['rule']))}<br>{utc(one['opened'])} {closed}"
    )
