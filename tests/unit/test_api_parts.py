"""The API's parameters, times, cursors and its description, as pure functions."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from web.api import parameters, readings, times
from web.api.endpoints import ENDPOINTS
from web.api.openapi import document
from web.api.parameters import Command, OfAlerts, OfLatest, OfReadings, check, cursor, parse, uncursor
from web.api.problems import Wrong
from web.window import Points

NOW = 1_795_431_817_932


@given(st.datetimes(datetime(1970, 1, 3), datetime(2900, 1, 1)), st.integers(-23, 23))
def test_a_time_is_the_same_in_ms_and_in_rfc_3339_in_any_zone(moment: datetime, hours: int) -> None:
    known = moment.replace(tzinfo=UTC)
    ms = (known - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
    text = known.astimezone(timezone(timedelta(hours=hours))).isoformat()
    assert times.parse(str(ms), NOW) == times.parse(text, NOW) == times.parse(text.replace("+", " "), NOW) == ms


def test_how_long_ago_counts_from_now() -> None:
    assert times.parse("-90s", NOW) == NOW - 90_000
    assert times.parse("-7d", NOW) == NOW - 7 * 86_400_000


@given(st.text())
def test_any_text_is_a_time_or_refused_in_words(text: str) -> None:
    try:
        assert 0 <= times.parse(text, NOW) <= times.MAX_MS
    except ValueError as error:
        assert str(error)


@pytest.mark.parametrize(
    ("kind", "query", "name"),
    [
        (OfLatest, {"limit": ["0"]}, "limit"),
        (OfLatest, {"limit": ["1001"]}, "limit"),
        (OfLatest, {"limit": ["many"]}, "limit"),
        (OfLatest, {"colour": ["red"]}, "colour"),
        (OfLatest, {"kind": ["a", "b"]}, "kind"),
        (OfLatest, {"site": ["a\x00"]}, "site"),
        (OfLatest, {"site": ["<script>"]}, "site"),
        (OfLatest, {"site": ["a\n"]}, "site"),
        (OfLatest, {"status": ["fine"]}, "status"),
        (OfAlerts, {"acknowledged": ["perhaps"]}, "acknowledged"),
        (OfReadings, {"site": ["a"], "sensor": ["b"]}, "metric"),
    ],
)
def test_a_wrong_parameter_is_named(kind: type, query: dict[str, list[str]], name: str) -> None:
    with pytest.raises(Wrong) as caught:
        parse(kind, query)
    assert (caught.value.parameter, caught.value.status) == (name, 400)


@pytest.mark.parametrize(
    ("body", "name"),
    [(b"", ""), (b"{", ""), (b"[]", ""), (b'{"verb":"delete"}', "verb"), (b"{}", "verb"), (b"\xff", ""),
     (b'{"verb":"comment","by":"anna"}', "by"), (b'{"verb":"comment","text":' + b"[" * 9000, "text")],
)  # fmt: skip
def test_a_wrong_body_is_refused_and_its_field_named(body: bytes, name: str) -> None:
    with pytest.raises(Wrong) as caught:
        check(lambda: msgspec.json.decode(body, type=Command))
    assert caught.value.parameter == name


@given(st.tuples(st.integers(0, times.MAX_MS), st.text(st.characters(exclude_characters="\x00", codec="utf-8"))))
def test_a_cursor_comes_back_as_it_went_out(key: tuple[int, str]) -> None:
    assert uncursor(cursor(key), tuple[int, str]) == key


@given(st.text())
def test_any_other_text_is_no_cursor(text: str) -> None:
    try:
        found = uncursor(text, tuple[int, str])
    except Wrong as error:
        assert error.parameter == "cursor"
    else:
        assert isinstance(found, tuple)


def test_a_span_is_neither_backwards_nor_too_long() -> None:
    for since, until in (("-1h", "-2h"), ("0", None)):
        with pytest.raises(Wrong) as caught:
            parameters.span(since, until, NOW, 86_400_000)
        assert caught.value.parameter == "since"


class Table:
    """Raw readings as `queries.raw` gives them: of a span only the newest so many."""

    def __init__(self, ts: list[int], most: int) -> None:
        self.ts, self.most = np.array(ts, dtype=np.int64), most

    def window(self, _store: object, _id: int, since: int, until: int, _resolution: str) -> Points:
        ts = self.ts[(self.ts >= since) & (self.ts <= until)][-self.most :]
        return Points(ts, *(ts.astype(float),) * 3)


@given(
    st.sampled_from([0, 40]).flatmap(lambda least: st.lists(st.integers(0, 500), unique=True, min_size=least)),
    st.integers(1, 30),
)
def test_pages_of_readings_together_are_all_readings_in_order(ts: list[int], limit: int) -> None:
    table = Table(sorted(ts), most=20)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(readings, "MAX_RAW", 20)
        patch.setattr(readings, "window", table.window)
        seen: list[int] = []
        start: int | None = 0
        while start is not None:
            points, start = readings.page(None, 1, start, 500, "raw", limit)  # type: ignore[arg-type]
            assert len(points) <= limit
            seen += points.ts.tolist()
    assert seen == sorted(ts)


def test_the_description_names_every_endpoint_and_resolves_in_itself() -> None:
    found = document()
    text = json.dumps(found)
    assert {(path, method) for path, methods in found["paths"].items() for method in methods} == {
        (one.path, one.method.lower()) for one in ENDPOINTS
    }
    for one in text.split('"#/components/schemas/')[1:]:
        assert one.partition('"')[0] in found["components"]["schemas"]
    assert "\\Z" not in text
