"""One sensor: a metric over a window of time with flags and forecast, and its latest values."""

from __future__ import annotations

from typing import Any

import dash_mantine_components as dmc
from dash import ClientsideFunction, Dash, Input, Output, State, dcc, html, no_update

from web import figures, queries, units, window
from web.feed import feed
from web.figures import Viewer
from web.forecasts import NoForecast, forecast
from web.live import LiveSensor
from web.parts import choice, heading, known, notices, panel, pick, problem
from web.store import StoreDown, now_ms, store
from web.urls import WINDOWS, View, parse

CONFIG = {"displaylogo": False, "responsive": True, "modeBarButtonsToRemove": ["lasso2d", "select2d"]}


def layout(**query: str) -> Any:
    view = parse(query)
    site, sensor, told = pick(view)
    metrics = _metrics(site, sensor)
    metric = view.metric if view.metric in metrics else next(iter(preferred(metrics)), "")
    if view.metric and metrics and view.metric not in metrics:
        told.append(f"This sensor has no metric “{view.metric}”: showing {metric}.")
    sites = known()
    controls = html.Div(
        [
            choice("sensor-site", "Site", list(sites), site, allowDeselect=False),
            choice("sensor-sensor", "Sensor", list(sites.get(site, {})), sensor, allowDeselect=False),
            choice("sensor-metric", "Metric", _options(metrics), metric, allowDeselect=False),
            html.Div(
                [
                    html.Span("Window", className="label"),
                    dmc.SegmentedControl(
                        id="window-select", data=list(WINDOWS), value=view.window, size="sm", fullWidth=True
                    ),
                ],
                className="window",
            ),
        ],
        className="filters",
    )
    told_view = View(notices=(*view.notices, *told))
    return html.Div(
        [
            notices(told_view),
            html.Div(heading("Sensor", ""), id="sensor-heading"),
            dmc.Paper(controls, withBorder=True, p="md", className="panel"),
            html.Div(id="sensor-problem"),
            panel(
                "Readings",
                dcc.Graph(
                    id="sensor-chart",
                    figure=figures.message("Loading …", Viewer()),
                    config=CONFIG,
                    style={"height": 420},
                ),
                html.Div(id="sensor-note", className="note"),
            ),
            panel("Latest values", html.Div(id="sensor-latest")),
            dcc.Store(id="sensor-nowhere"),
        ],
        className="page",
    )


def _metrics(site: str, sensor: str) -> list[str]:
    one = known().get(site, {}).get(sensor)
    if one is not None and one.metrics():
        return one.metrics()
    try:
        return list(queries.series(store(), site, sensor))
    except StoreDown:
        return []


def preferred(metrics: list[str]) -> list[str]:
    """Temperature first, battery last."""
    return sorted(metrics, key=lambda name: (name != "temperature", name == "battery", name))


def _options(metrics: list[str]) -> list[dict[str, str]]:
    return [{"value": name, "label": units.pretty(name)} for name in preferred(metrics)]


