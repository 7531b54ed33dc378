"""How late readings were at a stage, and what follows from how far a sensor has come (pure)."""

from __future__ import annotations

from array import array

import numpy as np

from edge.plan import Plan


class Delays:
    """Milliseconds, one for each reading seen."""

    def __init__(self) -> None:
        self._values = array("d")

    def add(self, delay: float) -> None:
        self._values.append(delay)

    def extend(self, delays: np.ndarray) -> None:
        self._values.frombytes(np.asarray(delays, dtype=np.float64).tobytes())

    def __len__(self) -> int:
        return len(self._values)

    def newest(self, count: int) -> np.ndarray:
        """The last `count` of them."""
        return np.array(self._values[-count:])

    def summary(self) -> dict[str, float] | None:
        """p50, p95, p99 and max in ms, and of how many; None when nothing was seen."""
        if not self._values:
            return None
        values = np.frombuffer(self._values, dtype=np.float64)
        p50, p95, p99 = np.percentile(values, [50, 95, 99])
        found = {"p50": p50, "p95": p95, "p99": p99, "max": values.max()}
        return {name: round(float(value), 1) for name, value in found.items()} | {"n": len(values)}


class Progress:
    """How far each watched sensor has come at a stage.

    When its newest reading is seen, all that were due before it have come too, and are as late as they are by then:
    so a stage that stands still for a second makes a second's readings late, not one.
    """

    def __init__(self, plan: Plan, sensors: list[int]) -> None:
        self.delays = Delays()
        self._times = {plan.names[sensor]: plan.times(sensor) for sensor in sensors}
        self._next = dict.fromkeys(self._times, 0)

    @property
    def sensors(self) -> list[str]:
        """Names of the watched sensors."""
        return list(self._times)

    def seen(self, sensor: str, ts: int, at: float) -> None:
        """The reading of time `ts` was the newest of a watched sensor at `at` (both ms)."""
        times, since = self._times[sensor], self._next[sensor]
        end = int(np.searchsorted(times, ts, side="right"))
        if end > since:
            self._next[sensor] = end
            self.delays.extend(at - times[since:end])

    def complete(self) -> bool:
        """Every reading of every watched sensor has come."""
        return all(self._next[name] == len(times) for name, times in self._times.items())

    def newest(self, sensor: str) -> int:
        """Time (ms) of the newest reading seen; before the first one 0."""
        count = self._next[sensor]
        return int(self._times[sensor][count - 1]) if count else 0
