"""Pieces that several pages share: notices, headings, choices, tables."""

from __future__ import annotations

from typing import Any

import dash_ag_grid as dag
import dash_mantine_components as dmc
from dash import html

from web import queries
from web.feed import feed
from web.live import LiveSensor
from web.store import StoreDown, store
from web.urls import View

TIME = {"function": "weirTime(params.value)"}
UTC = {"function": "weirUtc(params.value)"}


def notices(view: View) -> Any:
    """What was wrong with the address, for people."""
    if not view.notices:
        return None
    return dmc.Alert([html.Div(text) for text in view.notices], color="yellow", id="notices", withCloseButton=True)


def heading(title: str, about: str) -> Any:
    return html.Div([dmc.Title(title, order=1, size="h3"), dmc.Text(about, c="dimmed", size="sm")], className="heading")


def panel(title: str, *children: Any, note: str = "", className: str = "") -> Any:
    head = [dmc.Title(title, order=2, size="h5")]
    if note:
        head.append(dmc.Text(note, size="xs", c="dimmed"))
    return dmc.Paper(
        [html.Div(head, className="panel-head"), *children], withBorder=True, p="md", className=f"panel {className}"
    )


def problem(text: str) -> Any:
    """An error state: what is wrong and that it mends itself."""
    return dmc.Alert(
        f"{text[:1].upper()}{text[1:]}. What you see may be old; it is tried again at the next refresh.",
        color="red",
        title="Not up to date",
        className="problem",
    )


def choice(id: str, label: str, options: list[Any], value: str | None, **more: Any) -> Any:
    """A labelled select; a value that is not among the options is kept visible."""
    return dmc.Select(
        id=id, label=label, data=options, value=value or None, size="sm", searchable=True,
        comboboxProps={"shadow": "md"}, className="choice", **more,
    )  # fmt: skip


def table(id: str, columns: list[dict[str, Any]], empty: str, height: str = "auto", **options: Any) -> Any:
    """An AG Grid whose scroll and selection outlive fresh rows; every row needs an `id`. Cells show text."""
    grid = {
        "localeText": {"noRowsToShow": empty},
        "animateRows": False,
        "tooltipShowDelay": 300,
        "suppressCellFocus": False,
        "enableCellTextSelection": True,
        "domLayout": "autoHeight" if height == "auto" else "normal",
        **options,
    }
    return dag.AgGrid(
        id=id,
        columnDefs=columns,
        rowData=[],
        getRowId="params.data.id",
        defaultColDef={"sortable": True, "resizable": True, "filter": True, "suppressHeaderMenuButton": True},
        dashGridOptions=grid,
        style={"height": None if height == "auto" else height, "width": "100%"},
        className="grid",
    )


def known() -> dict[str, dict[str, LiveSensor | None]]:
    """`site -> sensor -> live state`, from Redis, and from Postgres what Redis does not hold. Sorted."""
    live = feed()
    with live.lock:
        pairs: dict[tuple[str, str], LiveSensor | None] = {(s.site, s.sensor): s for s in live.state.sensors.values()}
    if not pairs:
        try:
            pairs = dict.fromkeys(queries.sensors(store()))
        except StoreDown:
            pairs = {}
    found: dict[str, dict[str, LiveSensor | None]] = {}
    for site, sensor in sorted(pairs):
        found.setdefault(site, {})[sensor] = pairs[site, sensor]
    return found


def pick(view: View) -> tuple[str, str, list[str]]:
    """The site and sensor to show for `view`, the first ones if it names none, and notices."""
    sites = known()
    told = []
    site = view.site
    if site not in sites:
        if site and sites:
            told.append(f"There is no site “{site}”: showing another.")
        site = next(iter(sites), "")
    sensor = view.sensor
    if sensor not in sites.get(site, {}):
        if sensor and sites:
            told.append(f"There is no sensor “{sensor}” at {site}: showing another.")
        sensor = next(iter(sites.get(site, {})), "")
    return site, sensor, told
