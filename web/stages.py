"""How long readings are on their way, stage by stage, from what workers tell Prometheus (pure)."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass

_LINE = re.compile(r"(?P<name>[a-zA-Z_:][\w:]*)(?:\{(?P<labels>[^}]*)\})? (?P<value>\S+)")
_LE = re.compile(r'le="([^"]+)"')


@dataclass(frozen=True)
class Histogram:
    """Counts at or below each bound (s), ascending, the last bound infinite."""

    bounds: tuple[float, ...]
    counts: tuple[float, ...]

    def minus(self, before: Histogram) -> Histogram:
        """What came since `before`; all of it if the worker began anew."""
        if before.bounds != self.bounds or any(b > a for a, b in zip(self.counts, before.counts, strict=True)):
            return self
        return Histogram(self.bounds, tuple(a - b for a, b in zip(self.counts, before.counts, strict=True)))

    def quantile(self, share: float) -> float | None:
        """Linear within a bucket, as Prometheus does; the last finite bound for what lies beyond. None: nothing."""
        total = self.counts[-1] if self.counts else 0
        if not total:
            return None
        rank, low, below = share * total, 0.0, 0.0
        for bound, count in zip(self.bounds, self.counts, strict=True):
            if count >= rank:
                if math.isinf(bound) or count == below:
                    return low
                return low + (bound - low) * (rank - below) / (count - below)
            low, below = bound, count
        return low


def histogram(text: str, name: str) -> Histogram:
    """The histogram `name` in an answer of `/metrics`; its other labels are added up."""
    found: dict[float, float] = {}
    for labels, value in _values(text, f"{name}_bucket"):
        bound = _LE.search(labels)
        if bound:
            at = float(bound[1])
            found[at] = found.get(at, 0.0) + value
    bounds = sorted(found)
    return Histogram(tuple(bounds), tuple(found[at] for at in bounds))


def total(text: str, name: str) -> float | None:
    """The sum of a counter or gauge over its labels; None if it is not there."""
    values = [value for _, value in _values(text, name)]
    return sum(values) if values else None


def _values(text: str, name: str) -> Iterable[tuple[str, float]]:
    for line in text.splitlines():
        match = _LINE.match(line) if line.startswith(name) else None
        if match and match["name"] == name:
            yield match["labels"] or "", float(match["value"])
