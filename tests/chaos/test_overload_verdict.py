"""The verdict of the overload run: it finds what grows, what is lost and a load that was none."""

from collections import Counter
from types import SimpleNamespace

import pytest

from tests.chaos import overload
from tests.chaos.overload import BROKER_MIB_MAX, LOAD, Growth, Load, Pressed, Tally, growth, problems_of

WARM_SECONDS = 120.0
TIMES = [5.0 * n for n in range(120)]  # ten minutes
CALM = Growth("tally", 100.0, 101.0, 1.0, 24.0)
TWICE = Pressed(1200, 600)
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
    assert problems_of(tally(), TWICE, [CALM], 1000, EFFECTS) == []
    assert problems_of(tally(unsure=50), TWICE, [CALM], 1040, Counter(counted=1040)) == []
    assert "999 in the log" in problems_of(tally(), TWICE, [CALM], 999, Counter(counted=999))[0]
    assert "1051 in the log" in problems_of(tally(unsure=50), TWICE, [CALM], 1051, Counter(counted=1051))[0]


def test_what_is_in_the_log_is_folded() -> None:
    assert problems_of(tally(), TWICE, [CALM], 1000, Counter(counted=999)) == ["1000 records in the log, 999 folded"]


def test_a_load_that_was_not_twice_what_was_taken_is_none() -> None:
    assert problems_of(tally(), Pressed(2000, 1000), [CALM], 1000, EFFECTS) == []
    [problem] = problems_of(tally(), Pressed(1990, 1000), [CALM], 1000, EFFECTS)
    assert problem == "the load was 1.99 times what was taken, not 2"
    assert problems_of(tally(), Pressed(0, 0), [CALM], 1000, EFFECTS) != []


def test_what_was_never_answered_is_no_load() -> None:
    assert tally(answers=Counter({"207": 600, "429": 500, "503": 100, "no answer": 300})).offered == 1200  # type: ignore[arg-type]


async def test_the_load_rises_with_what_is_taken_until_it_is_twice_as_much(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stack of which nobody knows how much it can take, and which takes more after a while."""
    load, now, can_take = Load("", "", []), 0.0, 40.0

    async def offer(_: object, __: object, rate: float, seconds: float) -> None:
        nonlocal now
        now += seconds
        taken = int(min(rate, can_take) * seconds)
        load.tally.answers.update({"207": taken, "429": int(rate * seconds) - taken})

    monkeypatch.setattr(overload, "time", SimpleNamespace(monotonic=lambda: now))
    monkeypatch.setattr(load, "_press_steadily", offer)
    await load.raise_rate(None)  # type: ignore[arg-type]
    assert load.most == pytest.approx(can_take)
    can_take = 50.0
    offered, taken = load.tally.offered, load.tally.taken
    await load.press(None, 600.0)  # type: ignore[arg-type]
    assert load.tally.taken - taken == pytest.approx(50 * 600)
    assert Pressed(load.tally.offered - offered, load.tally.taken - taken).load >= LOAD


def test_a_refusal_says_when_to_come_again() -> None:
    assert problems_of(tally(unasked=1), TWICE, [CALM], 1000, EFFECTS) != []
