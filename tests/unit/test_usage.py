"""What a component has cost: every process of its tree once, whatever became of it."""

from __future__ import annotations

from deploy.proof.usage import Seen, Tally


def tally(*looks: list[Seen]) -> float:
    one = Tally()
    for look in looks:
        one.add(look)
    return one.total


ROOT = Seen(1, 0, 10.0, 0.0)
CHILD = Seen(2, 1, 5.0, 0.0)


def test_a_tree_costs_what_its_processes_cost() -> None:
    assert tally([ROOT, CHILD]) == 15


def test_a_child_that_has_ended_and_was_waited_for_counts_once() -> None:
    assert tally([ROOT, CHILD], [Seen(1, 0, 11.0, 5.0)]) == 16


def test_a_child_that_nobody_waited_for_stays_counted() -> None:
    assert tally([ROOT, CHILD], [Seen(1, 0, 11.0, 0.0)]) == 16


def test_a_child_that_is_waited_for_late_is_not_counted_again() -> None:
    assert tally([ROOT, CHILD], [Seen(1, 0, 11.0, 0.0)], [Seen(1, 0, 11.0, 5.0)]) == 16


def test_children_that_came_and_went_between_two_looks_are_counted_by_their_parents_account() -> None:
    assert tally([ROOT], [Seen(1, 0, 10.0, 3.0)]) == 13


def test_what_a_child_did_between_the_last_look_and_its_end_is_counted() -> None:
    assert tally([ROOT, CHILD], [Seen(1, 0, 10.0, 6.0)]) == 16


def test_a_child_takes_its_own_children_into_its_parents_account() -> None:
    middle, leaf = Seen(2, 1, 1.0, 0.0), Seen(3, 2, 4.0, 0.0)
    assert tally([ROOT, middle, leaf], [ROOT, Seen(2, 1, 1.0, 4.0)], [Seen(1, 0, 10.0, 5.0)]) == 15


def test_a_tree_that_has_ended_as_a_whole_stays_counted() -> None:
    assert tally([ROOT, CHILD, Seen(3, 2, 4.0, 0.0)], []) == 19
