"""Aggregates and estimates meet only at the same cut."""

import pytest

from services.indicator_publisher.alignment import WAITING_MAX, Alignment
from services.shared.runtime.kafka.ledger import Adoption
from services.shared.statistics.exchange.ledger_set import Changes, Mark


def adopted(topic: str, cut: int, changes: Changes | None = None, log_time: int | None = None) -> Adoption:
    mark = Mark({"border-crossings/0": cut}, cut if log_time is None else log_time, 1, 0, "", {})
    return Adoption(topic, 0, mark, {f"{topic}{cut}": b"x"} if changes is None else changes)


@pytest.fixture
def alignment() -> Alignment:
    return Alignment("a", "e")


def test_nothing_is_given_before_both_have_the_same_cut(alignment: Alignment) -> None:
    assert alignment.give() is None
    alignment.adopt(adopted("a", 1))
    assert alignment.give() is None
    alignment.adopt(adopted("e", 2))
    assert alignment.give() is None


def test_the_newest_common_cut_is_given_with_all_changes_up_to_it_and_none_after_it(alignment: Alignment) -> None:
    for cut in (1, 2, 3):
        alignment.adopt(adopted("a", cut))
    for cut in (1, 2):
        alignment.adopt(adopted("e", cut))
    given = alignment.give()
    assert given is not None
    assert given.mark.cut == {"border-crossings/0": 2}
    assert given.aggregates == {"a1": b"x", "a2": b"x"}
    assert given.estimates == {"e1": b"x", "e2": b"x"}
    assert alignment.give() is None
    alignment.adopt(adopted("e", 3))
    given = alignment.give()
    assert given is not None
    assert (given.aggregates, given.estimates) == ({"a3": b"x"}, {"e3": b"x"})


def test_later_changes_of_a_key_win_over_earlier_ones(alignment: Alignment) -> None:
    alignment.adopt(adopted("a", 1, {"k": b"old", "gone": b"x"}))
    alignment.adopt(adopted("a", 2, {"k": b"new", "gone": None}))
    alignment.adopt(adopted("e", 2, {}))
    given = alignment.give()
    assert given is not None
    assert given.aggregates == {"k": b"new", "gone": None}


def test_a_cut_with_another_log_time_is_another_cut(alignment: Alignment) -> None:
    alignment.adopt(adopted("a", 1, log_time=5))
    alignment.adopt(adopted("e", 1, log_time=6))
    assert alignment.give() is None


def test_a_set_written_again_at_the_cut_that_stands_still_meets_it(alignment: Alignment) -> None:
    """A repair of one ledger marks the same cut again: its changes come through."""
    alignment.adopt(adopted("a", 1))
    alignment.adopt(adopted("e", 1))
    assert alignment.give() is not None
    alignment.adopt(adopted("a", 1, {"again": b"x"}))
    given = alignment.give()
    assert given is not None
    assert (given.aggregates, given.estimates) == ({"again": b"x"}, {})


def test_sets_that_wait_are_bounded_and_lose_no_change(alignment: Alignment) -> None:
    cuts = 3 * WAITING_MAX
    for cut in range(1, cuts + 1):
        alignment.adopt(adopted("a", cut))
    assert len(alignment._waiting["a"]) == WAITING_MAX
    alignment.adopt(adopted("e", cuts, {}))
    given = alignment.give()
    assert given is not None
    assert given.aggregates == {f"a{cut}": b"x" for cut in range(1, cuts + 1)}
