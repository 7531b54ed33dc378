"""Live alerts and what operators do with them; their history, as a table and as a timeline."""

from __future__ import annotations

from typing import Any

import dash_mantine_components as dmc
from dash import ClientsideFunction, Dash, Input, Output, State, ctx, dcc, html, no_update

from web import figures, queries, queries_alerts
from web.access.identity import acting
from web.alert_rows import Wanted, rows, timeline, where
from web.commands import MAX_NAME, MAX_TEXT, NotSent, command, commands
from web.feed import feed
from web.figures import Viewer
from web.kept import Kept
from web.parts import TIME, UTC, choice, heading, known, notices, panel, problem, table
from web.store import StoreDown, now_ms, store
from web.urls import SEVERITIES, STATES, WINDOWS, View, parse

HOURS = {"1": "1 hour", "4": "4 hours", "24": "1 day", "168": "1 week"}
RULES = ("anomaly", "silence", "clock", "forecast", "site", "flood", "ledger", "broker")
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
    {"field": "rule", "minWidth": 95, "maxWidth": 115},
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
_history: Kept[list[dict[str, Any]]] = Kept(2.0)
_spans: Kept[list[dict[str, Any]]] = Kept(5.0, most=20)


def layout(**query: str) -> Any:
    view = parse(query)
    live = table(
        "alerts-table", LIVE, "No live alerts fit", height="380px",
        rowSelection={"mode": "multiRow", "enableClickSelection": True},
    )  # fmt: skip
    empty = figures.message("Loading …", Viewer(), 160)
    return html.Div(
        [
            notices(view),
            heading("Alerts", "Live alerts first. Choose some, then decide; the alert worker answers within a second."),
            dmc.Paper(_filters(view), withBorder=True, p="md", className="panel"),
            html.Div(id="alerts-problem"),
            panel("Live", _desk(), html.Div(id="alert-answer", role="status", className="note"), live),
            html.Div(id="history-problem"),
            panel(
                "Timeline", dcc.Graph(id="alert-timeline", figure=empty, config={"displaylogo": False, "responsive": True}),
                note="each bar from opening to clearing",
            ),
            panel("History", table("history-table", HISTORY, "Nothing has happened yet", height="340px")),
            dcc.Store(id="alerts-nowhere"),
            dcc.Store(id="alerts-seen"),
        ],
        className="page",
    )  # fmt: skip


def _filters(view: View) -> Any:
    return html.Div(
        [
            dmc.MultiSelect(
                id="alerts-severity", label="Severity", data=list(SEVERITIES), value=list(view.severity), size="sm",
                placeholder="" if view.severity else "all", clearable=True, className="choice",
            ),
            choice("alerts-state", "State", list(STATES), view.state, clearable=True, placeholder="all"),
            choice("alerts-site", "Site", list(known()), view.site, clearable=True, placeholder="all sites"),
            choice("alerts-rule", "Rule", list(RULES), view.rule, clearable=True, placeholder="all rules"),
            choice("alerts-window", "Timeline", list(WINDOWS), view.window, allowDeselect=False),
            html.Button(
                "Sound off", id="sound", type="button", className="status", **{"aria-pressed": "false"},
                title="A sound at a new critical alert; the title always counts them",
            ),
        ],
        className="filters",
    )  # fmt: skip


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
    names = ("severity", "state", "site", "rule")
    wished = [Input(f"alerts-{name}", "value") for name in names]
    app.clientside_callback(
        ClientsideFunction("weir", "address"),
        Output("alerts-nowhere", "data"),
        *wished,
        Input("alerts-window", "value"),
    )

    @app.callback(
        Output("alerts-table", "rowData"),
        Output("alerts-problem", "children"),
        Output("alerts-seen", "data"),
        Input("tick", "n_intervals"),
        Input("alert-answer", "children"),
        *wished,
        State("alerts-seen", "data"),
    )
    def live_rows(_tick: int, _answer: Any, severity: Any, state: str, site: str, rule: str, seen: Any) -> Any:
        live = feed()
        with live.lock:
            found, down = list(live.state.alerts.values()), live.down_since
        trouble = problem("Redis does not answer") if down else None
        wanted = _wanted(severity, state, site, rule)
        now_seen = [str(wanted), *sorted(f"{one.id}/{one.n}" for one in found)]
        if now_seen == seen:  # the table keeps its rows, and the page has nothing to do
            return no_update, trouble, no_update
        return rows(found, wanted), trouble, now_seen

    @app.callback(
        Output("history-table", "rowData"),
        Output("history-problem", "children"),
        Input("tick", "n_intervals"),
        *wished,
    )
    def history_rows(_tick: int, severity: Any, state: str, site: str, rule: str) -> Any:
        try:
            found = _history.get(0, lambda: queries.alert_history(store()))
        except StoreDown as error:
            return no_update, problem(str(error))
        wanted = _wanted(severity, state, site, rule)
        return [
            {**one, "id": f"{one['id']}/{one['n']}", "where": where(one["site"], one["sensor"])}
            for one in found
            if wanted.fits(one)
        ], None

    @app.callback(
        Output("alert-timeline", "figure"),
        Input("tick-slow", "n_intervals"),
        Input("alerts-window", "value"),
        Input("viewer", "data"),
        *wished,
    )
    def bars(_tick: int, window: str, stored: Any, severity: Any, state: str, site: str, rule: str) -> Any:
        until, viewer = now_ms(), Viewer.of(stored)
        since = until - parse({"window": window}).window_ms
        try:
            found = _spans.get(window, lambda: queries_alerts.spans(store(), since, until))
        except StoreDown:
            return no_update
        wanted = _wanted(severity, state, site, rule)
        mine = [one for one in found if wanted.fits({**one, "state": "cleared" if one["closed"] else "active"})]
        if not mine:
            return figures.message(f"No alert in the last {window}", viewer, 160)
        return timeline(mine, since, until, viewer)

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
        made = [command(one, verb, name, now, text, until) for one in ids]
        by = acting(made[0].by)
        commands().send(made)
    except (ValueError, NotSent) as error:
        return f"Not done: {error}.", no_update
    done = {"acknowledge": "acknowledged", "shelve": "shelved", "comment": "commented on"}[verb]
    return f"{len(ids)} {'alert' if len(ids) == 1 else 'alerts'} {done} by {by}.", ""


def _wanted(severity: Any, state: str | None, site: str | None, rule: str | None) -> Wanted:
    """What the choices say; they come from the browser, so whatever is odd in them counts for nothing."""
    severities = ",".join(severity) if isinstance(severity, list) else ""
    view = parse({"severity": severities, "state": state, "site": site, "rule": rule})
    return Wanted(view.severity, view.state, view.site, view.rule)
