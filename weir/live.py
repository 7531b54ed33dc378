"""What the map shows of a sensor, as kept in Redis."""

from __future__ import annotations

import msgspec


class Latest(msgspec.Struct, frozen=True):
    """The last measured reading of a sensor. `ts` measured, `rx` received by the bridge, `at` cached (ms)."""

    site: str
    sensor: str
    ts: int
    rx: int
    at: int
    metrics: dict[str, float]


def status(now: int, last_ts: int | None, flagged_ts: int | None, in_alert: bool, silent_after_ms: int) -> str:
    """`alert`, `flagged`, `silent` or `ok`, in that order of importance; a sensor never heard is silent."""
    if in_alert:
        return "alert"
    if last_ts is None or now - last_ts > silent_after_ms:
        return "silent"
    if flagged_ts is not None and now - flagged_ts < 10 * 60 * 1000:
        return "flagged"
    return "ok"
