"""What is known of one sensor: its name and status, its latest values, what it says of itself."""

from __future__ import annotations

from typing import Any

import dash_mantine_components as dmc
from dash import html

from web import units
from web.figures import Viewer
from web.live import LiveSensor
from web.store import now_ms


def preferred(metrics: list[str]) -> list[str]:
    """Temperature first, battery last."""
    return sorted(metrics, key=lambda name: (name != "temperature", name == "battery", name))


def heading_of(site: str, sensor: str, one: LiveSensor | None) -> Any:
    name = one.birth.birth.name if one and one.birth and one.birth.birth and one.birth.birth.name else sensor
    status = one.status if one else "silent"
    told = [html.Span(className=f"dot dot-{status}"), f" {status} · {site or '–'}/{sensor or '–'}"]
    if one:
        told.append(f" · {one.kind}")
    return html.Div(
        [dmc.Title(name or "Sensor", order=1, size="h3"), dmc.Text(told, c="dimmed", size="sm")], className="heading"
    )


def latest(one: LiveSensor | None, viewer: Viewer) -> Any:
    if one is None or one.latest is None:
        return dmc.Text("No reading has come yet.", c="dimmed", size="sm")
    measured = one.latest.ts
    rows = [
        html.Tr(
            [
                html.Td(units.pretty(metric)),
                html.Td(units.measure(value, one.unit(metric)), className="number"),
                html.Td(units.local(measured, viewer.offset), title=units.utc(measured)),
                html.Td(_ago(now_ms() - measured)),
            ]
        )
        for metric, value in ((name, one.latest.metrics[name]) for name in preferred(list(one.latest.metrics)))
    ]
    head = html.Tr([html.Th(text) for text in ("Metric", "Value", "Measured", "Age")])
    return html.Div(html.Table([html.Thead(head), html.Tbody(rows)], id="latest-table", className="plain"))


def about(one: LiveSensor | None) -> Any:
    """What the sensor's birth says of it."""
    birth = one.birth.birth if one and one.birth else None
    if one is None or birth is None:
        return dmc.Text("It has not announced itself: only its readings are known.", c="dimmed", size="sm")
    place = f"{birth.lat:.5f}, {birth.lon:.5f}" if birth.lat is not None and birth.lon is not None else "not told"
    told = [("Site", one.site), ("Sensor", one.sensor), ("Kind", one.kind), ("Latitude, longitude", place),
            ("Connection", one.state or "not told"), ("Announced", units.utc(one.birth.at) if one.birth else "")]  # fmt: skip
    for name, metric in birth.metrics.items():
        limits = [units.measure(limit, metric.unit) for limit in (metric.min, metric.max)]
        told.append(
            (
                units.pretty(name),
                (units.symbol(metric.unit) or "no unit")
                + (f", {limits[0]} … {limits[1]}" if limits != ["–", "–"] else ""),
            )
        )
    return html.Dl([part for name, value in told for part in (html.Dt(name), html.Dd(value))], className="about")


def _ago(ms: int) -> str:
    age = units.age(ms)
    return age if age == "now" else f"{age} ago"
