"""How often something may be tried (pure: time is an argument)."""

from __future__ import annotations

from collections import OrderedDict


class Limiter:
    """A bucket of `burst` tries for each key, refilled by `rate` tries a second. Not safe among threads.

    At most `most` keys are remembered; the one used longest ago is forgotten first.
    """

    def __init__(self, rate: float, burst: float, most: int = 10_000) -> None:
        self._rate, self._burst, self._most = rate, burst, most
        self._held: OrderedDict[str, tuple[float, float]] = OrderedDict()  # key -> (tries left, as of when)

    def wait(self, key: str, now: float) -> float:
        """Seconds until the next try is allowed: 0 if it is now. Takes nothing."""
        return max(0.0, (1.0 - self._left(key, now)) / self._rate)

    def take(self, key: str, now: float, cost: float = 1.0) -> float:
        """As `wait`, and if a try is allowed it is taken. One that counts for more than `burst` empties the bucket."""
        left, cost = self._left(key, now), min(cost, self._burst)
        if left < cost:
            return (cost - left) / self._rate
        self._held[key] = (left - cost, now)
        self._held.move_to_end(key)
        while len(self._held) > self._most:
            self._held.popitem(last=False)
        return 0.0

    def forgive(self, key: str) -> None:
        """The bucket is full again."""
        self._held.pop(key, None)

    def __len__(self) -> int:
        return len(self._held)

    def _left(self, key: str, now: float) -> float:
        left, then = self._held.get(key, (self._burst, now))
        return min(self._burst, left + max(0.0, now - then) * self._rate)
