"""Parameters by site and metric: side by side, in one state, without changing each other."""

from pathlib import Path

import pytest

from stream_apps.iqr import Detector
from stream_apps.judging import Judge, Override, read_overrides
from weir.errors import SetupError
from weir.readings import Birth, Metric, Reading

NOW = 1_795_431_817_932
RULES = [Override(metric="door", off=True), Override(site="plant-*", metric="t", warmup=100_000)]


def stream(site: str, count: int = 200, spike: int = 150) -> list[Reading]:
    return [
        Reading(site, "s1", NOW + i * 1000, NOW, {"t": 90.0 if i == spike else 20.0 + i % 5, "door": float(i % 2)})
        for i in range(count)
    ]


def flagged(judge: Judge, readings: list[Reading]) -> set[tuple[str, int]]:
    return {(flag.metric, flag.ts) for reading in readings for flag in judge.judge([reading], reading.ts)}


def test_without_rules_a_judge_is_a_detector() -> None:
    detector, judge = Detector(), Judge()
    for reading in stream("bern"):
        assert judge.judge([reading], NOW) == detector.judge([reading], NOW)


def test_a_rule_changes_the_series_it_names_and_no_other() -> None:
    spike = ("t", NOW + 150_000)
    assert spike in flagged(Judge(RULES), stream("bern"))
    assert flagged(Judge(RULES), stream("plant-7")) == set()


def test_series_that_are_off_are_not_judged() -> None:
    judge = Judge([Override(metric="t", off=True)])
    assert all(metric != "t" for metric, _ in flagged(judge, stream("bern")))


def test_judging_goes_on_after_a_restart_as_if_there_had_been_none() -> None:
    one, other = Judge(RULES), Judge(RULES)
    for reading in stream("bern", 140):
        one.judge([reading], NOW)
        other.judge([reading], NOW)
    other = Judge.load(other.dump(), RULES)
    rest = stream("bern")[140:]
    assert flagged(one, rest) == flagged(other, rest) != set()


def test_changed_rules_make_only_their_own_series_learn_anew() -> None:
    before = Judge(RULES)
    for reading in stream("bern", 140):
        before.judge([reading], NOW)
    after = Judge.load(before.dump(), [Override(site="plant-*", metric="t", warmup=60)])
    assert ("t", NOW + 150_000) in flagged(after, stream("bern")[140:])


def test_limits_of_a_birth_reach_the_detector_of_the_series() -> None:
    judge = Judge(RULES)
    judge.born("plant-7", "s1", Birth(metrics={"t": Metric("Cel", min=-40.0, max=60.0)}))
    flags = [flag for reading in stream("plant-7") for flag in judge.judge([reading], NOW)]
    assert [(flag.feature, flag.value) for flag in flags] == [("limit", 90.0)]


def test_what_is_no_state_is_refused() -> None:
    with pytest.raises(ValueError, match="not a state"):
        Judge.load(b"\x93abc")


@pytest.mark.parametrize("text", ["{", '[{"metric": "t", "treshold": 1}]', '[{"threshold": "high"}]'])
def test_a_settings_file_with_a_mistake_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "detection.json").write_text(text)
    with pytest.raises(SetupError):
        read_overrides(tmp_path / "detection.json")
