"""What the alert worker remembers (pure)."""

from __future__ import annotations

from dataclasses import dataclass, field

from stream_apps.conditions import Cause, Sensor, Series
from weir.events import Alert

#: Closed alerts that can still be commented on, and applied commands remembered against repetition.
CLOSED = 1000
COMMANDS = 5000
#: The site of what concerns all sites.
EVERYWHERE = "*"


@dataclass
class Held:
    """A condition that is not part of an alert yet. `opened`: time of its cause, `at`: when it was noticed."""

    opened: int
    at: int
    severity: str
    text: str


@dataclass
class Book:
    """Everything an alert process remembers; `alert_state` turns it into bytes."""

    series: dict[Cause, Series] = field(default_factory=dict)
    sensors: dict[tuple[str, str], Sensor] = field(default_factory=dict)
    held: dict[Cause, Held] = field(default_factory=dict)
    alerts: dict[str, Alert] = field(default_factory=dict)
    members: dict[Cause, str] = field(default_factory=dict)
    shelves: dict[Cause, int] = field(default_factory=dict)
    openings: list[tuple[int, Cause]] = field(default_factory=list)
    applied: dict[str, None] = field(default_factory=dict)


def cause_of(alert: Alert) -> Cause:
    """What an alert is about."""
    return Cause(alert.site, alert.sensor, alert.metric, alert.rule)
