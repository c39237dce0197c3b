"""Residence, labour emigration and visitors: formulas against figures of the source article and sums written out in the test."""

from typing import Any

import pytest

from tests.unit.statistics.test_indicators import published, value


def count(measure: str, period: str, number: int, **dimensions: str) -> dict[str, Any]:
    return {"measure": measure, "period": period, **dimensions, "value": number}


def moved(period: str, number: int, citizenship: str = "UZ", purpose: str = "unspecified") -> dict[str, Any]:
    return count("residence_arrivals", period, number, citizenship=citizenship, purpose=purpose)


def left(period: str, number: int, destination: str = "RU") -> dict[str, Any]:
    return count("residence_departures", period, number, destination=destination)


def emigrated(period: str, number: int, destination: str = "KR") -> dict[str, Any]:
    return count("labour_emigration", period, number, destination=destination)


def treated(period: str, number: int, citizenship: str) -> dict[str, Any]:
    return count("medical", period, number, citizenship=citizenship)


def test_net_migration_is_of_residence_and_never_of_crossings() -> None:
    crossings = count("arrivals", "2024-Q1", 9_000_000, citizenship="UZ", purpose="residence")
    found = published(crossings, moved("2024-Q1", 20_000), moved("2024-Q4", 9_282, "RU"), left("2024-Q1", 12_782))
    assert value(found, "NET_MIGRATION", "2024-Q1") == 7_218
    assert value(found, "NET_MIGRATION", "2024-Q4") == 9_282
    assert value(found, "NET_MIGRATION", "2024") == 16_500
    assert value(found, "RESIDENCE_ARRIVALS", "2024", area="RU") == 9_282
    assert value(found, "RESIDENCE_DEPARTURES", "2024", area="RU") == 12_782
    assert value(found, "BORDER_BALANCE", "2024") == 9_000_000


def test_more_who_leave_than_come_is_a_negative_net_migration() -> None:
    assert value(published(left("2024-Q1", 5)), "NET_MIGRATION", "2024-Q1") == -5


def test_shares_of_purposes_are_of_all_who_came_for_residence() -> None:
    purposes = {"unspecified": 84, "employment": 12, "education": 4}
    found = published(*(moved("2025-Q2", n, purpose=p) for p, n in purposes.items()), moved("2025-Q1", 100, purpose="education"))
    assert [value(found, "RESIDENCE_PURPOSE_SHARE", "2025-Q2", purpose=p) for p in purposes] == [84, 12, 4]
    assert value(found, "RESIDENCE_PURPOSE_SHARE", "2025", purpose="education") == 52
    assert value(found, "RESIDENCE_ARRIVALS", "2025-Q2", area="UZ", purpose="employment") == 12


def test_the_fall_of_labour_emigration_from_about_190000_to_140000_is_about_26_percent() -> None:
    found = published(emigrated("2023-Q1", 190_000), emigrated("2024-Q1", 100_000), emigrated("2024-Q2", 40_000, "RU"))
    assert value(found, "LABOUR_EMIGRATION", "2024") == 140_000
    assert value(found, "LABOUR_EMIGRATION", "2024", area="RU") == 40_000
    assert round(value(found, "LABOUR_EMIGRATION_CHANGE_YOY", "2024")) == -26
    assert value(found, "LABOUR_EMIGRATION_CHANGE_YOY", "2024-Q1") == pytest.approx(-900 / 19)
    assert value(found, "LABOUR_EMIGRATION_CHANGE_YOY", "2024-Q2") is None, "2023-Q2 has no records"
    assert value(found, "LABOUR_EMIGRATION_CHANGE_YOY", "2023") is None


def test_guests_and_patients_are_apart_and_patients_are_compared_with_five_years_before() -> None:
    found = published(
        count("guests", "2024-Q1", 7, citizenship="CN"),
        treated("2019-Q4", 2, "CN"), treated("2024-Q1", 40, "CN"), treated("2024-Q2", 8, "CN"), treated("2024-Q2", 1, "TR"),
    )  # fmt: skip
    assert value(found, "FOREIGN_GUESTS", "2024") == 7
    assert value(found, "MEDICAL_VISITORS", "2024") == 49
    assert value(found, "MEDICAL_VISITORS_RATIO_5Y", "2024", area="CN") == 24
    assert value(found, "MEDICAL_VISITORS_RATIO_5Y", "2024") == 24.5
    assert value(found, "MEDICAL_VISITORS_RATIO_5Y", "2024", area="TR") is None, "nobody came in 2019"
    assert value(found, "MEDICAL_VISITORS_RATIO_5Y", "2023") is None
