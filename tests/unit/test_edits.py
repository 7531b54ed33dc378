"""What people say of sensors lies over what these say of themselves."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.editing import read_places
from stream_apps.sensor_book import SensorBook
from weir.edits import applied, checked, event, merged
from weir.errors import Reason, Refused, SetupError
from weir.readings import Birth, Edit, Metric, SensorEvent

BIRTH = Birth(46.9, 7.4, "office", {"t": Metric("Cel", -40, 80), "h": Metric("%RH")}, "Box 7")
NAMES = st.sampled_from(["", "a", "Roof"])
METRICS = st.dictionaries(
    st.sampled_from(["t", "h", "x"]),
    st.builds(
        Metric, st.sampled_from(["", "Cel", "K"]), st.none() | st.integers(-9, 9), st.none() | st.integers(-9, 9)
    ),
)
EDITS = st.builds(
    Edit,
    name=st.none() | NAMES,
    kind=st.none() | st.just("roof"),
    tags=st.none() | st.lists(NAMES),
    metrics=METRICS,
)


def test_an_edit_wins_where_it_speaks_and_only_there() -> None:
    edit = Edit("ann", 47.0, 8.0, name="Roof", tags=["new"], metrics={"t": Metric(max=60), "x": Metric("V")})
    shown = applied(edit, BIRTH)
    assert (shown.lat, shown.lon, shown.name, shown.kind, shown.tags) == (47.0, 8.0, "Roof", "office", ["new"])
    assert shown.metrics == {"t": Metric("Cel", -40, 60), "h": Metric("%RH"), "x": Metric("V")}


def test_a_sensor_that_never_told_of_itself_can_be_placed() -> None:
    assert applied(Edit(lat=1.0, lon=2.0), None) == Birth(1.0, 2.0)
    assert applied(None, BIRTH) == BIRTH


@given(EDITS, EDITS)
def test_merging_edits_is_applying_one_after_the_other(first: Edit, second: Edit) -> None:
    assert applied(merged(first, second), BIRTH) == applied(second, applied(first, BIRTH))


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (Edit(lat=91.0, lon=0.0), Reason.POSITION),
        (Edit(lat=float("nan"), lon=0.0), Reason.POSITION),
        (Edit(lat=1.0), Reason.POSITION),
        (Edit(kind="Not a name"), Reason.NAME),
        (Edit(metrics={"Not a name": Metric()}), Reason.NAME),
        (Edit(metrics={"t": Metric("x" * 65)}), Reason.UNIT),
        (Edit(metrics={"t": Metric(min=float("inf"))}), Reason.NOT_FINITE),
        (Edit(metrics={"t": Metric(min=2, max=1)}), Reason.SHAPE),
        (Edit(metrics={f"m{n}": Metric() for n in range(65)}), Reason.TOO_MANY_METRICS),
        (Edit(tags=[str(n) for n in range(33)]), Reason.SHAPE),
    ],
)
def test_what_no_sensor_may_be_told_to_be_is_refused(edit: Edit, reason: Reason) -> None:
    with pytest.raises(Refused) as refused:
        checked("s", "x", edit)
    assert refused.value.reason is reason


def test_texts_are_one_line_and_short() -> None:
    edit = checked("s", "x", Edit(name=" a\0b\n\x1b[31m \ud800" + "x" * 300, tags=["b", "a ", "", "b"]))
    assert edit.name is not None
    assert edit.name.startswith("a b  [31m  xxx")
    assert len(edit.name) == 200
    assert edit.tags == ["a", "b"]


def test_later_births_do_not_undo_an_edit_and_taking_it_back_shows_the_birth() -> None:
    book = SensorBook()
    book.take("s/x", SensorEvent("s", "x", 1, birth=BIRTH))
    _, edited = event("s", "x", Edit(name="Roof"), 2)
    assert book.take("s/x", edited) == SensorEvent("s", "x", 2, birth=applied(Edit(name="Roof"), BIRTH))
    again = book.take("s/x", SensorEvent("s", "x", 3, birth=Birth(name="Box 8")))
    assert again.birth is not None
    assert (again.at, again.birth.name) == (3, "Roof")
    assert book.forget("s/x") == SensorEvent("s", "x", 3, birth=Birth(name="Box 8"))
    assert book.forget("s/y") is None
    assert not book.retire("s/x")


def test_a_retired_sensor_loses_its_edit() -> None:
    book = SensorBook()
    book.take("s/x", event("s", "x", Edit(name="Roof"), 2)[1])
    assert book.retire("s/x")
    assert book.take("s/x", SensorEvent("s", "x", 3, birth=BIRTH)).birth == BIRTH


def test_a_file_places_sensors_by_full_name_by_site_and_where_only_one_has_the_name(tmp_path: Path) -> None:
    path = tmp_path / "places.csv"
    path.write_text(
        "\ufeffSensor,Latitude,Longitude,name,tags\n"
        "bern/a,46.9,7.4,Roof,one;two\nb,46.8,7.3,,\nC 1,46.7,7.2,,\n"
        "d,1,1,,\nnobody,1,1,,\nbern/a,north,7,,\nbern/a,95,7,,\n"
    )
    sites = {"b": ["thun"], "c_1": ["biel"], "d": ["x", "y"]}
    found, wrong = read_places(path, "", sites)
    assert found == [
        ("bern", "a", Edit(lat=46.9, lon=7.4, name="Roof", tags=["one", "two"])),
        ("thun", "b", Edit(lat=46.8, lon=7.3)),
        ("biel", "c_1", Edit(lat=46.7, lon=7.2)),
    ]
    assert [text.split(":")[0] for text in wrong] == ["line 5", "line 6", "line 7", "line 8"]
    assert read_places(path, "zug", {})[0][1][:2] == ("zug", "b")


@pytest.mark.parametrize("content", [b"", b"a,b\n1,2\n", b"\xff\xfe\x00", b"sensor,lat\nx,1\n"])
def test_a_file_that_places_nothing_says_what_it_should_hold(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "places.csv").write_bytes(content)
    with pytest.raises(SetupError):
        read_places(tmp_path / "places.csv", "", {})
