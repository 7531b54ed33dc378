"""Which alerts people are told of, and when (pure): severity, a digest, a limit.

The first alert is told at once. What follows within `quiet_ms` is gathered into one message (a digest), so that a
storm is a handful of messages, and each names at most `lines` alerts and counts the others.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from weir.events import Alert, AlertState

SEVERITIES = ("info", "warning", "critical")


@dataclass(frozen=True)
class Message:
    """What is sent: a title, and a body with one line an alert."""

    title: str
    body: str


@dataclass
class Outbox:
    """Alerts that people are still to be told of. Times in ms.

    After a failure nothing is sent for `retry_ms`, doubled with each further one up to `retry_most_ms`.
    """

    severity: str = "warning"
    quiet_ms: int = 60_000
    lines: int = 20
    retry_ms: int = 5_000
    retry_most_ms: int = 60_000
    waiting: dict[str, Alert] = field(default_factory=dict)
    _next: int = 0
    _failures: int = 0

    def take(self, alert: Alert, now: int) -> None:
        """Take a transition. Openings and closings are told; an alert that closes before it was told needs no word."""
        if SEVERITIES.index(alert.severity) < SEVERITIES.index(self.severity) or alert.shelved_until > now:
            return
        if alert.state is AlertState.CLEARED and alert.id in self.waiting:
            del self.waiting[alert.id]
        elif alert.n == 1 or (alert.state is AlertState.CLEARED and not alert.by):
            self.waiting[alert.id] = alert

    def due(self, now: int) -> Message | None:
        """The message to send now, if there is one. Call `sent` or `failed` after it."""
        if not self.waiting or now < self._next:
            return None
        alerts = list(self.waiting.values())
        critical = sum(alert.severity == "critical" for alert in alerts)
        title = f"Weir: {len(alerts)} alerts" if len(alerts) > 1 else f"Weir: {_line(alerts[0])}"
        if critical and len(alerts) > 1:
            title += f", {critical} critical"
        body = [_line(alert) for alert in alerts[: self.lines]]
        if len(alerts) > self.lines:
            body.append(f"... and {len(alerts) - self.lines} more")
        return Message(title[:200], "\n".join(body))

    def sent(self, now: int) -> None:
        """Everything that waited is told."""
        self.waiting.clear()
        self._failures = 0
        self._next = now + self.quiet_ms

    def failed(self, now: int) -> None:
        """Nobody took the message: it is tried again."""
        self._next = now + min(self.retry_most_ms, self.retry_ms * 2**self._failures)
        self._failures += 1


def _line(alert: Alert) -> str:
    where = "/".join(part for part in (alert.site, alert.sensor) if part and part != "*")
    what = "cleared" if alert.state is AlertState.CLEARED else alert.severity
    return " ".join(part for part in (f"[{what}]", where, alert.metric, alert.text) if part)
