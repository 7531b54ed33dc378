"""Start reading where a snapshot says, not where the consumer group has committed.

Faust seeks to the committed offsets at the end of every rebalance, after all its signals: a seek made in a handler
is overwritten. So the consumer's own `seek_to_committed` asks for the positions.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping

from faust.types import TP

from stream_apps.faust_base import Consumer

log = logging.getLogger("weir.seek")

#: Given the first and the end offset of each assigned partition, where to start; partitions left out start
#: where the group has committed.
Positions = Callable[[Mapping[TP, tuple[int, int]]], Awaitable[dict[TP, int]]]


def seeking_consumer(positions: Positions, wait_ms: int = Consumer.fetch_wait_ms) -> type[Consumer]:
    """A consumer class that starts every assignment where `positions` says; `wait_ms` is its `fetch_wait_ms`."""

    class SeekingConsumer(Consumer):
        fetch_wait_ms = wait_ms

        async def seek_to_committed(self) -> Mapping[TP, int]:
            offsets = {TP(*tp): offset for tp, offset in (await super().seek_to_committed()).items()}
            assigned = [TP(*tp) for tp in self.assignment()]
            first = {TP(*tp): offset for tp, offset in (await self.earliest_offsets(*assigned)).items()}
            end = {TP(*tp): offset for tp, offset in (await self.highwaters(*assigned)).items()}
            wanted = await positions({tp: (first[tp], end[tp]) for tp in assigned})
            if wanted:
                await self.seek_wait(wanted)
            offsets.update(wanted)
            return offsets

    return SeekingConsumer