def register(app: Dash) -> None:
    app.clientside_callback(
        ClientsideFunction("weir", "address"),
        Output("sensor-nowhere", "data"),
        Input("sensor-site", "value"),
        Input("sensor-sensor", "value"),
        Input("sensor-metric", "value"),
        Input("window-select", "value"),
    )

    @app.callback(
        Output("sensor-sensor", "data"),
        Output("sensor-sensor", "value"),
        Input("sensor-site", "value"),
        State("sensor-sensor", "value"),
        prevent_initial_call=True,
    )
    def site_chosen(site: str, sensor: str) -> Any:
        sensors = list(known().get(site or "", {}))
        return sensors, sensor if sensor in sensors else next(iter(sensors), None)

    @app.callback(
        Output("sensor-metric", "data"),
        Output("sensor-metric", "value"),
        Input("sensor-sensor", "value"),
        State("sensor-site", "value"),
        State("sensor-metric", "value"),
        prevent_initial_call=True,
    )
    def sensor_chosen(sensor: str, site: str, metric: str) -> Any:
        metrics = _metrics(site or "", sensor or "")
        return _options(metrics), metric if metric in metrics else next(iter(preferred(metrics)), None)

    @app.callback(
        Output("sensor-chart", "figure"),
        Output("sensor-note", "children"),
        Output("sensor-problem", "children"),
        Input("sensor-site", "value"),
        Input("sensor-sensor", "value"),
        Input("sensor-metric", "value"),
        Input("window-select", "value"),
        Input("viewer", "data"),
        Input("tick", "n_intervals"),
    )
    def chart(site: str, sensor: str, metric: str, window: str, stored: Any, _tick: int) -> Any:
        viewer = Viewer.of(stored)
        view = parse({"site": site, "sensor": sensor, "metric": metric, "window": window})
        try:
            figure, note = draw(view, viewer, now_ms())
        except StoreDown as error:
            return no_update, no_update, problem(str(error))
        figure.update_layout(uirevision="/".join((view.site, view.sensor, view.metric, view.window)))
        return figure, note, None

    @app.callback(
        Output("sensor-heading", "children"),
        Output("sensor-latest", "children"),
        Input("sensor-site", "value"),
        Input("sensor-sensor", "value"),
        Input("viewer", "data"),
        Input("tick", "n_intervals"),
    )
    def latest(site: str, sensor: str, stored: Any, _tick: int) -> Any:
        live = feed()
        with live.lock:
            one = live.state.sensors.get(f"{site}/{sensor}")
            return _heading(site, sensor, one), _latest(one, Viewer.of(stored))


def draw(view: View, viewer: Viewer, now: int) -> tuple[Any, str]:
    """The figure of `view` as of `now`, and a line on how it was made. Raises `StoreDown`."""
    if not view.sensor or not view.metric:
        return figures.message("No sensors yet: they appear with their first birth", viewer), ""
    number = queries.series(store(), view.site, view.sensor).get(view.metric)
    if number is None:
        return figures.message("Nothing of this series has been archived yet", viewer), ""
    since = now - view.window_ms
    found = window.window(store(), number, since, now, now)
    points, banded = found.points, found.level is not window.RAW
    flags = queries.flags(store(), number, since, now)
    ahead, note = None, ""
    try:
        ahead = forecast(store(), number, now)
    except NoForecast as reason:
        note = f" · no forecast: {reason}"
    if not len(points) and ahead is None:
        return figures.message(f"No readings in the last {view.window}", viewer), ""
    one = feed().state.sensors.get(f"{view.site}/{view.sensor}")
    figure = figures.series(
        points, flags, metric=view.metric, unit=one.unit(view.metric) if one else "", viewer=viewer,
        banded=banded, since=since, until=now, forecast=ahead,
    )  # fmt: skip
    kind = f"means of {units.age(found.step)} with their least and greatest" if banded else "readings"
    newest = f" · newest {units.age(now - int(points.ts[-1]))} old" if len(points) else ""
    return figure, f"{len(points):,} {kind} · {len(flags)} flagged{newest}{note}"


def _heading(site: str, sensor: str, one: LiveSensor | None) -> Any:
    name = one.birth.birth.name if one and one.birth and one.birth.birth and one.birth.birth.name else sensor
    status = one.status if one else "silent"
    about = [html.Span(className=f"dot dot-{status}"), f" {status} · {site or '–'}/{sensor or '–'}"]
    if one:
        about.append(f" · {one.kind}")
    return html.Div(
        [dmc.Title(name or "Sensor", order=1, size="h3"), dmc.Text(about, c="dimmed", size="sm")], className="heading"
    )


def _latest(one: LiveSensor | None, viewer: Viewer) -> Any:
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


def _ago(ms: int) -> str:
    age = units.age(ms)
    return age if age == "now" else f"{age} ago"
