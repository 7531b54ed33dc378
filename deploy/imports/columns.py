"""Which column of a file means what (pure)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from stream_apps.decoders.names import fold
from weir.errors import Refused, SetupError

#: Column names that need no mapping, in this order.
_USUAL = {
    "ts": ("ts", "time", "timestamp", "datetime", "date"),
    "site": ("site",),
    "sensor": ("sensor", "sensor_id", "device", "device_id"),
    "metric": ("metric", "variable", "measurement", "parameter"),
    "value": ("value",),
}
#: Where a sensor stands was not measured: `weir place` takes these.
_PLACES = ("lat", "lon", "latitude", "longitude")


class Mapping(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a person says about a file's columns. Empty: as the usual names tell.

    `columns`: which column is `ts`, `site`, `sensor`, `metric`, `value`; `fixed`: what is the same for the whole file;
    `metrics`: name of a metric -> its column, where each metric has one; `zone`: what a time without a zone means.
    """

    columns: dict[str, str] = {}
    fixed: dict[str, str] = {}
    metrics: dict[str, str] = {}
    zone: str = ""


@dataclass(frozen=True)
class Source:
    """Where a name comes from: a column, or the same for all rows."""

    column: str = ""
    fixed: str = ""


@dataclass(frozen=True)
class Plan:
    """Columns of one file. Long: `metric` and `value`; wide: `metrics` (metric, column)."""

    ts: str
    site: Source
    sensor: Source
    metric: Source | None
    value: str
    metrics: tuple[tuple[str, str], ...]
    zone: str


def read_mapping(path: Path) -> Mapping:
    """A mapping file (JSON). Raises `SetupError`."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Mapping)
    except (OSError, msgspec.DecodeError) as error:
        raise SetupError(f"{path} is no mapping with columns, fixed, metrics, zone: {error}") from error


def plan(mapping: Mapping, names: list[str], numeric: Sequence[str]) -> Plan:
    """The plan for a file with columns `names`, of which `numeric` may be metrics. Raises `SetupError`."""
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise SetupError(f"two columns are called {twice[0]!r}: rename one")
    unknown = (set(mapping.columns) | set(mapping.fixed)) - set(_USUAL)
    if unknown or "ts" in mapping.fixed or "value" in mapping.fixed:
        raise SetupError(f"a column is one of {', '.join(_USUAL)}; fixed are site, sensor, metric")
    gone = [one for one in (*mapping.columns.values(), *mapping.metrics.values()) if one not in names]
    if gone:
        raise SetupError(f"there is no column {gone[0]!r}: there are {_listed(names)}")
    ts = _column(mapping, "ts", names)
    if not ts:
        raise SetupError(f"no column tells the time: give --column ts=COLUMN, one of {_listed(names)}")
    site, sensor = (_source(mapping, what, names) for what in ("site", "sensor"))
    metric, value, metrics = _values(mapping, names, numeric, {ts, site.column, sensor.column})
    return Plan(ts, site, sensor, metric, value, metrics, mapping.zone)


def _values(
    mapping: Mapping, names: Sequence[str], numeric: Sequence[str], taken: set[str]
) -> tuple[Source | None, str, tuple[tuple[str, str], ...]]:
    if mapping.metrics:
        return None, "", tuple((_folded(name), column) for name, column in mapping.metrics.items())
    value = _column(mapping, "value", names)
    named = "metric" in mapping.fixed or _column(mapping, "metric", names)
    if value and named:
        return _source(mapping, "metric", names), value, ()
    wide = tuple((_folded(name), name) for name in numeric if name not in taken and name.lower() not in _PLACES)
    if not wide:
        raise SetupError(
            f"no column holds measurements: give --column metric=COLUMN and value=COLUMN, or --value METRIC=COLUMN; "
            f"there are {_listed(names)}"
        )
    twice = {name for name, _ in wide if [one for one, _ in wide].count(name) > 1}
    if twice:
        raise SetupError(f"two columns are called {min(twice)}: say which is which with --value METRIC=COLUMN")
    return None, "", wide


def _source(mapping: Mapping, what: str, names: Sequence[str]) -> Source:
    if what in mapping.fixed:
        return Source(fixed=_folded(mapping.fixed[what]))
    column = _column(mapping, what, names)
    if not column:
        raise SetupError(
            f"no column tells the {what}: give --{what} NAME for all, or --column {what}=COLUMN; "
            f"there are {_listed(names)}"
        )
    return Source(column)


def _column(mapping: Mapping, what: str, names: Sequence[str]) -> str:
    if what in mapping.columns:
        return mapping.columns[what]
    by_name = {name.strip().lower(): name for name in names}
    return next((by_name[usual] for usual in _USUAL[what] if usual in by_name), "")


def _folded(name: str) -> str:
    try:
        return fold(name)
    except Refused as error:
        raise SetupError(f"{name!r} can be no name: give a name with --value METRIC=COLUMN") from error


def _listed(names: Sequence[str]) -> str:
    return ", ".join(name[:40] for name in names[:30])
