"""Readings in the terminal."""

from __future__ import annotations

import doctest

from hypothesis import given
from hypothesis import strategies as st

from deploy import looking
from deploy.looking import BARS, chosen, line, sparkline
from weir.readings import Reading

ONE = Reading("bern", "roof-1", 1_795_431_817_932, 1_795_431_817_940, {"t": 21.5, "h": 40.0})


def test_the_examples_in_the_texts_are_true() -> None:
    assert doctest.testmod(looking).failed == 0


def test_a_reading_is_shown_with_the_metrics_that_are_wanted() -> None:
    assert chosen(ONE, "*", "*", "*") == ONE
    assert chosen(ONE, "zurich", "*", "*") is None
    assert chosen(ONE, "b*", "roof-?", "nothing") is None
    found = chosen(ONE, "bern", "roof-1", "h")
    assert found is not None
    assert found.metrics == {"h": 40.0}


def test_a_line_tells_measured_stamped_and_history_apart() -> None:
    assert line(ONE) == "2026-11-23 11:03:37.932  bern/roof-1  t 21.5  h 40"
    stamped = Reading("s", "x", 0, 0, {"t": 1.0}, stamped=True)
    assert line(stamped).startswith("1970-01-01 00:00:00.000~ s/x")
    assert line(Reading("s", "x", 0, 0, {"t": 1.0}, hist=True)).startswith("1970-01-01 00:00:00.000< s/x")


@given(st.lists(st.none() | st.floats(allow_nan=False, allow_infinity=False), max_size=60))
def test_a_sparkline_has_a_bar_for_each_value_and_the_ends_are_the_ends(values: list[float | None]) -> None:
    drawn = sparkline(values)
    assert len(drawn) == len(values)
    assert all((bar == " ") == (value is None) for bar, value in zip(drawn, values, strict=True))
    known = [value for value in values if value is not None]
    if known and min(known) / 2 < max(known) / 2:
        assert drawn[values.index(max(known))] == BARS[-1]
        assert drawn[values.index(min(known))] == BARS[0]
