"""How the pipeline is: components, throughput, the ledger, dead letters."""

from __future__ import annotations

from typing import Any

from dash import Dash, Input, Output, dcc, html, no_update
from redis.exceptions import RedisError

from web import figures, queries, queries_storage, units
from web.components import Health, components
from web.feed import feed
from web.figures import Viewer
from web.kept import Kept
from web.live import latency
from web.pages.pipeline_parts import stages_table, storage_table
from web.pages.sensor import CONFIG
from web.parts import TIME, UTC, heading, notices, panel, problem, table
from web.queries import DeadRow
from web.queries_storage import Stored
from web.stage_report import report
from web.store import StoreDown, now_ms, store
from web.urls import parse
from weir.ledger import Minute, Totals, totals

HOUR_MS = 3_600_000
LOW = {"height": 240}
DAY_MS = 24 * HOUR_MS
COUNT = {
    "type": "rightAligned",
    "valueFormatter": {"function": "d3.format(',')(params.value)"},
    "minWidth": 100,
    "flex": 1,
}
LEDGER = [
    {"field": "minute", "headerName": "Minute", "valueFormatter": TIME, "tooltipValueGetter": UTC, "minWidth": 150},
    *({"field": name, "headerName": title, **COUNT} for name, title in (
        ("received", "Received"), ("stored", "Stored"), ("dead", "Dead-lettered"), ("duplicate", "Duplicate"),
    )),
    {
        "field": "missing", "headerName": "Difference", "minWidth": 120, "flex": 1, "type": "rightAligned",
        "cellClassRules": {"bad": "params.value > 0"},
    },
]  # fmt: skip
DEAD = [
    {"field": "at", "headerName": "When", "valueFormatter": TIME, "tooltipValueGetter": UTC, "minWidth": 150},
    {"field": "reason", "minWidth": 140},
    {"field": "source", "minWidth": 180, "flex": 1, "tooltipField": "source"},
    {"field": "detail", "minWidth": 180, "flex": 1, "tooltipField": "detail"},
    {"field": "payload", "minWidth": 220, "flex": 2, "tooltipField": "payload", "cellClass": "mono"},
]


_counts: Kept[tuple[list[Minute], tuple[int, int]]] = Kept(2.0)
_refused: Kept[tuple[dict[str, int], list[DeadRow]]] = Kept(2.0)
_storage: Kept[list[Stored]] = Kept(30.0)


def layout(**query: str) -> Any:
    empty = figures.message("Loading …", Viewer(), 240)
    return html.Div(
        [
            notices(parse(query)),
            heading("Pipeline", "From the sensor to the store: what runs, what flows, and whether all of it is accounted for."),
            html.Div(id="pipeline-problem"),
            html.Div(id="components", className="components"),
            html.Dl(id="pipeline-stats", className="stats tiles"),
            html.Div(
                [
                    panel("Stages", html.Div("Loading …", id="stages"), note="the last minute"),
                    panel("Storage", html.Div("Loading …", id="storage"), note="with indexes"),
                ],
                className="two",
            ),
            html.Div(
                [
                    panel("Throughput", dcc.Graph(id="throughput", figure=empty, config=CONFIG, style=LOW), note="last hour"),
                    panel("Dead letters by reason", dcc.Graph(id="reasons", figure=empty, config=CONFIG, style=LOW), note="last 24 hours"),
                ],
                className="two",
            ),
            panel(
                "Ledger", table("ledger-table", LEDGER, "Nothing received yet", height="340px"),
                note="per minute of arrival: received = stored + dead-lettered + duplicate; a difference is red once settled",
            ),
            panel("Recent dead letters", table("dead-table", DEAD, "Nothing was refused", height="340px"),
                  note="as received, shown as text"),
        ],
        className="page",
    )  # fmt: skip


