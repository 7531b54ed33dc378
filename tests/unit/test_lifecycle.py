"""Alerts neither flap nor flood, and a replay changes nothing."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from stream_apps.alert_state import dump, load
from stream_apps.conditions import Rules
from stream_apps.lifecycle import Lifecycle
from weir.errors import Refused
from weir.events import Alert, AlertCommand, AlertState, Flag

T0 = 1_800_000_000_000
MINUTE = 60_000
RULES = Rules(hold_ms=0)


def a_flag(ts: int, nth: int, sensor: str = "s1", site: str = "bern", score: float = 2.0, at: int = 0) -> Flag:
    return Flag(site, sensor, "t", ts, 99.0, score, 1, 2, 0, 3, 50, at or ts, nth)


def flagged(life: Lifecycle, ts: int, nths: list[int], sensor: str = "s1", score: float = 2.0) -> list[Alert]:
    out: list[Alert] = []
    for k, nth in enumerate(nths):
        out += life.flag(a_flag(ts + k * 1000, nth, sensor, score=score), ts + k * 1000)
    return out + life.tick(ts + len(nths) * 1000)


def hear(life: Lifecycle, sensor: str, start: int, count: int, every: int = MINUTE, site: str = "bern") -> int:
    for k in range(count):
        life.seen(site, sensor, start + k * every, start + k * every)
    return start + (count - 1) * every


@pytest.mark.parametrize(
    ("nths", "score", "opens"),
    [
        ([1, 2], 2.0, False),
        ([1, 2, 3], 2.0, True),
        ([1, 5, 10], 2.0, True),
        ([1, 6, 11], 2.0, False),
        ([1], 50.0, False),
        ([1, 2], 50.0, True),
        ([500, 501, 1], 2.0, False),
        ([500, 501, 1, 2, 3], 2.0, True),
        ([0, 0, 0], 2.0, True),
    ],
)
def test_an_alert_opens_on_m_of_n_readings(nths: list[int], score: float, opens: bool) -> None:
    out = flagged(Lifecycle(RULES), T0, nths, score=score)
    assert [a.state for a in out] == ([AlertState.ACTIVE] if opens else [])


def test_an_alert_closes_once_the_sensor_has_gone_on_quietly_and_not_before() -> None:
    life = Lifecycle(RULES)
    (opened,) = flagged(life, T0, [1, 2, 3])
    life.seen("bern", "s1", T0 + 9 * MINUTE, T0 + 9 * MINUTE)
    assert life.tick(T0 + 11 * MINUTE, silence=False) == []
    life.seen("bern", "s1", T0 + 11 * MINUTE, T0 + 11 * MINUTE)
    (closed,) = life.tick(T0 + 11 * MINUTE, silence=False)
    assert (closed.id, closed.state, closed.n, closed.acknowledged) == (opened.id, AlertState.CLEARED, 2, False)
    assert life.tick(T0 + 30 * MINUTE, silence=False) == []


def test_flags_that_go_on_keep_one_alert_open() -> None:
    life = Lifecycle(RULES)
    flagged(life, T0, [1, 2, 3])
    for minute in range(1, 60):
        at = T0 + minute * MINUTE
        life.seen("bern", "s1", at, at)
        life.flag(a_flag(at, 3 + minute), at)
        assert life.tick(at) == []


def test_flags_of_long_ago_open_nothing() -> None:
    life = Lifecycle(RULES)
    for nth in range(1, 9):
        life.flag(a_flag(T0 + nth, nth, at=T0 + 2 * 60 * MINUTE), T0 + 2 * 60 * MINUTE)
    assert life.tick(T0 + 2 * 60 * MINUTE) == []


def test_a_replay_of_the_same_flags_opens_no_second_alert() -> None:
    life = Lifecycle(RULES)
    assert len(flagged(life, T0, [1, 2, 3])) == 1
    assert flagged(life, T0, [1, 2, 3]) == []


def test_after_a_rebuild_from_the_topic_a_replay_opens_nothing_either() -> None:
    life = Lifecycle(RULES)
    (opened,) = flagged(life, T0, [1, 2, 3])
    life.seen("bern", "s1", T0 + 20 * MINUTE, T0 + 20 * MINUTE)
    closed = life.tick(T0 + 20 * MINUTE, silence=False)
    for past in ([opened], [opened, *closed], closed):
        rebuilt = Lifecycle(RULES)
        for alert in past:
            rebuilt.restore(alert)
        assert flagged(rebuilt, T0, [1, 2, 3]) == []
        assert rebuilt.live() == past[-1:]


def test_silence_is_judged_by_the_sensors_own_cadence() -> None:
    life = Lifecycle(RULES)
    slow = hear(life, "slow", T0, 6, every=10 * MINUTE)
    hear(life, "fast", slow - 60_000, 7, every=10_000)
    assert [a.sensor for a in life.tick(slow + 181_000)] == ["fast"]
    assert life.tick(slow + 30 * MINUTE) == []
    (alert,) = life.tick(slow + 30 * MINUTE + 1)
    assert (alert.sensor, alert.rule, alert.opened) == ("slow", "silence", slow)


def test_a_silent_sensor_is_back_after_two_readings() -> None:
    life = Lifecycle(RULES)
    last = hear(life, "s1", T0, 5)
    (alert,) = life.tick(last + 4 * MINUTE)
    life.seen("bern", "s1", last + 5 * MINUTE, last + 5 * MINUTE)
    assert life.tick(last + 5 * MINUTE) == []
    life.seen("bern", "s1", last + 6 * MINUTE, last + 6 * MINUTE)
    (back,) = life.tick(last + 6 * MINUTE)
    assert (back.id, back.state) == (alert.id, AlertState.CLEARED)


def test_a_lost_connection_shortens_the_wait_of_a_slow_sensor() -> None:
    life = Lifecycle(RULES)
    last = hear(life, "s1", T0, 5, every=10 * MINUTE)
    life.state("bern", "s1", "lost")
    assert len(life.tick(last + 4 * MINUTE)) == 1


def test_a_retired_sensor_has_no_alerts_and_is_never_silent_until_it_is_heard_again() -> None:
    life = Lifecycle(RULES)
    last = hear(life, "s1", T0, 5)
    opened = flagged(life, last, [1, 2, 3])
    life.retire("bern", "s1", last + MINUTE)
    assert [a.state for a in life.tick(last + 2 * MINUTE)] == [AlertState.CLEARED] * len(opened) != []
    assert life.tick(last + 600 * MINUTE) == []
    hear(life, "s1", last + 601 * MINUTE, 5)
    life.retire("bern", "s1", last + MINUTE)
    assert life.tick(last + 700 * MINUTE) != []


def test_nobody_is_silent_while_nobody_can_tell() -> None:
    life = Lifecycle(RULES)
    last = hear(life, "s1", T0, 5)
    assert life.tick(last + 60 * MINUTE, silence=False) == []


def test_what_happened_while_nobody_listened_is_no_silence() -> None:
    before = Lifecycle(RULES)
    last = hear(before, "s1", T0, 5)
    night = last + 600 * MINUTE
    life = Lifecycle(RULES, before.book, since=night)
    assert life.tick(night + MINUTE) == []
    assert len(life.tick(night + 4 * MINUTE)) == 1


def test_a_site_wide_cause_makes_one_alert_and_it_clears_with_its_last_sensor() -> None:
    life = Lifecycle(RULES)
    last = max(hear(life, f"s{k}", T0, 5) for k in range(6))
    (alert,) = life.tick(last + 4 * MINUTE)
    assert (alert.rule, alert.site, alert.sensor, alert.severity) == ("site", "bern", "", "critical")
    end = max(hear(life, f"s{k}", last + 5 * MINUTE, 3) for k in range(5))
    assert life.tick(end) == []
    end = hear(life, "s5", end, 3, every=1000)
    assert [(a.id, a.state) for a in life.tick(end)] == [(alert.id, AlertState.CLEARED)]


def test_alerts_of_single_sensors_become_part_of_the_alert_of_their_site() -> None:
    life = Lifecycle(RULES)
    singles = flagged(life, T0, [1, 2, 3], "s1") + flagged(life, T0 + 5000, [1, 2, 3], "s2")
    assert [a.rule for a in singles] == ["anomaly", "anomaly"]
    site, *closed = flagged(life, T0 + 10_000, [1, 2, 3], "s3")
    assert site.rule == "site"
    assert {(a.id, a.state, a.text) for a in closed} == {
        (a.id, AlertState.CLEARED, "part of the alert of its site") for a in singles
    }


def test_a_flood_is_summed_up_in_one_alert() -> None:
    life = Lifecycle(RULES)
    for k in range(200):
        for nth in (1, 2, 3):
            life.flag(a_flag(T0 + nth, nth, site=f"site{k}"), T0 + nth)
    rules = Counter(a.rule for a in life.tick(T0 + 10))
    assert rules == {"anomaly": RULES.flood, "flood": 1}


def a_command(alert: Alert, verb: str, at: int = T0, **more: object) -> AlertCommand:
    return AlertCommand(alert.id, verb, "ada", at, **more)  # type: ignore[arg-type]


def test_a_command_is_recorded_with_who_and_counts_once() -> None:
    life = Lifecycle(RULES)
    (alert,) = flagged(life, T0, [1, 2, 3])
    (done,) = life.command(a_command(alert, "acknowledge", text="seen"), T0 + 9)
    assert (done.acknowledged, done.by, done.text, done.n, done.at) == (True, "ada", "seen", 2, T0 + 9)
    assert life.command(a_command(alert, "acknowledge", at=T0 + 5), T0 + 10) == []
    (comment,) = life.command(a_command(alert, "comment", text="hm"), T0 + 11)
    assert life.command(a_command(alert, "comment", text="hm"), T0 + 12) == []
    assert (comment.text, comment.n) == ("hm", 3)


def test_a_shelf_ends_by_itself() -> None:
    life = Lifecycle(RULES)
    (alert,) = flagged(life, T0, [1, 2, 3])
    (shelved,) = life.command(a_command(alert, "shelve", until=T0 + 8 * MINUTE), T0 + 5000)
    assert shelved.shelved_until == T0 + 8 * MINUTE
    assert life.tick(T0 + 7 * MINUTE) == []
    (ended,) = life.tick(T0 + 8 * MINUTE)
    assert (ended.shelved_until, ended.state) == (0, AlertState.ACTIVE)


@pytest.mark.parametrize("command", [("nope", "acknowledge", "ada"), ("", "explode", "ada"), ("", "comment", "")])
def test_a_command_without_sense_is_refused(command: tuple[str, str, str]) -> None:
    life = Lifecycle(RULES)
    (alert,) = flagged(life, T0, [1, 2, 3])
    id, verb, by = command
    with pytest.raises(Refused):
        life.command(AlertCommand(id or alert.id, verb, by, T0), T0)


def test_a_damaged_state_is_refused() -> None:
    for data in (b"", b"x", dump(Lifecycle().book, {})[:-1]):
        with pytest.raises(ValueError):
            load(data)


SENSORS = st.sampled_from([("bern", f"s{k}") for k in range(5)] + [("thun", "s0"), ("biel", "s0")])


class Alerts(RuleBasedStateMachine):
    """Any mixture of readings, flags, silences, commands and restarts."""

    def __init__(self) -> None:
        super().__init__()
        self.life = Lifecycle(Rules(flood=4, hold_ms=5000))
        self.now = T0
        self.nth = 0
        self.flags: list[Flag] = []
        self.n: Counter[str] = Counter()
        self.cleared: set[str] = set()
        self.acknowledged: set[str] = set()
        self.ids: list[Alert] = []

    def took(self, out: list[Alert], by_command: bool = False) -> None:
        for alert in out:
            assert alert.n == self.n[alert.id] + 1, "transitions are numbered without gaps"
            self.n[alert.id] = alert.n
            assert not (alert.state is AlertState.ACTIVE and alert.id in self.cleared), "cleared is for good"
            if alert.state is AlertState.CLEARED and not by_command and alert.text != "the shelf has ended":
                assert alert.id not in self.cleared, "nothing clears twice"
            if alert.state is AlertState.CLEARED:
                self.cleared.add(alert.id)
            if alert.acknowledged and alert.id not in self.acknowledged:
                assert by_command, "only a command acknowledges"
                self.acknowledged.add(alert.id)
            if alert.n == 1:
                self.ids.append(alert)

    @rule(sensor=SENSORS, count=st.integers(1, 4), score=st.floats(0.1, 20))
    def flags_come(self, sensor: tuple[str, str], count: int, score: float) -> None:
        for _ in range(count):
            self.now += 500
            self.nth += 1
            flag = a_flag(self.now, self.nth, sensor[1], sensor[0], score)
            self.flags.append(flag)
            self.took(self.life.flag(flag, self.now))

    @rule()
    def flags_are_read_again(self) -> None:
        book = dump(self.life.book, {})
        for flag in [f for f in self.flags if f.ts > self.now - 60 * MINUTE]:  # older series may be forgotten
            assert self.life.flag(flag, self.now) == []
        assert dump(self.life.book, {}) == book

    @rule(sensor=SENSORS)
    def a_sensor_is_heard(self, sensor: tuple[str, str]) -> None:
        self.now += 100
        self.life.seen(*sensor, self.now, self.now)

    @rule(ms=st.sampled_from([1000, 20_000, 200_000, 700_000, 4_000_000]), silence=st.booleans())
    def time_passes(self, ms: int, silence: bool) -> None:
        self.now += ms
        self.took(self.life.tick(self.now, silence))
        assert self.life.tick(self.now, silence) == [], "the same moment twice changes nothing"

    @rule(data=st.data(), verb=st.sampled_from(["acknowledge", "comment", "shelve"]), ahead=st.integers(-10, 900_000))
    def somebody_acts(self, data: st.DataObject, verb: str, ahead: int) -> None:
        if self.ids:
            alert = data.draw(st.sampled_from(self.ids))
            if alert.id in self.life.book.alerts:
                command = a_command(alert, verb, self.now, until=self.now + ahead, text="x")
                self.took(self.life.command(command, self.now), by_command=True)
                assert self.life.command(command, self.now) == []

    @rule()
    def the_worker_restarts(self) -> None:
        before = dump(self.life.book, {"anomalies/0": 7})
        book, offsets = load(before)
        self.life = Lifecycle(self.life.rules, book)
        assert dump(book, offsets) == before

    @invariant()
    def no_cause_has_two_active_alerts(self) -> None:
        active = [a for a in self.life.book.alerts.values() if a.state is AlertState.ACTIVE]
        assert len({(a.site, a.sensor, a.metric, a.rule) for a in active}) == len(active)

    @invariant()
    def every_abnormal_condition_waits_or_has_an_active_alert(self) -> None:
        book = self.life.book
        for cause, id in book.members.items():
            assert cause not in book.held
            assert book.alerts[id].state is AlertState.ACTIVE
        for cause, series in book.series.items():
            if series.abnormal:
                assert cause in book.held or cause in book.members


Alerts.TestCase.settings = hypothesis_settings(max_examples=60, stateful_step_count=40, deadline=None)
TestAlerts = Alerts.TestCase
