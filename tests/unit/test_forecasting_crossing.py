import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from weir.forecasting import Forecast, crossing

MINUTE = 60_000


def rising(slope: float = 0.5, start: float = 27.0, sigma: float = 1.0) -> Forecast:
    """Twelve 5-minute steps with normal intervals."""
    ts = np.arange(1, 13, dtype=np.int64) * 5 * MINUTE
    mean = start + slope * np.arange(12)
    z50, z80, z95 = (sigma * z for z in (0.67449, 1.28155, 1.95996))
    return Forecast(ts, mean, mean - z50, mean + z50, mean - z80, mean + z80, mean - z95, mean + z95, "combined")


def test_the_time_is_where_the_mean_crosses_between_two_steps() -> None:
    found = crossing(rising(), 30.25, above=True)
    assert found is not None and found.ts == int(37.5 * MINUTE)  # steps 7 and 8 are 30.0 and 30.5
    assert found.probability == pytest.approx(0.988, abs=0.005)  # of the last step: 32.5, 2.25 above


def test_a_limit_the_mean_does_not_reach_has_the_probability_of_the_intervals() -> None:
    found = crossing(rising(), 33.5)
    assert found is not None and found.ts == 60 * MINUTE
    assert found.probability == pytest.approx(1 - 0.8413, abs=0.01)


def test_a_limit_far_away_is_no_warning() -> None:
    assert crossing(rising(), 40.0) is None
    assert crossing(rising(), 10.0, above=False) is None


def test_falling_below_a_limit_mirrors_rising_above_it() -> None:
    up, down = crossing(rising(0.5, 27.0), 30.25), crossing(rising(-0.5, -27.0), -30.25, above=False)
    assert up is not None and down is not None
    assert (up.ts, up.probability) == (down.ts, pytest.approx(down.probability))


def test_what_is_beyond_already_crosses_at_the_first_step() -> None:
    found = crossing(rising(), 20.0)
    assert found is not None and found.ts == 5 * MINUTE and found.probability == pytest.approx(1)


def test_without_any_spread_the_mean_decides() -> None:
    certain = crossing(rising(sigma=0.0), 30.25)
    assert certain is not None and certain.probability == 1
    assert crossing(rising(sigma=0.0), 33.0) is None


@pytest.mark.parametrize("limit", [np.nan, np.inf, -np.inf])
def test_a_limit_that_is_no_number_is_never_crossed(limit: float) -> None:
    assert crossing(rising(), limit) is None


@given(st.floats(-1e6, 1e6), st.floats(-10, 10), st.booleans())
def test_a_limit_further_off_is_never_more_probable(limit: float, slope: float, above: bool) -> None:
    made = rising(slope)
    near, far = crossing(made, limit, above), crossing(made, limit + (1 if above else -1), above)
    assert far is None or (near is not None and far.probability <= near.probability + 1e-9)
    if near is not None:
        assert made.ts[0] <= near.ts <= made.ts[-1] and 0 <= near.probability <= 1
