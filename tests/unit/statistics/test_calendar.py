"""Local days and quarters, at the places where they are easy to get wrong."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from services.shared.statistics.terms import calendar

ALMATY = ZoneInfo("Asia/Almaty")


def test_local_days_agree_with_the_tz_database_around_every_change_of_offset() -> None:
    start = datetime(2000, 1, 1, tzinfo=UTC)
    instants = [start + timedelta(hours=h) for h in range(0, 32 * 8766)]
    ms = np.array([int(i.timestamp() * 1000) for i in instants])
    expected = [calendar.day_number(i.astimezone(ALMATY).date()) for i in instants]
    assert calendar.local_days(ms).tolist() == expected
    assert (
        calendar.local_days(ms - 1).tolist()[1:]
        == [calendar.day_number((i - timedelta(milliseconds=1)).astimezone(ALMATY).date()) for i in instants][1:]
    )


@pytest.mark.parametrize(
    ("instant", "day"),
    [
        ("2024-02-29T17:59:59.999+00:00", "2024-02-29"),
        ("2024-02-29T18:00:00.000+00:00", "2024-02-29"),  # 23:00 for the second time
        ("2024-02-29T18:59:59.999+00:00", "2024-02-29"),
        ("2024-02-29T19:00:00.000+00:00", "2024-03-01"),
        ("2025-06-30T23:59:59.999+05:00", "2025-06-30"),
        ("2025-07-01T00:00:00.000+05:00", "2025-07-01"),
    ],
)
def test_the_last_millisecond_belongs_to_its_day(instant: str, day: str) -> None:
    ms = round(datetime.fromisoformat(instant).timestamp() * 1000)
    assert calendar.day_label(calendar.local_day(ms)) == day


def test_quarters_have_their_own_lengths() -> None:
    lengths = [calendar.last_day(q) - calendar.first_day(q) + 1 for q in range(96, 100)]  # 2024, a leap year
    assert lengths == [91, 91, 92, 92]
    assert calendar.quarter_label(calendar.parse_quarter("2025-Q2")) == "2025-Q2"
    assert calendar.quarter_of(calendar.parse_day("2024-02-29")) == calendar.parse_quarter("2024-Q1")


@pytest.mark.parametrize("text", ["2025-Q5", "2025Q2", "25-Q2", "2025-q2", ""])
def test_a_malformed_quarter_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="2025-Q2"):
        calendar.parse_quarter(text)


@pytest.mark.parametrize(
    ("day", "quarter"),
    [
        ("2000-02-29", "2000-Q1"),
        ("2024-02-29", "2024-Q1"),
        ("2023-12-31", "2023-Q4"),
        ("2024-01-01", "2024-Q1"),
        ("2024-12-31", "2024-Q4"),  # day 366
        ("2025-03-31", "2025-Q1"),
        ("2025-04-01", "2025-Q2"),
        ("2100-02-28", "2100-Q1"),
    ],
)
def test_a_day_belongs_to_its_calendar_quarter(day: str, quarter: str) -> None:
    number = calendar.parse_day(day)
    assert calendar.quarter_label(calendar.quarter_of(number)) == quarter
    assert calendar.first_day(calendar.quarter_of(number)) <= number <= calendar.last_day(calendar.quarter_of(number))
    assert calendar.day_label(number) == day


@pytest.mark.parametrize(("year", "days"), [(2023, 90), (2024, 91), (2000, 91), (2100, 90)])
def test_the_first_quarter_is_a_day_longer_in_a_leap_year(year: int, days: int) -> None:
    quarter = calendar.parse_quarter(f"{year}-Q1")
    assert calendar.last_day(quarter) - calendar.first_day(quarter) + 1 == days


def test_a_leap_day_is_a_day_and_its_like_in_a_common_year_is_none() -> None:
    assert calendar.parse_day("2024-03-01") - calendar.parse_day("2024-02-28") == 2
    with pytest.raises(ValueError, match="day"):
        calendar.parse_day("2023-02-29")


@pytest.mark.parametrize(
    ("period", "quarter"),
    [
        ("2024", "2024-Q4"), ("2024-S1", "2024-Q2"), ("2024-S2", "2024-Q4"), ("2025-Q3", "2025-Q3"), ("2024-02", "2024-Q1"),
        ("2024-12", "2024-Q4"), ("2024-02-29", "2024-Q1"), ("2024/25", "2025-Q2"),
    ],
)  # fmt: skip
def test_a_period_of_any_kind_ends_in_its_last_quarter(period: str, quarter: str) -> None:
    assert calendar.quarter_label(calendar.last_quarter_of_period(period)) == quarter


@pytest.mark.parametrize("period", ["", "24", "2024-S3", "2024-Q5", "2024-13", "2024/2025", "2024-Q1 ", "soon"])
def test_what_is_no_period_is_refused(period: str) -> None:
    with pytest.raises(ValueError, match="a period is"):
        calendar.last_quarter_of_period(period)


def test_the_instant_of_a_local_time_is_the_tz_databases_through_every_change_of_offset() -> None:
    for day in (*range(0, 2000), *range(8750, 8900)):  # what changes the clock, and some years without
        for hour in (0, 2, 9, 23):
            local = datetime.combine(calendar.EPOCH, datetime.min.time()) + timedelta(days=day, hours=hour, minutes=30)
            expected = local.replace(tzinfo=ALMATY)  # fold 0: the earlier of two, the offset before a gap
            assert calendar.instant_of(day, (hour * 60 + 30) * 60_000) == round(expected.timestamp() * 1000)
