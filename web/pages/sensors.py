"""All sensors: which have no place yet, and what people say of them: place, name, tags, units, limits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import dash_leaflet as dl
import dash_mantine_components as dmc
from dash import ALL, Dash, Input, Output, State, ctx, dcc, html, no_update

from web import basemap, queries_sensors, units
from web.commands import MAX_NAME
from web.feed import feed
from web.pages.map import BERN
from web.parts import heading, notices, panel, problem, table
from web.sensor_rows import row, save, sensors
from web.store import StoreDown, store
from web.urls import parse
from weir.settings import settings

COLUMNS = [
    {"field": "id", "headerName": "Sensor", "flex": 2, "minWidth": 200, "tooltipField": "id"},
    {"field": "name", "headerName": "Name", "flex": 2, "minWidth": 110, "tooltipField": "name"},
    {"field": "place", "headerName": "Place", "flex": 1, "minWidth": 170},
    {"field": "tags", "headerName": "Tags", "flex": 1, "minWidth": 80},
    {"field": "measures", "headerName": "Measures", "flex": 2, "minWidth": 120},
]
#: Towns up to this rank are named on the small map, and so many sensors are shown.
LABELS = 3
NEIGHBOURS = 300


def layout(**query: str) -> Any:
    view = parse(query)
    chosen = f"{view.site}/{view.sensor}" if view.site and view.sensor else ""
    grid = table(
        "sensors-table", COLUMNS, "No sensors yet: they appear with their first birth or reading", height="420px",
        rowSelection={"mode": "singleRow", "checkboxes": False, "enableClickSelection": True},
    )  # fmt: skip
    return html.Div(
        [
            notices(view),
            heading("Sensors", "Choose one, click on the map where it stands, and save."),
            html.Div(id="sensors-problem"),
            html.Div(
                [
                    panel(
                        "All sensors",
                        dmc.Checkbox(id="sensors-unplaced", label="only those without a place", radius="sm", mb="sm"),
                        grid,
                    ),
                    panel("Place", _map(), html.Div("No sensor is chosen.", id="sensors-hint", className="note")),
                ],
                className="two-panels",
            ),
            panel("What is known of it", _form(), html.Div(id="sensors-metrics"), _desk()),
            panel("Edits", html.Div(id="sensors-history")),
            dcc.Store(id="sensors-chosen", data=chosen),
            dcc.Store(id="sensors-seen"),
        ],
        className="page",
    )


def _map() -> Any:
    config = settings()
    ground = (
        dl.TileLayer(url=config.tiles_url, attribution=config.tiles_attribution)
        if config.tiles_url
        else dl.GeoJSON(url="/basemap/switzerland.geojson", style={"variable": "weirMap.baseStyle"}, interactive=False)
    )
    return html.Div(
        dl.Map(
            [
                ground,
                dl.LayerGroup(_labels() if not config.tiles_url else []),
                dl.LayerGroup(_neighbours()),
                dl.ScaleControl(position="bottomleft", imperial=False),
                dl.LayerGroup(id="sensors-mark"),
            ],
            id="sensors-map", center=BERN, zoom=11, minZoom=2, maxZoom=18, attributionControl=False,
            style={"height": 420}, className="" if config.tiles_url else "vendored",
        ),
        className="place-map",
        title="" if config.tiles_url else basemap.CREDIT,
    )  # fmt: skip


def _labels() -> list[Any]:
    return [
        dl.DivMarker(
            position=place["at"], interactive=False, keyboard=False,
            iconOptions={"className": f"place place-{place['rank']}", "html": place["name"], "iconSize": None},
        )
        for place in basemap.places()
        if place["rank"] <= LABELS
    ]  # fmt: skip


def _neighbours() -> list[Any]:
    """Sensors that have a place, to tell where one is; not all of a very large fleet."""
    try:
        placed = [one for one in sensors().values() if one["lat"] is not None][:NEIGHBOURS]
    except StoreDown:
        return []
    return [
        dl.CircleMarker(
            center=[one["lat"], one["lon"]], radius=4, color="#868e96", weight=1, fillOpacity=0.6,
            bubblingMouseEvents=True, children=dl.Tooltip(one["name"] or one["sensor"]),
        )
        for one in placed
    ]  # fmt: skip


def _form() -> Any:
    number: dict[str, Any] = {"size": "sm", "decimalScale": 6, "className": "choice", "hideControls": True}
    return html.Div(
        [
            dmc.NumberInput(id="sensors-lat", label="Latitude", min=-90, max=90, **number),
            dmc.NumberInput(id="sensors-lon", label="Longitude", min=-180, max=180, **number),
            dmc.TextInput(id="sensors-name", label="Name", size="sm", className="choice"),
            dmc.TextInput(id="sensors-kind", label="Kind", size="sm", className="choice"),
            dmc.TextInput(id="sensors-tags", label="Tags", placeholder="with commas", size="sm", className="choice"),
        ],
        className="filters",
    )


def _desk() -> Any:
    return html.Div(
        [
            dmc.TextInput(
                id="sensors-by", label="Your name", placeholder="operator", persistence=True, size="sm",
                attributes={"input": {"maxLength": MAX_NAME}}, className="choice",
            ),
            html.Div(dmc.Button("Save", id="sensors-save", size="sm", disabled=True), className="buttons"),
            html.Div(id="sensors-answer", role="status", className="note"),
        ],
        className="filters desk",
    )  # fmt: skip


def register(app: Dash) -> None:
    @app.callback(
        Output("sensors-table", "rowData"),
        Output("sensors-problem", "children"),
        Output("sensors-seen", "data"),
        Input("tick", "n_intervals"),
        Input("sensors-unplaced", "checked"),
        State("sensors-seen", "data"),
    )
    def listed(_tick: int, unplaced: bool, seen: Any) -> Any:
        mark = [bool(unplaced), *_version()]
        if seen == mark:
            return no_update, no_update, no_update
        try:
            found = list(sensors().values())
        except StoreDown as error:
            return no_update, problem(str(error)), no_update
        return [row(one) for one in found if not unplaced or one["lat"] is None], None, mark

    @app.callback(Output("sensors-chosen", "data"), Input("sensors-table", "selectedRows"), prevent_initial_call=True)
    def chosen(rows: Any) -> Any:
        return str(rows[0].get("id", "")) if rows else no_update

    @app.callback(
        Output("sensors-lat", "value"),
        Output("sensors-lon", "value"),
        Output("sensors-name", "value"),
        Output("sensors-kind", "value"),
        Output("sensors-tags", "value"),
        Output("sensors-metrics", "children"),
        Output("sensors-hint", "children"),
        Output("sensors-history", "children"),
        Output("sensors-save", "disabled"),
        Input("sensors-chosen", "data"),
        Input("sensors-map", "clickData"),
    )
    def shown(key: str, click: Any) -> Any:
        if ctx.triggered_id == "sensors-map":
            at = (click or {}).get("latlng") or {}
            if not key or "lat" not in at:
                return [no_update] * 9
            # Beyond the antimeridian Leaflet goes on counting.
            lon = (float(at["lng"]) + 180) % 360 - 180
            return [round(float(at["lat"]), 6), round(lon, 6), *[no_update] * 7]
        try:
            one = sensors().get(key or "")
            past = queries_sensors.history(store(), one["site"], one["sensor"]) if one else []
        except StoreDown as error:
            return [*[no_update] * 6, f"{error}: try again", no_update, no_update]
        if one is None:
            return [None, None, "", "", "", None, "No sensor is chosen.", _history([]), True]
        hint = f"{key}: click where it stands, then save."
        tags = ", ".join(one["tags"])
        metrics = _metrics(one["metrics"])
        return [one["lat"], one["lon"], one["name"], one["kind"], tags, metrics, hint, _history(past), False]

    @app.callback(
        Output("sensors-mark", "children"), Input("sensors-lat", "value"), Input("sensors-lon", "value")
    )  # fmt: skip
    def marked(lat: Any, lon: Any) -> Any:
        if not isinstance(lat, (int, float)) or not isinstance(lon, (int, float)):
            return []
        return [dl.CircleMarker(center=[lat, lon], radius=9, color="#1971c2", weight=3, fillOpacity=0.4)]

    @app.callback(
        Output("sensors-answer", "children"),
        Input("sensors-save", "n_clicks"),
        State("sensors-chosen", "data"),
        State("sensors-by", "value"),
        State("sensors-lat", "value"),
        State("sensors-lon", "value"),
        State("sensors-name", "value"),
        State("sensors-kind", "value"),
        State("sensors-tags", "value"),
        State({"part": ALL, "metric": ALL}, "value"),
        State({"part": ALL, "metric": ALL}, "id"),
        prevent_initial_call=True,
        running=[(Output("sensors-save", "disabled"), True, False)],
    )
    def saved(
        clicks: int, key: str, by: str, lat: Any, lon: Any, name: str, kind: str, tags: str, values: Any, ids: Any
    ) -> Any:
        if not clicks:
            return no_update
        fields = {"lat": lat, "lon": lon, "name": name, "kind": kind, "tags": tags}
        parts = {(one["metric"], one["part"]): value for one, value in zip(ids, values, strict=True)}
        return save(key or "", by or "", fields, parts)


def _version() -> tuple[str, int, int]:
    live = feed()
    with live.lock:
        born = max((one.born for one in live.state.sensors.values()), default=0)
        return live.epoch, born, len(live.state.sensors)


def _metrics(metrics: Mapping[str, Mapping[str, Any]]) -> Any:
    head = html.Tr([html.Th(text) for text in ("Metric", "Unit (a SenML code)", "Least", "Greatest")])
    lines = []
    for name, known in metrics.items():
        cells = [html.Td(units.pretty(name))]
        for part, label in (("unit", "unit"), ("min", "least value"), ("max", "greatest value")):
            kind = dmc.TextInput if part == "unit" else dmc.NumberInput
            value = known.get(part)
            cells.append(
                html.Td(
                    kind(
                        id={"part": part, "metric": name}, value="" if value is None else value, size="xs",
                        attributes={"input": {"aria-label": f"{name}: {label}"}},
                    )
                )
            )  # fmt: skip
        lines.append(html.Tr(cells))
    return html.Table([html.Thead(head), html.Tbody(lines)], className="plain")


def _history(past: list[tuple[int, str, dict[str, Any]]]) -> Any:
    if not past:
        return dmc.Text("Nobody has said anything of it yet.", c="dimmed", size="sm")
    lines = [html.Tr([html.Td(units.utc(at)), html.Td(by), html.Td(_told(edit))]) for at, by, edit in past]
    return html.Table(
        [html.Thead(html.Tr([html.Th(text) for text in ("When", "Who", "What holds since then")])), html.Tbody(lines)],
        className="plain",
    )


def _told(edit: Mapping[str, Any]) -> str:
    said = [f"{name} {edit[name]}" for name in ("name", "kind") if edit.get(name) is not None]
    if edit.get("lat") is not None:
        said.append(f"at {edit['lat']:.5f}, {edit['lon']:.5f}")
    if edit.get("tags"):
        said.append(f"tags {', '.join(edit['tags'])}")
    for name, metric in (edit.get("metrics") or {}).items():
        bounds = f"{metric.get('min', '')}…{metric.get('max', '')}" if "min" in metric or "max" in metric else ""
        said.append(" ".join(part for part in (name, metric.get("unit", ""), bounds) if part))
    return " · ".join(said) or "all was taken back"
