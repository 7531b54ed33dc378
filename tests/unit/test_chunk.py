"""Chunks of raw readings: what goes in comes out, bit by bit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spark_jobs import chunk
from spark_jobs.chunk import SIZE, WEEK_US, cut, encode, merged

NOW = 1_795_431_817_932_000

decimals = st.builds(lambda n, power: n / 10.0**power, st.integers(-(10**7), 10**7), st.integers(0, 6))
values = st.one_of(decimals, st.floats(allow_nan=False, allow_infinity=False))
times = st.lists(st.integers(-WEEK_US, 2 * WEEK_US), min_size=1, max_size=60, unique=True).map(sorted)


@given(times, st.data(), st.sampled_from([1, 1000]))
def test_whatever_is_encoded_is_decoded_bit_by_bit(offsets, data, unit) -> None:  # type: ignore[no-untyped-def]
    ts = NOW + np.array(offsets, dtype=np.int64) // unit * unit
    ts = np.unique(ts)
    given_values = np.array(data.draw(st.lists(values, min_size=len(ts), max_size=len(ts))))
    parts = list(cut(7, ts, given_values, size=7))
    decoded = [part.decode() for part in parts]
    assert np.array_equal(np.concatenate([one for one, _ in decoded]), ts)
    assert np.array_equal(np.concatenate([one for _, one in decoded]).view(np.int64), given_values.view(np.int64))
    for part in parts:
        assert part.first // WEEK_US == part.last // WEEK_US
        assert len(part.values) <= 7


def test_a_steady_cadence_keeps_no_times_and_decimals_keep_two_bytes_a_value() -> None:
    ts = NOW + np.arange(SIZE, dtype=np.int64) * 1_000_000
    one = encode(1, ts, np.round(20 + np.sin(np.arange(SIZE)), 2))
    assert one.offsets is None
    assert one.values.dtype == np.int16
    assert one.divisor == 100.0


def test_a_large_value_with_small_changes_is_narrow_for_its_base() -> None:
    ts = NOW + np.arange(SIZE, dtype=np.int64) * 1_000_000
    one = encode(1, ts, 101_325.0 + np.arange(SIZE) / 10)
    assert one.values.dtype == np.int16


def test_a_jitter_of_milliseconds_costs_two_bytes_a_reading() -> None:
    rng = np.random.default_rng(1)
    ts = NOW + np.arange(SIZE, dtype=np.int64) * 1_000_000 + rng.integers(0, 500, SIZE) * 1000
    one = encode(1, ts, np.zeros(SIZE))
    assert one.offsets is not None
    assert one.offsets.dtype == np.int16


@pytest.mark.parametrize("value", [-0.0, 0.1 + 0.2, 1e300, 5e-324, 2.0**60])
def test_what_is_no_decimal_stays_as_it_is(value: float) -> None:
    one = encode(1, np.array([NOW, NOW + 1000]), np.array([1.5, value]))
    assert one.values.dtype == np.float64
    assert np.array_equal(one.decode()[1].view(np.int64), np.array([1.5, value]).view(np.int64))


@given(st.dictionaries(st.integers(0, 50), st.integers(0, 9)), st.dictionaries(st.integers(0, 50), st.integers(0, 9)))
def test_merging_keeps_the_first_of_two_values_of_one_time(here: dict[int, int], there: dict[int, int]) -> None:
    def arrays(one: dict[int, int]) -> tuple[np.ndarray, np.ndarray]:
        return np.array(sorted(one), dtype=np.int64), np.array([one[t] for t in sorted(one)], dtype=float)

    ts, found = merged(*arrays(here), *arrays(there))
    assert dict(zip(ts.tolist(), found.tolist(), strict=True)) == {**there, **here}
    assert ts.tolist() == sorted({*here, *there})


def test_rows_of_a_binary_copy_are_read_whole() -> None:
    table = np.zeros(2, chunk.ROW)
    table["series_id"], table["ts"], table["value"] = [1, 2], [0, 5], [1.5, -2.5]
    ids, ts, found = chunk.rows(table.tobytes())
    assert ids.tolist() == [1, 2]
    assert ts.tolist() == [946_684_800_000_000, 946_684_800_000_005]
    assert found.tolist() == [1.5, -2.5]
