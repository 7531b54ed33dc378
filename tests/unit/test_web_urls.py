"""What an address says, and back."""

from hypothesis import given
from hypothesis import strategies as st

from web.urls import STATUSES, WINDOWS, View, link, parameters, parse

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
)


@given(views)
def test_a_view_that_went_through_an_address_is_the_same_view(view: View) -> None:
    assert parse(parameters(view)) == view


@given(
    st.dictionaries(st.sampled_from(["site", "sensor", "window", "status", "kind", "colour", "search", "x"]), st.text())
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
