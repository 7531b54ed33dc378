"""The gate before every request, on the dashboard's own Flask application, with every server away."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from argon2 import PasswordHasher
from flask import Flask
from flask.testing import FlaskClient
from typer.testing import CliRunner
from werkzeug.test import TestResponse

from deploy.cli import cli
from web import feed, store
from web.access import books, gate, login, passwords, sessions
from web.access.addresses import login_for
from web.access.limiter import Limiter
from web.api import routes
from web.app import create
from weir.access import Account, Accounts, Role
from weir.errors import SetupError
from weir.settings import settings

BASE = "http://127.0.0.1:8050"
OWN = {"Origin": BASE}
PASSWORD = "correct horse battery"
CHEAP = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)
HASH = CHEAP.hash(PASSWORD)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home whose ports nobody listens on."""
    home = tmp_path_factory.mktemp("gate")
    (home / "env").write_text("WEIR_WEB_SECRET=for-tests\nWEIR_REDIS_PORT=1\nWEIR_POSTGRES_PORT=1\nWEIR_KAFKA_PORT=1\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WEIR_HOME", str(home))
        for module, name in ((books, "_books"), (sessions, "_sessions"), (feed, "_feed"), (store, "_store")):
            patch.setattr(module, name, None)
        patch.setattr(passwords, "_hasher", CHEAP)
        patch.setattr(passwords, "_nobody", "")
        settings.cache_clear()
        yield home
        feed.close_streams()
    settings.cache_clear()


@pytest.fixture(scope="module")
def server(home: Path) -> Flask:
    return create().server


@pytest.fixture
def web(server: Flask, home: Path, monkeypatch: pytest.MonkeyPatch) -> FlaskClient:
    for name in ("_of_account", "_of_address"):
        monkeypatch.setattr(login, name, Limiter(1 / 30, 5 if name == "_of_account" else 20))
    routes._limiter.cache_clear()
    accounts(home, Account("anna", Role.VIEWER, HASH, 1), Account("otto", Role.OPERATOR, HASH, 1))
    client = server.test_client()
    client.environ_base["SERVER_PORT"] = "8050"
    return client


def accounts(home: Path, *some: Account) -> None:
    beside = home / "users.new"
    beside.write_bytes(msgspec.json.encode(Accounts(some)))
    beside.replace(home / "users.json")


def ask(web: FlaskClient, path: str, method: str = "GET", **more: Any) -> TestResponse:
    return web.open(path, method=method, base_url=BASE, **more)


def csrf(web: FlaskClient, path: str = "/login") -> str:
    found = re.search(r'name="csrf" value="([^"]+)"', ask(web, path).text)
    assert found
    return found[1]


def sign_in(web: FlaskClient, name: str = "anna", password: str = PASSWORD, **form: str) -> TestResponse:
    data = {"csrf": csrf(web), "name": name, "password": password, **form}
    return ask(web, "/login", "POST", data=data, headers=OWN)


def cookie(web: FlaskClient) -> str:
    found = web.get_cookie(sessions.cookie_name(settings()), "127.0.0.1")
    assert found
    return found.value


@pytest.mark.parametrize("path", ["/", "/sensor?site=a", "/pipeline", "/account"])
def test_a_page_asked_for_by_nobody_leads_to_the_log_in_and_back(web: FlaskClient, path: str) -> None:
    answer = ask(web, path)
    assert (answer.status_code, answer.location) == (303, login_for(*path.partition("?")[::2]))


@pytest.mark.parametrize(
    "path",
    ["/_dash-layout", "/_dash-dependencies", "/_dash-component-suites/dash/deps/react.js", "/assets/weir.css",
     "/assets/access.js", "/basemap/land.geojson", "/events", "/api/live", "/api/places", "/api/v1/sensors",
     "/api/v1/openapi.json", "/api/v1/docs", "/api/v1/nowhere", "/_reload-hash"],
)  # fmt: skip
def test_nothing_but_the_log_in_is_given_to_nobody(web: FlaskClient, path: str) -> None:
    answer = ask(web, path)
    assert answer.status_code == 401
    assert answer.mimetype == "application/problem+json"
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert answer.json["status"] == 401


