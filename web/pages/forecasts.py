"""The next hour of each metric of one sensor, and how far such forecasts could be trusted."""

from __future__ import annotations

from typing import Any

import dash_mantine_components as dmc
from dash import ClientsideFunction, Dash, Input, Output, State, dcc, html

from web import figures, queries, units
from web.feed import feed
from web.figures import Viewer
from web.forecasts import NoForecast, forecast
from web.pages.sensor import CONFIG, preferred
from web.parts import choice, heading, known, notices, pick, problem
from web.store import StoreDown, now_ms, store
from web.urls import View, parse

BEFORE_MS = 6 * 3_600_000
MOST = 6


def layout(**query: str) -> Any:
    view = parse(query)
    site, sensor, told = pick(view)
    sites = known()
    controls = html.Div(
        [
            choice("forecast-site", "Site", list(sites), site, allowDeselect=False),
            choice("forecast-sensor", "Sensor", list(sites.get(site, {})), sensor, allowDeselect=False),
        ],
        className="filters",
    )
    return html.Div(
        [
            notices(View(notices=(*view.notices, *told))),
            heading(
                "Forecasts", "One hour ahead from five-minute means, with an 80 % interval, made anew each minute."
            ),
            dmc.Paper(controls, withBorder=True, p="md", className="panel"),
            html.Div(
                dmc.Text("Working out the forecasts …", c="dimmed", className="loading"),
                id="forecast-cards",
                className="cards",
            ),
            dcc.Store(id="forecast-nowhere"),
        ],
        className="page",
    )


def register(app: Dash) -> None:
    app.clientside_callback(
        ClientsideFunction("weir", "address"),
        Output("forecast-nowhere", "data"),
        Input("forecast-site", "value"),
        Input("forecast-sensor", "value"),
    )

    @app.callback(
        Output("forecast-sensor", "data"),
        Output("forecast-sensor", "value"),
        Input("forecast-site", "value"),
        State("forecast-sensor", "value"),
        prevent_initial_call=True,
    )
    def site_chosen(site: str, sensor: str) -> Any:
        sensors = list(known().get(site or "", {}))
        return sensors, sensor if sensor in sensors else next(iter(sensors), None)

    @app.callback(
        Output("forecast-cards", "children"),
        Input("forecast-site", "value"),
        Input("forecast-sensor", "value"),
        Input("viewer", "data"),
        Input("tick", "n_intervals"),
    )
    def cards(site: str, sensor: str, stored: Any, _tick: int) -> Any:
        view = parse({"site": site, "sensor": sensor})
        try:
            found = queries.series(store(), view.site, view.sensor) if view.sensor else {}
            if not found:
                return dmc.Text("Nothing of this sensor has been archived yet.", c="dimmed")
            now = now_ms()
            return [
                _card(view, metric, found[metric], Viewer.of(stored), now) for metric in preferred(list(found))[:MOST]
            ]
        except StoreDown as error:
            return problem(str(error))


def _card(view: View, metric: str, number: int, viewer: Viewer, now: int) -> Any:
    one = feed().state.sensors.get(f"{view.site}/{view.sensor}")
    unit = one.unit(metric) if one else ""
    points = queries.five_minutes(store(), number, now - BEFORE_MS, now)
    body: list[Any]
    try:
        ahead = forecast(store(), number, now)
    except NoForecast as reason:
        body = [dmc.Text(f"No forecast: {reason}.", c="dimmed", size="sm")]
        ahead = None
    else:
        body = [_skill(ahead, unit)]
    figure = figures.series(
        points, [], metric=metric, unit=unit, viewer=viewer, banded=True,
        since=now - BEFORE_MS, until=now, forecast=ahead, height=300,
    )  # fmt: skip
    figure.update_layout(uirevision=f"{number}")
    title = dmc.Title(units.pretty(metric), order=2, size="h5")
    if len(points) or ahead is not None:
        name = {"type": "forecast-chart", "metric": metric}
        body.append(dcc.Graph(id=name, figure=figure, config=CONFIG, style={"height": 300}))
    return dmc.Paper([title, *body], withBorder=True, p="md", className="panel")


def _skill(ahead: Any, unit: str) -> Any:
    better = ahead.mase is not None and ahead.baseline_mase is not None and ahead.mase < ahead.baseline_mase
    items = [
        ("in one hour", units.measure(float(ahead.mean[-1]), unit), ""),
        ("80 % between", f"{units.number(float(ahead.low80[-1]))} … {units.number(float(ahead.high80[-1]))}", ""),
        ("R²", _figure(ahead.r2), ""),
        ("MASE", _figure(ahead.mase), "good" if better else ""),
        ("MASE of repeating the last value", _figure(ahead.baseline_mase), ""),
    ]
    stats = [html.Div([html.Dt(name), html.Dd(value, className=mark)]) for name, value, mark in items]
    foot = f"model: {ahead.model}" + (f" · {ahead.note}" if ahead.note else "")
    return html.Div([html.Dl(stats, className="stats"), dmc.Text(foot, size="xs", c="dimmed")])


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"
