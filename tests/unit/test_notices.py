"""Whom alerts are told, and how often."""

from msgspec.structs import replace

from stream_apps.notices import Outbox
from weir.events import Alert, AlertState

ALERT = Alert("a1", "bern", "s1", "t", "anomaly", "warning", AlertState.ACTIVE, False, 0, 0, 1, "too hot")


def alert(number: int, severity: str = "warning", **changes: object) -> Alert:
    return replace(ALERT, id=f"a{number}", sensor=f"s{number}", severity=severity, **changes)


def test_the_first_alert_is_told_at_once_and_what_follows_is_gathered() -> None:
    outbox = Outbox()
    outbox.take(alert(1), 0)
    message = outbox.due(0)
    assert message is not None
    assert message.title == "Weir: [warning] bern/s1 t too hot"
    outbox.sent(0)
    for number in range(2, 50):
        outbox.take(alert(number, "critical" if number == 7 else "warning"), 1000)
    assert outbox.due(59_999) is None
    digest = outbox.due(60_000)
    assert digest is not None
    assert digest.title == "Weir: 48 alerts, 1 critical"
    assert digest.body.splitlines()[-1] == "... and 28 more"
    assert len(digest.body.splitlines()) == 21


def test_what_nobody_took_is_tried_again_later_and_later() -> None:
    outbox = Outbox()
    outbox.take(alert(1), 0)
    tried = []
    now = 0
    while len(tried) < 7:
        if outbox.due(now):
            tried.append(now)
            outbox.failed(now)
        now += 1000
    assert tried == [0, 5000, 15_000, 35_000, 75_000, 135_000, 195_000]


def test_an_alert_that_closes_before_it_was_told_needs_no_word() -> None:
    outbox = Outbox()
    outbox.take(alert(1), 0)
    outbox.take(alert(1, n=2, state=AlertState.CLEARED), 0)
    assert outbox.due(0) is None


def test_acknowledging_shelving_and_what_is_less_severe_are_not_told() -> None:
    outbox = Outbox("critical")
    outbox.take(alert(1), 0)
    outbox.take(alert(2, "critical", n=2, acknowledged=True, by="me"), 0)
    outbox.take(alert(3, "critical", shelved_until=1000), 0)
    assert outbox.due(0) is None
    outbox.take(alert(2, "critical", n=3, state=AlertState.CLEARED), 0)
    assert outbox.due(0) is not None
