"""One persistent MQTT session: messages come in with bounded memory, and are acknowledged when Kafka has them."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from stream_apps.ack import AckWindow, Token
from stream_apps.bridge_core import Message
from stream_apps.broker import Broker, client_id, local
from weir.connections import secure_mqtt
from weir.settings import Settings
from weir.topics import MQTT_ROOT, MQTT_SUBSCRIPTION

log = logging.getLogger("weir.bridge")

SESSION_EXPIRY_S = 86_400
RECEIVE_MAXIMUM = 20_000
#: Above this the network thread waits, and with it the broker: memory is bounded, nothing is dropped.
MAX_HELD_BYTES = 64 * 1024 * 1024
_BLOCK_S = 0.2
#: Mosquitto's own counters, and what we call them.
BROKER = {
    "$SYS/broker/publish/messages/dropped": "dropped",
    "$SYS/broker/store/messages/count": "stored",
    "$SYS/broker/store/messages/bytes": "stored_bytes",
    "$SYS/broker/clients/connected": "clients",
}


class MqttSource:
    """The session of one shard. Callbacks run in paho's thread, everything else in the event loop's.

    `owns(site)` tells whether a site belongs to this shard; what does not is acknowledged at once, since another
    session carries it too. `foreign`: filters of topics in other formats; their sites are known only once they are
    decoded, so the first shard carries them all. `broker`: another one than the local, read by one session alone.
    """

    def __init__(
        self,
        shard: int,
        config: Settings,
        owns: Callable[[str], bool],
        foreign: list[str],
        broker: Broker | None = None,
    ) -> None:
        self.shard = shard
        self._at = broker or local(config)
        self._is_local = broker is None
        self.window = AckWindow()
        #: Also subscribed: what is published from now on reaches us, if only after a reconnect.
        self.connected = False
        self._awaited: int | None = None
        self._owns = owns
        self._foreign = foreign if shard == 0 else []
        self._config = config
        self._generation = 0
        self._inbox: deque[tuple[int, int, mqtt.MQTTMessage, int]] = deque()
        self._held_bytes = 0
        self._room = threading.Event()
        self._room.set()
        self._stopping = False
        self._signalled = False
        #: What Mosquitto says of itself, by the names of `BROKER`; only the first shard listens to it.
        self.broker: dict[str, int] = {}
        self._wake = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._client = self._make_client()

    def start(self) -> None:
        """Connect and keep connecting, with back-off, until `stop`."""
        self._client.connect_async(
            self._at.host, self._at.port, keepalive=60, clean_start=False, properties=_session_properties()
        )
        self._client.loop_start()

    def stop_receiving(self) -> None:
        """Take nothing more; what is not acknowledged will be delivered again to the next owner."""
        self._stopping = True
        self._room.set()

    def close(self) -> None:
        """Disconnect, without ending the session."""
        self.stop_receiving()
        self._client.disconnect()
        self._client.loop_stop()

    async def wait(self) -> None:
        """Return when something has arrived."""
        await self._wake.wait()

    def drain(self, limit: int) -> list[Message]:
        """Take what has arrived, at most `limit` messages, in the order of receipt."""
        self._wake.clear()
        self._signalled = False
        messages: list[Message] = []
        skipped: list[Token] = []
        while self._inbox and len(messages) < limit:
            generation, rx, raw, size = self._inbox.popleft()
            self._held_bytes -= size
            if generation > self.window.generation:
                self.window.reconnected(generation)
            # What an older connection brought is used all the same: the broker may have lost the session.
            token = self.window.received(raw.mid) if raw.qos and generation == self._generation else None
            topic = _topic(raw)
            if not topic.startswith(MQTT_ROOT) or self._owns(_site(topic)):
                messages.append(Message(topic, bytes(raw.payload), rx, token))
            elif token is not None:
                skipped.append(token)
        if self._held_bytes < MAX_HELD_BYTES:
            self._room.set()
        if self._inbox:
            self._wake.set()
        self.acknowledge(skipped)
        return messages

    def publish(self, topic: str, payload: bytes) -> None:
        """Answer a device. At most once: what asks will ask again."""
        self._client.publish(topic, payload, qos=0)

    def acknowledge(self, tokens: Iterable[Token]) -> None:
        """Kafka has these messages: send the PUBACKs that are due, in the order of receipt."""
        for mid in self.window.finished(tokens):
            if self.window.generation != self._generation:
                return
            self._client.ack(mid, 1)

    def _make_client(self) -> mqtt.Client:
        client = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            client_id=_client_id(self.shard) if self._is_local else client_id(self._config),
            protocol=mqtt.MQTTv5,
            manual_ack=True,
        )
        if self._is_local:
            secure_mqtt(client, self._config, log.error)
        else:
            self._at.prepare(client)
        client.reconnect_delay_set(1, 10)
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message
        return client

    def _on_connect(self, client: mqtt.Client, userdata: Any, flags: Any, reason: Any, properties: Any) -> None:
        if reason.is_failure:
            log.error("%s refuses the bridge (%s): check its user and password", self._at, reason)
            return
        self._generation += 1
        session = "resumed" if flags.session_present else "new"
        log.info("%s, shard %d: connected, session %s", self._at, self.shard, session)
        # Retained births come once, with a new subscription (retainHandling 1), not at every reconnect.
        filters = [(one, SubscribeOptions(qos=1, retainHandling=1)) for one in (MQTT_SUBSCRIPTION, *self._foreign)]
        self._awaited = client.subscribe(filters)[1]
        if self.shard == 0 and self._is_local:
            client.subscribe([(topic, SubscribeOptions(qos=0)) for topic in BROKER])

    def _on_subscribe(self, client: mqtt.Client, userdata: Any, mid: int, reasons: Any, properties: Any) -> None:
        if mid != self._awaited:
            return
        refused = [str(reason) for reason in reasons if reason.is_failure]
        if refused:
            text = "%s refuses %d of the bridge's %d subscriptions (%s): check what its user may read"
            log.error(text, self._at, len(refused), len(reasons), refused[0])
        # A foreign broker may let us read some formats and not others.
        self.connected = len(refused) < len(reasons)

    def _of_broker(self, raw: mqtt.MQTTMessage) -> bool:
        """Take one of Mosquitto's own counters; False if the message is none."""
        name = BROKER.get(_topic(raw)) if self.shard == 0 and self._is_local and raw.qos == 0 else None
        if name is None or not raw.payload.isdigit():
            return False
        self.broker[name] = int(raw.payload)
        return True

    def _on_disconnect(self, client: mqtt.Client, userdata: Any, flags: Any, reason: Any, properties: Any) -> None:
        self._generation += 1
        self.connected = False
        if not self._stopping:
            log.warning("%s, shard %d: disconnected (%s), connecting again", self._at, self.shard, reason)

    def _on_message(self, client: mqtt.Client, userdata: Any, raw: mqtt.MQTTMessage) -> None:
        if self._of_broker(raw):
            return
        while self._held_bytes >= MAX_HELD_BYTES and not self._stopping:
            self._room.clear()
            self._room.wait(_BLOCK_S)
        if self._stopping:
            return
        size = len(raw.payload) + 500
        self._held_bytes += size
        self._inbox.append((self._generation, time.time_ns() // 1_000_000, raw, size))
        if not self._signalled:
            self._signalled = True
            self._loop.call_soon_threadsafe(self._wake.set)


def make_session(config: Settings, shard: int, foreign: list[str], wait_s: float = 10.0) -> bool:
    """Make a shard's session and its subscriptions before any bridge runs; False if Mosquitto does not answer.

    Without it Mosquitto acknowledges what is published before the first bridge has ever connected, and keeps it for
    nobody. Must not be called while the shard's bridge runs: Mosquitto would disconnect it.
    """
    subscribed = threading.Event()
    client = mqtt.Client(
        CallbackAPIVersion.VERSION2, client_id=_client_id(shard), protocol=mqtt.MQTTv5, manual_ack=True
    )
    secure_mqtt(client, config, log.error)
    client.on_subscribe = lambda *_: subscribed.set()
    filters = [MQTT_SUBSCRIPTION, *(foreign if shard == 0 else [])]
    try:
        client.connect(*config.mqtt, clean_start=False, properties=_session_properties())
    except OSError:
        return False
    client.loop_start()
    # Retained births that come now are not acknowledged, and so come again when the bridge takes the session over.
    client.subscribe([(one, SubscribeOptions(qos=1, retainHandling=1)) for one in filters])
    done = subscribed.wait(wait_s)
    client.disconnect()
    client.loop_stop()
    return done


def _client_id(shard: int) -> str:
    return f"weir-bridge-{shard}"


def _session_properties() -> Properties:
    properties = Properties(PacketTypes.CONNECT)
    properties.SessionExpiryInterval = SESSION_EXPIRY_S
    properties.ReceiveMaximum = RECEIVE_MAXIMUM
    return properties


def _topic(raw: mqtt.MQTTMessage) -> str:
    try:
        return raw.topic
    except UnicodeDecodeError:
        return ""


def _site(topic: str) -> str:
    return topic.split("/", 2)[1] if topic.startswith("weir/") and topic.count("/") else ""
