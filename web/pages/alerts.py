"""Live alerts and what operators do with them, and the history of all."""

from __future__ import annotations

from typing import Any

import dash_mantine_components as dmc
from dash import Dash, Input, Output, State, ctx, html, no_update

from web import queries
from web.commands import MAX_NAME, MAX_TEXT, NotSent, command, commands
from web.feed import feed
from web.parts import TIME, UTC, choice, heading, notices, panel, problem, table
from web.store import StoreDown, now_ms, store
from web.urls import parse
from weir.events import Alert

RANK = {"critical": 0, "warning": 1, "info": 2}
HOURS = {"1": "1 hour", "4": "4 hours", "24": "1 day", "168": "1 week"}
SEVERITY = {
    "cellClassRules": {
        "severity-critical": "params.value === 'critical'",
        "severity-warning": "params.value === 'warning'",
        "severity-info": "params.value === 'info'",
    }
}
WHEN = {"valueFormatter": TIME, "tooltipValueGetter": UTC, "minWidth": 150, "filter": False}
LIVE = [
    {"field": "severity", "minWidth": 105, "maxWidth": 120, **SEVERITY},
    {"field": "state", "minWidth": 100, "maxWidth": 120},
    {"field": "where", "headerName": "Sensor", "minWidth": 230, "flex": 1, "tooltipField": "where"},
    {"field": "metric", "minWidth": 110, "maxWidth": 140},
    {"field": "text", "headerName": "What", "minWidth": 240, "flex": 2, "tooltipField": "text"},
    {"field": "opened", **WHEN},
    {"field": "handled", "headerName": "Acknowledged", "minWidth": 130},
    {"field": "shelved", "headerName": "Shelved until", **WHEN},
]
HISTORY = [
    {"field": "at", "headerName": "When", **WHEN},
    {"field": "severity", "minWidth": 105, "maxWidth": 120, **SEVERITY},
    {"field": "state", "minWidth": 100, "maxWidth": 120},
    {"field": "where", "headerName": "Sensor", "minWidth": 230, "flex": 1, "tooltipField": "where"},
    {"field": "text", "headerName": "What", "minWidth": 240, "flex": 2, "tooltipField": "text"},
    {"field": "by", "minWidth": 100},
]


def layout(**query: str) -> Any:
    live = table(
        "alerts-table", LIVE, "No live alerts", height="380px",
        rowSelection={"mode": "multiRow", "enableClickSelection": True},
    )  # fmt: skip
    return html.Div(
        [
            notices(parse(query)),
            heading("Alerts", "Live alerts first. Choose some, then decide; the alert worker answers within a second."),
            html.Div(id="alerts-problem"),
            panel("Live", _desk(), html.Div(id="alert-answer", role="status", className="note"), live),
            html.Div(id="history-problem"),
            panel("History", table("history-table", HISTORY, "Nothing has happened yet", height="340px")),
        ],
        className="page",
    )


def _desk() -> Any:
    return html.Div(
        [
            dmc.TextInput(
                id="operator", label="Your name", placeholder="operator", persistence=True, size="sm",
                attributes={"input": {"maxLength": MAX_NAME}}, className="choice",
            ),
            dmc.TextInput(
                id="alert-text", label="Comment", placeholder="optional, except to comment", size="sm",
                attributes={"input": {"maxLength": MAX_TEXT}}, className="choice wide",
            ),
            choice(
                "shelve-for", "Shelve for", [{"value": h, "label": t} for h, t in HOURS.items()], "4",
                allowDeselect=False,
            ),
            html.Div(
                [
                    dmc.Button("Acknowledge", id="do-acknowledge", size="sm"),
                    dmc.Button("Shelve", id="do-shelve", size="sm", variant="default"),
                    dmc.Button("Comment", id="do-comment", size="sm", variant="default"),
                ],
                className="buttons",
            ),
        ],
        className="filters desk",
    )  # fmt: skip


def register(app: Dash) -> None:
    @app.callback(Output("alerts-table", "rowData"), Output("alerts-problem", "children"), Input("tick", "n_intervals"))
    def live_rows(_tick: int) -> Any:
        live = feed()
        with live.lock:
            found, down = list(live.state.alerts.values()), live.down_since
        return rows(found), problem("Redis does not answer") if down else None

    @app.callback(
        Output("history-table", "rowData"), Output("history-problem", "children"), Input("tick", "n_intervals")
    )
    def history_rows(_tick: int) -> Any:
        try:
            found = queries.alert_history(store())
        except StoreDown as error:
            return no_update, problem(str(error))
        return [
            {**one, "id": f"{one['id']}/{one['n']}", "where": _where(one["site"], one["sensor"])} for one in found
        ], None

    @app.callback(
        Output("alert-answer", "children"),
        Output("alert-text", "value"),
        Input("do-acknowledge", "n_clicks"),
        Input("do-shelve", "n_clicks"),
        Input("do-comment", "n_clicks"),
        State("alerts-table", "selectedRows"),
        State("operator", "value"),
        State("alert-text", "value"),
        State("shelve-for", "value"),
        prevent_initial_call=True,
        running=[(Output(f"do-{verb}", "disabled"), True, False) for verb in ("acknowledge", "shelve", "comment")],
    )
    def decide(_a: int, _s: int, _c: int, chosen: Any, name: str, text: str, hours: str) -> Any:
        if ctx.triggered_id is None:
            return no_update, no_update
        verb = str(ctx.triggered_id).removeprefix("do-")
        ids = [str(row.get("id", "")) for row in chosen or [] if isinstance(row, dict)]
        return act(verb, ids, name or "", text or "", hours or "")


def act(verb: str, ids: list[str], name: str, text: str, hours: str) -> tuple[str, Any]:
    """Send one command for each alert; returns what to tell the operator, and the new content of the comment."""
    if not ids:
        return "Choose one or more alerts in the table first.", no_update
    now = now_ms()
    until = now + int(hours) * 3_600_000 if verb == "shelve" and hours in HOURS else 0
    try:
        commands().send([command(one, verb, name, now, text, until) for one in ids])
    except (ValueError, NotSent) as error:
        return f"Not done: {error}.", no_update
    done = {"acknowledge": "acknowledged", "shelve": "shelved", "comment": "commented on"}[verb]
    return f"{len(ids)} {'alert' if len(ids) == 1 else 'alerts'} {done} by {name.strip() or 'operator'}.", ""


def rows(alerts: list[Alert]) -> list[dict[str, Any]]:
    """Rows of the live table: unacknowledged first, then by severity, then the newest."""
    ordered = sorted(alerts, key=lambda one: (one.acknowledged, RANK.get(one.severity, 3), -one.opened))
    return [
        {
            "id": one.id,
            "severity": one.severity,
            "state": str(one.state),
            "where": _where(one.site, one.sensor),
            "metric": one.metric,
            "text": one.text,
            "opened": one.opened,
            "handled": (f"by {one.by}" if one.by else "yes") if one.acknowledged else "",
            "shelved": one.shelved_until or None,
        }
        for one in ordered
    ]


def _where(site: Any, sensor: Any) -> str:
    if site == "*":
        return "everywhere"
    return f"{site}/{sensor}" if sensor else f"{site or '?'} (whole site)"
