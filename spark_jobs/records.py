"""Kafka records as the archive sees them, decoded at the border (pure)."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from spark_jobs.lateness import MAX_TS
from weir import topics
from weir.errors import Reason, Refused
from weir.events import Alert, DeadLetter, Flag
from weir.readings import MAX_AHEAD_MS, Reading, SensorEvent, check_name, decode_frame


@dataclass(frozen=True, slots=True)
class Record:
    """One Kafka record. `at`: its Kafka timestamp (ms). `value` is None for a tombstone."""

    offset: int
    at: int
    value: bytes | None


@dataclass(frozen=True, slots=True)
class Item:
    """One reading of a frame; `index` is its place in it."""

    record: Record
    index: int
    reading: Reading


@dataclass(frozen=True, slots=True)
class Letter:
    """Something the archive itself refuses. `rx`: the minute of arrival it is counted in, ms."""

    id: str
    source: str
    reason: str
    detail: str
    at: int
    payload: bytes
    offset: int
    rx: int


@dataclass(frozen=True)
class Place:
    """A partition of a topic."""

    topic: str
    partition: int

    def letter(self, record: Record, error: Exception, index: int | None = None, rx: int | None = None) -> Letter:
        """The same refusal has the same id, so that a replay stores it once."""
        refused = isinstance(error, Refused)
        return Letter(
            id=f"{self.topic}-{self.partition}-{record.offset}" + ("" if index is None else f"-{index}"),
            source=f"archive:{self.topic}",
            reason=error.reason if refused else Reason.STORE,  # type: ignore[attr-defined]
            detail=clean(error.detail if refused else str(error))[:500],  # type: ignore[attr-defined]
            at=record.at,
            payload=record.value or b"",
            offset=record.offset,
            rx=sane(rx, record.at),
        )


def clean(text: str) -> str:
    """Text that Postgres can hold: no NUL, no lone surrogates."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()


def sane(rx: int | None, instead: int) -> int:
    """`rx` if it is a time that the ledger can hold, else `instead`."""
    return rx if rx is not None and 0 <= rx <= MAX_TS else instead


def items_of(
    place: Place, records: list[Record], known: Callable[[tuple[str, str, str]], bool]
) -> tuple[list[Item], list[Letter]]:
    """The readings of the frames in order, and what cannot be used. `known` names were checked before."""
    items: list[Item] = []
    letters: list[Letter] = []
    for record in records:
        try:
            frame = decode_frame(record.value or b"")
        except Refused as error:
            letters.append(place.letter(record, error))
            continue
        for index, reading in enumerate(frame):
            try:
                _check(reading, record.at, known)
            except Refused as error:
                letters.append(place.letter(record, error, index, reading.rx))
            else:
                items.append(Item(record, index, reading))
    return items, letters


def _check(reading: Reading, at: int, known: Callable[[tuple[str, str, str]], bool]) -> None:
    """The bridge has checked it already; what came to Kafka by another way is met here. Raises `Refused`.

    `at`: when the record came to Kafka, ms.
    """
    if not reading.metrics:
        raise Refused(Reason.SHAPE, "no metrics")
    if not 0 <= reading.ts <= MAX_TS:
        raise Refused(Reason.ANCIENT if reading.ts < 0 else Reason.FUTURE, str(reading.ts)[:80])
    if reading.ts > at + MAX_AHEAD_MS:
        raise Refused(Reason.FUTURE, f"{reading.ts - at} ms ahead")
    for metric in reading.metrics:
        if not known((reading.site, reading.sensor, metric)):
            for name in (reading.site, reading.sensor, metric):
                check_name(name)


_flag = msgspec.json.Decoder(Flag)
_alert = msgspec.json.Decoder(Alert)
_letter = msgspec.json.Decoder(DeadLetter)
_event = msgspec.json.Decoder(SensorEvent)
_DECODERS: dict[str, msgspec.json.Decoder[Any]] = {
    topics.ANOMALIES: _flag,
    topics.ALERTS: _alert,
    topics.DEAD_LETTERS: _letter,
    topics.SENSORS: _event,
}


def decode(topic: str, data: bytes) -> Any:
    """The Flag, Alert, DeadLetter or SensorEvent in `data`. Raises `Refused`."""
    try:
        value = _DECODERS[topic].decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Refused(Reason.SHAPE, str(error)) from error
    if isinstance(value, Flag):
        check_name(value.metric)
    if isinstance(value, (Flag, SensorEvent)):  # an alert may be of a whole site: it names no sensor then
        check_name(value.site)
        check_name(value.sensor)
    return value


def payload_of(letter: DeadLetter) -> bytes:
    """The original bytes. Raises `Refused`."""
    try:
        return base64.b64decode(letter.payload, validate=True)
    except ValueError as error:
        raise Refused(Reason.SHAPE, f"payload: {error}") from error
