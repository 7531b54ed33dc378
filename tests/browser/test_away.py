"""Servers that go away under an open page: it says what is old, and mends by itself."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, Page, expect

from deploy.stack import Stack
from tests.browser.conftest import enter, publish
from weir.settings import Settings

pytestmark = pytest.mark.usefixtures("fleet")
LONG = 90_000


@pytest.fixture
def page(browser: Browser, config: Settings) -> Iterator[Page]:
    context = browser.new_context(base_url=f"http://{config.host}:{config.web_port}/")
    enter(context, config)
    yield context.new_page()
    context.close()


@contextmanager
def away(stack: Stack, server: str) -> Iterator[None]:
    stack.supervisor.stop(server)
    try:
        yield
    finally:
        stack.supervisor.start(server)


def test_without_redis_a_page_keeps_the_last_values_says_so_and_goes_on_afterwards(
    page: Page, stack: Stack, config: Settings
) -> None:
    page.goto("/?site=pages-one")
    row = page.locator('[data-sensor="pages-one/a"].row')
    row.wait_for(timeout=LONG)
    with away(stack, "valkey"):
        expect(page.locator("#live-state")).to_contain_text("live values away", timeout=LONG)
        expect(row).to_be_visible()
    publish(config, "pages-one/a", {"temperature": 21.75})
    expect(row).to_contain_text("21.75", timeout=LONG)
    expect(page.locator("#live-state")).to_have_text("live", timeout=LONG)


def test_without_postgres_a_chart_stays_is_told_to_be_old_and_is_drawn_again_afterwards(
    page: Page, stack: Stack, config: Settings
) -> None:
    publish(config, "pages-one/a", {"temperature": 20.5})
    page.goto("/sensor?site=pages-one&sensor=a&metric=temperature")
    note = page.locator("#sensor-note")
    expect(note).to_contain_text("readings", timeout=LONG)
    with away(stack, "postgres"):
        publish(config, "pages-one/a", {"temperature": 20.25})
        expect(page.locator("#sensor-problem")).to_contain_text("Not up to date", timeout=LONG)
        expect(page.locator("#sensor-chart .scatterlayer").first).to_be_attached()
        expect(page.locator("#latest-table")).to_contain_text("20.25", timeout=LONG)
    expect(page.locator("#sensor-problem .problem")).to_have_count(0, timeout=LONG)
    expect(note).to_contain_text("readings", timeout=LONG)
