"""A browser, and a page that minds its manners: no errors on its console, nothing asked for from outside."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from deploy import access, status
from deploy.stack import Stack
from edge.publisher import Publisher
from weir.settings import Settings

EVIL = '<img src=x onerror="document.title=1">'
#: Every page, and what is on it once it has something to show.
PAGES = {
    "overview": ".tile-value",
    "": ".row",
    "sensor": "#latest-table",
    "forecasts": "#fleet-table .ag-root",
    "alerts": "#alerts-table .ag-root",
    "sensors": "#sensors-table .ag-row",
    "pipeline": "#stages table",
}


def sensors() -> dict[str, tuple[dict[str, object], dict[str, float]]]:
    """Sensors whose births and readings differ in all that can be filtered by."""
    cel, rh = {"unit": "Cel"}, {"unit": "%RH"}
    warm = {"temperature": cel}
    return {
        "pages-one/a": ({"lat": 46.95, "lon": 7.44, "kind": "park", "metrics": warm}, {"temperature": 11.5}),
        "pages-one/b": ({"lat": 46.96, "lon": 7.45, "kind": "forest", "metrics": {"temperature": cel, "humidity": rh}},
                        {"temperature": 12.5, "humidity": 60.0}),
        "pages-two/c": ({"lat": 46.99, "lon": 7.50, "kind": "park", "metrics": warm, "name": EVIL},
                        {"temperature": 13.5}),
    }  # fmt: skip


def publish(config: Settings, key: str, metrics: dict[str, float], birth: dict[str, object] | None = None) -> None:
    """One reading of now."""
    site, _, sensor = key.partition("/")
    publisher = Publisher(config, f"weir-test-{site}-{sensor}", [])
    if birth is not None:
        publisher.birth(site, sensor, birth)
    publisher.data(site, sensor, {"ts": int(time.time() * 1000), "metrics": metrics})
    publisher.close()


@pytest.fixture(scope="module")
def fleet(config: Settings) -> None:
    """The sensors are known, with a reading each."""
    for key, (birth, metrics) in sensors().items():
        publish(config, key, metrics, birth)


@pytest.fixture(scope="module")
def browser(stack: Stack) -> Iterator[Browser]:
    """One a module, and only once the stack is up: while it is open, nothing else may run an event loop here."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    with sync_playwright() as playwright:
        one = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield one
        one.close()


def enter(context: BrowserContext, config: Settings) -> str:
    """Let whoever uses `context` in, as an operator; returns the address of the dashboard."""
    own = status.url(config)
    name, _, value = access.session(config).partition("=")
    context.add_cookies([{"name": name, "value": value, "url": own}])
    return own


@pytest.fixture
def tab(browser: Browser, config: Settings) -> Iterator[Page]:
    """A page of its own; the test fails if it complained, or asked anybody else for anything."""
    context = browser.new_context()
    own = enter(context, config)
    page = context.new_page()
    wrong: list[str] = []
    page.on("console", lambda one: wrong.append(one.text) if one.type == "error" else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("request", lambda one: None if one.url.startswith((own, "data:", "blob:")) else wrong.append(one.url))
    yield page
    context.close()
    assert wrong == []
