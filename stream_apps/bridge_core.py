"""What becomes of MQTT messages (pure): frames of readings, sensor events, dead letters."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from stream_apps.ack import Token
from stream_apps.decoders import RefusedAsking, Registry
from stream_apps.limits import Limits
from weir import topics
from weir.errors import Reason, Refused
from weir.events import DeadLetter
from weir.readings import Reading, SensorEvent, check_name, encode, encode_frame, parse_birth, parse_data

#: A frame is closed when it holds this much, so that a record stays below Kafka's 1 MB.
MAX_FRAME_READINGS = 1000
MAX_FRAME_PAYLOAD = 300_000
_OWN = f"{topics.MQTT_ROOT}/"
STATES = {b"online": "online", b"lost": "lost"}


class Message(NamedTuple):
    """One MQTT message as it came in. `rx` in ms; `token` is None for QoS 0, which nobody acknowledges."""

    topic: str
    payload: bytes
    rx: int
    token: Token | None


@dataclass
class Record:
    """One record for Kafka, the messages it settles, and what to add to `received` once Kafka has it.

    A `value` of None is a tombstone: compaction forgets the key.
    `received` is per minute of arrival (ms): readings, or 1 for a refused message. `measured`: when its newest live
    reading was measured (ms), 0 where there is none.
    """

    topic: str
    partition: int
    value: bytes | None
    key: bytes | None = None
    tokens: list[Token] = field(default_factory=list)
    received: dict[int, int] = field(default_factory=dict)
    measured: int = 0


@dataclass
class Routed:
    """What a batch of messages has become.

    `parts`: how many records a message has made, where it is more than one; `empty`: messages that were valid and
    made none; `requests`: what to publish in answer (topic, payload).
    """

    records: list[Record] = field(default_factory=list)
    parts: dict[Token, int] = field(default_factory=dict)
    empty: list[Token] = field(default_factory=list)
    requests: list[tuple[str, bytes]] = field(default_factory=list)

    def count(self, tokens: list[Token]) -> None:
        """Find the parts of these messages."""
        counts = dict.fromkeys(tokens, 0)
        for record in self.records:
            for token in record.tokens:
                if token in counts:
                    counts[token] += 1
        self.parts = {token: count for token, count in counts.items() if count > 1}
        self.empty = [token for token, count in counts.items() if not count]


class _Frame:
    def __init__(self) -> None:
        self.readings: list[Reading] = []
        self.tokens: list[Token] = []
        self.size = 0


class Router:
    """Turns batches of messages into records. Readings of one sensor stay in order, in one partition."""

    def __init__(self, partitions: int, limits: Limits | None = None, registry: Registry | None = None) -> None:
        self._partitions = partitions
        self._limits = limits
        self._registry = registry
        self._of_sensor: dict[str, int] = {}
        self.refused: dict[Reason, int] = {}

    def route(self, messages: Iterable[Message]) -> Routed:
        """Every message in Weir's own format ends in exactly one record; others may make several, or none."""
        frames: dict[int, _Frame] = {}
        routed = Routed()
        records = routed.records
        foreign: list[Token] = []
        for message in messages:
            if self._registry is not None and not message.topic.startswith(_OWN):
                self._foreign(message, frames, routed, self._registry)
                foreign += _tokens(message)
                continue
            try:
                site, sensor, leaf = _split(message.topic)
                if leaf != "data":
                    records.append(self._sensor_event(message, site, sensor, leaf))
                    continue
                readings = parse_data(site, sensor, message.payload, message.rx)
                if self._limits is not None:
                    self._limits.admit(site, sensor, readings)
            except Refused as refusal:
                records.append(self._dead_letter(message, refusal))
                continue
            if readings:
                self._add(frames, records, self.partition(sensor), message, readings)
            else:
                records.append(self._dead_letter(message, Refused(Reason.SHAPE, "an empty array")))
        records.extend(_close(partition, frame) for partition, frame in frames.items())
        if foreign:
            routed.count(foreign)
        return routed

    def partition(self, sensor: str) -> int:
        """The partition of a sensor, remembered (murmur2 in Python costs several microseconds)."""
        known = self._of_sensor.get(sensor)
        if known is None:
            known = topics.partition_of(sensor, self._partitions)
            if len(self._of_sensor) < 200_000:
                self._of_sensor[sensor] = known
        return known

    def _add(
        self,
        frames: dict[int, _Frame],
        records: list[Record],
        partition: int,
        message: Message,
        readings: list[Reading],
    ) -> None:
        frame = frames.get(partition)
        if frame is None:
            frame = frames[partition] = _Frame()
        frame.readings.extend(readings)
        frame.size += len(message.payload)
        if message.token is not None and frame.tokens[-1:] != [message.token]:
            frame.tokens.append(message.token)
        if frame.size >= MAX_FRAME_PAYLOAD or len(frame.readings) >= MAX_FRAME_READINGS:
            records.append(_close(partition, frames.pop(partition)))

    def _foreign(self, message: Message, frames: dict[int, _Frame], routed: Routed, registry: Registry) -> None:
        """A message in another format: what the decoder of its topic makes of it."""
        try:
            decoded = registry.decode(message.topic, message.payload, message.rx)
            # Births and states first, and whatever becomes of the readings: the decoder tells them only once.
            for site, sensor, birth in decoded.births:
                event = SensorEvent(site, sensor, message.rx, birth=birth)
                routed.records.append(self._event(event, "birth", message))
            for site, sensor, state in decoded.states:
                event = SensorEvent(site, sensor, message.rx, state=state)
                routed.records.append(self._event(event, "state", message))
            routed.requests += decoded.requests
            by_sensor: dict[tuple[str, str], list[Reading]] = {}
            for reading in decoded.readings:
                by_sensor.setdefault((reading.site, reading.sensor), []).append(reading)
            if self._limits is not None:
                for (site, sensor), readings in by_sensor.items():
                    self._limits.admit(site, sensor, readings)
            for (_, sensor), readings in by_sensor.items():
                self._add(frames, routed.records, self.partition(sensor), message, readings)
        except Refused as refusal:
            if isinstance(refusal, RefusedAsking):
                routed.requests += refusal.requests
            routed.records.append(self._dead_letter(message, refusal))

    def _sensor_event(self, message: Message, site: str, sensor: str, leaf: str) -> Record:
        check_name(site)
        check_name(sensor)
        if not message.payload:  # MQTT's own way to remove a retained message: the sensor is retired
            if leaf == "birth" and self._registry is not None:
                self._registry.births.forget(site, sensor)
            key = f"{site}/{sensor}/{leaf}".encode()
            return Record(topics.SENSORS, self.partition(sensor), None, key=key, tokens=_tokens(message))
        if leaf == "birth":
            birth = parse_birth(message.payload)
            if self._registry is not None:
                birth = self._registry.births.merged(topics.MQTT_ROOT, site, sensor, birth)
            event = SensorEvent(site, sensor, message.rx, birth=birth)
        elif message.payload in STATES:
            event = SensorEvent(site, sensor, message.rx, state=STATES[message.payload])
        else:
            raise Refused(Reason.SHAPE, "a state is `online` or `lost`")
        return self._event(event, leaf, message)

    def _event(self, event: SensorEvent, leaf: str, message: Message) -> Record:
        key = f"{event.site}/{event.sensor}/{leaf}".encode()
        return Record(topics.SENSORS, self.partition(event.sensor), encode(event), key=key, tokens=_tokens(message))

    def _dead_letter(self, message: Message, refusal: Refused) -> Record:
        self.refused[refusal.reason] = self.refused.get(refusal.reason, 0) + 1
        letter = DeadLetter.of(
            id=_letter_id(message),
            source=message.topic,
            reason=refusal.reason,
            detail=refusal.detail,
            at=message.rx,
            payload=message.payload,
        )
        key = message.topic.encode(errors="replace")
        return Record(
            topics.DEAD_LETTERS,
            topics.partition_of(message.topic, self._partitions),
            encode(letter),
            key=key,
            tokens=_tokens(message),
            received={minute(message.rx): 1},
        )


def minute(at: int) -> int:
    """The start of the minute of `at`, in ms."""
    return at - at % 60_000


def _split(topic: str) -> tuple[str, str, str]:
    parts = topic.split("/")
    if len(parts) != 4 or parts[0] != topics.MQTT_ROOT or parts[3] not in ("data", "birth", "state"):
        raise Refused(Reason.TOPIC, "not weir/<site>/<sensor>/data, birth or state")
    return parts[1], parts[2], parts[3]


def _close(partition: int, frame: _Frame) -> Record:
    received: dict[int, int] = {}
    for reading in frame.readings:
        at = reading.rx - reading.rx % 60_000
        received[at] = received.get(at, 0) + 1
    measured = max((reading.ts for reading in frame.readings if not reading.hist), default=0)
    value = encode_frame(frame.readings)
    return Record(topics.READINGS, partition, value, tokens=frame.tokens, received=received, measured=measured)


def _tokens(message: Message) -> list[Token]:
    return [] if message.token is None else [message.token]


def _letter_id(message: Message) -> str:
    head = f"{message.topic}\0{message.rx}\0{message.token}\0".encode(errors="replace")
    return hashlib.sha256(head + message.payload).hexdigest()[:32]
