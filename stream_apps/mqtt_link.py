"""One MQTT 5 connection of the bridge in the event loop: packets to and from bytes, keep-alive, back-pressure."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from typing import Protocol

from weir import wire

log = logging.getLogger("weir.bridge")

GOODBYE_S = 2.0
_SUBSCRIBE = 1


class Receiver(Protocol):
    """Whom a link tells."""

    def accepted(self, resumed: bool) -> None: ...

    def take(self, messages: list[tuple[bytes, int, bytes]]) -> None: ...


class Link(asyncio.Protocol):
    """From the TCP connection to its end; `ended` waits for that and says why."""

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self._parser = wire.Parser()
        self._why = ""
        self._paused = False
        self._heard = True
        self._keepalive_s = 60.0
        self._lost = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - asyncio promises it for TCP
        self._transport = transport

    def connect(self, client_id: str, user: str, password: str, expiry_s: int, keepalive_s: int, receive: int) -> None:
        """Introduce ourselves, and take up the session."""
        self._keepalive_s = keepalive_s
        self._transport.write(wire.connect(client_id, user, password, expiry_s, keepalive_s, receive))

    def subscribe(self, filters: Iterable[tuple[str, int]]) -> None:
        """(filter, QoS) pairs."""
        self._transport.write(wire.subscribe(_SUBSCRIBE, filters))

    def acknowledge(self, mids: Iterable[int]) -> None:
        """PUBACKs, in this order."""
        self._transport.write(wire.puback(mids))

    def tell(self, topic: str, payload: bytes) -> None:
        """Publish at QoS 0."""
        self._transport.write(wire.tell(topic, payload))

    async def goodbye(self) -> None:
        """Disconnect in order: the broker closes the connection once it has read all that was acknowledged."""
        self._transport.write(wire.GOODBYE)
        self.resume()  # or we would not see the end
        await asyncio.wait({self._lost}, timeout=GOODBYE_S)
        self._transport.abort()

    def pause(self) -> None:
        """Read nothing: the broker waits."""
        if not self._paused and not self._transport.is_closing():
            self._paused = True
            self._transport.pause_reading()

    def resume(self) -> None:
        """Go on reading."""
        if self._paused and not self._transport.is_closing():
            self._paused = False
            self._transport.resume_reading()

    async def ended(self) -> str:
        """Keep the connection until it ends; returns why it did."""
        while not self._lost.done():
            self._heard = self._paused
            await asyncio.wait({self._lost}, timeout=self._keepalive_s / 2)
            if self._lost.done():
                break
            if not self._heard and not self._paused:
                self._end("the broker says nothing any more")
            self._transport.write(wire.PINGREQ)
        return self._why or str(self._lost.result() or "closed")

    def data_received(self, data: bytes) -> None:
        self._heard = True
        messages = []
        try:
            for head, body in self._parser.feed(data):
                if head >> 4 == wire.PUBLISH:
                    messages.append(wire.received(head, body))
                else:
                    self._other(head >> 4, body)
        except wire.ProtocolError as error:
            self._end(str(error))
        if messages:
            self._receiver.take(messages)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._lost.done():
            self._lost.set_result(exc)

    def _other(self, kind: int, body: bytes) -> None:
        if kind == wire.CONNACK:
            try:
                wire.receive_maximum(body)
            except wire.ProtocolError as error:
                log.error("Mosquitto refuses the bridge (%s): check WEIR_MQTT_USER and its password", error)
                raise
            self._receiver.accepted(bool(body[0] & 1))
        elif kind == wire.SUBACK and any(code >= 0x80 for code in body[3 + body[2] :]):
            log.error("Mosquitto refuses a subscription of the bridge: check its access list")
        elif kind == wire.DISCONNECT:
            self._end(f"the broker disconnects us: reason 0x{body[0] if body else 0:02x}")

    def _end(self, why: str) -> None:
        self._why = self._why or why
        self._transport.abort()
