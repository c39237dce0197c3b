"""The verdict of the overload run: it finds what grows, what is lost and a load that was none."""

from collections import Counter

import pytest

from tests.chaos.overload import BROKER_MIB_MAX, Growth, Tally, growth, problems_of

WARM_SECONDS = 120.0
TIMES = [5.0 * n for n in range(120)]  # ten minutes
CALM = Growth("tally", 100.0, 101.0, 1.0, 24.0)
EFFECTS = Counter(counted=900, duplicate=100)


def tally(**fields: int) -> Tally:
    return Tally(**({"attempts": 1200, "accepted": 1000, "unsure": 0, "answers": Counter({"207": 600, "429": 600})} | fields))  # type: ignore[arg-type]


def test_a_process_that_goes_up_and_down_does_not_grow() -> None:
    found = growth("tally", [(t, 300.0 + 20 * (-1) ** n) for n, t in enumerate(TIMES)], WARM_SECONDS)
    assert found.fine
    assert abs(found.rise) < 3


def test_a_process_that_takes_its_size_in_the_first_two_minutes_does_not_grow() -> None:
    assert growth("tally", [(t, min(t, WARM_SECONDS) * 5) for t in TIMES], WARM_SECONDS).fine


def test_a_process_that_keeps_a_little_of_every_submission_grows() -> None:
    found = growth("tally", [(t, 300.0 + t / 60 * 4) for t in TIMES], WARM_SECONDS)
    assert not found.fine
    assert found.rise == pytest.approx(4 * (TIMES[-1] - WARM_SECONDS) / 60)


def test_a_broker_may_fill_its_heap_and_not_more() -> None:
    assert growth("kafka", [(t, BROKER_MIB_MAX * t / 600) for t in TIMES], WARM_SECONDS).fine
    assert not growth("kafka", [(t, BROKER_MIB_MAX + 1.0) for t in TIMES], WARM_SECONDS).fine


def test_what_was_accepted_is_in_the_log_once_or_as_often_as_nobody_is_sure() -> None:
    assert problems_of(tally(), 1.0, 600.0, [CALM], 1000, EFFECTS) == []
    assert problems_of(tally(unsure=50), 1.0, 600.0, [CALM], 1040, Counter(counted=1040)) == []
    assert "999 in the log" in problems_of(tally(), 1.0, 600.0, [CALM], 999, Counter(counted=999))[0]
    assert "1051 in the log" in problems_of(tally(unsure=50), 1.0, 600.0, [CALM], 1051, Counter(counted=1051))[0]


def test_what_is_in_the_log_is_folded() -> None:
    assert problems_of(tally(), 1.0, 600.0, [CALM], 1000, Counter(counted=999)) == ["1000 records in the log, 999 folded"]


def test_a_load_that_everybody_could_take_is_none() -> None:
    assert problems_of(tally(answers=Counter({"207": 1200})), 1.0, 600.0, [CALM], 1000, EFFECTS) != []  # type: ignore[arg-type]
    assert problems_of(tally(attempts=900), 1.0, 600.0, [CALM], 1000, EFFECTS) != []


def test_a_refusal_says_when_to_come_again() -> None:
    assert problems_of(tally(unasked=1), 1.0, 600.0, [CALM], 1000, EFFECTS) != []
