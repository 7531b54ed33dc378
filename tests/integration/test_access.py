"""Signing in to the running dashboard: links, accounts, roles, and what becomes of them when things restart."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import redis
from typer.testing import CliRunner

from deploy import access, status
from deploy.cli import cli
from deploy.stack import Stack
from tests.alerts import provoke
from tests.browsing import Browser, path_of
from tests.conftest import eventually
from weir.settings import Settings, settings

PASSWORD = "a password for tests"


@pytest.fixture
def people(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The accounts `vera`, a viewer, and `otto`, an operator."""
    monkeypatch.setenv("WEIR_HOME", str(stack.home))
    settings.cache_clear()
    runner = CliRunner()
    for name, role in (("vera", "viewer"), ("otto", "operator")):
        runner.invoke(cli, ["user", "add", name, "--role", role], input=PASSWORD + "\n", catch_exceptions=False)
    yield
    for name in ("vera", "otto"):
        runner.invoke(cli, ["user", "remove", name], catch_exceptions=False)
    settings.cache_clear()


def signed_in(config: Settings, name: str) -> Browser:
    browser = Browser(config)
    csrf = re.search(r'name="csrf" value="([^"]+)"', browser.get("/login").text)
    assert csrf
    answer = browser.form("/login", csrf=csrf[1], name=name, password=PASSWORD, next="/alerts")
    assert (answer.status, answer.headers["Location"]) == (303, "/alerts")
    return browser


def test_a_link_signs_in_once_and_the_token_leaves_the_address(config: Settings) -> None:
    link = path_of(access.link(config, "/sensor?site=a&window=24h"))
    first, second = Browser(config), Browser(config)
    answer = first.get(link)
    assert (answer.status, answer.headers["Location"]) == (303, "/sensor?site=a&window=24h")
    assert first.get("/api/v1/whoami").json == {"name": "local", "role": "operator", "how": "link"}
    refused = second.get(link)
    assert (refused.status, "used before" in refused.text) == (401, True)
    assert second.get("/api/live").status == 401


def test_the_link_command_prints_a_link_and_nothing_else(config: Settings, weir: Any) -> None:
    code, output = weir("link")
    assert code == 0
    assert Browser(config).get(path_of(output.strip())).status == 303


def test_a_bench_gets_a_session_of_its_own(config: Settings) -> None:
    name, _, value = access.session(config).partition("=")
    assert Browser(config, cookies={name: value}).get("/api/v1/whoami").json["role"] == "operator"


def test_of_many_who_open_a_link_at_once_one_is_let_in(config: Settings) -> None:
    link = path_of(access.link(config))
    with ThreadPoolExecutor(10) as pool:
        codes = list(pool.map(lambda _: Browser(config).get(link).status, range(10)))
    assert sorted(codes) == [303] + [401] * 9


def test_a_link_ends_by_itself_and_its_token_is_written_nowhere(stack: Stack, config: Settings) -> None:
    link = access.link(config)
    token = link.rpartition("=")[2]
    with redis.Redis.from_url(config.redis_url) as client:
        held: Any = client.keys("weir:link:*")
        assert held
        assert all(0 < client.ttl(key) <= access.LINK_S for key in held)  # type: ignore[operator]
        assert not any(token.encode() in key for key in held)
    Browser(config).get(path_of(link))
    Browser(config).get(path_of(link))
    for path in [*(stack.home / "log").iterdir(), *(stack.home / "valkey").rglob("*")]:
        if path.is_file():
            assert token.encode() not in path.read_bytes(), path


