"""Two windows at once, and a server that comes and goes under an open page."""

from __future__ import annotations

import os
import re
import signal

import pytest
from playwright.sync_api import Browser, Page, expect

from deploy import status
from deploy.stack import Stack
from tests.alerts import provoke
from tests.browser.conftest import enter, publish, sensors
from tests.conftest import eventually
from weir.settings import Settings

pytestmark = pytest.mark.usefixtures("fleet")
LONG = 90_000


def test_what_is_acknowledged_in_one_window_is_seen_in_another_and_a_comment_in_the_history(
    browser: Browser, config: Settings
) -> None:
    provoke(config, "pages-alerts", "wild")
    context = browser.new_context()
    own = enter(context, config)
    one, other = context.new_page(), context.new_page()
    for page in (one, other):
        page.goto(own + "alerts?site=pages-alerts&window=24h")
        page.locator("#alerts-table").get_by_text("pages-alerts/wild").first.wait_for(timeout=LONG)
    one.locator("#alerts-table").get_by_text("pages-alerts/wild").first.click()
    one.get_by_label("Your name").fill("anna")
    one.get_by_role("button", name="Acknowledge").click()
    expect(one.locator("#alert-answer")).to_contain_text("acknowledged", timeout=LONG)
    expect(other.locator("#alerts-table").get_by_text(re.compile("by ")).first).to_be_visible(timeout=LONG)
    one.locator("#alert-text").fill("the window was open")
    one.locator("#do-comment").click()
    expect(one.locator("#alert-answer")).to_contain_text("commented", timeout=LONG)
    expect(other.locator("#history-table")).to_contain_text("pages-alerts/wild", timeout=LONG)
    context.close()


@pytest.mark.parametrize(
    ("query", "shown"), [("severity=info", False), ("state=active", True), ("rule=silence", False), ("site=x", False)]
)
def test_filters_of_alerts_come_with_the_link(tab: Page, config: Settings, query: str, shown: bool) -> None:
    alert = provoke(config, "pages-alerts", "wild")
    # The table is empty before its rows have come, so what is not shown is looked for in the rows themselves.
    with tab.expect_response(
        lambda one: "alerts-table.rowData" in (one.request.post_data or ""), timeout=LONG
    ) as answer:
        tab.goto(f"{status.url(config)}alerts?{query}")
    row = tab.locator(f'#alerts-table [row-id="{alert.id}"]').first
    if shown:
        row.wait_for(timeout=LONG)
    else:
        rows = answer.value.json()["response"]["alerts-table"]["rowData"]
        assert alert.id not in [one["id"] for one in rows]
        expect(row).to_have_count(0)
    assert query in tab.url


def test_an_open_page_outlives_a_restart_of_the_server(browser: Browser, stack: Stack, config: Settings) -> None:
    context = browser.new_context()
    own = enter(context, config)
    page = context.new_page()
    page.goto(own + "?site=pages-one")
    page.locator('[data-sensor="pages-one/a"].row').wait_for(timeout=LONG)
    page.evaluate("window.sameWindow = true")
    before = _web(stack)
    os.kill(before, signal.SIGKILL)
    eventually(lambda: _web(stack) not in (0, before))
    publish(config, "pages-one/a", {"temperature": 19.25}, sensors()["pages-one/a"][0])
    expect(page.locator('[data-sensor="pages-one/a"].row')).to_contain_text("19.25", timeout=LONG)
    expect(page.locator("#live-state")).to_have_text("live", timeout=LONG)
    assert page.evaluate("window.sameWindow")
    context.close()


def _web(stack: Stack) -> int:
    return next(one.pid for one in stack.supervisor.processes() if one.name == "web")
