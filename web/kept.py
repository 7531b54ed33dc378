"""Remembers what was worked out for a moment, so that many open pages cost the server one answer."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

T = TypeVar("T")


class Kept(Generic[T]):
    """Values by key, each made anew when older than `seconds`; at most `most` of them. Safe among threads.

    While one thread makes values, the others wait for it. What `make` raises is not kept.
    """

    def __init__(self, seconds: float, most: int = 100, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds, self._most, self._clock = seconds, most, clock
        self._lock = threading.Lock()
        self._values: OrderedDict[Hashable, tuple[float, T]] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """The value of `key`, from memory if it is fresh."""
        with self._lock:
            held = self._values.get(key)
            if held is not None and self._clock() - held[0] < self._seconds:
                return held[1]
            made = make()
            self._values[key] = (self._clock(), made)
            self._values.move_to_end(key)
            while len(self._values) > self._most:
                self._values.popitem(last=False)
            return made
