"""Sensors are placed and named at the dashboard, in a real browser, on the real stack."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from deploy import status
from edge.publisher import Publisher
from tests.browser.conftest import enter
from tests.browsing import Browser as Asker
from tests.conftest import eventually
from weir.settings import Settings

KEY = "tasmota/click-me"


@pytest.fixture(scope="module")
def page(browser: Browser, config: Settings) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1400, "height": 1100})
    enter(context, config)
    yield context.new_page()
    context.close()


@pytest.fixture(scope="module")
def asker(config: Settings) -> Asker:
    return Asker.signed_in(config)


def born(asker: Asker) -> dict[str, Any]:
    found = [one for one in asker.get("/api/live").json["sensors"] if one["k"] == KEY]
    return found[0].get("b", {}) if found else {}


def test_a_sensor_without_a_place_is_placed_by_a_click_and_named(page: Page, config: Settings, asker: Asker) -> None:
    publisher = Publisher(config, "weir-test-click", [])
    publisher.raw("tele/click-me/SENSOR", b'{"AM2301":{"Temperature":21.5},"TempUnit":"C"}')
    eventually(lambda: born(asker))
    assert born(asker)["at"] is None
    page.goto(status.url(config) + "sensors")
    page.get_by_label("only those without a place").check()
    page.get_by_role("gridcell", name=KEY).click(timeout=60_000)
    page.get_by_text(f"{KEY}: click where it stands").wait_for()
    # In the middle of the map, which shows Bern.
    page.locator("#sensors-map").click()
    eventually(lambda: page.locator("#sensors-lat").input_value())
    if folder := os.environ.get("WEIR_TEST_SCREENSHOTS"):
        page.screenshot(path=f"{folder}/sensors.png", full_page=True)
    page.locator("#sensors-name").fill("Box on the roof")
    page.locator("#sensors-tags").fill("roof, new")
    page.get_by_label("am2301_temperature: greatest value").fill("60")
    page.get_by_role("button", name="Save").click()
    page.get_by_text(f"Saved: {KEY}").wait_for(timeout=60_000)
    eventually(lambda: born(asker).get("name") == "Box on the roof")
    lat, lon = born(asker)["at"]
    assert abs(lat - 46.948) < 0.01
    assert abs(lon - 7.447) < 0.01
    # It is among those without a place no longer.
    page.get_by_role("gridcell", name=KEY).wait_for(state="detached", timeout=60_000)
    # What is known of it is what was said.
    page.goto(status.url(config) + "sensors?site=tasmota&sensor=click-me")
    eventually(lambda: page.locator("#sensors-name").input_value() == "Box on the roof")
    assert page.locator("#sensors-tags").input_value() == "new, roof"
    assert page.get_by_label("am2301_temperature: greatest value").input_value() == "60"
    assert page.get_by_label("am2301_temperature: unit").input_value() == "Cel"
    publisher.close()


def test_a_place_that_is_none_is_refused_with_words(page: Page, config: Settings) -> None:
    page.goto(status.url(config) + "sensors?site=tasmota&sensor=click-me")
    eventually(lambda: page.locator("#sensors-name").input_value())
    page.locator("#sensors-kind").fill("Not a name!")
    page.get_by_role("button", name="Save").click()
    page.get_by_text("Not saved: bad_name").wait_for(timeout=60_000)
