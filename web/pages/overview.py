"""What is happening: a figure and a sparkline for each thing that can go wrong, and the sensors that need somebody."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import dash_mantine_components as dmc
from dash import Dash, Input, Output, dcc, html
from redis.exceptions import RedisError

from web import overview, queries, queries_overview
from web.feed import feed
from web.kept import Kept
from web.live import latency
from web.parts import heading, notices, panel, problem
from web.sparks import spark
from web.store import StoreDown, now_ms, store
from web.units import age, number
from web.urls import View, link, parse
from weir.ledger import Minute, Totals, totals

HOUR_MS = 3_600_000
_minutes: Kept[list[Minute]] = Kept(2.0)
_past: Kept[Any] = Kept(30.0)
_late = overview.Samples()


@dataclass(frozen=True)
class Tile:
    """One figure: what, how much, about it, `mark` (`good`, `bad` or nothing), its past, and where to read on."""

    name: str
    value: str
    about: str
    mark: str
    past: list[float | None] | list[float]
    told: str
    href: str


def layout(**query: str) -> Any:
    waiting = [html.Div(className="tile waiting", **{"aria-hidden": "true"}) for _ in range(6)]
    return html.Div(
        [
            notices(parse(query)),
            heading("Overview", "What is happening now; each tile leads to where it can be seen in full."),
            html.Div(id="overview-problem"),
            html.Div(waiting, id="overview-tiles", className="overview", **{"aria-busy": "true"}),
            panel("Needs somebody", html.Div("Loading …", id="overview-worst", className="dim"), note="the worst five"),
        ],
        className="page",
    )


def register(app: Dash) -> None:
    @app.callback(
        Output("overview-tiles", "children"),
        Output("overview-tiles", "aria-busy"),
        Output("overview-worst", "children"),
        Output("overview-problem", "children"),
        Input("tick", "n_intervals"),
    )
    def show(_tick: int) -> Any:
        now = now_ms()
        told: list[str] = []
        minutes, past = _known(now, told)
        tiles = [*_fleet(now, past), *_flow(now, minutes)]
        return [_tile(one) for one in tiles], "false", _worst(now, past), [problem(text) for text in told]


def _known(now: int, told: list[str]) -> tuple[list[Minute] | None, Any]:
    """The ledger's last hour and the past of the figures; what is away is None and `told` why."""
    minutes, past = None, None
    try:
        minutes = _minutes.get(0, lambda: queries.ledger(store(), feed().received(), now - HOUR_MS - 300_000))
        past = _past.get(0, lambda: _read_past(now))
    except StoreDown as error:
        told.append(str(error))
    except RedisError:
        told.append("Redis does not answer")
    if feed().down_since is not None and not told:
        told.append("Redis does not answer")
    return minutes, past


def _read_past(now: int) -> tuple[list[float], list[float], dict[str, int]]:
    held = store()
    online = [float(n) for _, n in queries_overview.online(held, now - 6 * HOUR_MS)][:-1]
    active = [float(n) for _, n in queries_overview.active_alerts(held, now - 6 * HOUR_MS, now)]
    return online, active, queries_overview.most_flagged(held, now - HOUR_MS)


def _fleet(now: int, past: Any) -> list[Tile]:
    live = feed()
    with live.lock:
        counts = live.state.counts()
        found = overview.by_severity(live.state.alerts.values())
    online, active = past[:2] if past else ([], [])
    silent, total = counts["silent"], sum(counts.values())
    grave = [f"{n} {name}" for name, n in found.items() if n]
    return [
        Tile("Sensors online", f"{total - silent:,}", f"of {total:,}", "", online, "Sensors heard in 15 min, 6 h", "/"),
        Tile("Silent", f"{silent:,}", f"{counts['flagged']:,} flagged, {counts['alert']:,} in alert",
             "bad" if silent else "good", [max(online) - n for n in online] if online else [],
             "Fewer heard than at best, 6 h", link("/", View(status=("silent",)))),
        Tile("Active alerts", f"{sum(found.values()):,}", ", ".join(grave) or "none", "bad" if found["critical"] else "",
             active, "Alerts active, 6 h", "/alerts"),
    ]  # fmt: skip


def _flow(now: int, minutes: list[Minute] | None) -> list[Tile]:
    live = feed()
    with live.lock:
        delay = latency(live.state, now)
    _late.add(now, delay[1] if delay else None)
    value = f"{delay[0]:.0f} ms" if delay else "–"
    about = f"median of received to shown; p95 {delay[1]:.0f} ms" if delay else "no readings in the last minute"
    late = Tile(
        "Latency now", value, about, "", _late.values(), "p95 in ms, since this page was first open", "/pipeline"
    )
    if minutes is None:
        return [late, Tile("Readings a second", "–", "not known now", "", [], "Readings a second", "/pipeline")]
    found: Totals = totals(minutes, now)
    return [
        Tile("Readings a second", number(overview.rate(minutes, now)), "mean of 5 min", "", overview.rates(minutes, now),
             "Readings a second, 1 h", "/pipeline"),
        late,
        Tile("Ledger", "balanced" if not found.missing else f"{found.missing:,} missing",
             f"of {found.received:,} received; {found.pending:,} on the way", "bad" if found.missing else "good",
             overview.missing(minutes, now), "Readings unaccounted for in each minute, 1 h", "/pipeline"),
    ]  # fmt: skip


def _tile(one: Tile) -> Any:
    colour = "#e03131" if one.mark == "bad" else "#1c7ed6"
    return dcc.Link(
        [
            html.Span(one.name, className="tile-name"),
            html.Span(one.value, className=f"tile-value {one.mark}"),
            html.Span(one.about, className="dim"),
            spark(one.past, one.told, colour),
        ],
        href=one.href,
        className="tile",
    )


def _worst(now: int, past: Any) -> Any:
    live = feed()
    with live.lock:
        found = overview.worst(
            live.state.sensors.values(), list(live.state.alerts.values()), past[2] if past else {}, now
        )
        heard = {key: one.latest.ts for key in (one.key for one in found) if (one := live.state.sensors[key]).latest}
    if not found:
        return dmc.Text("No sensor needs anybody: none is in alert, silent or flagged.", c="dimmed", size="sm")
    return html.Ul([_line(one, heard.get(one.key), now) for one in found], className="worst")


def _line(one: overview.Worst, heard: int | None, now: int) -> Any:
    site, _, sensor = one.key.partition("/")
    return html.Li(
        [
            html.Span(className=f"dot dot-{one.status}", title=one.status),
            dcc.Link(one.name, href=link("/sensor", View(site=site, sensor=sensor))),
            html.Span(one.why, className="why"),
            html.Span(f"{site} · heard {age(now - heard) if heard else 'never'}", className="dim"),
        ]
    )
