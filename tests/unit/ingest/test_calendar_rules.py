"""Times at the edge."""

import pytest

from services.shared.ingest.calendar_rules import is_day, latest, utc_milliseconds


@pytest.mark.parametrize(
    ("sent", "stored"),
    [
        ("2025-06-30T23:59:59.999+05:00", "2025-06-30T18:59:59.999Z"),
        ("2025-06-30T23:59:59.9999999+05:00", "2025-06-30T18:59:59.999Z"),  # rounded up it would be the next day
        ("2025-06-30T23:59:59+05:00", "2025-06-30T18:59:59.000Z"),
        ("2025-06-30T23:59:59.5Z", "2025-06-30T23:59:59.500Z"),
        ("2025-06-30t23:59:59.05z", "2025-06-30T23:59:59.050Z"),
        ("2025-01-01T00:00:00+05:30", "2024-12-31T18:30:00.000Z"),
        ("2025-01-01T00:07:08.9-03:45", "2025-01-01T03:52:08.900Z"),
        ("2025-01-01T00:00:00-00:00", "2025-01-01T00:00:00.000Z"),
        ("2024-02-29T23:30:00-01:00", "2024-03-01T00:30:00.000Z"),
        ("0999-12-31T00:00:00Z", "0999-12-31T00:00:00.000Z"),  # four digits: text order is time order
    ],
)
def test_a_time_is_stored_in_utc_and_cut_to_milliseconds(sent: str, stored: str) -> None:
    assert utc_milliseconds(sent) == stored


@pytest.mark.parametrize(
    "sent", ["2025-02-30T00:00:00Z", "2023-02-29T00:00:00+05:30", "0001-01-01T00:00:00+05:00", "0000-01-01T00:00:00Z"]
)
def test_a_time_that_does_not_exist_is_none(sent: str) -> None:
    assert utc_milliseconds(sent) is None


def test_the_future_begins_after_24_hours_and_for_a_day_after_the_day_in_almaty_that_is_then() -> None:
    bound = latest(1_750_000_000_123)  # 2025-06-15T15:06:40.123Z, 20:06 in Almaty
    assert bound.moment == "2025-06-16T15:06:40.123Z"
    assert bound.day == "2025-06-16"
    assert latest(1_750_000_000_123 + 4 * 3_600_000).day == "2025-06-17"


def test_a_leap_day_is_a_day_only_in_a_leap_year() -> None:
    assert is_day("2024-02-29")
    assert not is_day("2025-02-29")
