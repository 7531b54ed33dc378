"""The ledger: what arrived and what became of it, per minute of arrival (pure)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

#: One row per minute of arrival: (minute in ms, received, stored, dead-lettered, duplicate, late), from `%s` (seconds).
QUERY = """
SELECT (extract(epoch FROM minute) * 1000)::bigint, received, stored, dead_lettered, duplicate, late
FROM ledger WHERE minute >= to_timestamp(%s)"""

#: A reading may be this long on its way to Postgres before its minute is judged.
SETTLE_MS = 2 * 60 * 1000


@dataclass(frozen=True)
class Minute:
    """Counts of one minute of arrival. `minute`: its start, ms since the epoch. The late ones are among the stored."""

    minute: int
    received: int
    stored: int
    dead_lettered: int
    duplicate: int
    late: int = 0

    @property
    def settled_at(self) -> int:
        """From when on (ms) a difference is a difference, and not a reading on its way."""
        return self.minute + 60_000 + SETTLE_MS

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


def merge(received: Mapping[int, int], rows: Iterable[tuple[int, ...]]) -> list[Minute]:
    """Join the bridge's live counts with the rows of `QUERY`, by minute.

    The table holds a copy of the bridge's counts for the time when Redis has forgotten them: the larger one holds.
    """
    known = {minute: counts for minute, *counts in rows}
    found = []
    for minute in sorted(received.keys() | known.keys()):
        kept, *accounted = known.get(minute, (0, 0, 0, 0))
        found.append(Minute(minute, max(kept, received.get(minute, 0)), *accounted))
    return found


def missing(minutes: Iterable[Minute], now: int) -> list[Minute]:
    """The settled minutes with a difference, oldest first."""
    return [one for one in minutes if one.missing and one.settled_at <= now]


def totals(minutes: Iterable[Minute], now: int) -> Totals:
    """Add up minutes, telling what is missing from what may still be on its way at `now` (ms)."""
    received = stored = dead = duplicate = gone = pending = 0
    for one in minutes:
        received += one.received
        stored += one.stored
        dead += one.dead_lettered
        duplicate += one.duplicate
        if one.settled_at <= now:
            gone += one.missing
        else:
            pending += one.missing
    return Totals(received, stored, dead, duplicate, gone, pending)
