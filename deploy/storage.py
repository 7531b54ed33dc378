"""`weir storage`: what is kept, how large it is, how old, and what will be dropped when."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from deploy.status import postgres_rows
from weir.errors import SetupError
from weir.retention import Rule, rules
from weir.settings import Settings, settings

#: Exact for chunks, which count themselves; what Postgres estimates for the others.
_QUERY = """
SELECT parent, coalesce(sum(rows), 0)::bigint, sum(table_bytes + index_bytes)::bigint,
       count(*) FILTER (WHERE ends IS NOT NULL), min(starts) FILTER (WHERE rows > 0 AND ends IS NOT NULL),
       coalesce(sum(rows) FILTER (WHERE ends IS NULL), 0)::bigint, (array_agg(child ORDER BY ends))[1], min(ends)
FROM storage_partitions WHERE parent <> 'series' GROUP BY parent"""
_CHUNKED = "SELECT coalesce(sum(n), 0)::bigint, min(first) FROM readings_chunks"
#: The keeper empties it: what stays in it is what no partition could be made for.
_IN_DEFAULT = "SELECT count(*) FROM readings_default"
#: Of fewer points what empty pages take says nothing.
FEW = 1000
_WAITING = "SELECT (SELECT count(*) FROM dirty_buckets), (SELECT coalesce(sum(late), 0)::bigint FROM ledger)"


@dataclass(frozen=True)
class Kept:
    """One table. `points`: readings, or aggregates. `in_default`: rows that no partition was made for.

    `next_drop` is the partition that goes next and `drops_at` when; both None where everything is kept.
    """

    table: str
    points: int
    bytes: int
    partitions: int
    oldest: datetime | None
    in_default: int
    next_drop: str | None
    drops_at: datetime | None

    @property
    def bytes_per_point(self) -> float | None:
        return self.bytes / self.points if self.points else None


@dataclass(frozen=True)
class Storage:
    """All tables; buckets that wait to be computed anew; readings that came late so far."""

    tables: list[Kept]
    dirty_buckets: int
    late: int

    def as_dict(self) -> dict[str, Any]:
        return {
            "tables": [{**asdict(one), "bytes_per_point": one.bytes_per_point} for one in self.tables],
            "dirty_buckets": self.dirty_buckets,
            "late": self.late,
        }


def look(config: Settings) -> Storage:
    """Raises `OSError` when Postgres is away."""
    found = {row[0]: row[1:] for row in postgres_rows(config, _QUERY, ())}
    ((chunked, oldest),) = postgres_rows(config, _CHUNKED, ())
    ((in_open_default,),) = postgres_rows(config, _IN_DEFAULT, ())
    tables = []
    for rule in rules(config):
        points, size, partitions, since, in_default, name, ends = found[rule.table]
        if rule.table == "readings_chunks":
            points, since = chunked, oldest
        elif rule.table == "readings":
            in_default = in_open_default
        tables.append(_kept(rule, (points, size, partitions, since, in_default), name, ends))
    ((dirty, late),) = postgres_rows(config, _WAITING, ())
    return Storage(tables, dirty, late)


def _kept(rule: Rule, figures: tuple[Any, ...], name: str | None, ends: datetime | None) -> Kept:
    drops_at = rule.drops_at(ends) if ends is not None else None
    points, size, partitions, oldest, in_default = figures
    return Kept(rule.table, points, size, partitions, oldest, in_default, name if drops_at else None, drops_at)


def storage(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """What is kept: points, bytes a point, partitions, the oldest, and what will be dropped when."""
    try:
        found = look(settings())
    except OSError as error:
        raise SetupError(f"{error}: is Weir up? `weir up` starts it") from error
    if as_json:
        print(json.dumps(found.as_dict(), default=str))
        return
    console = Console(highlight=False)
    console.print(table_of(found.tables))
    for one in found.tables:
        if one.in_default:
            console.print(f"{one.in_default:,} rows of {one.table} are in its DEFAULT partition")
    console.print(f"{found.dirty_buckets:,} buckets wait to be computed anew; {found.late:,} readings came late so far")


def table_of(tables: list[Kept]) -> Table:
    """Fits 80 columns."""
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("table", no_wrap=True)
    for name in ("points", "MB", "bytes each", "parts"):
        table.add_column(name, justify="right", no_wrap=True)
    for name in ("oldest", "next goes"):
        table.add_column(name, no_wrap=True)
    for one in tables:
        each = one.bytes_per_point if one.points >= FEW else None
        size = f"{one.bytes / 1e6:,.{0 if one.bytes >= 1e9 else 1}f}"
        table.add_row(
            one.table, f"{one.points:,}", size, f"{each:.1f}" if each else "",
            str(one.partitions), f"{one.oldest:%Y-%m-%d}" if one.oldest else "",
            f"{one.drops_at:%Y-%m-%d}" if one.drops_at else "never",
        )  # fmt: skip
    return table
