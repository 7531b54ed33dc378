"""Figures: gaps, bands, flags, and text that stays text."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from web import units
from web.alert_rows import rows
from web.commands import command
from web.figures import Viewer, explain, message, reasons, series, throughput
from web.pages.pipeline import dead_row, ledger_rows
from web.queries import DeadRow, FlagRow
from web.sampling import alone, drawable, extremes
from web.security import host_allowed, policy, tiles_origin
from web.window import Points
from weir.events import Alert, AlertState
from weir.ledger import SETTLE_MS, Minute

EVIL = "<img src=x onerror=alert(1)>"
FLAG = FlagRow(1_795_000_100_000, 30.0, 3.2, 19.0, 20.0, 17.5, 21.5, 288, EVIL, "iqr")


def points(ts: list[int], values: list[float] | None = None) -> Points:
    mean = np.array(values if values is not None else [float(i) for i in range(len(ts))])
    return Points(np.array(ts, dtype=np.int64), mean, mean - 1, mean + 1)


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=400), st.sampled_from([10, 100, 1000]))
def test_thinning_keeps_the_extremes_and_the_order(values: list[float], most: int) -> None:
    whole = points(list(range(0, 1000 * len(values), 1000)), values)
    some = extremes(whole, most)
    assert len(some) <= max(most + 2, 1)
    assert whole.mean[some].min() == whole.mean.min()
    assert whole.mean[some].max() == whole.mean.max()
    assert list(some) == sorted(set(some))


def test_a_pause_breaks_the_line() -> None:
    broken = drawable(points([0, 10_000, 20_000, 30_000, 200_000, 210_000]))
    assert np.isnan(broken.mean).tolist() == [False, False, False, False, True, False, False]


def test_a_steady_series_has_no_gap() -> None:
    assert len(drawable(points(list(range(0, 100_000, 10_000))))) == 10


def test_history_at_another_cadence_than_now_is_one_line() -> None:
    history = list(range(0, 3_000_000, 300_000))
    live = list(range(3_000_000, 3_100_000, 2_000))
    assert not np.isnan(drawable(points(history + live)).mean).any()


def test_what_came_late_is_marked_at_the_bottom_whatever_the_values_are() -> None:
    drawn = series(
        points(list(range(0, 900_000, 10_000))), [], metric="t", unit="Cel", viewer=Viewer(), banded=False, since=0,
        until=900_000, late=[(300_000, 3)],
    )  # fmt: skip
    (marks,) = [one for one in drawn.data if one.name == "came late"]
    assert (len(marks.x), marks.yaxis, "<b>3</b>" in marks.customdata[0]) == (1, "y2", True)
    assert drawn.layout.yaxis2.range == (0, 1)


def test_a_reading_between_two_pauses_is_alone() -> None:
    shown = drawable(points([*range(0, 100_000, 10_000), 500_000, *range(900_000, 1_000_000, 10_000)]))
    assert shown.ts[alone(shown)].tolist() == [500_000]


def draw(flags: list[FlagRow], viewer: Viewer = Viewer(), banded: bool = True) -> str:
    ts = [1_795_000_000_000 + i * 300_000 for i in range(5)] + [1_795_010_000_000 + i * 300_000 for i in range(5)]
    figure = series(
        points(ts), flags, metric="temperature", unit="Cel", viewer=viewer, banded=banded, since=ts[0], until=ts[-1]
    )
    return figure.to_json()


def test_the_band_has_one_outline_for_each_run_without_a_gap() -> None:
    band = next(trace for trace in json.loads(draw([]))["data"] if trace.get("fill") == "toself")
    assert sum(value is None for value in band["x"]) == 2


def test_a_series_without_any_reading_is_drawn_empty() -> None:
    figure = series(points([]), [], metric="t", unit="", viewer=Viewer(), banded=True, since=0, until=1000)
    assert all(trace.x is None or len(trace.x) == 0 for trace in figure.data)


def test_a_flag_explains_itself_and_hostile_text_in_it_is_no_markup() -> None:
    told = explain(FLAG, "Cel")
    for part in ("30 °C", "17.5 … 21.5", "q1 19, q3 20", "288 values", "score 3.2", "UTC"):
        assert part in told
    assert "<img" not in told
    assert "<img" not in draw([FLAG])


def test_names_from_outside_are_no_markup_in_any_figure() -> None:
    assert "<img" not in message(EVIL, Viewer()).to_json()
    ts = [0, 1000, 2000]
    figure = series(points(ts), [], metric="t", unit=EVIL, viewer=Viewer(), banded=False, since=0, until=2000)
    assert all("<img" not in (trace.hovertemplate or "") for trace in figure.data)


def test_times_are_drawn_in_the_zone_of_the_viewer() -> None:
    assert "1970-01-01T01:00" in throughput([Minute(0, 1, 1, 0, 0)], Viewer(offset=60)).to_json()


def test_a_viewer_from_a_strange_store_is_the_usual_one() -> None:
    assert Viewer.of(None) == Viewer.of({"dark": "yes", "offset": "x"}) == Viewer.of({"offset": 10**6}) == Viewer()


def test_reasons_are_drawn_most_on_top() -> None:
    assert list(reasons({"not_json": 5, "bad_shape": 2}, Viewer()).data[0].x) == [2, 5]


def test_a_payload_that_is_no_text_is_spelled_out() -> None:
    assert dead_row(DeadRow("1", 0, "mqtt", "not_json", "", b"\xff\x00a<b>"))["payload"] == "\\xff\\x00a<b>"


def test_a_young_minute_is_not_judged() -> None:
    found = ledger_rows([Minute(0, 10, 8, 0, 0), Minute(600_000, 10, 8, 0, 0)], 60_000 + SETTLE_MS)
    assert [row["missing"] for row in found] == ["…", 2]


def test_unacknowledged_alerts_come_first_and_then_the_gravest() -> None:
    def alert(id: str, severity: str, done: bool) -> Alert:
        return Alert(id, "bern", EVIL, "t", "anomaly", severity, AlertState.ACTIVE, done, 0, 0, 1, EVIL)

    found = rows([alert("a", "critical", True), alert("b", "info", False), alert("c", "critical", False)])
    assert [row["id"] for row in found] == ["c", "b", "a"]


@pytest.mark.parametrize(
    ("id", "verb", "text", "until"),
    [("../x", "acknowledge", "", 0), ("a", "explode", "", 0), ("a", "comment", "  ", 0), ("a", "shelve", "", 5)],
)
def test_a_command_that_makes_no_sense_is_not_sent(id: str, verb: str, text: str, until: int) -> None:
    with pytest.raises(ValueError, match=r"."):
        command(id, verb, "anna", 10, text, until)


def test_a_nameless_operator_is_called_operator() -> None:
    assert command("a", "acknowledge", "  ", 10).by == "operator"


def test_numbers_units_and_ages_are_spelled_for_people() -> None:
    assert units.measure(21.4049, "Cel") == "21.4 °C"
    assert units.measure(None, "Cel") == "–"
    assert [units.age(ms) for ms in (None, 500, 14_000, 200_000, 7_300_000, 2e8)] == [
        "never", "now", "14 s", "3 min", "2 h", "2 d",
    ]  # fmt: skip


def test_another_name_for_this_machine_is_refused() -> None:
    assert host_allowed("127.0.0.1:8050", "127.0.0.1")
    assert host_allowed("[::1]:8050", "127.0.0.1")
    assert not host_allowed("evil.example:8050", "127.0.0.1")


def test_the_policy_opens_for_a_tile_server_only_if_one_is_set() -> None:
    assert "img-src 'self' data: blob:;" in policy([], "")
    assert tiles_origin("https://{s}.tiles.example/{z}/{x}/{y}.png") == "https://*.tiles.example"
    assert "https://*.tiles.example" in policy([], "https://*.tiles.example")