def test_every_route_but_the_open_ones_is_behind_the_gate(web: FlaskClient, server: Flask) -> None:
    for rule in server.url_map.iter_rules():
        path = re.sub(r"<[^>]+>", "x", rule.rule)
        for method in rule.methods - {"OPTIONS"}:
            code = ask(web, path, method, headers=OWN).status_code
            assert path in gate.OPEN or code in (303, 401), (method, path, code)


def test_health_and_the_log_in_are_open(web: FlaskClient) -> None:
    assert [ask(web, path).status_code for path in ("/healthz", "/login", "/login.css")] == [200, 200, 200]


def test_a_password_opens_and_leads_on(web: FlaskClient) -> None:
    answer = sign_in(web, next="/alerts?site=a")
    assert (answer.status_code, answer.location) == (303, "/alerts?site=a")
    assert ask(web, "/api/v1/whoami").json == {"name": "anna", "role": "viewer", "how": "account"}
    assert ask(web, "/api/live").status_code == 200


def test_the_cookie_is_kept_from_scripts_and_from_other_sites(web: FlaskClient) -> None:
    header = sign_in(web).headers["Set-Cookie"]
    assert {"HttpOnly", "SameSite=Lax", "Path=/"} <= set(header.split("; "))
    assert header.startswith("weir-")
    assert "Expires=" in header


def test_signing_in_begins_a_new_session(web: FlaskClient) -> None:
    ask(web, "/login")
    before = cookie(web)
    sign_in(web)
    first = cookie(web)
    sign_in(web)
    assert len({before, first, cookie(web)}) == 3
    web.set_cookie(sessions.cookie_name(settings()), first, domain="127.0.0.1")
    assert ask(web, "/api/live").status_code == 401


@pytest.mark.parametrize("name", ["anna", "nobody", "", "' OR 1=1 --", "<b>x</b>", "a" * 500, "anna\x00"])
def test_a_wrong_password_and_a_wrong_name_are_told_alike(web: FlaskClient, name: str) -> None:
    answer = sign_in(web, name, "not the password")
    assert (answer.status_code, "do not belong together" in answer.text) == (401, True)
    assert "<b>x" not in answer.text
    assert ask(web, "/api/live").status_code == 401


def test_an_account_cannot_be_guessed_at_but_another_may_still_sign_in(web: FlaskClient) -> None:
    codes = [sign_in(web, "anna", f"guess number {n}").status_code for n in range(6)]
    assert codes == [401] * 5 + [429]
    refused = sign_in(web)
    assert (refused.status_code, 0 < int(refused.headers["Retry-After"]) <= 31) == (429, True)
    assert sign_in(web, "otto").status_code == 303


def test_an_address_cannot_try_many_accounts(web: FlaskClient) -> None:
    codes = [sign_in(web, f"user{n}", "a password").status_code for n in range(21)]
    assert codes == [401] * 20 + [429]


def test_a_form_without_its_token_or_from_another_page_does_nothing(web: FlaskClient) -> None:
    form = {"name": "anna", "password": PASSWORD}
    assert ask(web, "/login", "POST", data=form, headers=OWN).status_code == 400
    token = csrf(web)
    assert ask(web, "/login", "POST", data={**form, "csrf": token + "x"}, headers=OWN).status_code == 400
    for headers in ({}, {"Origin": "http://127.0.0.1:9999"}, {"Sec-Fetch-Site": "same-site"}, {"Origin": "null"}):
        assert ask(web, "/login", "POST", data={**form, "csrf": token}, headers=headers).status_code == 403
    sign_in(web)
    assert ask(web, "/logout", "POST", headers=OWN).location == "/account"
    assert ask(web, "/api/live").status_code == 200


def test_after_signing_out_a_copy_of_the_cookie_opens_nothing(web: FlaskClient) -> None:
    sign_in(web)
    copy = cookie(web)
    answer = ask(web, "/logout", "POST", data={"csrf": csrf(web, "/account")}, headers=OWN)
    assert answer.location == "/login"
    web.set_cookie(sessions.cookie_name(settings()), copy, domain="127.0.0.1")
    assert ask(web, "/api/live").status_code == 401


