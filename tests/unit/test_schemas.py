"""The committed schemas are those of the records that are sent."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from weir.events import Alert, AlertState, Flag

FOLDER = Path(__file__).parents[2] / "docs" / "schemas"
FLAG = Flag("bern", "s1", "t", 1, 2.0, 3.0, 1.0, 2.0, 0.0, 3.0, 288, 4)
ALERT = Alert("a", "bern", "s1", "t", "anomaly", "warning", AlertState.ACTIVE, False, 1, 2, 1, "why")


@pytest.mark.parametrize(("name", "kind"), [("anomalies.v2", Flag), ("alerts.v1", Alert)])
def test_a_schema_in_the_repository_is_that_of_the_code(name: str, kind: Any) -> None:
    assert json.loads((FOLDER / f"{name}.json").read_text()) == msgspec.json.schema(kind)


@pytest.mark.parametrize(("name", "record"), [("anomalies.v2", FLAG), ("alerts.v1", ALERT)])
def test_a_record_has_what_its_schema_requires_and_nothing_else(name: str, record: Any) -> None:
    schema = json.loads((FOLDER / f"{name}.json").read_text())
    definition = schema["$defs"][schema["$ref"].rpartition("/")[2]]
    sent = json.loads(msgspec.json.encode(record))
    assert set(definition["required"]) <= set(sent) <= set(definition["properties"])
