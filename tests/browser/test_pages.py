"""The dashboard in a real browser, on the real stack."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from playwright.sync_api import Browser, Page

from deploy import status
from tests.browser.conftest import enter
from weir.settings import Settings


@pytest.fixture(scope="module")
def page(browser: Browser, config: Settings) -> Iterator[Page]:
    context = browser.new_context()
    enter(context, config)
    yield context.new_page()
    context.close()


def publish(config: Settings, value: float) -> None:
    client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
    client.username_pw_set(config.mqtt_user, config.mqtt_password)
    client.connect(config.host, config.mqtt_port)
    client.loop_start()
    birth = {"lat": 46.95, "lon": 7.44, "kind": "park", "metrics": {"temperature": {"unit": "Cel"}}}
    client.publish("weir/browser/b1/birth", json.dumps(birth), qos=1, retain=True).wait_for_publish(10)
    reading = {"ts": int(time.time() * 1000), "metrics": {"temperature": value}}
    client.publish("weir/browser/b1/data", json.dumps(reading), qos=1).wait_for_publish(10)
    client.disconnect()
    client.loop_stop()


def test_a_reading_just_published_is_seen_on_the_open_map(page: Page, config: Settings) -> None:
    publish(config, 11.25)
    page.goto(status.url(config))
    row = page.locator('[data-sensor="browser/b1"]').first
    row.wait_for(timeout=60_000)
    publish(config, 27.75)
    row.get_by_text("27.75").wait_for(timeout=60_000)
