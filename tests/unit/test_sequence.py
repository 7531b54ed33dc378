"""What never arrived, told from counters that grow by one."""

from hypothesis import given
from hypothesis import strategies as st

from spark_jobs.sequence import MAX_GAPS, MAX_JUMP, Track


def track(*seqs: int) -> Track:
    one = Track(seqs[0], seqs[0])
    for seq in seqs[1:]:
        one.take(seq, seq)
    return one


def test_a_number_passed_over_is_absent_until_it_comes() -> None:
    one = track(1, 2, 5)
    assert (one.absent, one.gaps) == (2, [[3, 4]])
    one.take(3, 3)
    assert one.gaps == [[4, 4]]
    one.take(4, 4)
    assert one.absent == 0


def test_a_repeated_reading_changes_nothing() -> None:
    one = track(1, 2, 4)
    one.take(2, 2)
    one.take(4, 4)
    assert (one.seq, one.gaps) == (4, [[3, 3]])


def test_a_device_that_restarts_begins_anew_and_keeps_what_was_absent() -> None:
    one = track(1, 2, 4)
    one.take(0, 1000)
    one.take(1, 1001)
    assert (one.seq, one.absent) == (1, 1)


def test_a_jump_too_long_to_be_a_loss_is_a_new_beginning() -> None:
    one = track(1, 2)
    one.take(3 + MAX_JUMP, 1000)
    assert (one.seq, one.absent) == (3 + MAX_JUMP, 0)


def test_gaps_are_bounded_and_none_is_forgotten() -> None:
    one = track(*range(0, 1000, 2))
    assert len(one.gaps) == MAX_GAPS
    assert one.absent == 499


@given(st.permutations(range(1, 25)), st.sets(st.integers(1, 24)), st.lists(st.integers(0, 23)))
def test_whatever_the_order_and_the_repetitions_absent_is_what_did_not_come(
    order: list[int], lost: set[int], again: list[int]
) -> None:
    came = [seq for seq in order if seq not in lost]
    one = Track(0, 0)
    for seq in [*came, *(came[i] for i in again if i < len(came))]:
        one.take(seq, seq)
    newest = max(came, default=0)
    assert one.absent == len([seq for seq in lost if seq < newest])
