"""One sensor: a metric over a window of time with flags and forecast, and its latest values."""

from __future__ import annotations

from itertools import islice
from typing import Any

import dash_mantine_components as dmc
from dash import ClientsideFunction, Dash, Input, Output, State, dcc, html, no_update

from web import compare, figures, queries, units, window
from web.feed import feed
from web.figures import Viewer
from web.forecasts import NoForecast, forecast
from web.pages import facts
from web.parts import choice, heading, known, notices, panel, pick, problem
from web.store import StoreDown, now_ms, store
from web.urls import MAX_SENSORS, WINDOWS, View, parse

MOST_OTHERS = 2000
CONFIG = {"displaylogo": False, "responsive": True, "modeBarButtonsToRemove": ["lasso2d", "select2d"]}


def layout(**query: str) -> Any:
    view = parse(query)
    site, sensor, told = pick(view)
    metrics = _metrics(site, sensor)
    metric = view.metric if view.metric in metrics else next(iter(facts.preferred(metrics)), "")
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
            dmc.MultiSelect(
                id="sensor-sensors", label="Compare", data=_others(sites, view.sensors), value=list(view.sensors),
                maxValues=MAX_SENSORS, searchable=True, clearable=True, limit=50, size="sm", className="choice wide compare",
                placeholder="" if view.sensors else "add sensors to compare",
            ),
        ],
        className="filters",
    )  # fmt: skip
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
                html.Div(
                    [
                        html.Span("Export the readings of this window:", className="dim"),
                        html.A("CSV", id="export-csv", href="#", className="card-link"),
                        html.A("Parquet", id="export-parquet", href="#", className="card-link"),
                    ],
                    className="export",
                ),
            ),
            html.Div(
                [panel("Latest values", html.Div(id="sensor-latest")), panel("About", html.Div(id="sensor-about"))],
                className="two",
            ),
            dcc.Store(id="sensor-nowhere"),
            dcc.Store(id="sensor-drawn"),
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


def _options(metrics: list[str]) -> list[dict[str, str]]:
    return [{"value": name, "label": units.pretty(name)} for name in facts.preferred(metrics)]


def register(app: Dash) -> None:
    app.clientside_callback(
        ClientsideFunction("weir", "address"),
        Output("sensor-nowhere", "data"),
        Input("sensor-site", "value"),
        Input("sensor-sensor", "value"),
        Input("sensor-metric", "value"),
        Input("window-select", "value"),
        Input("sensor-sensors", "value"),
    )
    app.clientside_callback(
        ClientsideFunction("weir", "exports"),
        Output("export-csv", "href"),
        Output("export-parquet", "href"),
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
        return _options(metrics), metric if metric in metrics else next(iter(facts.preferred(metrics)), None)

    @app.callback(
        Output("sensor-chart", "figure"),
        Output("sensor-note", "children"),
        Output("sensor-problem", "children"),
        Output("sensor-drawn", "data"),
        Input("sensor-site", "value"),
        Input("sensor-sensor", "value"),
        Input("sensor-metric", "value"),
        Input("window-select", "value"),
        Input("sensor-sensors", "value"),
        Input("viewer", "data"),
        Input("tick", "n_intervals"),
        State("sensor-drawn", "data"),
    )
    def chart(
        site: str, sensor: str, metric: str, window: str, compared: Any, stored: Any, _tick: int, drawn: Any
    ) -> Any:
        viewer = Viewer.of(stored)
        together = ",".join(compared) if isinstance(compared, list) else ""
        view = parse({"site": site, "sensor": sensor, "metric": metric, "window": window, "sensors": together})
        revision = "/".join((view.site, view.sensor, view.metric, view.window, *view.sensors))
        seen = [revision, _newest(view), viewer.dark, viewer.offset]
        if seen == drawn:  # nothing new of these sensors: the chart stands as it is
            return no_update, no_update, no_update, no_update
        try:
            figure, note = draw(view, viewer, now_ms())
        except StoreDown as error:
            return no_update, no_update, problem(str(error)), None
        figure.update_layout(uirevision=revision)
        return figure, note, None, seen

    @app.callback(
        Output("sensor-heading", "children"),
        Output("sensor-latest", "children"),
        Output("sensor-about", "children"),
        Input("sensor-site", "value"),
        Input("sensor-sensor", "value"),
        Input("viewer", "data"),
        Input("tick", "n_intervals"),
    )
    def latest(site: str, sensor: str, stored: Any, _tick: int) -> Any:
        live = feed()
        with live.lock:
            one = live.state.sensors.get(f"{site}/{sensor}")
            return facts.heading_of(site, sensor, one), facts.latest(one, Viewer.of(stored)), facts.about(one)


def _newest(view: View) -> list[int]:
    """When the newest reading of each sensor shown was cached (ms): the chart is drawn again when one has changed.

    At the latest each minute, for time goes on also where nothing comes.
    """
    live = feed()
    keys = (f"{view.site}/{view.sensor}", *view.sensors)
    with live.lock:
        found = [live.state.sensors.get(key) for key in keys]
        return [one.latest.at if one and one.latest else 0 for one in found] + [now_ms() // 60_000]


def _others(sites: dict[str, dict[str, Any]], chosen: tuple[str, ...]) -> list[str]:
    """What can be compared; a browser would be slow with more than `MOST_OTHERS`."""
    keys = (f"{site}/{sensor}" for site, sensors in sites.items() for sensor in sensors)
    return list(dict.fromkeys((*chosen, *islice(keys, MOST_OTHERS))))


def draw(view: View, viewer: Viewer, now: int) -> tuple[Any, str]:
    """The figure of `view` as of `now`, and a line on how it was made. Raises `StoreDown`."""
    if not view.sensor or not view.metric:
        return figures.message("No sensors yet: they appear with their first birth", viewer), ""
    number = queries.series(store(), view.site, view.sensor).get(view.metric)
    if number is None:
        return figures.message("Nothing of this series has been archived yet", viewer), ""
    if view.sensors:
        own = f"{view.site}/{view.sensor}"
        keys = dict.fromkeys((own, *view.sensors))
        return compare.draw(list(keys)[:MAX_SENSORS], view.metric, now - view.window_ms, now, viewer)
    since = now - view.window_ms
    found = window.window(store(), number, since, now, now)
    points, banded = found.points, found.level is not window.RAW
    flags = queries.flags(store(), number, since, now)
    late = queries.late(store(), number, since, now)
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
        banded=banded, since=since, until=now, forecast=ahead, late=late,
    )  # fmt: skip
    kind = f"means of {units.age(found.step)} with their least and greatest" if banded else "readings"
    told = f" · {sum(n for _, n in late):,} came late" if late else ""
    newest = f" · newest {units.age(now - int(points.ts[-1]))} old" if len(points) else ""
    return figure, f"{len(points):,} {kind} · {len(flags)} flagged{told}{newest}{note}"
