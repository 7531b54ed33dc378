"""The dead letter of a Kafka record that a worker could not use."""

from __future__ import annotations

import time
from typing import Any

from weir.errors import Refused
from weir.events import DeadLetter
from weir.readings import encode


def letter_of(message: Any, refusal: Refused) -> bytes:
    """The record for `dead-letters`; the same record refused again has the same id."""
    return encode(
        DeadLetter.of(
            id=f"{message.topic}-{message.partition}-{message.offset}",
            source=message.topic,
            reason=refusal.reason,
            detail=refusal.detail,
            at=time.time_ns() // 1_000_000,
            payload=message.value or b"",
        )
    )