def test_sessions_and_signing_out_outlive_a_restart_of_the_web(stack: Stack, config: Settings) -> None:
    stays, leaves = Browser.signed_in(config), Browser.signed_in(config)
    copy = dict(leaves.cookies)
    csrf = re.search(r'name="csrf" value="([^"]+)"', leaves.get("/account").text)
    assert csrf
    leaves.form("/logout", csrf=csrf[1])
    before = next(one for one in stack.supervisor.processes() if one.name == "web")
    os.kill(before.pid, signal.SIGTERM)  # supervisor starts it again

    def back() -> bool:
        try:
            return Browser(config).get("/healthz").status == 200
        except OSError:
            return False

    eventually(lambda: next(o for o in stack.supervisor.processes() if o.name == "web").pid not in (0, before.pid))
    eventually(back)
    assert stays.get("/api/live").status == 200
    assert Browser(config, cookies=copy).get("/api/live").status == 401


def test_the_webs_database_role_can_only_read(config: Settings) -> None:
    writing = """SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')
                 AND has_table_privilege(oid, 'INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER')"""
    making = "SELECT has_schema_privilege('public', 'CREATE')"
    running = """SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace AND prosecdef
                 AND has_function_privilege(oid, 'EXECUTE')"""
    above = "SELECT rolname FROM pg_roles WHERE rolname = current_user AND (rolsuper OR rolcreaterole OR rolcreatedb)"
    found = [status.postgres_rows(config, query, ()) for query in (writing, making, running, above)]
    assert found == [[], [(False,)], [], []]
    assert status.postgres_rows(config, "SELECT count(*) > 5 FROM pg_tables WHERE schemaname = 'public'", ()) == [
        (True,)
    ]


@pytest.fixture(scope="module")
def alert(config: Settings) -> str:
    """The id of a live alert."""
    return provoke(config, "access", "wild").id


@pytest.mark.usefixtures("people")
def test_a_viewer_sees_all_and_changes_nothing(config: Settings, alert: str) -> None:
    vera = signed_in(config, "vera")
    for path in ("/", "/_dash-layout", "/api/live", "/api/v1/alerts"):
        assert vera.get(path).status == 200, path
    assert vera.post(f"/api/v1/alerts/{alert}/commands", {"verb": "acknowledge"}).status == 403
    answer = vera.post("/_dash-update-component", acknowledging(alert, "otto"))
    assert answer.status == 200
    assert "vera is a viewer" in answer.text
    assert "acknowledged by" not in answer.text


@pytest.mark.usefixtures("people")
def test_an_operator_acknowledges_and_the_account_is_recorded_whatever_name_is_typed(
    config: Settings, alert: str
) -> None:
    otto = signed_in(config, "otto")
    answer = otto.post("/_dash-update-component", acknowledging(alert, "somebody else"))
    assert "1 alert acknowledged" in answer.text
    path = f"/api/v1/alerts/{alert}"
    acknowledged = eventually(lambda: [one for one in history(otto, path) if one["acknowledged"]])
    assert acknowledged[0]["by"] == "otto"


def history(browser: Browser, path: str) -> list[dict[str, Any]]:
    """The transitions of an alert, none while it is not stored."""
    answer = browser.get(path)
    return answer.json["history"] if answer.status == 200 else []


def acknowledging(id: str, name: str) -> dict[str, Any]:
    """What the browser sends when someone who calls themselves `name` acknowledges the alert `id`."""
    outputs = [{"id": "alert-answer", "property": "children"}, {"id": "alert-text", "property": "value"}]
    clicks = [
        {"id": f"do-{verb}", "property": "n_clicks", "value": int(verb == "acknowledge")}
        for verb in ("acknowledge", "shelve", "comment")
    ]
    state = {"alerts-table.selectedRows": [{"id": id}], "operator.value": name, "alert-text.value": "",
             "shelve-for.value": "4"}  # fmt: skip
    return {
        "output": "..alert-answer.children...alert-text.value..",
        "outputs": outputs,
        "inputs": clicks,
        "changedPropIds": ["do-acknowledge.n_clicks"],
        "state": [
            {"id": key.partition(".")[0], "property": key.partition(".")[2], "value": value}
            for key, value in state.items()
        ],
    }
