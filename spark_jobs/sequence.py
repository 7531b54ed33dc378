"""Which readings never arrived, told from the publisher's own counter `seq` (pure).

A sensor's counter grows by one with each reading. A number that is passed over is a gap until it comes after all (a
backlog sent late). A device that restarts counts from a lower number, or jumps far ahead: nobody can tell then what
it lost between, so that is a new beginning and no gap.
"""

from __future__ import annotations

from dataclasses import dataclass, field

#: A jump longer than this is a new beginning.
MAX_JUMP = 100_000
#: Gaps kept open of one sensor; the oldest are closed for good (and stay counted) when there are more.
MAX_GAPS = 32


@dataclass
class Track:
    """How far one sensor's counter has come.

    `seq` and `ts` (ms) of the newest reading, `gaps` as [first, last] numbers that are missing, oldest first;
    `given_up`: readings missing in gaps that are no longer kept.
    """

    seq: int
    ts: int
    gaps: list[list[int]] = field(default_factory=list)
    given_up: int = 0

    @property
    def absent(self) -> int:
        """Readings that were published before newer ones and have not arrived."""
        return self.given_up + sum(last - first + 1 for first, last in self.gaps)

    def take(self, seq: int, ts: int) -> None:
        """Take the counter of one reading, in the order of arrival. A repeated reading changes nothing."""
        if self.seq < seq <= self.seq + MAX_JUMP:
            if seq > self.seq + 1:
                self._open(self.seq + 1, seq - 1)
            self.seq, self.ts = seq, max(self.ts, ts)
        elif not self._fill(seq) and ts > self.ts:
            self._begin_anew(seq, ts)

    def _open(self, first: int, last: int) -> None:
        self.gaps.append([first, last])
        if len(self.gaps) > MAX_GAPS:
            lost = self.gaps.pop(0)
            self.given_up += lost[1] - lost[0] + 1

    def _begin_anew(self, seq: int, ts: int) -> None:
        """What was missing of the old count stays missing: its numbers may come to mean other readings."""
        self.given_up, self.gaps = self.absent, []
        self.seq, self.ts = seq, ts

    def _fill(self, seq: int) -> bool:
        for i, (first, last) in enumerate(self.gaps):
            if first <= seq <= last:
                self.gaps[i : i + 1] = [gap for gap in ([first, seq - 1], [seq + 1, last]) if gap[0] <= gap[1]]
                return True
        return False
