"""In which order MQTT messages may be acknowledged (pure).

MQTT 5 asks a client to send its PUBACKs in the order in which it received the messages (section 4.6).
Kafka finishes frames in any order. So only the longest finished prefix is acknowledged. Message ids start
anew with every connection: each has a generation, and what an older one received can no longer be acknowledged
(the broker will deliver it again).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import NamedTuple


class Token(NamedTuple):
    """Names one received message: its connection's generation and its place in the order of receipt."""

    generation: int
    place: int


class AckWindow:
    """The messages of one connection that were received and not acknowledged yet."""

    def __init__(self) -> None:
        self.generation = 0
        self._mids: deque[int] = deque()
        self._first = 0
        self._finished: set[int] = set()
        self._parts: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._mids)

    def reconnected(self, generation: int) -> None:
        """A new connection: forget what the old one received, it will be delivered again."""
        self.generation = generation
        self._mids.clear()
        self._finished.clear()
        self._parts.clear()
        self._first = 0

    def received(self, mid: int) -> Token:
        """Note a message just received, in the order of receipt."""
        token = Token(self.generation, self._first + len(self._mids))
        self._mids.append(mid)
        return token

    def split(self, token: Token, parts: int) -> None:
        """A message that makes several records is finished when all of them are."""
        if token.generation == self.generation and parts > 1:
            self._parts[token.place] = parts

    def finished(self, tokens: Iterable[Token]) -> list[int]:
        """Mark messages as safe in Kafka; return the message ids to acknowledge now, in order.

        Tokens of an older generation, and tokens already acknowledged, are ignored.
        """
        for generation, place in tokens:
            if generation == self.generation and place >= self._first:
                left = self._parts.get(place, 1) - 1
                if left:
                    self._parts[place] = left
                else:
                    self._parts.pop(place, None)
                    self._finished.add(place)
        mids: list[int] = []
        while self._mids and self._first in self._finished:
            self._finished.remove(self._first)
            mids.append(self._mids.popleft())
            self._first += 1
        return mids
