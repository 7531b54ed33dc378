"""Publishes over MQTT 5 as devices do: births, data at QoS 1, last will. What is not acknowledged is sent again."""

from __future__ import annotations

import logging
import threading
from typing import Any

import msgspec
import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from weir.connections import secure_mqtt
from weir.settings import Settings
from weir.topics import mqtt_topic

log = logging.getLogger("weir.edge")

#: Messages sent and not acknowledged: beyond this `publish` waits.
MAX_UNACKNOWLEDGED = 2000
encode = msgspec.json.encode


class Publisher:
    """One MQTT connection for many sensors; its last will speaks for the first of them.

    paho keeps unacknowledged QoS 1 messages and sends them again on every reconnect, also to a broker that has
    forgotten the session.
    """

    def __init__(self, config: Settings, client_id: str, sensors: list[tuple[str, str]]) -> None:
        self.acknowledged = 0
        self._sensors = sensors
        self._slots = threading.Semaphore(MAX_UNACKNOWLEDGED)
        self._idle = threading.Condition()
        self._waiting = 0
        #: Set while new messages may go out. On a new connection paho first sends again what is unacknowledged, and
        #: what another thread publishes meanwhile would overtake that.
        self._ready = threading.Event()
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=client_id, protocol=mqtt.MQTTv5)
        # As many as may be unacknowledged: what paho queues beyond its own limit, newer messages overtake.
        self._client.max_inflight_messages_set(MAX_UNACKNOWLEDGED)
        self._client.reconnect_delay_set(1, 10)
        secure_mqtt(self._client, config, log.error)
        if sensors:
            self._client.will_set(mqtt_topic(*sensors[0], "state"), b"lost", qos=1, retain=True)
        self._client.on_connect = self._on_connect
        self._client.on_disconnect = self._on_disconnect
        self._client.on_publish = self._on_publish
        properties = Properties(PacketTypes.CONNECT)
        properties.SessionExpiryInterval = 3600
        self._client.connect_async(*config.mqtt, clean_start=False, properties=properties)
        self._client.loop_start()

    def birth(self, site: str, sensor: str, birth: dict[str, Any]) -> None:
        """Retained birth, and the state `online`."""
        self._send(mqtt_topic(site, sensor, "birth"), encode(birth), retain=True)
        self._send(mqtt_topic(site, sensor, "state"), b"online", retain=True)

    def data(self, site: str, sensor: str, reading: Any) -> None:
        """One reading or a list of them. Waits while too many are unacknowledged."""
        self._send(mqtt_topic(site, sensor, "data"), encode(reading), retain=False)

    def raw(self, topic: str, payload: bytes) -> None:
        """Any message, as it is."""
        self._send(topic, payload, retain=False)

    def flush(self, stop: threading.Event) -> bool:
        """Wait until all is acknowledged; False when `stop` came first."""
        with self._idle:
            while self._waiting and not stop.is_set():
                self._idle.wait(0.2)
            return self._waiting == 0

    def retire(self) -> None:
        """Say that the sensors will never be heard again: what is retained of them is removed, by empty messages."""
        for site, sensor in self._sensors:
            self._send(mqtt_topic(site, sensor, "birth"), b"", retain=True)
            self._send(mqtt_topic(site, sensor, "state"), b"", retain=True)
        self._sensors = []

    def close(self) -> None:
        """Say that the sensors are gone, and disconnect."""
        for site, sensor in self._sensors:
            self._client.publish(mqtt_topic(site, sensor, "state"), b"lost", qos=1, retain=True)
        with self._idle:
            self._idle.wait_for(lambda: self._waiting == 0, timeout=1.5)
        self._client.disconnect()
        self._client.loop_stop()

    def _send(self, topic: str, payload: bytes, *, retain: bool) -> None:
        self._ready.wait()
        self._slots.acquire()
        with self._idle:
            self._waiting += 1
        self._client.publish(topic, payload, qos=1, retain=retain)

    def _on_connect(self, client: mqtt.Client, userdata: Any, flags: Any, reason: Any, properties: Any) -> None:
        if reason.is_failure:
            log.error("Mosquitto refuses the fleet: %s", reason)
            return
        with self._idle:
            if self._waiting == 0:
                self._ready.set()

    def _on_disconnect(self, client: mqtt.Client, userdata: Any, flags: Any, reason: Any, properties: Any) -> None:
        self._ready.clear()

    def _on_publish(self, client: mqtt.Client, userdata: Any, mid: int, reason: Any, properties: Any) -> None:
        self.acknowledged += 1
        self._ready.set()  # the first answer on a connection comes after all that was sent again
        self._slots.release()
        with self._idle:
            self._waiting = max(0, self._waiting - 1)
            self._idle.notify_all()
