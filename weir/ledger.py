"""The ledger: what arrived and what became of it, per minute of arrival (pure)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

#: A reading may be this long on its way to Postgres before its minute is judged.
SETTLE_MS = 2 * 60 * 1000


@dataclass(frozen=True)
class Minute:
    """Counts of one minute of arrival. `minute`: its start, ms since the epoch."""

    minute: int
    received: int
    stored: int
    dead_lettered: int
    duplicate: int

    @property
    def accounted(self) -> int:
        return self.stored + self.dead_lettered + self.duplicate

    @property
    def missing(self) -> int:
        """Received and not accounted for. Never negative: a bridge that dies may count too little, not too much."""
        return max(0, self.received - self.accounted)


@dataclass(frozen=True)
class Totals:
    """Sums over minutes; `missing` only over those older than `SETTLE_MS`, `pending` over the others."""

    received: int
    stored: int
    dead_lettered: int
    duplicate: int
    missing: int
    pending: int


def merge(received: dict[int, int], accounted: Iterable[tuple[int, int, int, int]]) -> list[Minute]:
    """Join the bridge's counts with the archive's `(minute, stored, dead_lettered, duplicate)`, by minute."""
    rows = {minute: (stored, dead, duplicate) for minute, stored, dead, duplicate in accounted}
    return [
        Minute(minute, received.get(minute, 0), *rows.get(minute, (0, 0, 0)))
        for minute in sorted(received.keys() | rows.keys())
    ]


def totals(minutes: Iterable[Minute], now: int) -> Totals:
    """Add up minutes, telling what is missing from what may still be on its way at `now` (ms)."""
    received = stored = dead = duplicate = missing = pending = 0
    for one in minutes:
        received += one.received
        stored += one.stored
        dead += one.dead_lettered
        duplicate += one.duplicate
        if one.minute + 60_000 + SETTLE_MS <= now:
            missing += one.missing
        else:
            pending += one.missing
    return Totals(received, stored, dead, duplicate, missing, pending)
