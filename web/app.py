"""The Dash application: its frame, its pages, its routes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dash
import dash_ag_grid as dag
import dash_mantine_components as dmc
from dash import ClientsideFunction, Dash, Input, Output, dcc, html

from web import account, api, routes, routes_pages, security
from web.access import gate
from web.pages import alerts, forecasts, map, not_found_404, overview, pipeline, sensor, sensors
from weir.settings import settings

#: `/` stays the map, which shared links lead to and which says what is happening *where*.
PAGES = (
    (overview, "/overview", "Overview"),
    (map, "/", "Map"),
    (sensor, "/sensor", "Sensor"),
    (forecasts, "/forecasts", "Forecasts"),
    (alerts, "/alerts", "Alerts"),
    (sensors, "/sensors", "Sensors"),
    (pipeline, "/pipeline", "Pipeline"),
)
SLOW_MS = 30_000
SETTLED_MS = 1500
PACES = (1, 2, 5, 10, 30, 60)
THEME: dict[str, Any] = {
    "primaryColor": "blue",
    "primaryShade": 8,  # white on a paler blue is hard to read
    "defaultRadius": "md",
    "fontFamily": "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', sans-serif",
    "headings": {"fontWeight": "600"},
}


def create() -> Dash:
    """Build the application, ready to serve. No server is asked for anything yet."""
    app = Dash(
        "web",
        use_pages=True,
        pages_folder="",
        assets_folder=str(Path(__file__).parent / "assets"),
        title="Weir",
        update_title="",
        serve_locally=True,
        suppress_callback_exceptions=True,
        meta_tags=[{"name": "viewport", "content": "width=device-width, initial-scale=1"}],
    )
    app.index_string = app.index_string.replace("<html>", '<html lang="en">', 1)
    for module, path, name in PAGES:
        dash.register_page(module.__name__, path=path, name=name, title=f"{name} · Weir", layout=module.layout)
        module.register(app)
    dash.register_page(not_found_404.__name__, title="No such page · Weir", layout=not_found_404.layout)
    app.layout = _frame  # a function: who is signed in is seen in it
    _register(app)
    routes.add(app.server)
    api.add(app.server)
    routes_pages.add(app.server)
    # Fresh workers would race on Dash's lazy set-up; the pages' part of it waits for a first request.
    app._setup_server()
    with app.server.test_request_context("/"):
        app.server.preprocess_request()
    security.protect(app.server, app.csp_hashes)
    gate.protect(app.server)
    return app


def _frame() -> Any:
    return dmc.MantineProvider(
        [
            dcc.Location(id="address", refresh="callback-nav"),
            dcc.Store(id="viewer"),
            dcc.Store(id="nowhere"),
            dcc.Interval(id="tick", interval=settings().refresh_s * 1000),
            # For what changes each minute at most, however fast the rest is refreshed.
            dcc.Interval(id="tick-slow", interval=SLOW_MS),
            html.A("Skip to content", href="#content", className="skip"),
            html.Header([_brand(), _navigation(), _tools()], className="top"),
            html.Main(dash.page_container, id="content"),
            # What tables are made of is fetched once the first page stands, so that the next one opens fast.
            dcc.Interval(id="settled", interval=SETTLED_MS, max_intervals=1),
            html.Div(id="warm", hidden=True, **{"aria-hidden": "true"}),
        ],
        theme=THEME,
        defaultColorScheme="auto",
        id="mantine",
    )


def _brand() -> Any:
    return dcc.Link([html.Span(className="mark"), html.Span("Weir")], href="/", className="brand", title="Weir: map")


def _navigation() -> Any:
    links = [
        dcc.Link(name, href=path, id=f"nav-{name.lower()}", className="nav-link") for _, path, name in PAGES
    ]  # fmt: skip
    return html.Nav(links, className="nav", **{"aria-label": "Pages"})


def _tools() -> Any:
    return html.Div(
        [
            html.Span("connecting …", id="live-state", role="status", className="live-state"),
            dmc.Select(
                id="refresh-select",
                data=[{"value": str(pace), "label": f"every {pace} s"} for pace in PACES]
                + [{"value": "0", "label": "paused"}],
                value=str(settings().refresh_s if settings().refresh_s in PACES else 5),
                allowDeselect=False,
                persistence=True,
                size="xs",
                w=110,
                attributes={"input": {"aria-label": "Refresh"}},
                comboboxProps={"shadow": "md"},
            ),
            account.badge(),
            dmc.ColorSchemeToggle(
                id="scheme",
                lightIcon=html.Span(className="icon icon-sun"),
                darkIcon=html.Span(className="icon icon-moon"),
                size="md",
                variant="subtle",
                color="gray",
                attributes={"root": {"aria-label": "Light or dark"}},
            ),
        ],
        className="tools",
    )


def _register(app: Dash) -> None:
    @app.callback(Output("warm", "children"), Input("settled", "n_intervals"), prevent_initial_call=True)
    def warm(_once: int) -> Any:
        # Not the charts: reading their library would hold up the map for a second.
        return dag.AgGrid(columnDefs=[], rowData=[])

    app.clientside_callback(
        ClientsideFunction("weir", "pace"),
        Output("tick", "interval"),
        Output("tick", "disabled"),
        Output("tick-slow", "disabled"),
        Input("refresh-select", "value"),
    )
    app.clientside_callback(
        ClientsideFunction("weir", "moved"), Output("nowhere", "data"), Input("address", "pathname")
    )
