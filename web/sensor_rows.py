"""Sensors as people see and edit them: what is known of each, and what of it was changed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from web import edits, queries_sensors
from web.commands import NotSent
from web.feed import feed
from web.store import StoreDown, now_ms, store
from weir.errors import Refused
from weir.readings import NAME, Edit, Metric

Row = dict[str, Any]
NO_PLACE = "none yet"


def save(key: str, by: str, fields: Mapping[str, Any], parts: Mapping[tuple[str, str], Any]) -> str:
    """Send what differs from what is known; returns what to tell the person."""
    try:
        one = sensors().get(key)
        if one is None:
            return "Choose a sensor first."
        said = difference(one, fields, parts, by or "operator")
        if said is None:
            return "Nothing was changed."
        edits.save(one["site"], one["sensor"], said, now_ms())
    except (Refused, NotSent, StoreDown, ValueError) as error:
        return f"Not saved: {error}."
    return f"Saved: {key}."


def difference(
    one: Row, fields: Mapping[str, Any], parts: Mapping[tuple[str, str], Any], by: str
) -> Edit | None:  # fmt: skip
    """What the fields say that is not known of the sensor; None: nothing. Raises `ValueError` (pure)."""
    lat, lon = (None if fields[name] in (None, "") else float(fields[name]) for name in ("lat", "lon"))
    moved = (lat, lon) != (one["lat"], one["lon"])
    tags = [tag.strip() for tag in (fields["tags"] or "").split(",") if tag.strip()]
    metrics: dict[str, Metric] = {}
    for name, known in one["metrics"].items():
        now = edits.metric(*(parts.get((name, part)) for part in ("unit", "min", "max")))
        if now != Metric(known.get("unit", ""), known.get("min"), known.get("max")):
            metrics[name] = now
    said = Edit(
        by,
        lat if moved else None,
        lon if moved else None,
        name=(fields["name"] or "") if (fields["name"] or "") != one["name"] else None,
        kind=(fields["kind"] or "") if (fields["kind"] or "") != one["kind"] else None,
        tags=tags if sorted(tags) != sorted(one["tags"]) else None,
        metrics=metrics,
    )
    return None if said == Edit(by) else said


def sensors() -> dict[str, Row]:
    """Every sensor by "<site>/<sensor>": as the live picture has it, or as Postgres does. Raises `StoreDown`."""
    found = {f"{one['site']}/{one['sensor']}": one for one in queries_sensors.known(store())}
    live = feed()
    with live.lock:
        for key, one in live.state.sensors.items():
            birth = one.birth.birth if one.birth else None
            held = found.setdefault(
                key,
                {"site": one.site, "sensor": one.sensor, "name": "", "kind": "unknown", "lat": None, "lon": None,
                 "tags": [], "metrics": {}},
            )  # fmt: skip
            held["metrics"] = {**{name: {} for name in one.metrics()}, **held["metrics"]}
            if birth is not None:
                told = {
                    name: {"unit": metric.unit, "min": metric.min, "max": metric.max}
                    for name, metric in birth.metrics.items()
                }
                held |= {"name": birth.name, "kind": birth.kind, "lat": birth.lat, "lon": birth.lon,
                         "tags": birth.tags, "metrics": {**held["metrics"], **told}}  # fmt: skip
    return {key: found[key] for key in sorted(found, key=lambda one: (found[one]["lat"] is not None, one))}


def row(one: Row) -> Row:
    """A row of the table (pure)."""
    return {
        "id": f"{one['site']}/{one['sensor']}",
        "name": one["name"],
        "place": NO_PLACE if one["lat"] is None else f"{one['lat']:.5f}, {one['lon']:.5f}",
        "tags": ", ".join(one["tags"]),
        "measures": ", ".join(name for name in one["metrics"] if NAME.match(name)),
    }