def register(app: Dash) -> None:
    @app.callback(Output("components", "children"), Input("tick", "n_intervals"))
    def health(_tick: int) -> Any:
        return [_component(one) for one in components()]

    @app.callback(
        Output("pipeline-stats", "children"),
        Output("throughput", "figure"),
        Output("ledger-table", "rowData"),
        Output("pipeline-problem", "children"),
        Output("stages", "children"),
        Input("tick", "n_intervals"),
        Input("viewer", "data"),
    )
    def flow(_tick: int, stored: Any) -> Any:
        now = now_ms()
        try:
            minutes, absent = _counts.get(0, lambda: _read(now))
        except (StoreDown, RedisError) as error:
            text = str(error) if isinstance(error, StoreDown) else "Redis does not answer"
            return no_update, no_update, no_update, problem(text), no_update
        live = feed()
        with live.lock:
            delay = latency(live.state, now)
        found = totals(minutes, now)
        stats = _stats(found, minutes, delay, absent, now)
        settled = [one for one in minutes if one.settled_at <= now][-5:]
        stored_rate = sum(one.stored for one in settled) / (60 * len(settled)) if settled else 0.0
        stages = stages_table(report(), delay, found.pending, stored_rate)
        return stats, figures.throughput(minutes, Viewer.of(stored)), ledger_rows(minutes, now), None, stages

    @app.callback(Output("storage", "children"), Input("tick-slow", "n_intervals"))
    def kept(_tick: int) -> Any:
        try:
            return storage_table(_storage.get(0, lambda: queries_storage.storage_summary(store())))
        except StoreDown as error:
            return problem(str(error))

    @app.callback(
        Output("reasons", "figure"),
        Output("dead-table", "rowData"),
        Input("tick", "n_intervals"),
        Input("viewer", "data"),
    )
    def refused(_tick: int, stored: Any) -> Any:
        viewer = Viewer.of(stored)
        try:
            counts, found = _refused.get(0, _read_refused)
        except StoreDown:
            return no_update, no_update
        figure = figures.reasons(counts, viewer) if counts else figures.message("Nothing was refused", viewer, 240)
        return figure, [dead_row(one) for one in found]


def _read(now: int) -> tuple[list[Minute], tuple[int, int]]:
    return queries.ledger(store(), feed().received(), now - HOUR_MS), queries.absent(store())


def _read_refused() -> tuple[dict[str, int], list[DeadRow]]:
    return queries.dead_letter_counts(store(), now_ms() - DAY_MS), queries.dead_letters(store())


def ledger_rows(minutes: list[Minute], now: int) -> list[dict[str, Any]]:
    """Newest first. A minute too young to be judged has `…` for its difference."""
    return [
        {
            "id": str(one.minute),
            "minute": one.minute,
            "received": one.received,
            "stored": one.stored,
            "dead": one.dead_lettered,
            "duplicate": one.duplicate,
            "missing": one.missing if one.settled_at <= now else "…",
        }
        for one in reversed(minutes)
    ]


def dead_row(one: DeadRow) -> dict[str, Any]:
    """Bytes become text; what is no text is spelled out (`\\xff`)."""
    text = one.payload.decode("utf-8", "backslashreplace").replace("\x00", "\\x00")
    return {
        "id": one.id, "at": one.at, "reason": one.reason, "source": one.source, "detail": one.detail, "payload": text,
    }  # fmt: skip


def _component(one: Health) -> Any:
    state = "bad" if one.problem else "good"
    return html.Div(
        [
            html.Span(className=f"light light-{state}"),
            html.Div([html.Strong(one.name), html.Div(one.problem or one.what, className="dim")]),
        ],
        className="component",
        **{"data-component": one.name.lower(), "data-state": state},
    )


def _stats(
    found: Totals, minutes: list[Minute], delay: tuple[float, float] | None, absent: tuple[int, int], now: int
) -> list[Any]:
    whole = [one for one in minutes if one.minute + 60_000 <= now][-5:]
    rate = sum(one.received for one in whole) / (60 * len(whole)) if whole else 0.0
    items = [
        ("readings a second", units.number(rate), "mean of 5 min", ""),
        ("received", f"{found.received:,}", "last hour", ""),
        ("stored", f"{found.stored:,}", "last hour", ""),
        ("dead-lettered", f"{found.dead_lettered:,}", "last hour", ""),
        ("missing", f"{found.missing:,}", f"{found.pending:,} on the way", "bad" if found.missing else "good"),
        ("never arrived", f"{absent[0]:,}", f"by the counters of {absent[1]:,} sensors", "bad" if absent[0] else "good"),
        ("bridge to Redis", f"{delay[0]:.0f} ms" if delay else "–", f"p95 {delay[1]:.0f} ms" if delay else "no readings in 1 min", ""),
    ]  # fmt: skip
    return [
        html.Div([html.Dt(name), html.Dd(value, className=mark), html.Dd(about, className="dim")])
        for name, value, about, mark in items
    ]
