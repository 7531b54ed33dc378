"""Each page and each filter, in a real browser on the real stack."""

from __future__ import annotations

import re
import urllib.request
from urllib.parse import parse_qsl, urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from deploy import access, status
from tests.browser.conftest import EVIL, PAGES, enter
from tests.conftest import eventually
from web.urls import View, parse
from weir.settings import Settings

pytestmark = pytest.mark.usefixtures("fleet")
LONG = 60_000


@pytest.mark.parametrize("path", PAGES)
def test_each_page_shows_something_complains_of_nothing_and_asks_nobody_else(
    tab: Page, config: Settings, path: str
) -> None:
    tab.goto(status.url(config) + path)
    tab.locator(PAGES[path]).first.wait_for(timeout=LONG)
    assert tab.locator(".notice, #notices").count() == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_page_has_a_serious_fault_for_those_who_see_or_move_less(
    browser: Browser, config: Settings, scheme: str
) -> None:
    context = browser.new_context(bypass_csp=True, color_scheme=scheme)
    own = enter(context, config)
    page = context.new_page()
    found = []
    for path, sign in PAGES.items():
        page.goto(own + path)
        page.locator(sign).first.wait_for(timeout=LONG)
        for one in Axe().run(page).response["violations"]:
            if one["impact"] in ("serious", "critical"):
                found.append((path, one["id"], [node["target"] for node in one["nodes"]][:3]))
    context.close()
    assert found == []


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("site=pages-two", {"pages-two/c"}),
        ("search=pages&kind=forest", {"pages-one/b"}),
        ("search=pages&metric=humidity", {"pages-one/b"}),
        ("search=pages-one", {"pages-one/a", "pages-one/b"}),
        ("search=pages&status=ok", {"pages-one/a", "pages-one/b", "pages-two/c"}),
        ("search=pages&status=alert", set()),
        ("search=pages&box=46.94,7.43,46.955,7.445", {"pages-one/a"}),
    ],
)
def test_a_shared_link_shows_the_same_sensors(tab: Page, config: Settings, query: str, wanted: set[str]) -> None:
    tab.goto(f"{status.url(config)}?{query}")
    tab.locator("#sensor-count").get_by_text(re.compile(r"\d sensor")).wait_for(timeout=LONG)
    expect(tab.locator(".row")).to_have_count(len(wanted), timeout=LONG)
    shown = tab.locator(".row").evaluate_all("rows => rows.map(row => row.dataset.sensor)")
    assert set(shown) == wanted
    # The address has an order of its own, and says the same.
    assert _view(urlsplit(tab.url).query) == _view(query)


def test_what_is_chosen_on_the_map_stands_in_the_address(tab: Page, config: Settings) -> None:
    tab.goto(status.url(config) + "?search=pages")
    tab.locator(".row").first.wait_for(timeout=LONG)
    tab.locator("#status-ok").click()
    expect(tab.locator("#status-ok")).to_have_attribute("aria-pressed", "true")
    tab.locator("#colour-select").click()
    tab.get_by_role("option", name="Temperature").click()
    expect(tab.locator("#legend")).to_contain_text("Temperature (°C)")
    tab.locator("#cluster-select").click()
    tab.get_by_role("option", name="always").click()
    expect(tab).to_have_url(re.compile("status=ok.*colour=temperature.*cluster=on"))
    tab.locator("#select").focus()
    tab.keyboard.press("Enter")
    expect(tab.locator("#selection-count")).to_have_text("3 sensors chosen")
    expect(tab).to_have_url(re.compile("box="))


def test_a_card_tells_of_a_sensor_and_its_hostile_name_stays_text(tab: Page, config: Settings) -> None:
    tab.goto(status.url(config) + "?site=pages-two")
    tab.locator('[data-sensor="pages-two/c"].row').click(timeout=LONG)
    card = tab.locator("#sensor-card")
    expect(card.locator("strong")).to_have_text(EVIL)
    expect(card).to_contain_text("13.5 °C")
    card.get_by_text("Open sensor").click()
    expect(tab).to_have_url(re.compile("/sensor.*site=pages-two"))
    expect(tab.locator("h1")).to_have_text(EVIL, timeout=LONG)


def test_wrong_parameters_are_told_and_the_page_is_there_all_the_same(tab: Page, config: Settings) -> None:
    tab.goto(status.url(config) + "sensor?site=pages-one&sensor=nobody&window=9y&sensors=x")
    notices = tab.locator("#notices")
    expect(notices).to_contain_text("9y", timeout=LONG)
    expect(notices).to_contain_text("nobody")
    tab.locator("#latest-table").wait_for(timeout=LONG)


def test_an_address_that_leads_nowhere_says_so_and_leads_on(tab: Page, config: Settings) -> None:
    tab.goto(status.url(config) + "maap")
    tab.get_by_role("heading", name="There is no such page").wait_for()
    tab.get_by_role("link", name="Go to the map").click()
    tab.locator(".leaflet-container").wait_for()


def test_the_last_day_can_be_played_back_and_left_again(tab: Page, config: Settings) -> None:
    # The address is our own, and http.
    asked = urllib.request.Request(
        status.url(config) + "pages/playback?colour=status", headers={"Cookie": access.session(config)}
    )

    def answers() -> bool:
        with urllib.request.urlopen(asked, timeout=10) as answer:
            return bool(answer.status == 200)

    eventually(answers)
    tab.goto(status.url(config))
    tab.locator(".row").first.wait_for(timeout=LONG)
    tab.locator("#playback-slider").fill("100")
    expect(tab).to_have_url(re.compile(r"at=\d{13}"), timeout=LONG)
    expect(tab.locator("#playback-time")).to_have_attribute("title", re.compile("UTC"))
    tab.locator("#playback-live").click()
    expect(tab.locator("#playback-time")).to_have_text("Now, live")
    assert "at=" not in tab.url


def test_sensors_are_compared_in_one_chart_and_an_export_can_be_had(tab: Page, config: Settings) -> None:
    tab.goto(status.url(config) + "sensor?site=pages-one&sensor=a&metric=temperature&sensors=pages-one/a,pages-one/b")
    expect(tab.locator("#sensor-note")).to_contain_text("sensors", timeout=LONG)
    href = tab.locator("#export-parquet").get_attribute("href")
    assert href is not None
    assert "format=parquet" in href
    assert "sensor=a" in href


@pytest.mark.parametrize("path", ["overview", "", "sensor", "alerts"])
def test_on_a_phone_nothing_is_wider_than_the_screen(browser: Browser, config: Settings, path: str) -> None:
    context = browser.new_context(viewport={"width": 375, "height": 720})
    own = enter(context, config)
    page = context.new_page()
    page.goto(own + path)
    page.locator(PAGES[path]).first.wait_for(timeout=LONG)
    wide = page.evaluate("document.documentElement.scrollWidth")
    context.close()
    assert wide <= 375


def _view(query: str) -> View:
    return parse(dict(parse_qsl(query)))
