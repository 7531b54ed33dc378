"""Publishes a plan by the clock, in one process or in several: the shell around `plan` and `lean`."""

from __future__ import annotations

import threading
import time
from collections.abc import MutableSequence

from edge.lean import LeanPublisher
from edge.plan import ARRAY, TICK_MS, Plan
from weir.settings import Settings
from weir.topics import mqtt_topic
from weir.wire import text

#: Where a process tells how far it is: readings handed over and acknowledged, how late it ever was in ms, how often it
#: had to connect again, and when it had published all and waited for the acknowledgements (ms since the epoch).
PUBLISHED, ACKNOWLEDGED, LATE, RECONNECTS, DONE = FIELDS = range(5)
#: So long after the last tick a broker may still owe acknowledgements.
FLUSH_S = 300.0
IDLE_S = 5.0


def run(
    config: Settings, plan: Plan, part: int, parts: int, told: MutableSequence[int], settled: threading.Event
) -> None:
    """Publish this part of the plan, wait until all is acknowledged and `settled` is set, then retire the sensors."""
    publisher = LeanPublisher(config, f"weir-{plan.site}-{part}")
    try:
        publisher.publish(plan.back_fill(part, parts))
        publisher.flush(FLUSH_S)
        _publish(publisher, plan, part, parts, told)
        while not settled.wait(IDLE_S):
            publisher.idle()
        # Or thousands of sensors that have fallen silent would be an alert.
        publisher.publish(retirement(plan, part, parts), retain=True)
        publisher.flush(FLUSH_S)
    finally:
        publisher.close()


def _publish(publisher: LeanPublisher, plan: Plan, part: int, parts: int, told: MutableSequence[int]) -> None:
    weight = ARRAY if plan.payload == "array" else 1
    clock = time.monotonic() - time.time()
    published = 0
    for tick in range(plan.ticks):
        due = plan.start / 1000 + tick * TICK_MS / 1000 + clock
        publisher.pump(due)
        told[LATE] = max(told[LATE], int((time.monotonic() - due) * 1000))
        publisher.publish(plan.messages(tick, part, parts))
        published += plan.due_of(tick, part, parts)
        told[PUBLISHED], told[ACKNOWLEDGED] = published, max(0, published - publisher.waiting * weight)
    publisher.flush(FLUSH_S)
    told[ACKNOWLEDGED] = max(0, published - publisher.waiting * weight)
    told[RECONNECTS] = publisher.reconnects
    told[DONE] = int(time.time() * 1000)


def retirement(plan: Plan, part: int, parts: int) -> list[tuple[bytes, bytes]]:
    """What takes the sensors off the map: empty births."""
    return [(text(mqtt_topic(plan.site, name, "birth")), b"") for name in plan.names[part::parts]]
