"""The few errors Weir raises on purpose.

WeirError
 ├── Refused       one message cannot be used; carries a Reason, ends as a dead letter
 └── SetupError    the machine or the settings are not right; the text says what to do
"""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """Why something was refused: the only values of a dead letter's `reason`."""

    TOPIC = "bad_topic"
    TOO_LARGE = "too_large"
    NOT_JSON = "not_json"
    SHAPE = "bad_shape"
    NAME = "bad_name"
    NOT_FINITE = "not_finite"
    TOO_MANY_METRICS = "too_many_metrics"
    TOO_MANY_READINGS = "too_many_readings"
    FUTURE = "future_timestamp"
    ANCIENT = "before_1970"
    LOCAL_TIME = "local_time_without_zone"
    UNIT = "wrong_unit"
    POSITION = "bad_position"
    RATE = "rate_exceeded"
    STORE = "store_refused"


class WeirError(Exception):
    """Base of every error Weir raises on purpose."""


class Refused(WeirError):
    """A message that cannot be used. `reason` is counted, `detail` is shown to people."""

    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else str(reason))
        self.reason = reason
        self.detail = detail


class SetupError(WeirError):
    """Something the user must mend; the message says what to do next, in one line."""
