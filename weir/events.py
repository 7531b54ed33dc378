"""Flags, alerts, commands and dead letters: the records of the other topics."""

from __future__ import annotations

import base64
import hashlib
from enum import StrEnum

import msgspec


class Flag(msgspec.Struct, frozen=True):
    """A record of `anomalies`: one reading that was flagged, and why.

    `ts` is the reading's time, `at` when it was judged (ms). `score` is the distance beyond the
    fence in units of the IQR. `low`/`high` is the fence, `window` how many values it was judged against,
    `nth` the number of the reading in its series and `feature` what left the fence: `level`, or `mean12`, `lstd12`,
    `lstd24`, `hour`, `step`, `jump` derived from it, or `flat` and `limit`, which are no fences (docs/detection.md).
    """

    site: str
    sensor: str
    metric: str
    ts: int
    value: float
    score: float
    q1: float
    q3: float
    low: float
    high: float
    window: int
    at: int
    nth: int = 0
    feature: str = "level"
    detector: str = "iqr"
    version: int = 2

    @property
    def id(self) -> str:
        return f"{self.site}/{self.sensor}/{self.metric}/{self.ts}"


class AlertState(StrEnum):
    ACTIVE = "active"
    CLEARED = "cleared"


class Alert(msgspec.Struct, frozen=True):
    """A record of `alerts`: the alert after one transition. Times in ms; `id` is deterministic.

    `rule`: `anomaly` (M of N readings of a series flagged), `silence` and `clock` (a sensor says nothing, or its clock
    is wrong; `metric` is empty), `forecast` (a limit will probably be crossed), `site` (most sensors of a site at once:
    one alert for all of them, `sensor` is empty); and with `*` for the site `flood` (more alerts than a person can
    read), `ledger` (readings that arrived are not accounted for) and `broker` (Mosquitto has dropped messages).
    `n` numbers the transitions of one alert from 1.
    """

    id: str
    site: str
    sensor: str
    metric: str
    rule: str
    severity: str
    state: AlertState
    acknowledged: bool
    opened: int
    at: int
    n: int
    text: str
    by: str = ""
    shelved_until: int = 0


def alert_id(site: str, sensor: str, metric: str, rule: str, opened: int) -> str:
    """The same cause at the same time has the same id, so that a replay opens no second alert."""
    return hashlib.sha256(f"{site}/{sensor}/{metric}/{rule}/{opened}".encode()).hexdigest()[:16]


class AlertCommand(msgspec.Struct, frozen=True):
    """A record of `alert-commands`. `verb`: `acknowledge`, `shelve` (until `until`, ms) or `comment`."""

    id: str
    verb: str
    by: str
    at: int
    text: str = ""
    until: int = 0


class DeadLetter(msgspec.Struct, frozen=True):
    """A record of `dead-letters`. `payload` is the original bytes in base64, `at` in ms.

    `id` is unique per refused message, so that a redelivered record is stored once.
    """

    id: str
    source: str
    reason: str
    detail: str
    at: int
    payload: str

    @classmethod
    def of(cls, *, id: str, source: str, reason: str, detail: str, at: int, payload: bytes) -> DeadLetter:
        return cls(id, source, reason, detail[:500], at, base64.b64encode(payload).decode())
