"""`/api/v1` on the running stack: every endpoint against its own description, and against what was published."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import msgspec
import pyarrow as pa
import pytest
from typer.testing import CliRunner

from deploy import status
from deploy.cli import cli
from deploy.stack import Stack
from edge.publisher import Publisher
from tests.alerts import provoke
from tests.browsing import Browser
from tests.conftest import eventually
from web.api.endpoints import ENDPOINTS, Endpoint
from weir.settings import Settings, settings

COUNT = 250
OF_SERIES = {"site": "api", "sensor": "counted", "metric": "t"}
DOCS = Path(__file__).parents[2] / "docs" / "api.md"


def token(stack: Stack, name: str, role: str) -> str:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WEIR_HOME", str(stack.home))
        settings.cache_clear()
        done = CliRunner().invoke(cli, ["token", "add", name, "--role", role], catch_exceptions=False)
    settings.cache_clear()
    return done.output.strip()


@pytest.fixture(scope="module")
def viewer(stack: Stack, config: Settings) -> Browser:
    return Browser(config, token(stack, "api-viewer", "viewer"))


@pytest.fixture(scope="module")
def operator(stack: Stack, config: Settings) -> Browser:
    return Browser(config, token(stack, "api-operator", "operator"))


@pytest.fixture(scope="module")
def start(config: Settings) -> int:
    """When the first of `COUNT` readings, one a second, was measured (ms); all are stored."""
    publisher = Publisher(config, "weir-test-api", [])
    start = int(time.time() * 1000) - (COUNT + 60) * 1000
    birth = {"lat": 46.9, "lon": 7.4, "kind": "park", "metrics": {"t": {"unit": "Cel"}}, "name": "<b>Counted</b>"}
    publisher.birth("api", "counted", birth)
    for i in range(COUNT):
        publisher.data("api", "counted", {"ts": start + i * 1000, "metrics": {"t": float(i)}})
    for n in range(3):
        publisher.birth("api", f"other-{n}", birth)
        publisher.data("api", f"other-{n}", {"ts": start, "metrics": {"t": 1.0}})
    publisher.close()
    stored = (
        "SELECT count(*) FROM all_readings JOIN series USING (series_id) JOIN sensors USING (sensor_id) "
        "WHERE site = 'api'"
    )
    eventually(lambda: status.postgres_rows(config, stored, ()) == [(COUNT + 3,)])
    return start


@pytest.fixture(scope="module")
def alert(config: Settings, viewer: Browser) -> str:
    """The id of an alert that is live and stored."""
    found = provoke(config, "api-alert", "wild").id
    eventually(lambda: viewer.get(f"/api/v1/alerts/{found}").status == 200)
    return found


def pages(browser: Browser, path: str, **query: Any) -> Iterator[dict[str, Any]]:
    """Every page of a list."""
    while True:
        answer = browser.get(f"/api/v1{path}?{urlencode(query)}")
        assert answer.status == 200, answer.text
        yield answer.json
        if answer.json["next"] is None:
            return
        query["cursor"] = answer.json["next"]


@pytest.mark.parametrize("one", [one for one in ENDPOINTS if one.method == "GET"], ids=lambda one: one.name)
def test_every_endpoint_answers_as_it_is_described(viewer: Browser, start: int, alert: str, one: Endpoint) -> None:
    needs = urlencode(OF_SERIES) if one.name in ("readings", "forecast") else ""
    answer = viewer.get(f"/api/v1{one.path.format(id=alert)}?{needs}")
    assert answer.status == 200, answer.text
    assert msgspec.json.decode(answer.body, type=one.answers, strict=True) is not None
    assert msgspec.json.decode(answer.body).keys() == {field.name for field in msgspec.structs.fields(one.answers)}


def test_all_pages_of_readings_are_all_readings_once_and_in_order(viewer: Browser, start: int) -> None:
    found = list(pages(viewer, "/readings", **OF_SERIES, since=start, resolution="raw", limit=40))
    assert [ts for page in found for ts in page["ts"]] == [start + i * 1000 for i in range(COUNT)]
    assert [value for page in found for value in page["mean"]] == [float(i) for i in range(COUNT)]
    assert {(page["unit"], page["resolution"], page["until"]) for page in found} == {
        ("Cel", "raw", found[0]["until"])
    }  # fmt: skip


def test_readings_come_as_arrow_when_asked_for(viewer: Browser, start: int) -> None:
    query = urlencode({**OF_SERIES, "since": start, "resolution": "raw", "limit": 40})
    plain = viewer.get(f"/api/v1/readings?{query}").json
    answer = viewer.get(f"/api/v1/readings?{query}", Accept="application/vnd.apache.arrow.stream")
    table = pa.ipc.open_stream(answer.body).read_all()
    assert answer.headers["Content-Type"] == "application/vnd.apache.arrow.stream"
    assert table["ts"].cast(pa.int64()).to_pylist() == plain["ts"]
    assert table["mean"].to_pylist() == plain["mean"]
    facts = {name.decode(): value.decode() for name, value in table.schema.metadata.items()}
    assert {name: facts[name] for name in ("unit", "resolution")} == {"unit": "Cel", "resolution": "raw"}
    assert "next" in facts


def test_sites_and_storage_are_told(viewer: Browser, start: int) -> None:
    sites = {one["site"]: one for one in viewer.get("/api/v1/sites").json["sites"]}
    assert sites[OF_SERIES["site"]]["sensors"] >= 1
    tables = {one["table"]: one for one in viewer.get("/api/v1/storage").json["tables"]}
    assert tables["readings"]["partitions"] > 1
    assert tables["readings"]["bytes"] > 0


def test_the_resolution_follows_the_span(viewer: Browser, start: int) -> None:
    def asked(since: str, resolution: str = "auto") -> Any:
        query = urlencode({**OF_SERIES, "since": since, "resolution": resolution})
        return viewer.get(f"/api/v1/readings?{query}")

    assert [asked(since).json["resolution"] for since in ("-1h", "-3d", "-60d", "-300d")] == ["raw", "5m", "1h", "1d"]
    page = asked("-3d").json
    assert min(page["low"]) == 0.0
    assert max(page["high"]) == COUNT - 1
    assert all(low <= mean <= high for low, mean, high in zip(page["low"], page["mean"], page["high"], strict=True))
    refused = asked("-30d", "raw")
    assert (refused.status, refused.json["parameter"]) == (400, "since")


@pytest.mark.parametrize(("path", "key"), [("/sensors", "sensors"), ("/series", "series"), ("/latest", "sensors")])
def test_lists_come_in_pages_that_miss_and_repeat_nothing(viewer: Browser, start: int, path: str, key: str) -> None:
    eventually(lambda: len(next(pages(viewer, path, site="api"))[key]) == 4)
    found = [one["sensor"] for page in pages(viewer, path, site="api", limit=1) for one in page[key]]
    assert found == ["counted", "other-0", "other-1", "other-2"]


def test_flags_come_in_pages_newest_first_with_their_reasons(viewer: Browser, alert: str) -> None:
    found = [one for page in pages(viewer, "/anomalies", site="api-alert", limit=2) for one in page["anomalies"]]
    assert len(found) >= 3
    assert [one["ts"] for one in found] == sorted({one["ts"] for one in found}, reverse=True)
    assert all(one["unit"] == "Cel" and one["q1"] <= one["q3"] for one in found)


def test_latest_shows_hostile_names_as_they_are_and_units(viewer: Browser, start: int) -> None:
    (one,) = viewer.get("/api/v1/latest?site=api&sensor=counted").json["sensors"]
    assert (one["values"], one["units"], one["ts"]) == ({"t": COUNT - 1.0}, {"t": "Cel"}, start + (COUNT - 1) * 1000)
    answer = viewer.get("/api/v1/sensors?site=api&sensor=counted")
    assert answer.json["sensors"][0]["name"] == "<b>Counted</b>"
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_dead_letters_come_with_their_bytes_and_their_reason(config: Settings, viewer: Browser) -> None:
    publisher = Publisher(config, "weir-test-api-bad", [])
    for n in range(3):
        publisher.data("api", f"bad-{n}", {"ts": "never"})
    publisher.close()

    def letters() -> list[dict[str, Any]]:
        found = [one for page in pages(viewer, "/dead-letters", limit=1) for one in page["dead_letters"]]
        return [one for one in found if one["source"].startswith("weir/api/bad-")]

    found = eventually(lambda: letters() if len(letters()) == 3 else None)
    assert {one["reason"] for one in found} == {"bad_shape"}
    assert viewer.get("/api/v1/dead-letters?reason=bad_topic&since=-1s").json["dead_letters"] == []


def test_what_has_not_changed_is_not_sent_again(viewer: Browser, start: int) -> None:
    path = f"/api/v1/readings?{urlencode({**OF_SERIES, 'since': start, 'until': start + 9000})}"
    first = viewer.get(path)
    again = viewer.get(path, **{"If-None-Match": first.headers["ETag"]})
    assert (first.status, again.status, again.body) == (200, 304, b"")
    squeezed = viewer.get("/api/v1/openapi.json", **{"Accept-Encoding": "gzip"})
    assert squeezed.headers["Content-Encoding"] == "gzip"


def test_an_operators_token_acknowledges_and_its_name_is_recorded(
    viewer: Browser, operator: Browser, alert: str
) -> None:
    path = f"/api/v1/alerts/{alert}"
    assert viewer.post(f"{path}/commands", {"verb": "acknowledge"}).status == 403
    wrong = [
        ({"verb": "shelve"}, "until"),
        ({"verb": "shelve", "until": "-1h"}, "until"),
        ({"verb": "comment", "text": " "}, "text"),
        ({"verb": "acknowledge", "by": "x"}, "by"),
    ]
    for body, name in wrong:
        answer = operator.post(f"{path}/commands", body)
        assert (answer.status, answer.json["parameter"]) == (400, name)
    assert operator.post("/api/v1/alerts/nosuch/commands", {"verb": "acknowledge"}).status == 404
    answer = operator.post(f"{path}/commands", {"verb": "acknowledge", "text": "<i>seen</i>"})
    assert (answer.status, answer.json["by"]) == (202, "api-operator")
    acknowledged = eventually(lambda: [one for one in viewer.get(path).json["history"] if one["acknowledged"]])
    assert (acknowledged[0]["by"], acknowledged[0]["text"]) == ("api-operator", "<i>seen</i>")
    listed = eventually(lambda: viewer.get("/api/v1/alerts?site=api-alert&acknowledged=true").json["alerts"])
    assert alert in {one["id"] for one in listed}


def test_the_description_and_its_page_are_served(viewer: Browser) -> None:
    described = viewer.get("/api/v1/openapi.json").json
    assert described["openapi"].startswith("3.1")
    page = viewer.get("/api/v1/docs").text
    assert all(f"/api/v1{one.path}" in page for one in ENDPOINTS)
    assert "<script" not in page


def test_the_commands_in_the_documentation_work(config: Settings, operator: Browser, start: int, alert: str) -> None:
    text = DOCS.read_text()
    blocks = "\n".join(re.findall(r"```sh\n(.*?)```", text, re.DOTALL))
    commands = [one for one in blocks.replace("\\\n", " ").splitlines() if one.startswith("curl")]
    assert len(commands) >= 5
    known = {"SITE": "api", "SENSOR": "counted", "METRIC": "t", "ALERT": alert}
    environment = {**os.environ, **known, "TOKEN": operator.token, "WEIR": status.url(config).rstrip("/")}
    for command in commands:
        done = subprocess.run(["sh", "-c", command], env=environment, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, (command, done.stderr)
        assert isinstance(json.loads(done.stdout), dict), command
