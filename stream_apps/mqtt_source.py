"""One persistent MQTT session: messages come in with bounded memory, and are acknowledged when Kafka has them."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from stream_apps.ack import AckWindow, Token
from stream_apps.bridge_core import Message
from stream_apps.mqtt_link import Link
from weir.settings import Settings
from weir.topics import MQTT_ROOT, MQTT_SUBSCRIPTION

log = logging.getLogger("weir.bridge")

SESSION_EXPIRY_S = 86_400
RECEIVE_MAXIMUM = 20_000
KEEPALIVE_S = 60
CONNECT_S = 10.0
FIRST_WAIT_S, LONGEST_WAIT_S = 1.0, 10.0
#: Above this nothing is read from the socket, and the broker waits: memory is bounded, nothing is dropped.
MAX_HELD_BYTES = 64 * 1024 * 1024
#: What a message costs beside its payload.
_OVERHEAD = 500
#: Mosquitto's own counters, and what we call them.
BROKER = {
    b"$SYS/broker/publish/messages/dropped": "dropped",
    b"$SYS/broker/store/messages/count": "stored",
    b"$SYS/broker/store/messages/bytes": "stored_bytes",
    b"$SYS/broker/clients/connected": "clients",
}


class MqttSource:
    """The session of one shard. Everything runs in one event loop.

    `owns(site)` tells whether a site belongs to this shard; what does not is acknowledged at once, since another
    session carries it too. `foreign`: filters of topics in other formats; their sites are known only once they are
    decoded, so the first shard carries them all.
    """

    def __init__(self, shard: int, config: Settings, owns: Callable[[str], bool], foreign: list[str]) -> None:
        self.shard = shard
        self.window = AckWindow()
        self.connected = False
        self._owns = owns
        self._foreign = foreign if shard == 0 else []
        self._config = config
        self._generation = 0
        self._inbox: deque[tuple[int, int, bytes, int, bytes]] = deque()
        self._held_bytes = 0
        self._stopping = False
        #: What Mosquitto says of itself, by the names of `BROKER`; only the first shard listens to it.
        self.broker: dict[str, int] = {}
        self._wake = asyncio.Event()
        self._link: Link | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Connect and keep connecting, with back-off, until `close`."""
        self._task = asyncio.create_task(self._run())

    def stop_receiving(self) -> None:
        """Take nothing more; what is not acknowledged will be delivered again to the next owner."""
        self._stopping = True
        if self._link is not None:
            self._link.pause()

    async def close(self) -> None:
        """Disconnect, without ending the session."""
        self.stop_receiving()
        if self._link is not None and self.connected:
            await self._link.goodbye()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def wait(self) -> None:
        """Return when something has arrived."""
        await self._wake.wait()

    def drain(self, limit: int) -> list[Message]:
        """Take what has arrived, at most `limit` messages, in the order of receipt."""
        self._wake.clear()
        messages: list[Message] = []
        skipped: list[Token] = []
        while self._inbox and len(messages) < limit:
            generation, rx, name, mid, payload = self._inbox.popleft()
            self._held_bytes -= len(payload) + _OVERHEAD
            if generation > self.window.generation:
                self.window.reconnected(generation)
            # What an older connection brought is used all the same: the broker may have lost the session.
            token = self.window.received(mid) if mid and generation == self._generation else None
            topic = _topic(name)
            if not topic.startswith(MQTT_ROOT) or self._owns(_site(topic)):
                messages.append(Message(topic, payload, rx, token))
            elif token is not None:
                skipped.append(token)
        if self._held_bytes < MAX_HELD_BYTES and self._link is not None and not self._stopping:
            self._link.resume()
        if self._inbox:
            self._wake.set()
        self.acknowledge(skipped)
        return messages

    def publish(self, topic: str, payload: bytes) -> None:
        """Answer a device. At most once: what asks will ask again."""
        if self._link is not None and self.connected:
            self._link.tell(topic, payload)

    def acknowledge(self, tokens: Iterable[Token]) -> None:
        """Kafka has these messages: send the PUBACKs that are due, in the order of receipt."""
        mids = self.window.finished(tokens)
        if mids and self._link is not None and self.window.generation == self._generation:
            self._link.acknowledge(mids)

    def accepted(self, resumed: bool) -> None:
        """The broker has taken the connection."""
        self._generation += 1
        self.connected = True
        log.info("shard %d: connected, session %s", self.shard, "resumed" if resumed else "new")
        filters = [(MQTT_SUBSCRIPTION, 1), *((one, 1) for one in self._foreign)]
        if self.shard == 0:
            filters += [(name.decode(), 0) for name in BROKER]
        if self._link is not None:
            self._link.subscribe(filters)

    def take(self, messages: list[tuple[bytes, int, bytes]]) -> None:
        """(topic, message id, payload) of what has just arrived; the id is 0 at QoS 0."""
        if self._stopping:
            return
        rx, generation = time.time_ns() // 1_000_000, self._generation
        for topic, mid, payload in messages:
            if not mid and self.shard == 0 and (name := BROKER.get(topic)) and payload.isdigit():
                self.broker[name] = int(payload)
                continue
            self._held_bytes += len(payload) + _OVERHEAD
            self._inbox.append((generation, rx, topic, mid, payload))
        if self._held_bytes >= MAX_HELD_BYTES and self._link is not None:
            self._link.pause()
        if self._inbox:
            self._wake.set()

    async def _run(self) -> None:
        wait = FIRST_WAIT_S
        config, loop = self._config, asyncio.get_running_loop()
        while not self._stopping:
            why = "no answer"
            try:
                made = loop.create_connection(lambda: Link(self), config.host, config.mqtt_port)
                _, link = await asyncio.wait_for(made, CONNECT_S)
                self._link = link
                link.connect(
                    _client_id(self.shard), config.mqtt_user, config.mqtt_password, SESSION_EXPIRY_S, KEEPALIVE_S,
                    RECEIVE_MAXIMUM,
                )  # fmt: skip
                why = await link.ended()
            except (OSError, TimeoutError) as error:
                why = str(error) or why
            wait = FIRST_WAIT_S if self.connected else min(2 * wait, LONGEST_WAIT_S)
            self._generation += 1
            self.connected = False
            if not self._stopping:
                log.warning("shard %d: disconnected (%s), connecting again", self.shard, why)
                await asyncio.sleep(wait)


def make_session(config: Settings, shard: int, foreign: list[str], wait_s: float = 10.0) -> bool:
    """Make a shard's session and its subscriptions before any bridge runs; False if Mosquitto does not answer.

    Without it Mosquitto acknowledges what is published before the first bridge has ever connected, and keeps it for
    nobody. Must not be called while the shard's bridge runs: Mosquitto would disconnect it.
    """
    subscribed = threading.Event()
    client = mqtt.Client(
        CallbackAPIVersion.VERSION2, client_id=_client_id(shard), protocol=mqtt.MQTTv5, manual_ack=True
    )
    client.username_pw_set(config.mqtt_user or None, config.mqtt_password or None)
    client.on_subscribe = lambda *_: subscribed.set()
    filters = [MQTT_SUBSCRIPTION, *(foreign if shard == 0 else [])]
    try:
        client.connect(config.host, config.mqtt_port, clean_start=False, properties=_session_properties())
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


def _topic(name: bytes) -> str:
    try:
        return name.decode()
    except UnicodeDecodeError:
        return ""


def _site(topic: str) -> str:
    return topic.split("/", 2)[1] if topic.startswith("weir/") and topic.count("/") else ""
