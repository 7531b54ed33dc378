"""What the map shows of a sensor, as kept in Redis."""

from __future__ import annotations

import msgspec

#: A flagged reading counts among the newest while the last one is not this much younger.
FLAGGED_MS = 60_000


class Latest(msgspec.Struct, frozen=True):
    """The last measured reading of a sensor. `ts` measured, `rx` received by the bridge, `at` cached (ms)."""

    site: str
    sensor: str
    ts: int
    rx: int
    at: int
    metrics: dict[str, float]


def status(now: int, last_ts: int | None, flagged_ts: int | None, in_alert: bool, silent_after_ms: int) -> str:
    """`alert`, `flagged`, `silent` or `ok`; a sensor never heard is silent.

    Flagged: a reading was that is among the sensor's newest, so one that is heard once an hour stays so for an hour.
    """
    if in_alert:
        return "alert"
    if last_ts is None or now - last_ts > silent_after_ms:
        return "silent"
    if flagged_ts is not None and last_ts - flagged_ts < FLAGGED_MS:
        return "flagged"
    return "ok"
