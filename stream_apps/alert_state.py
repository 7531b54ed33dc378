"""A book of alerts and the offsets it stands for, as bytes (pure)."""

from __future__ import annotations

import msgspec

from stream_apps.book import Book, Held
from stream_apps.conditions import Cause, Sensor, Series
from weir.events import Alert

VERSION = 1


class Saved(msgspec.Struct, frozen=True):
    """`offsets`: "<topic>/<partition>" -> the next offset to read. Tables are lists, as their keys are tuples."""

    version: int
    offsets: dict[str, int]
    series: list[tuple[Cause, Series]]
    sensors: list[tuple[tuple[str, str], Sensor]]
    held: list[tuple[Cause, Held]]
    alerts: list[Alert]
    members: list[tuple[Cause, str]]
    shelves: list[tuple[Cause, int]]
    openings: list[tuple[int, Cause]]
    applied: list[str]


_decoder = msgspec.msgpack.Decoder(Saved)
_encoder = msgspec.msgpack.Encoder()


def dump(book: Book, offsets: dict[str, int]) -> bytes:
    """The reverse of `load`."""
    return _encoder.encode(
        Saved(
            VERSION,
            offsets,
            list(book.series.items()),
            list(book.sensors.items()),
            list(book.held.items()),
            list(book.alerts.values()),
            list(book.members.items()),
            list(book.shelves.items()),
            book.openings,
            list(book.applied),
        )
    )


def load(data: bytes) -> tuple[Book, dict[str, int]]:
    """The book and the offsets it stands for. Raises `ValueError` if `data` was not made by this version."""
    try:
        saved = _decoder.decode(data)
    except msgspec.DecodeError as error:
        raise ValueError(str(error)) from error
    if saved.version != VERSION:
        raise ValueError(f"version {saved.version}")
    book = Book(
        dict(saved.series),
        dict(saved.sensors),
        dict(saved.held),
        {alert.id: alert for alert in saved.alerts},
        dict(saved.members),
        dict(saved.shelves),
        saved.openings,
        dict.fromkeys(saved.applied),
    )
    return book, saved.offsets
