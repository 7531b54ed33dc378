"""The page of sensors sends what was changed, and only that."""

from __future__ import annotations

from typing import Any

import pytest

from web.sensor_rows import NO_PLACE, difference, row
from weir.readings import Edit, Metric

ONE: dict[str, Any] = {
    "site": "s", "sensor": "x", "name": "Box", "kind": "office", "lat": 46.9, "lon": 7.4, "tags": ["a", "b"],
    "metrics": {"t": {"unit": "Cel", "min": None, "max": 80.0}, "h": {}},
}  # fmt: skip
FIELDS: dict[str, Any] = {"lat": 46.9, "lon": 7.4, "name": "Box", "kind": "office", "tags": "b, a"}
PARTS: dict[tuple[str, str], Any] = {("t", "unit"): "Cel", ("t", "max"): 80, ("t", "min"): "", ("h", "unit"): ""}


def test_nothing_changed_is_nothing_said() -> None:
    assert difference(ONE, FIELDS, PARTS, "ann") is None


@pytest.mark.parametrize(
    ("fields", "parts", "said"),
    [
        ({"lat": "47"}, {}, Edit("ann", 47.0, 7.4)),
        ({"name": "Roof"}, {}, Edit("ann", name="Roof")),
        ({"name": ""}, {}, Edit("ann", name="")),
        ({"kind": "roof"}, {}, Edit("ann", kind="roof")),
        ({"tags": "a"}, {}, Edit("ann", tags=["a"])),
        ({"tags": None}, {}, Edit("ann", tags=[])),
        ({}, {("h", "unit"): "%RH"}, Edit("ann", metrics={"h": Metric("%RH")})),
        ({}, {("t", "min"): -20}, Edit("ann", metrics={"t": Metric("Cel", -20.0, 80.0)})),
    ],
)
def test_what_was_changed_is_said(fields: dict[str, Any], parts: dict[tuple[str, str], Any], said: Edit) -> None:
    assert difference(ONE, FIELDS | fields, PARTS | parts, "ann") == said


def test_a_number_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="north"):
        difference(ONE, FIELDS | {"lat": "north"}, PARTS, "ann")


def test_the_table_tells_who_has_no_place() -> None:
    assert row(ONE)["place"] == "46.90000, 7.40000"
    assert row(ONE | {"lat": None})["place"] == NO_PLACE
