"""What an address says, and back."""

from hypothesis import given
from hypothesis import strategies as st

from web.urls import CLUSTER, SEVERITIES, STATES, STATUSES, WINDOWS, View, link, parameters, parse

names = st.from_regex(r"[a-z0-9][a-z0-9_-]{0,20}", fullmatch=True)
views = st.builds(
    View,
    site=st.just("") | names,
    sensor=st.just("") | names,
    metric=st.just("") | names,
    window=st.sampled_from(list(WINDOWS)),
    status=st.sets(st.sampled_from(STATUSES)).map(lambda some: tuple(one for one in STATUSES if one in some)),
    kind=st.just("") | names,
    colour=names,
    search=st.text(max_size=80),
    sensors=st.lists(st.tuples(names, names).map("/".join), max_size=6, unique=True).map(tuple),
    box=st.none() | st.just((46.9, 7.25, 47.0, 7.5)),
    cluster=st.sampled_from(CLUSTER),
    at=st.integers(0, 10**13 - 1),
    severity=st.sets(st.sampled_from(SEVERITIES)).map(lambda some: tuple(one for one in SEVERITIES if one in some)),
    state=st.just("") | st.sampled_from(STATES),
    rule=st.just("") | names,
)


@given(views)
def test_a_view_that_went_through_an_address_is_the_same_view(view: View) -> None:
    assert parse(parameters(view)) == view


@given(
    st.dictionaries(
        st.sampled_from(["site", "window", "status", "colour", "search", "sensors", "box", "at", "x"]), st.text()
    )
)
def test_no_address_is_refused_and_whatever_is_wrong_becomes_a_default(query: dict[str, str]) -> None:
    view = parse(query)
    assert view.window in WINDOWS
    assert parse(parameters(view)) == View(**{**view.__dict__, "notices": ()})


def test_a_wrong_parameter_is_told() -> None:
    view = parse({"window": "9y", "site": "<script>", "status": "ok,broken"})
    assert (view.window, view.site, view.status) == ("6h", "", ("ok",))
    assert len(view.notices) == 3


def test_defaults_are_left_out_of_the_address() -> None:
    assert link("/", View()) == "/"
    assert link("/sensor", View(site="bern", window="24h")) == "/sensor?site=bern&window=24h"


def test_what_cannot_be_compared_or_played_back_is_told() -> None:
    view = parse({"sensors": "bern/a,<b>,bern/a", "box": "1,2,0,4", "at": "soon", "severity": "worst"})
    assert (view.sensors, view.box, view.at, view.severity) == (("bern/a",), None, 0, ())
    assert len(view.notices) == 4


def test_more_sensors_than_a_chart_bears_are_left_out_and_told() -> None:
    view = parse({"sensors": ",".join(f"bern/s{n}" for n in range(9))})
    assert len(view.sensors) == 6
    assert len(view.notices) == 1
