"""How far a query has come, read from its progress (pure)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from spark_jobs.lateness import SLACK_MS


@dataclass(frozen=True)
class Reach:
    """What a query has certainly dealt with. `watermark`: event time below which it drops readings (ms).
    `received`: it has processed all records that were in Kafka at this time (ms)."""

    watermark: int = 0
    received: int = 0

    def after(self, progress: Mapping[str, Any]) -> Reach:
        """The reach once the batch of `progress` (`StreamingQuery.lastProgress` as a dictionary) is complete."""
        watermark = _ms((progress.get("eventTime") or {}).get("watermark"))
        received = _ms(progress.get("timestamp")) if _caught_up(progress) else 0
        return Reach(max(self.watermark, watermark), max(self.received, received))

    def idle(self, since: int) -> Reach:
        """The reach of a query that had found nothing new in Kafka at `since` (ms)."""
        return Reach(self.watermark, max(self.received, since))

    def on_time_until(self, horizon: int) -> int:
        """Event time (ms) up to which every reading that is on time (`lateness.on_time`) has been processed.

        A reading not yet processed came to Kafka after `received`, so if it is on time it was received after
        `received - SLACK_MS`, and is at most `horizon` old.
        """
        return max(0, self.received - SLACK_MS - horizon)

    def closed_until(self, horizon: int) -> int:
        """Event time (ms) up to which the rollup writes no bucket any more (`repair` gives the argument)."""
        return max(self.watermark, self.on_time_until(horizon))


def _ms(text: str | None) -> int:
    """Milliseconds of a time as Spark writes it, `2026-11-23T21:00:00.000Z`."""
    if not text:
        return 0
    return max(0, int(datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone(UTC).timestamp() * 1000))


def _caught_up(progress: Mapping[str, Any]) -> bool:
    sources = progress.get("sources") or []
    return bool(sources) and all(
        source.get("latestOffset") is not None and _json(source.get("endOffset")) == _json(source["latestOffset"])
        for source in sources
    )


def _json(value: Any) -> Any:
    return json.loads(value) if isinstance(value, str) else value
