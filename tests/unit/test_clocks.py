"""Clocks that are wrong, told from those that only send late."""

from stream_apps.conditions import Rules
from stream_apps.lifecycle import Lifecycle
from weir.events import Alert, AlertState

T0 = 1_800_000_000_000
MINUTE = 60_000


def heard(lags: list[int], life: Lifecycle | None = None, start: int = T0) -> tuple[Lifecycle, list[Alert]]:
    """One reading a minute, each received so many ms after it was measured."""
    life = life or Lifecycle(Rules(hold_ms=0))
    out: list[Alert] = []
    for k, lag in enumerate(lags):
        rx = start + k * MINUTE
        life.seen("bern", "s1", rx - lag, rx)
        out += [alert for alert in life.tick(rx) if alert.rule == "clock"]
    return life, out


def test_a_clock_that_is_behind_by_the_same_time_again_and_again_is_an_alert() -> None:
    _, (alert,) = heard([3_600_000, 3_600_400, 3_599_800, 3_600_000, 3_600_000, 3_600_100])
    assert alert.text == "its clock is 3600 s behind"


def test_a_clock_that_is_ahead_is_an_alert() -> None:
    _, (alert,) = heard([-30_000] * 6)
    assert alert.text == "its clock is 30 s ahead"


def test_a_backlog_that_is_sent_late_is_no_wrong_clock() -> None:
    assert heard([3_600_000, 3_000_000, 2_400_000, 1_800_000, 1_200_000, 600_000, 50])[1] == []


def test_a_clock_that_was_set_right_clears_its_alert() -> None:
    life, (opened,) = heard([-30_000] * 6)
    _, (cleared,) = heard([20] * 5, life, T0 + 10 * MINUTE)
    assert (cleared.id, cleared.state) == (opened.id, AlertState.CLEARED)


def test_a_sensor_with_a_right_clock_has_no_alert() -> None:
    assert heard([50, 2_000, 0, -900, 40, 300])[1] == []
