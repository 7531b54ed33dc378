"""What Faust is made to do differently."""

from __future__ import annotations

import asyncio
from typing import Any

from stream_apps.faust_base import Consumer, make_app
from stream_apps.seeking import seeking_consumer


async def positions(offsets: Any) -> dict[Any, int]:
    return {}


def test_a_fetch_does_not_wait_as_long_as_faust_would_let_it() -> None:
    async def waits(consumer: type[Consumer] | None) -> int:
        app = make_app("test", 6099, consumer)
        made: Any = app.consumer
        return made._thread._create_worker_consumer(app.transport)._fetch_max_wait_ms

    assert asyncio.run(waits(seeking_consumer(positions, 25))) == 25
    assert asyncio.run(waits(None)) == Consumer.fetch_wait_ms == 250
