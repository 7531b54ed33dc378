"""The map: every sensor, live. The page is drawn here once; assets/map.js keeps it fresh."""

from __future__ import annotations

from typing import Any

import dash_leaflet as dl
import dash_mantine_components as dmc
from dash import ClientsideFunction, Dash, Input, Output, dcc, html

from web import basemap
from web.feed import feed
from web.parts import choice, notices
from web.units import pretty
from web.urls import STATUSES, parse
from weir.settings import settings

BERN = [46.948, 7.447]
CLUSTERS = [
    {"value": "auto", "label": "when dense"},
    {"value": "on", "label": "always"},
    {"value": "off", "label": "never"},
]


def layout(**query: str) -> Any:
    view = parse(query)
    sites, kinds, metrics = _choices()
    filters = html.Div(
        [
            choice("site-filter", "Site", sites, view.site, clearable=True, placeholder="all sites"),
            choice("kind-filter", "Kind", kinds, view.kind, clearable=True, placeholder="all kinds"),
            choice(
                "colour-select", "Colour by",
                [{"value": "status", "label": "Status"}, *metrics], view.colour, allowDeselect=False,
            ),
            choice("metric-filter", "Metric", metrics, view.metric, clearable=True, placeholder="any metric"),
            choice("cluster-select", "Clusters", CLUSTERS, view.cluster, allowDeselect=False),
            dmc.TextInput(id="search", label="Search", placeholder="part of a name", value=view.search,
                          size="sm", className="choice", debounce=150),
        ],
        className="filters",
    )  # fmt: skip
    return html.Div(
        [
            notices(view),
            html.Div([filters, _statuses()], className="bar"),
            html.Div([_map(), _side()], className="map-and-list"),
         dcc.Store(id="map-nowhere")],
        className="map-page",
    )  # fmt: skip


def _choices() -> tuple[list[str], list[str], list[dict[str, str]]]:
    live = feed()
    with live.lock:
        sensors = list(live.state.sensors.values())
        metrics = {name for one in sensors for name in one.metrics()}
    return (
        sorted({one.site for one in sensors}),
        sorted({one.kind for one in sensors}),
        [{"value": name, "label": pretty(name)} for name in sorted(metrics)],
    )


def _statuses() -> Any:
    buttons = [
        html.Button(
            [html.Span(className=f"dot dot-{name}"), html.Span(name), html.Span("–", className="count")],
            id=f"status-{name}", className="status", type="button", **{"data-status": name, "aria-pressed": "false"},
        )
        for name in STATUSES
    ]  # fmt: skip
    return html.Div(
        [html.Span("– sensors", id="sensor-count", className="sensor-count"), *buttons], className="statuses"
    )


def _map() -> Any:
    config = settings()
    layers: list[Any] = []
    if config.tiles_url:
        layers.append(dl.TileLayer(url=config.tiles_url, attribution=config.tiles_attribution))
    else:
        layers.append(
            dl.Pane(
                dl.GeoJSON(
                    url="/basemap/switzerland.geojson",
                    style={"variable": "weirMap.baseStyle"},
                    interactive=False,
                ),
                name="base",
                style={"zIndex": 210},
            )
        )
    layers += [
        # Always there, also with tiles: through it map.js gets hold of the Leaflet map.
        dl.GeoJSON(
            data={"type": "FeatureCollection", "features": [_anchor()]},
            pointToLayer={"variable": "weirMap.attach"},
            interactive=False,
        ),
        dl.ScaleControl(position="bottomleft", imperial=False),
        dl.AttributionControl(position="bottomright", prefix=False),
    ]
    return html.Div(
        [
            dl.Map(
                layers, id="map", center=BERN, zoom=12, minZoom=3, maxZoom=18, preferCanvas=True,
                attributionControl=False, zoomSnap=0.25, className="map" if config.tiles_url else "map vendored",
            ),
            html.Div(id="legend", className="legend"),
            html.Button("Fit", id="fit", type="button", className="fit", title="Show all sensors"),
            html.Button("Select", id="select", type="button", className="fit select", title="Choose sensors by a rectangle",
                        **{"aria-pressed": "false"}),
            _selection(),
            _playback(),
            html.Section(id="sensor-card", className="card", hidden=True, **{"aria-label": "Chosen sensor"}),
            html.Div("Waiting for the first sensor …", id="map-empty", className="map-empty"),
        ],
        className="map-box",
        **{"data-credit": "" if config.tiles_url else basemap.CREDIT},
    )  # fmt: skip


def _selection() -> Any:
    return html.Div(
        [
            html.Span(id="selection-count", role="status"),
            html.A("Compare", id="selection-compare", href="/sensor", className="card-link"),
            html.Button("Clear", id="selection-clear", type="button"),
        ],
        id="selection",
        className="selection",
        hidden=True,
    )


def _playback() -> Any:
    """Played in the browser: assets/map_playback.js."""
    return html.Div(
        [
            html.Button("Play 24 h", id="playback-play", type="button"),
            html.Span(id="playback-place", className="playback-slider"),
            html.Span("Now, live", id="playback-time", className="playback-time"),
            html.Button("Live", id="playback-live", type="button", hidden=True),
        ],
        id="playback",
        className="playback",
        role="group",
        **{"aria-label": "The last 24 hours"},
    )


def _anchor() -> dict[str, Any]:
    return {"type": "Feature", "properties": {}, "geometry": {"type": "Point", "coordinates": BERN[::-1]}}


def _side() -> Any:
    return html.Aside(
        [
            html.Div(id="sensor-list", className="sensor-list", role="list", tabIndex=0, **{"aria-label": "Sensors"}),
            html.Div(id="list-more", className="list-more"),
        ],
        className="side",
    )


def register(app: Dash) -> None:
    """Filters act in the browser; nothing of the map goes through the server again."""
    app.clientside_callback(
        ClientsideFunction("weir", "filter"),
        Output("map-nowhere", "data"),
        Input("site-filter", "value"),
        Input("kind-filter", "value"),
        Input("colour-select", "value"),
        Input("search", "value"),
        Input("metric-filter", "value"),
        Input("cluster-select", "value"),
    )
