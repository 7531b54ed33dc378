"""Publishes thousands of messages a second over one MQTT 5 connection, in one thread, a tick's worth at a time.

What is not acknowledged is sent again, in order and before anything new, on every new connection, also to a broker
that has forgotten the session: as `publisher` does it with paho, for a tenth of the cost.
"""

from __future__ import annotations

import logging
import select
import socket
import time
from collections.abc import Iterable

from weir import wire
from weir.settings import Settings

log = logging.getLogger("weir.edge")

#: Sent and not acknowledged: beyond this, and beyond what the broker allows, `publish` waits.
MAX_UNACKNOWLEDGED = 20_000
SESSION_EXPIRY_S = 3600
KEEPALIVE_S = 60
CONNECT_S = 5.0
RETRY_S = 0.5
_CHUNK = 1 << 18


class LeanPublisher:
    """One connection. `sent` and `acknowledged` count messages; nothing happens outside its methods."""

    def __init__(self, config: Settings, client_id: str) -> None:
        self.sent = 0
        self.acknowledged = 0
        self.reconnects = -1
        self._config = config
        self._client_id = client_id
        self._unacknowledged: dict[int, bytes] = {}
        self._window = MAX_UNACKNOWLEDGED
        self._mid = 0
        self._out = bytearray()
        self._spoke = time.monotonic()
        self._socket = self._connect()

    @property
    def waiting(self) -> int:
        """Messages sent and not acknowledged."""
        return len(self._unacknowledged)

    def publish(self, messages: Iterable[tuple[bytes, bytes]], retain: bool = False) -> None:
        """Send (`wire.text(topic)`, payload) pairs. Waits while too many are unacknowledged."""
        for topic, payload in messages:
            if len(self._unacknowledged) >= self._window:
                self._exchange(0.0)
                while len(self._unacknowledged) >= self._window:
                    self._exchange(0.05)
            mid = self._next_mid()
            packet = wire.publish(topic, mid, payload, retain)
            self._unacknowledged[mid] = packet
            self._out += packet
            self.sent += 1
        self._exchange(0.0)

    def pump(self, until: float) -> None:
        """Send and receive until `until` (monotonic): the pause between two ticks."""
        while (left := until - time.monotonic()) > 0:
            if self._out:
                self._exchange(left)
            else:  # nothing to write: acknowledgements can wait for the end of the pause, all at once
                time.sleep(left)
        self._exchange(0.0)

    def flush(self, seconds: float) -> bool:
        """Wait until all is acknowledged; False when it takes longer than `seconds`."""
        deadline = time.monotonic() + seconds
        while self._unacknowledged and time.monotonic() < deadline:
            self._exchange(0.05)
        return not self._unacknowledged

    def idle(self) -> None:
        """Keep the connection while there is nothing to publish: call it every few seconds."""
        if time.monotonic() - self._spoke > KEEPALIVE_S / 2:
            self._out += wire.PINGREQ
        self._exchange(0.0)

    def close(self) -> None:
        """Disconnect. What is not acknowledged stays so: `flush` first."""
        try:
            self._socket.sendall(wire.GOODBYE)
        except OSError as error:
            log.warning("the connection was gone before the goodbye: %s", error)
        self._socket.close()

    def _next_mid(self) -> int:
        while True:
            self._mid = self._mid % 65_535 + 1
            if self._mid not in self._unacknowledged:
                return self._mid

    def _exchange(self, seconds: float) -> None:
        """Write what waits and read what has come; wait for the one or the other for at most `seconds`."""
        try:
            readable, writable, _ = select.select(
                [self._socket], [self._socket] if self._out else [], [], seconds
            )  # fmt: skip
            if readable:
                data = self._socket.recv(_CHUNK)
                if not data:
                    raise ConnectionError("the broker has closed the connection")
                self._take(data)
            if writable:
                del self._out[: self._socket.send(memoryview(self._out)[:_CHUNK])]
                self._spoke = time.monotonic()
        except OSError as error:
            log.warning("%s: connecting again, %d messages unacknowledged", error, len(self._unacknowledged))
            self._reconnect()

    def _take(self, data: bytes) -> None:
        for head, body in self._parser.feed(data):
            kind = head >> 4
            if kind == wire.PUBACK:
                if len(body) > 2 and body[2] >= 0x80:
                    raise wire.ProtocolError(f"the broker refuses a message: reason 0x{body[2]:02x}")
                if self._unacknowledged.pop(body[0] << 8 | body[1], None) is not None:
                    self.acknowledged += 1
            elif kind == wire.DISCONNECT:
                raise ConnectionError(f"the broker disconnects: reason 0x{body[0] if body else 0:02x}")

    def _reconnect(self) -> None:
        self._socket.close()
        while True:
            try:
                self._socket = self._connect()
            except OSError:
                time.sleep(RETRY_S)
            else:
                return

    def _connect(self) -> socket.socket:
        """A connection on which everything unacknowledged is about to be sent again. Raises `OSError`."""
        self._parser = wire.Parser()
        config = self._config
        made = socket.create_connection((config.host, config.mqtt_port), timeout=CONNECT_S)
        try:
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            made.sendall(
                wire.connect(self._client_id, config.mqtt_user, config.mqtt_password, SESSION_EXPIRY_S, KEEPALIVE_S)
            )
            self._window = min(MAX_UNACKNOWLEDGED, wire.receive_maximum(self._answer(made)))
        except BaseException:
            made.close()
            raise
        made.setblocking(False)
        self.reconnects += 1
        self._out = bytearray(b"".join(map(wire.again, self._unacknowledged.values())))
        return made

    def _answer(self, made: socket.socket) -> bytes:
        while True:
            data = made.recv(4096)
            if not data:
                raise ConnectionError("the broker has closed the connection")
            for head, body in self._parser.feed(data):
                if head >> 4 == wire.CONNACK:
                    return body