def test_a_session_ends_with_its_account_its_password_or_its_role(web: FlaskClient, home: Path) -> None:
    other = CHEAP.hash("another password")
    for changed in ([], [Account("anna", Role.VIEWER, other, 2)], [Account("anna", Role.OPERATOR, HASH, 2)]):
        accounts(home, Account("anna", Role.VIEWER, HASH, 1))
        assert sign_in(web).status_code == 303
        assert ask(web, "/api/live").status_code == 200
        accounts(home, *changed)
        assert ask(web, "/api/live").status_code == 401


def test_a_session_ends_by_its_time(web: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    sign_in(web)
    now = sessions.now_ms()
    monkeypatch.setattr(sessions, "now_ms", lambda: now + settings().session_hours * 3_600_000 + 1000)
    assert ask(web, "/api/live").status_code == 401


@pytest.mark.parametrize("text", ["", "x", "a.b.c", "\xff", "=" * 3000, "eyJ9.x.y"])
def test_a_wrong_cookie_opens_nothing(web: FlaskClient, text: str) -> None:
    sign_in(web)
    whole = cookie(web)
    for wrong in (text, whole[:-2], "A" + whole[1:], whole.replace(".", "", 1)):
        web.set_cookie(sessions.cookie_name(settings()), wrong, domain="127.0.0.1")
        assert ask(web, "/api/live").status_code == 401


def test_a_damaged_list_of_accounts_lets_nobody_in(web: FlaskClient, home: Path) -> None:
    sign_in(web)
    (home / "users.json").write_text('{"users": [{"name": "anna", "role": "king"}]}')
    assert ask(web, "/api/live").status_code == 401
    assert sign_in(web).status_code == 401


def test_a_link_while_redis_is_away_says_so_and_signs_nobody_in(web: FlaskClient) -> None:
    assert ask(web, "/?token=" + "a" * 43).status_code == 503
    assert ask(web, "/?token=short").status_code == 401
    assert ask(web, "/api/live").status_code == 401


def test_a_viewer_may_not_act_and_nothing_is_sent(web: FlaskClient) -> None:
    sign_in(web)
    body = {"verb": "acknowledge"}
    answer = ask(web, "/api/v1/alerts/abc/commands", "POST", json=body, headers=OWN)
    assert answer.status_code == 403
    assert "anna is a viewer" in answer.json["detail"].lower()
    with web.application.test_request_context("/"):
        from web.commands import command, commands

        gate.g.identity = sessions.Identity("anna", Role.VIEWER, "account", "x")
        with pytest.raises(ValueError, match="viewer"):
            commands().send([command("abc", "acknowledge", "otto", 1)])


def test_an_account_acts_in_its_own_name_and_a_link_is_told_from_it(server: Flask) -> None:
    from web.access.identity import Identity, acting

    for how, named in (("account", "otto"), ("token", "otto"), ("link", "anna (link)"), ("open", "anna")):
        with server.test_request_context("/"):
            gate.g.identity = Identity("otto", Role.OPERATOR, how, "x")
            assert acting("anna") == named
    with server.test_request_context("/"), pytest.raises(ValueError, match="not signed in"):
        acting("anna")


def test_a_token_opens_the_api_alone_until_it_is_revoked(web: FlaskClient, home: Path) -> None:
    runner = CliRunner()
    text = runner.invoke(cli, ["token", "add", "grafana", "--days", "1"], catch_exceptions=False).output.strip()
    assert stat.S_IMODE(os.stat(home / "tokens.json").st_mode) == 0o600
    assert text.rpartition("_")[2] not in (home / "tokens.json").read_text()
    header = {"Authorization": f"Bearer {text}"}
    assert ask(web, "/api/v1/whoami", headers=header).json == {"name": "grafana", "role": "viewer", "how": "token"}
    assert ask(web, "/", headers=header).status_code == 303
    assert ask(web, "/_dash-layout", headers=header).status_code == 401
    for wrong in (text[:-1], text + "x", text.upper(), "", f"{text} {text}"):
        assert ask(web, "/api/v1/whoami", headers={"Authorization": f"Bearer {wrong}"}).status_code == 401
    listed = runner.invoke(cli, ["token", "list"], catch_exceptions=False).output
    assert ("grafana" in listed, text in listed) == (True, False)
    runner.invoke(cli, ["token", "revoke", "grafana"], catch_exceptions=False)
    assert ask(web, "/api/v1/whoami", headers=header).status_code == 401


def test_a_wrong_token_is_not_mended_by_a_cookie(web: FlaskClient) -> None:
    sign_in(web)
    assert ask(web, "/api/v1/whoami", headers={"Authorization": "Bearer nonsense"}).status_code == 401


def test_accounts_are_made_changed_and_removed_by_command(web: FlaskClient, home: Path) -> None:
    (home / "users.json").unlink()
    runner = CliRunner()

    def run(*arguments: str, password: str = "") -> str:
        done = runner.invoke(cli, ["user", *arguments], input=password and f"{password}\n")
        return "refused" if isinstance(done.exception, SetupError) else done.output

    assert run("add", "berta", "--role", "operator", password="first password") != "refused"
    assert stat.S_IMODE(os.stat(home / "users.json").st_mode) == 0o600
    assert "first password" not in (home / "users.json").read_text()
    assert "$argon2id$" in (home / "users.json").read_text()
    assert sign_in(web, "berta", "first password").status_code == 303
    assert ask(web, "/api/v1/whoami").json["role"] == "operator"
    run("passwd", "berta", password="second password")
    assert ask(web, "/api/live").status_code == 401
    assert sign_in(web, "berta", "first password").status_code == 401
    assert sign_in(web, "berta", "second password").status_code == 303
    assert "berta" in run("list")
    for wrong in (("add", "berta"), ("add", "Bad Name"), ("passwd", "nobody"), ("remove", "nobody")):
        assert run(*wrong, password="a long password") == "refused"
    assert run("add", "carla", password="short") == "refused"
    run("remove", "berta")
    assert ask(web, "/api/live").status_code == 401


def test_a_front_end_of_others_uses_the_api_with_a_token_if_it_is_named(
    web: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = CliRunner().invoke(cli, ["token", "add", "front", "--role", "operator"], catch_exceptions=False).output
    told = {
        "Authorization": f"Bearer {text.strip()}",
        "Origin": "https://front.example",
        "Sec-Fetch-Site": "cross-site",
    }
    path = "/api/v1/alerts/a/commands"
    assert "Access-Control-Allow-Origin" not in ask(web, "/api/v1/whoami", headers=told).headers
    assert ask(web, path, "POST", json={}, headers=told).status_code == 403
    assert ask(web, path, "OPTIONS", headers={"Origin": "https://front.example"}).status_code == 401
    with monkeypatch.context() as patch:
        patch.setenv("WEIR_API_ORIGINS", "https://front.example https://other.example")
        settings.cache_clear()
        asked = ask(web, path, "OPTIONS", headers={"Origin": "https://front.example"})
        assert (asked.status_code, asked.headers["Access-Control-Allow-Origin"]) == (204, "https://front.example")
        answer = ask(web, "/api/v1/whoami", headers=told)
        assert (answer.status_code, answer.headers["Access-Control-Allow-Origin"]) == (200, "https://front.example")
        assert "Access-Control-Allow-Credentials" not in answer.headers
        assert ask(web, path, "POST", json={}, headers=told).status_code == 400
        sign_in(web)
        del told["Authorization"]
        assert ask(web, path, "POST", json={}, headers=told).status_code == 403
        assert ask(web, "/_dash-update-component", "POST", json={}, headers=told).status_code == 403
        other = ask(web, "/api/v1/whoami", headers={"Origin": "https://evil.example"})
        assert "Access-Control-Allow-Origin" not in other.headers
    settings.cache_clear()
    CliRunner().invoke(cli, ["token", "revoke", "front"], catch_exceptions=False)


def test_a_huge_body_is_refused(web: FlaskClient) -> None:
    token = csrf(web)
    big = {"csrf": token, "name": "anna", "password": "x" * 100_000}
    assert ask(web, "/login", "POST", data=big, headers=OWN).status_code == 413
    sign_in(web)
    answer = ask(web, "/api/v1/alerts/a/commands", "POST", data=b"[" * 20_000, headers=OWN)
    assert answer.status_code == 413
    answer = ask(web, "/_dash-update-component", "POST", data=b"x" * (gate.MAX_BODY + 1), headers=OWN,
                 content_type="application/json")  # fmt: skip
    assert answer.status_code == 413


def test_the_api_says_what_is_wrong_as_problem_details(web: FlaskClient) -> None:
    sign_in(web)
    for path, code, name in (
        ("/api/v1/sensors?limit=0", 400, "limit"),
        ("/api/v1/sensors?colour=red", 400, "colour"),
        ("/api/v1/readings?site=a&sensor=b", 400, "metric"),
        ("/api/v1/anomalies?since=tomorrow", 400, "since"),
        ("/api/v1/ledger?since=-99d", 400, "since"),
        ("/api/v1/alerts/a%00b", 400, "id"),
        ("/api/v1/alerts/abc?id=abc", 400, "id"),
        ("/api/v1/nowhere", 404, None),
        ("/api/v1/sensors", 503, None),
    ):
        answer = ask(web, path)
        assert (answer.status_code, answer.mimetype) == (code, "application/problem+json"), path
        assert answer.json.get("parameter") == name, path
        assert {"type", "title", "status", "detail"} <= answer.json.keys()


def test_who_asks_too_often_is_told_when_to_come_again(web: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    sign_in(web)
    monkeypatch.setattr(routes, "_limiter", lambda limiter=Limiter(0.5, 3): limiter)
    codes = [ask(web, "/api/v1/whoami") for _ in range(4)]
    assert [one.status_code for one in codes] == [200, 200, 200, 429]
    assert int(codes[-1].headers["Retry-After"]) >= 1
    assert codes[-1].json["status"] == 429


def test_private_pages_are_kept_by_nobody_and_framed_by_nobody(web: FlaskClient) -> None:
    sign_in(web)
    for path in ("/", "/_dash-layout", "/account", "/login"):
        headers = ask(web, path).headers
        assert headers["Cache-Control"] == "no-store", path
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert headers["X-Frame-Options"] == "DENY"
        assert "Strict-Transport-Security" not in headers


def test_sign_in_can_be_off_on_a_loopback_address_only(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEIR_AUTH", "off")
    settings.cache_clear()
    try:
        web = create().server.test_client()
        assert ask(web, "/api/v1/whoami").json == {"name": "everybody", "role": "operator", "how": "open"}
        assert "Sign-in is off" in ask(web, "/account").text
        for name, value in (("WEIR_HOST", "0.0.0.0"), ("WEIR_WEB_NAME", "weir.example"), ("WEIR_WEB_PROXIES", "1")):
            with monkeypatch.context() as patch:
                patch.setenv(name, value)
                settings.cache_clear()
                with pytest.raises(SetupError, match="loopback"):
                    create()
    finally:
        monkeypatch.undo()
        settings.cache_clear()


def test_behind_tls_cookies_are_secure_and_the_name_is_the_proxys(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    accounts(home, Account("anna", Role.VIEWER, HASH, 1))
    with monkeypatch.context() as patch:
        for name, value in (("WEIR_WEB_TLS", "true"), ("WEIR_WEB_NAME", "weir.example"), ("WEIR_WEB_PROXIES", "1")):
            patch.setenv(name, value)
        settings.cache_clear()
        web = create().server.test_client()
        base = "https://weir.example"
        form = web.get("/login", base_url=base)
        token = re.search(r'name="csrf" value="([^"]+)"', form.text)[1]  # type: ignore[index]
        data = {"csrf": token, "name": "anna", "password": PASSWORD}
        answer = web.post("/login", data=data, base_url=base, headers={"Origin": base})
        assert answer.status_code == 303
        assert answer.headers["Set-Cookie"].startswith("__Host-weir-")
        assert "; Secure" in answer.headers["Set-Cookie"]
        assert answer.headers["Strict-Transport-Security"]
        assert web.get("/login", base_url="https://evil.example").status_code == 403
    settings.cache_clear()
