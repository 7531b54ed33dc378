"""The sortable table of all forecasts, on the page of forecasts."""

from __future__ import annotations

from typing import Any

from dash import ClientsideFunction, Dash, Input, Output, no_update

from web import queries_fleet, units
from web.feed import feed
from web.kept import Kept
from web.parts import TIME, UTC, panel, problem, table
from web.queries_fleet import FleetRow
from web.store import StoreDown, store
from web.urls import DEFAULT_AHEAD

NUMBER = {"type": "rightAligned", "filter": "agNumberColumnFilter", "minWidth": 95, "width": 105}
COLUMNS = [
    {"field": "sensor", "minWidth": 200, "flex": 2, "tooltipField": "sensor", "pinned": "left"},
    {"field": "metric", "minWidth": 115, "flex": 1},
    {"field": "last", "headerName": "Now", **NUMBER, "valueFormatter": {"function": "weirValue(params.value, params.data.unit)"}},
    {"field": "mean", "headerName": "Forecast", **NUMBER, "valueFormatter": {"function": "weirValue(params.value, params.data.unit)"}},
    {"field": "range", "headerName": "80 % between", "minWidth": 140, "sortable": False, "filter": False},
    {
        "field": "r2", "headerName": "R²", **NUMBER, "valueFormatter": {"function": "weirFixed(params.value)"},
        "headerTooltip": "Share of the variation explained, last 7 days; 1 is perfect, below 0 is worse than the mean",
    },
    {
        "field": "skill", "headerName": "Skill", **NUMBER, "valueFormatter": {"function": "weirPercent(params.value)"},
        "headerTooltip": "How much smaller the error was than that of repeating the last value, last 7 days",
        "cellClassRules": {"good": "params.value > 0", "bad": "params.value < -0.05"},
    },
    {"field": "held", "headerName": "80 % held", **NUMBER, "valueFormatter": {"function": "weirPercent(params.value)"},
     "headerTooltip": "How often the truth lay in the 80 % interval"},
    {"field": "crossing", "headerName": "Warning", "minWidth": 190, "flex": 2, "tooltipField": "crossing",
     "cellClassRules": {"severity-warning": "params.value"}},
    {"field": "at", "headerName": "Crossed about", "minWidth": 150, "valueFormatter": TIME, "tooltipValueGetter": UTC, "filter": False},
    {"field": "model", "minWidth": 110},
]  # fmt: skip
_rows: Kept[list[dict[str, Any]]] = Kept(30.0, most=4)


def fleet_panel() -> Any:
    """The table, empty until its first answer. Choosing a row shows that sensor above."""
    grid = table(
        "fleet-table", COLUMNS, "No forecasts yet: the first round is a minute after the start, with an hour of history",
        height="460px", rowSelection={"mode": "singleRow", "checkboxes": False, "enableClickSelection": True},
        rowBuffer=10,
    )  # fmt: skip
    note = "the newest hourly round; warnings first, sort by any column; choose a row to see its sensor"
    return panel("The whole fleet", grid, note=note)


def register(app: Dash) -> None:
    app.clientside_callback(
        ClientsideFunction("weir", "fleetRow"),
        Output("fleet-nowhere", "data"),
        Input("fleet-table", "selectedRows"),
        prevent_initial_call=True,
    )

    @app.callback(
        Output("fleet-table", "rowData"),
        Output("fleet-problem", "children"),
        Input("forecast-ahead", "value"),
        Input("tick-slow", "n_intervals"),
    )
    def rows(ahead: str, _tick: int) -> Any:
        horizon = ahead or DEFAULT_AHEAD
        try:
            return _rows.get(horizon, lambda: [row(one) for one in queries_fleet.fleet(store(), horizon)]), None
        except StoreDown as error:
            return no_update, problem(str(error))


def row(one: FleetRow) -> dict[str, Any]:
    """One row of the table. `skill` 0.2: the error was 20 % smaller than that of repeating the last value."""
    live = feed().state.sensors.get(f"{one.site}/{one.sensor}")
    unit = live.unit(one.metric) if live else ""
    return {
        "id": str(one.series), "sensor": f"{one.site}/{one.sensor}", "metric": one.metric, "unit": units.symbol(unit),
        "last": one.last, "mean": one.mean, "range": f"{units.number(one.low80)} … {units.number(one.high80)}",
        "r2": one.r2, "skill": None if one.mase is None else 1 - one.mase, "held": one.coverage80,
        "crossing": crossing(one, unit), "at": one.cross_at, "model": one.model,
    }  # fmt: skip


def crossing(one: FleetRow, unit: str) -> str:
    """The warning in words; empty if no limit will be crossed."""
    if one.cross_level is None or one.cross_probability is None:
        return ""
    way = "above" if one.cross_above else "below"
    return f"{way} {units.measure(one.cross_level, unit)} ({100 * one.cross_probability:.0f} %)"
