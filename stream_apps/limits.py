"""How much one sensor may send (pure): a token bucket, filled by the time its own readings claim.

By claimed time, not time of arrival: after an outage a whole backlog arrives at once, and none of it is excess.
A device cannot claim its way around it for long, as readings more than 2 minutes ahead are refused.
Token bucket: https://www.rfc-editor.org/rfc/rfc2697 (the idea; one rate, one burst).
"""

from __future__ import annotations

from weir.errors import Reason, Refused
from weir.readings import Reading


class Limits:
    """At most `per_second` readings of one sensor, with bursts of `burst`; what is more is refused."""

    def __init__(self, per_second: float, burst: int, sensors: int = 200_000) -> None:
        self._per_ms = per_second / 1000
        self._burst = float(burst)
        self._sensors = sensors
        self._buckets: dict[tuple[str, str], tuple[float, int]] = {}

    def admit(self, site: str, sensor: str, readings: list[Reading]) -> None:
        """Take one token for every live reading. Raises `Refused` when they do not suffice; takes none then."""
        live = [reading.ts for reading in readings if not reading.hist]
        if not live:
            return
        newest = max(live)
        tokens, last = self._buckets.get((site, sensor), (self._burst, newest))
        if newest > last:
            tokens = min(self._burst, tokens + (newest - last) * self._per_ms)
            last = newest
        if len(live) > tokens:
            self._buckets[site, sensor] = (tokens, last)
            raise Refused(Reason.RATE, f"more than {self._per_ms * 1000:g} readings a second")
        if len(self._buckets) >= self._sensors and (site, sensor) not in self._buckets:
            self._buckets.pop(next(iter(self._buckets)))
        self._buckets[site, sensor] = (tokens - len(live), last)
