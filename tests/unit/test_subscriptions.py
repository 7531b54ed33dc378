"""What the bridge makes of a broker's answer to its subscriptions. Mosquitto refuses none, other brokers do."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.reasoncodes import ReasonCode

from stream_apps.mqtt_source import MqttSource
from weir.settings import Settings

TAKEN, REFUSED = ReasonCode(PacketTypes.SUBACK, identifier=1), ReasonCode(PacketTypes.SUBACK, identifier=0x87)
MID = 7


async def made() -> MqttSource:
    return MqttSource(1, Settings(), lambda site: True, [])


def answered(caplog: pytest.LogCaptureFixture, *reasons: ReasonCode) -> tuple[bool, str]:
    """(connected?, what was said of it) after the answer to a subscription for three patterns."""
    client: Any = SimpleNamespace(subscribe=lambda filters: (0, MID))
    source = asyncio.run(made())
    accepted: Any = SimpleNamespace(is_failure=False)
    source._on_connect(client, None, SimpleNamespace(session_present=False), accepted, None)
    assert not source.connected
    source._on_subscribe(client, None, MID + 1, [TAKEN], None)
    assert not source.connected, "the answer to another one"
    caplog.clear()
    source._on_subscribe(client, None, MID, list(reasons), None)
    return source.connected, caplog.text


def test_a_bridge_whose_subscriptions_are_taken_is_connected(caplog: pytest.LogCaptureFixture) -> None:
    assert answered(caplog, TAKEN, TAKEN, TAKEN) == (True, "")


def test_a_bridge_that_may_read_some_topics_is_connected_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    connected, said = answered(caplog, TAKEN, REFUSED, TAKEN)
    assert connected
    assert "refuses 1 of the bridge's 3 subscriptions (Not authorized): check what its user may read" in said


def test_a_bridge_that_may_read_nothing_is_not_connected(caplog: pytest.LogCaptureFixture) -> None:
    connected, said = answered(caplog, REFUSED, REFUSED)
    assert not connected
    assert "refuses 2 of the bridge's 2 subscriptions" in said
