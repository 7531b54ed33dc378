"""What a batch did, added up for the ledger and for the repair (pure)."""

from __future__ import annotations

from dataclasses import dataclass, field

from spark_jobs.lateness import bucket_of, minute_of, on_time
from spark_jobs.records import Item, sane

Row = tuple[int, int]  # series id, ts in ms


@dataclass
class Tally:
    """Counts of one transaction. `done`: records below this offset were counted before.

    A replayed record counts nothing and marks nothing, for all of its rows are there. If rows of it were *not* there
    (Kafka was emptied and its offsets began anew), they are stored and counted like any others.
    """

    done: int
    stored: dict[int, int] = field(default_factory=dict)
    dead_lettered: dict[int, int] = field(default_factory=dict)
    duplicate: dict[int, int] = field(default_factory=dict)
    late: dict[int, int] = field(default_factory=dict)
    dirty: set[Row] = field(default_factory=set)
    #: New values that came late, by series and bucket.
    late_in: dict[Row, int] = field(default_factory=dict)

    def refused(self, offset: int, rx: int) -> None:
        """One reading or message was dead-lettered."""
        if offset >= self.done:
            _add(self.dead_lettered, rx)

    def repeated(self, offset: int, rx: int) -> None:
        """One reading or message was there already."""
        if offset >= self.done:
            _add(self.duplicate, rx)

    def reading(self, item: Item, rows: list[int], conflicts: set[int], horizon: int) -> None:
        """`rows`: series ids of the reading's values; `conflicts`: those that were there already.

        A reading is stored if at least one of its values is new. A conflict may have been counted twice by the
        rollup, and a late or back-filled reading was not counted at all: both make their buckets dirty.
        """
        rx = sane(item.reading.rx, item.record.at)
        bucket = bucket_of(item.reading.ts)
        fresh = len(conflicts) < len(rows)
        if fresh:
            _add(self.stored, rx)
        else:
            self.repeated(item.record.offset, rx)
        if fresh and not on_time(item.reading, item.record.at, horizon):
            if not item.reading.hist:
                _add(self.late, rx)
                for series in set(rows) - conflicts:
                    self.late_in[series, bucket] = self.late_in.get((series, bucket), 0) + 1
            self.dirty.update((series, bucket) for series in rows)
        elif conflicts and item.record.offset >= self.done:
            self.dirty.update((series, bucket) for series in conflicts)

    def ledger(self) -> list[tuple[int, int, int, int, int]]:
        """(minute in ms, stored, dead-lettered, duplicate, late), by minute; late ones are among the stored."""
        minutes = sorted(self.stored.keys() | self.dead_lettered.keys() | self.duplicate.keys())
        counts = (self.stored, self.dead_lettered, self.duplicate, self.late)
        return [(m, *(count.get(m, 0) for count in counts)) for m in minutes]  # type: ignore[misc]


def _add(counts: dict[int, int], rx: int) -> None:
    minute = minute_of(rx)
    counts[minute] = counts.get(minute, 0) + 1
