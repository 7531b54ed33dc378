"""Tables of the pipeline's page that are drawn whole: the stages, and what Postgres keeps."""

from __future__ import annotations

from typing import Any

import dash_mantine_components as dmc
from dash import html

from web import units
from web.queries_storage import Stored
from web.stage_report import Stage


def stages_table(found: list[Stage], seen: tuple[float, float] | None, pending: int, stored_rate: float) -> Any:
    """`seen`: p50 and p95 (ms) of bridge to Redis; `pending`: readings not in Postgres yet."""
    rest = [
        Stage("Live values", "sensors, received to Redis", None, None, *(one / 1000 for one in seen or ())) if seen
        else Stage("Live values", "sensors, received to Redis", None, None, None, None),
        Stage("Archive", "readings stored", stored_rate, float(pending), None, None),
    ]  # fmt: skip
    head = html.Tr([html.Th(text) for text in ("Stage", "What", "A second", "On the way", "Median", "p95")])
    rows = [
        html.Tr(
            [
                html.Td(html.Strong(one.name)), html.Td(one.what, className="dim"),
                html.Td(units.number(one.rate), className="number"), html.Td(_count(one.waiting)),
                html.Td(_ms(one.p50)), html.Td(_ms(one.p95)),
            ]
        )
        for one in (*found, *rest)
    ]  # fmt: skip
    return html.Div(html.Table([html.Thead(head), html.Tbody(rows)], className="plain"), className="scroll")


def storage_table(found: list[Stored]) -> Any:
    """Every table that takes a noticeable part of the disk."""
    if not found:
        return dmc.Text("Nothing is stored yet.", c="dimmed", size="sm")
    total = sum(one.bytes for one in found)
    head = html.Tr([html.Th(text) for text in ("Table", "Size", "Share", "Rows, about", "Partitions")])
    rows = [
        html.Tr(
            [
                html.Td(one.table), html.Td(size(one.bytes), className="number"),
                html.Td(f"{100 * one.bytes / total:.0f} %" if total else "–"),
                html.Td("–" if one.rows is None else f"{one.rows:,}"), html.Td(one.partitions or "–"),
            ]
        )
        for one in found[:10]
    ]  # fmt: skip
    return html.Div(html.Table([html.Thead(head), html.Tbody(rows)], className="plain"), className="scroll")


def size(count: int) -> str:
    """`23257088` -> `22.2 MiB`."""
    value = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024 or unit == "GiB":
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    raise AssertionError("unreachable")


def _count(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f}"


def _ms(seconds: float | None) -> str:
    return "–" if seconds is None else f"{1000 * seconds:,.0f} ms"
