"""Signing in and out in a real browser, on the real stack."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Page
from typer.testing import CliRunner

from deploy import access, status
from deploy.cli import cli
from deploy.stack import Stack
from tests.alerts import provoke
from weir.settings import Settings, settings

PASSWORD = "a password for tests"


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """As a browser that has never been here."""
    one = browser.new_context()
    yield one
    one.close()


@pytest.fixture
def viewer(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The name of an account that is a viewer's."""
    monkeypatch.setenv("WEIR_HOME", str(stack.home))
    settings.cache_clear()
    runner = CliRunner()
    runner.invoke(cli, ["user", "add", "walter"], input=PASSWORD + "\n", catch_exceptions=False)
    yield "walter"
    runner.invoke(cli, ["user", "remove", "walter"], catch_exceptions=False)
    settings.cache_clear()


def sign_in(page: Page, name: str, password: str = PASSWORD) -> None:
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in").click()


def test_a_link_opens_the_dashboard_once_and_leaves_no_token_behind(
    browser: Browser, context: BrowserContext, config: Settings
) -> None:
    link = access.link(config, "/alerts")
    page = context.new_page()
    page.goto(link)
    page.locator("#account").get_by_text("local").wait_for(timeout=60_000)
    assert page.url == f"{status.url(config)}alerts"
    other = browser.new_context()
    second = other.new_page()
    second.goto(link)
    second.get_by_role("alert").get_by_text("was used before").wait_for()
    other.close()


def test_the_log_in_leads_back_to_the_shared_view_and_a_wrong_password_is_told(
    context: BrowserContext, config: Settings, viewer: str
) -> None:
    page = context.new_page()
    problems: list[str] = []
    seen: list[str] = []
    page.on("framenavigated", lambda frame: seen.append(frame.url))
    page.on("console", lambda one: problems.append(one.text) if one.type == "error" else None)
    page.goto(f"{status.url(config)}sensor?window=24h")
    assert "/login?next=" in page.url
    sign_in(page, viewer, "not this one")
    page.get_by_role("alert").get_by_text("do not belong together").wait_for()
    sign_in(page, viewer)
    page.locator("#account").get_by_text(viewer).wait_for(timeout=60_000)
    assert f"{status.url(config)}sensor?window=24h" in seen  # what the page makes of it afterwards is its own affair
    assert [one for one in problems if "401" not in one] == []


def test_a_viewer_cannot_acknowledge_and_reads_why(context: BrowserContext, config: Settings, viewer: str) -> None:
    alert = provoke(config, "browser-access", "wild")
    page = context.new_page()
    page.goto(f"{status.url(config)}alerts")
    sign_in(page, viewer)
    page.locator("#alerts-table").get_by_text("browser-access/wild").first.click(timeout=60_000)
    page.get_by_role("button", name="Acknowledge").click()
    page.get_by_text(f"{viewer} is a viewer").wait_for(timeout=60_000)
    assert not alert.acknowledged


def test_whoever_signs_out_is_out_also_on_a_page_left_open(
    context: BrowserContext, config: Settings, viewer: str
) -> None:
    left_open, page = context.new_page(), context.new_page()
    left_open.goto(f"{status.url(config)}pipeline")
    sign_in(left_open, viewer)
    left_open.locator("#account").get_by_text(viewer).wait_for(timeout=60_000)
    page.goto(f"{status.url(config)}account")
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url("**/login")
    left_open.bring_to_front()
    left_open.wait_for_url("**/login?next=%2Fpipeline", timeout=60_000)
