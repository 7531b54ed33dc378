"""As much of MQTT 5 as the bridge and the load generator need, to and from bytes (pure).

paho costs about 60 us a message, mostly locks, objects for properties that are not there, and one packet at a time;
here it costs a few. Section numbers are of the MQTT 5.0 specification (OASIS, 2019).
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

CONNACK, PUBLISH, PUBACK, SUBACK, PINGRESP, DISCONNECT = 2, 3, 4, 9, 13, 14
PINGREQ = b"\xc0\x00"
GOODBYE = b"\xe0\x00"
_DUP = 0x08
_SESSION_EXPIRY, _RECEIVE_MAXIMUM = 0x11, 0x21
#: How many bytes a property's value has (section 2.2.2.2); None: a string with its length before it; 0: two of them.
_SIZES = {
    0x11: 4, 0x12: None, 0x13: 2, 0x15: None, 0x16: None, 0x1A: None, 0x1C: None, 0x1F: None, 0x21: 2, 0x22: 2,
    0x24: 1, 0x25: 1, 0x26: 0, 0x27: 4, 0x28: 1, 0x29: 1, 0x2A: 1,
}  # fmt: skip


class ProtocolError(Exception):
    """The other side does not speak MQTT 5, or refuses us."""


@lru_cache(maxsize=4096)
def varint(value: int) -> bytes:
    """A variable byte integer (section 1.5.5)."""
    out = bytearray()
    while True:
        value, byte = divmod(value, 128)
        out.append(byte | 0x80 if value else byte)
        if not value:
            return bytes(out)


def text(value: str) -> bytes:
    """A string with its length before it (section 1.5.4)."""
    data = value.encode()
    return len(data).to_bytes(2, "big") + data


def connect(client_id: str, user: str, password: str, expiry_s: int, keepalive_s: int, receive: int = 65_535) -> bytes:
    """A CONNECT that takes up the session of `client_id` where there is one. Holds a secret.

    `receive`: how many messages the broker may send before it has a PUBACK.
    """
    flags = (0x80 | 0x40) if user else 0
    properties = bytes([_SESSION_EXPIRY]) + expiry_s.to_bytes(4, "big")
    properties += bytes([_RECEIVE_MAXIMUM]) + receive.to_bytes(2, "big")
    body = text("MQTT") + bytes([5, flags]) + keepalive_s.to_bytes(2, "big") + varint(len(properties)) + properties
    body += text(client_id) + (text(user) + text(password) if user else b"")
    return b"\x10" + varint(len(body)) + body


def publish(topic: bytes, mid: int, payload: bytes, retain: bool = False) -> bytes:
    """A PUBLISH at QoS 1. `topic` is already `text(...)`; `mid` 1 to 65535."""
    return b"".join(
        (
            b"\x33" if retain else b"\x32",
            varint(len(topic) + 3 + len(payload)),
            topic,
            mid.to_bytes(2, "big"),
            b"\0",
            payload,
        )
    )


def puback(mids: Iterable[int]) -> bytes:
    """A PUBACK for each message id, in order."""
    return b"".join(b"\x40\x02" + mid.to_bytes(2, "big") for mid in mids)


def subscribe(mid: int, filters: Iterable[tuple[str, int]]) -> bytes:
    """A SUBSCRIBE to (filter, QoS) pairs; retained messages come with a new subscription only (section 3.8.3.1)."""
    body = mid.to_bytes(2, "big") + b"\0" + b"".join(text(one) + bytes([0x10 | qos]) for one, qos in filters)
    return b"\x82" + varint(len(body)) + body


def tell(topic: str, payload: bytes) -> bytes:
    """A PUBLISH at QoS 0."""
    body = text(topic) + b"\0" + payload
    return b"\x30" + varint(len(body)) + body


def received(flags: int, body: bytes) -> tuple[bytes, int, bytes]:
    """(topic, message id, payload) of a PUBLISH; the id is 0 at QoS 0. Raises `ProtocolError`."""
    at = 2 + (body[0] << 8 | body[1]) if len(body) > 1 else len(body) + 1
    topic, mid = body[2:at], 0
    if flags & 0x06:
        mid = int.from_bytes(body[at : at + 2], "big")
        at += 2
    size, start = _length(body, at)
    if not start or start + size > len(body):
        raise ProtocolError("a PUBLISH that is too short")
    return topic, mid, body[start + size :]


def again(packet: bytes) -> bytes:
    """The same PUBLISH, marked as sent before (section 3.3.1.1)."""
    return bytes([packet[0] | _DUP]) + packet[1:]


def receive_maximum(connack: bytes) -> int:
    """How many PUBLISH packets may be unacknowledged. `connack`: the packet's body. Raises `ProtocolError`."""
    if len(connack) < 3:
        raise ProtocolError("a CONNACK that is too short")
    if connack[1]:
        raise ProtocolError(f"the broker refuses the connection: reason 0x{connack[1]:02x}")
    at = 3  # after the flags, the reason and the properties' length, which is one byte here
    end = min(len(connack), at + connack[2])
    while at < end:
        name = connack[at]
        if name not in _SIZES:
            raise ProtocolError(f"a property 0x{name:02x} that MQTT 5 does not know")
        if name == _RECEIVE_MAXIMUM:
            return int.from_bytes(connack[at + 1 : at + 3], "big")
        at += 1 + _size(connack, at + 1, _SIZES[name])
    return 65_535


def _size(data: bytes, at: int, size: int | None) -> int:
    if size:
        return size
    one = 2 + int.from_bytes(data[at : at + 2], "big")
    return one if size is None else one + 2 + int.from_bytes(data[at + one : at + one + 2], "big")


class Parser:
    """Cuts a stream of bytes into packets: (first byte, body); the type is the first byte's upper half."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """The packets that `data` completes. Raises `ProtocolError`."""
        data = self._rest + data
        packets = []
        at, end = 0, len(data)
        while at + 2 <= end:
            length, start = _length(data, at + 1)
            if not start or start + length > end:
                break
            packets.append((data[at], data[start : start + length]))
            at = start + length
        self._rest = data[at:]
        return packets


def _length(data: bytes, at: int) -> tuple[int, int]:
    """A variable byte integer at `at` and where it ends; (0, 0) while it is incomplete."""
    value = 0
    for i in range(4):
        if at + i >= len(data):
            return 0, 0
        value |= (data[at + i] & 0x7F) << (7 * i)
        if data[at + i] < 0x80:
            return value, at + i + 1
    raise ProtocolError("a packet's length has more than 4 bytes")
