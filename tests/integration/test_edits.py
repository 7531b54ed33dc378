"""Edits in Postgres: over births, with their history, whatever the order."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from psycopg2.extensions import cursor as Cursor

from deploy import postgres
from spark_jobs import tables
from spark_jobs.edits import put_edit
from tests.conftest import free_ports
from tests.integration.pg import Server
from weir.edits import event
from weir.readings import Birth, Edit, Metric, SensorEvent

SHOWN = "SELECT lat, lon, name, kind, tags, metrics, state FROM sensors WHERE sensor = %s"
BIRTH = Birth(46.9, 7.4, "office", {"t": Metric("Cel", max=80)}, "Box 7")


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    home = Path(tempfile.mkdtemp(prefix="weir-edits-"))
    one = Server(home, free_ports(1))
    try:
        one.start()
        one.create()
        yield one
    finally:
        one.stop()
        postgres.remove_data(home)
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture
def cursor(server: Server) -> Iterator[Cursor]:
    connection = psycopg2.connect(server.config.dsn("writer"))
    with connection.cursor() as one:
        yield one
    connection.rollback()
    connection.close()


def told(cursor: Cursor, name: str, birth: Birth, at: int = 1000) -> None:
    tables.put_sensors(cursor, [SensorEvent("s", name, at, birth=birth)])


def edited(cursor: Cursor, name: str, edit: Edit, at: int = 2000) -> None:
    _, record = event("s", name, edit, at)
    assert record.edit is not None
    put_edit(cursor, record, record.edit)


def shown(cursor: Cursor, name: str) -> tuple[Any, ...]:
    cursor.execute(SHOWN, (name,))
    (row,) = cursor.fetchall()
    return row


ROOF = Edit("ann", 47.0, 8.0, name="Roof", tags=["new"], metrics={"t": Metric(min=-20), "h": Metric("%RH")})
WANTED = (
    47.0, 8.0, "Roof", "office", ["new"],
    {"t": {"unit": "Cel", "min": -20.0, "max": 80.0}, "h": {"unit": "%RH"}}, None,
)  # fmt: skip


@pytest.mark.parametrize("order", ["birth first", "edit first", "birth again"])
def test_an_edit_lies_over_births_in_any_order(cursor: Cursor, order: str) -> None:
    steps: list[Callable[[], None]] = [lambda: told(cursor, "a", BIRTH), lambda: edited(cursor, "a", ROOF)]
    if order == "edit first":
        steps.reverse()
    if order == "birth again":
        steps.append(lambda: told(cursor, "a", BIRTH, 3000))
    for step in steps:
        step()
    assert shown(cursor, "a") == WANTED


def test_a_state_changes_neither(cursor: Cursor) -> None:
    told(cursor, "a", BIRTH)
    edited(cursor, "a", ROOF)
    tables.put_sensors(cursor, [SensorEvent("s", "a", 3000, state="lost")])
    assert shown(cursor, "a") == (*WANTED[:-1], "lost")


def test_an_edit_taken_back_shows_what_the_sensor_told_last(cursor: Cursor) -> None:
    told(cursor, "a", BIRTH)
    edited(cursor, "a", ROOF)
    told(cursor, "a", Birth(46.0, 7.0, "office", {"t": Metric("Cel")}, "Box 8"))
    assert shown(cursor, "a")[:3] == (47.0, 8.0, "Roof")
    edited(cursor, "a", Edit("ann"), 4000)
    assert shown(cursor, "a") == (46.0, 7.0, "Box 8", "office", [], {"t": {"unit": "Cel"}}, None)


def test_every_edit_is_in_the_history_once(cursor: Cursor) -> None:
    edited(cursor, "a", ROOF, 2000)
    edited(cursor, "a", ROOF, 2000)
    edited(cursor, "a", Edit("bob", name="Cellar"), 3000)
    cursor.execute(
        "SELECT extract(epoch FROM at)::int, by, edit ->> 'name' FROM sensor_history WHERE sensor = 'a' ORDER BY at"
    )
    assert cursor.fetchall() == [(2, "ann", "Roof"), (3, "bob", "Cellar")]


def test_the_web_may_read_the_history(server: Server) -> None:
    connection = psycopg2.connect(server.config.dsn("reader"))
    with connection.cursor() as reader:
        reader.execute("SELECT count(*) FROM sensor_history")
        with pytest.raises(psycopg2.errors.ReadOnlySqlTransaction):
            reader.execute("DELETE FROM sensor_history")
    connection.close()
