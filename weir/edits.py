"""What people say of a sensor, laid over what it says of itself (pure)."""

from __future__ import annotations

import math
from typing import Any

from msgspec.structs import replace

from weir.errors import Reason, Refused
from weir.readings import MAX_METRICS, Birth, Edit, Metric, SensorEvent, check_name

MAX_NAME = 200
MAX_TAGS = 32
MAX_TAG = 64
MAX_UNIT = 64


def applied(edit: Edit | None, birth: Birth | None) -> Birth:
    """The birth as it is to be shown and judged by; `birth` is None for a sensor that never told of itself."""
    known = birth or Birth()
    if edit is None:
        return known
    placed = (edit.lat, edit.lon) if edit.lat is not None else (known.lat, known.lon)
    metrics = dict(known.metrics)
    for name, said in edit.metrics.items():
        metrics[name] = _described(said, metrics.get(name, Metric()))
    return Birth(
        *placed,
        kind=known.kind if edit.kind is None else edit.kind,
        metrics=metrics,
        name=known.name if edit.name is None else edit.name,
        tags=known.tags if edit.tags is None else edit.tags,
    )


def _described(said: Metric, known: Metric) -> Metric:
    return Metric(
        said.unit or known.unit,
        known.min if said.min is None else said.min,
        known.max if said.max is None else said.max,
    )


def merged(old: Edit | None, new: Edit) -> Edit:
    """`new` with what it does not speak of taken from `old`."""
    if old is None:
        return new
    changes: dict[str, Any] = {
        name: getattr(old, name)
        for name in ("lat", "lon", "name", "kind", "tags")
        if getattr(new, name) is None
    }  # fmt: skip
    metrics = dict(old.metrics)
    for name, said in new.metrics.items():
        metrics[name] = _described(said, metrics.get(name, Metric()))
    return replace(new, metrics=metrics, **changes)


def checked(site: str, sensor: str, edit: Edit) -> Edit:
    """The edit, tidied. Raises `Refused` for what no sensor may be told to be."""
    for name in (site, sensor, *edit.metrics):
        check_name(name)
    placed = edit.lat is not None and edit.lon is not None and abs(edit.lat) <= 90 and abs(edit.lon) <= 180
    if not placed and (edit.lat, edit.lon) != (None, None):
        raise Refused(Reason.POSITION, f"{edit.lat},{edit.lon}")
    if edit.kind:
        check_name(edit.kind)
    if len(edit.metrics) > MAX_METRICS:
        raise Refused(Reason.TOO_MANY_METRICS, str(len(edit.metrics)))
    for name, metric in edit.metrics.items():
        _check_metric(name, metric)
    tags = None if edit.tags is None else sorted({_text(tag, MAX_TAG) for tag in edit.tags} - {""})
    if tags is not None and len(tags) > MAX_TAGS:
        raise Refused(Reason.SHAPE, f"{len(tags)} tags")
    label = None if edit.name is None else _text(edit.name, MAX_NAME)
    return replace(edit, name=label, tags=tags, by=_text(edit.by, MAX_NAME))


def _check_metric(name: str, metric: Metric) -> None:
    if len(metric.unit) > MAX_UNIT:
        raise Refused(Reason.UNIT, f"a unit of {len(metric.unit)} characters")
    if not all(bound is None or math.isfinite(bound) for bound in (metric.min, metric.max)):
        raise Refused(Reason.NOT_FINITE, f"a limit of {name}")
    if metric.min is not None and metric.max is not None and metric.min > metric.max:
        raise Refused(Reason.SHAPE, f"{name}: its least value is above its greatest")


def event(site: str, sensor: str, edit: Edit, at: int) -> tuple[bytes, SensorEvent]:
    """Key and record for the `sensors` topic. Raises `Refused`."""
    return f"{site}/{sensor}/edit".encode(), SensorEvent(site, sensor, at, edit=checked(site, sensor, edit))


def _text(text: str, most: int) -> str:
    """One line of what can be written as UTF-8 and stored."""
    plain = "".join(char if char.isprintable() else " " for char in text.strip())
    return plain[:most].encode(errors="replace").decode()
