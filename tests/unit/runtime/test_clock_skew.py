"""Two clocks compared: what an append time proves, and what is said of it."""

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.shared.runtime.process.clock_skew import SKEW_SECONDS_MAX, ClockSkew, skew_seconds

NOW = 1_764_331_200.0  # 2025-11-28T12:00:00Z
SKEWS = st.integers(-10_000_000, 10_000_000)
DELAYS = st.integers(0, 60)


@given(SKEWS, DELAYS, DELAYS)
def test_never_more_skew_is_seen_than_there_is_and_less_only_by_the_time_an_acknowledgement_took(
    skew: int, there: int, back: int
) -> None:
    seen = skew_seconds(NOW + there + skew, NOW, NOW + there + back)
    assert abs(seen) <= abs(skew)
    assert abs(skew) - abs(seen) <= there + back
    assert seen * skew >= 0


def test_a_clock_that_is_put_right_between_sending_and_acknowledgement_counts_as_right() -> None:
    assert skew_seconds(NOW, NOW + 3600, NOW) == 0


def test_clocks_are_apart_beyond_the_limit_only_and_each_change_is_said_once_with_both_times(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    skew = ClockSkew()
    parted: list[bool] = []
    assert not skew.apart
    assert skew.seconds is None
    for ahead in (0, SKEW_SECONDS_MAX, SKEW_SECONDS_MAX + 1, SKEW_SECONDS_MAX + 2, -SKEW_SECONDS_MAX, -3600, 0, 0):
        skew.note(NOW + ahead, NOW, NOW)
        assert skew.seconds == ahead
        parted.append(skew.apart)
    assert parted == [False, False, True, True, False, True, False, False]
    lines = [record.getMessage() for record in caplog.records]
    assert [line.startswith("this service's clock says 2025-11-28T12:00:00+00:00, the log's 20") for line in lines] == [
        True, False, True, False,
    ]  # fmt: skip
    assert "2025-11-28T11:00:00+00:00: they are 3600 s apart" in lines[2]
