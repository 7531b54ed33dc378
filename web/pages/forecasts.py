"""The next hour or day of each metric of one sensor, and how far such forecasts could be trusted."""

from __future__ import annotations

from typing import Any

import dash_mantine_components as dmc
from dash import ClientsideFunction, Dash, Input, Output, State, dcc, html

from web import figures, queries, units, window
from web.feed import feed
from web.figures import Viewer
from web.forecasts import NoForecast, forecast
from web.pages import fleet
from web.pages.facts import preferred
from web.pages.sensor import CONFIG
from web.parts import choice, heading, known, notices, pick, problem
from web.store import StoreDown, now_ms, store
from web.urls import View, parse

#: What is shown of the past, by how far ahead one looks.
BEFORE_MS = {"1h": 6 * 3_600_000, "24h": 4 * 86_400_000}
AHEAD = [{"value": "1h", "label": "1 hour"}, {"value": "24h", "label": "24 hours"}]
MOST = 6


def layout(**query: str) -> Any:
    view = parse(query)
    site, sensor, told = pick(view)
    sites = known()
    controls = html.Div(
        [
            choice("forecast-site", "Site", list(sites), site, allowDeselect=False),
            choice("forecast-sensor", "Sensor", list(sites.get(site, {})), sensor, allowDeselect=False),
            choice("forecast-ahead", "Ahead", AHEAD, view.ahead, allowDeselect=False),
        ],
        className="filters",
    )
    return html.Div(
        [
            notices(View(notices=(*view.notices, *told))),
            heading(
                "Forecasts",
                "An hour ahead in 5-minute steps or a day in hours, with an 80 % interval, made anew each minute.",
            ),
            dmc.Paper(controls, withBorder=True, p="md", className="panel"),
            html.Div(
                dmc.Text("Working out the forecasts …", c="dimmed", className="loading"),
                id="forecast-cards",
                className="cards",
            ),
            html.Div(id="fleet-problem"),
            fleet.fleet_panel(),
            dcc.Store(id="forecast-nowhere"),
            dcc.Store(id="fleet-nowhere"),
        ],
        className="page",
    )


def register(app: Dash) -> None:
    fleet.register(app)
    app.clientside_callback(
        ClientsideFunction("weir", "address"),
        Output("forecast-nowhere", "data"),
        Input("forecast-site", "value"),
        Input("forecast-sensor", "value"),
        Input("forecast-ahead", "value"),
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
        Input("forecast-ahead", "value"),
        Input("viewer", "data"),
        Input("tick", "n_intervals"),
    )
    def cards(site: str, sensor: str, ahead: str, stored: Any, _tick: int) -> Any:
        view = parse({"site": site, "sensor": sensor, "ahead": ahead})
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
    before = BEFORE_MS[view.ahead]
    points = (window.hourly if view.ahead == "24h" else window.five_minutes)(store(), number, now - before, now)
    body: list[Any]
    try:
        ahead = forecast(store(), number, now, view.ahead)
    except NoForecast as reason:
        body = [dmc.Text(f"No forecast: {reason}.", c="dimmed", size="sm")]
        ahead = None
    else:
        body = [_skill(ahead, unit, view.ahead, queries.skill(store(), number, view.ahead))]
    figure = figures.series(
        points, [], metric=metric, unit=unit, viewer=viewer, banded=True,
        since=now - before, until=now, forecast=ahead, height=300,
    )  # fmt: skip
    figure.update_layout(uirevision=f"{number}-{view.ahead}")
    title = dmc.Title(units.pretty(metric), order=2, size="h5")
    if len(points) or ahead is not None:
        name = {"type": "forecast-chart", "metric": metric}
        body.append(dcc.Graph(id=name, figure=figure, config=CONFIG, style={"height": 300}))
    if ahead is not None and ahead.skill:
        body.append(_backtest(ahead))
    return dmc.Paper([title, *body], withBorder=True, p="md", className="panel")


def _skill(ahead: Any, unit: str, horizon: str, live: queries.Skill | None) -> Any:
    better = ahead.mase is not None and ahead.mase < 1
    items = [
        ("in 24 hours" if horizon == "24h" else "in one hour", units.measure(float(ahead.mean[-1]), unit), ""),
        ("80 % between", f"{units.number(float(ahead.low80[-1]))} … {units.number(float(ahead.high80[-1]))}", ""),
        ("R², trial", _figure(ahead.r2), ""),
        ("error over that of the last value, trial", _figure(ahead.mase), "good" if better else ""),
    ]
    if live is not None:
        items += [
            ("R², last 7 days", _figure(live.r2), ""),
            ("error over that of the last value, last 7 days", _figure(live.mase), "good" if (live.mase or 9) < 1 else ""),
            ("80 % held", f"{100 * live.coverage80:.0f} % of {live.n}", ""),
        ]  # fmt: skip
    stats = [html.Div([html.Dt(name), html.Dd(value, className=mark)]) for name, value, mark in items]
    parts = [f"{name} {100 * share:.0f} %" for name, share in sorted(ahead.weights.items(), key=lambda one: -one[1])]
    foot = (
        f"model: {ahead.model}"
        + (f" ({', '.join(parts)})" if parts else "")
        + (f" · {ahead.note}" if ahead.note else "")
    )
    return html.Div([html.Dl(stats, className="stats"), dmc.Text(foot, size="xs", c="dimmed")])


def _backtest(ahead: Any) -> Any:
    """Every model's own skill in the rolling-origin trial behind this forecast."""
    head = html.Tr([html.Th(name) for name in ("Model", "Error over that of the last value", "R²")])
    rows = [
        html.Tr([html.Td(name), html.Td(_figure(one.mase)), html.Td(_figure(one.r2))])
        for name, one in sorted(ahead.skill.items(), key=lambda pair: pair[1].mase)
    ]
    return html.Details(
        [html.Summary("Backtest, model by model"), html.Table([html.Thead(head), html.Tbody(rows)], className="plain")]
    )


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"
