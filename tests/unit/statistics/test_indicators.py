"""Indicators: formulas against published figures and against sums written out in the test."""

from typing import Any

import pytest

from schemas.indicators import units
from services.shared.statistics.exchange.observation import Observation, series_key
from services.shared.statistics.publication.indicators import observations

UNITS = units()


def flow(measure: str, period: str, area: str, value: int, purpose: str = "tourism") -> dict[str, Any]:
    field = "citizenship" if measure == "arrivals" else "destination"
    return {"measure": measure, "period": period, field: area, "purpose": purpose, "value": value}


def citizens(measure: str, period: str, area: str, value: int) -> dict[str, Any]:
    return {
        "measure": measure,
        "period": period,
        "counterpart" if measure == "citizens_in" else "destination": area,
        "value": value,
    }


def stock(measure: str, period: str, citizenship: str, category: str, value: int) -> dict[str, Any]:
    field = "level" if measure == "students" else "category"
    return {"measure": measure, "period": period, "citizenship": citizenship, field: category, "value": value}


def target(value: float, period: str = "2029", published_on: str = "2025-05-15") -> dict[str, Any]:
    key = f"mshe/{period}/{published_on}"
    figure = {"figure": "FOREIGN_STUDENTS_TARGET", "period": period, "value": value, "published_on": published_on}
    return {"measure": "reference", "key": key, **figure}


def published(*entries: Any, estimates: tuple[Any, ...] = ()) -> dict[tuple[str, str], Observation]:
    return observations({str(i): e for i, e in enumerate(entries)}, estimates, UNITS)


def value(found: dict[tuple[str, str], Observation], indicator: str, period: str, **dimensions: str) -> Any:
    """The value of one observation; None if it is not there."""
    freq = "D" if period.count("-") == 2 else "Q" if "Q" in period else "A"
    observation = found.get((series_key(freq, indicator, **dimensions), period))
    return None if observation is None else observation.value


# Quarterly totals in the IOM's Kazakhstan migration situation reports.
IOM = (
    flow("arrivals", "2024-Q1", "UZ", 2_975_788),
    flow("departures", "2024-Q1", "UZ", 2_872_109),
    flow("arrivals", "2024-Q2", "UZ", 4_001_714),
    flow("departures", "2024-Q2", "UZ", 3_832_829),
)


def test_balances_and_changes_of_2024_are_the_published_ones() -> None:
    found = published(*IOM)
    assert value(found, "BORDER_BALANCE", "2024-Q1") == 103_679
    assert value(found, "BORDER_BALANCE", "2024-Q2") == 168_885
    assert value(found, "BORDER_BALANCE", "2024") == 103_679 + 168_885
    assert round(value(found, "ARRIVALS_CHANGE_QOQ", "2024-Q2"), 1) == 34.5


def test_a_change_without_its_base_is_absent() -> None:
    found = published(*IOM, flow("arrivals", "2025-Q2", "UZ", 4_370_000))
    assert value(found, "ARRIVALS_CHANGE_QOQ", "2024-Q1") is None
    assert value(found, "ARRIVALS_CHANGE_QOQ", "2025-Q2") is None, "2025-Q1 has no records"
    assert value(found, "ARRIVALS_CHANGE_YOY", "2025-Q2") == pytest.approx(100 * (4_370_000 / 4_001_714 - 1))
    assert value(found, "DEPARTURES_CHANGE_QOQ", "2024-Q2") == pytest.approx(100 * (3_832_829 / 2_872_109 - 1))
    assert value(found, "DEPARTURES_CHANGE_YOY", "2025-Q2") is None


def test_the_first_quarter_of_a_year_follows_the_last_one_of_the_year_before() -> None:
    found = published(flow("arrivals", "2024-Q4", "UZ", 100), flow("arrivals", "2025-Q1", "UZ", 150))
    assert value(found, "ARRIVALS_CHANGE_QOQ", "2025-Q1") == pytest.approx(50)


def test_shares_are_of_the_total_including_the_unknown() -> None:
    found = published(*(flow("arrivals", "2025-Q2", area, n) for area, n in {"UZ": 50, "RU": 10, "XX": 40}.items()))
    assert value(found, "ARRIVALS_SHARE", "2025-Q2", area="UZ") == pytest.approx(50)
    assert value(found, "ARRIVALS_SHARE", "2025-Q2", area="XX") == pytest.approx(40)
    assert value(found, "ARRIVALS_SHARE", "2025-Q2", area="CIS") == pytest.approx(60)
    assert value(found, "ARRIVALS_SHARE", "2025-Q2", area="FAR_ABROAD") is None
    assert value(found, "ARRIVALS_SHARE", "2025-Q2") is None, "the total's share of itself is no figure"
    assert value(found, "ARRIVALS_SHARE", "2025-Q2", area="EAEU") is None


MIXED = tuple(
    flow(measure, "2025-Q2", area, n)
    for measure in ("arrivals", "departures")
    for area, n in {"AM": 1, "AZ": 2, "BY": 4, "KG": 8, "MD": 16, "RU": 32, "TJ": 64, "TM": 128, "UZ": 256,
                    "GE": 512, "UA": 1024, "XX": 2048, "KZ": 4096, "CN": 8192, "TR": 16384}.items()
)  # fmt: skip


@pytest.mark.parametrize("indicator", ["ARRIVALS", "DEPARTURES"])
def test_groups_have_exactly_their_members(indicator: str) -> None:
    found = published(*MIXED)
    for freq_period in ("2025-Q2", "2025"):
        assert value(found, indicator, freq_period, area="CIS") == 511
        assert value(found, indicator, freq_period, area="EAEU") == 1 + 4 + 8 + 32
        assert value(found, indicator, freq_period, area="FAR_ABROAD") == 8192 + 16384
        assert value(found, indicator, freq_period) == 32767


def test_arrivals_are_given_by_purpose_and_departures_are_not() -> None:
    found = published(
        flow("arrivals", "2025-Q2", "UZ", 3, "employment"), flow("arrivals", "2025-Q2", "UZ", 1, "transit"),
        flow("departures", "2025-Q2", "UZ", 3, "employment"), flow("departures", "2025-Q2", "UZ", 1, "transit"),
    )  # fmt: skip
    assert value(found, "ARRIVALS", "2025-Q2", area="CIS", purpose="employment") == 3
    assert value(found, "ARRIVALS", "2025-Q2", area="UZ") == 4
    assert value(found, "ARRIVALS_PURPOSE_SHARE", "2025-Q2", purpose="employment") == pytest.approx(75)
    assert value(found, "DEPARTURES", "2025-Q2", area="UZ") == 4
    assert {series.split(".")[3] for series, _ in found if ".DEPARTURES." in series} == {"_T"}


def test_contributions_add_to_the_change_whoever_came_or_stayed_away() -> None:
    before = {"UZ": 500, "CN": 200, "XX": 300}
    after = {"UZ": 800, "RU": 350, "XX": 290}
    found = published(
        *(flow("arrivals", "2025-Q1", a, n) for a, n in before.items()),
        *(flow("arrivals", "2025-Q2", a, n) for a, n in after.items()),
    )
    parts = {a: value(found, "ARRIVALS_CONTRIBUTION_QOQ", "2025-Q2", area=a) for a in before.keys() | after.keys()}
    assert parts == pytest.approx({"UZ": 30, "CN": -20, "RU": 35, "XX": -1})
    assert sum(parts.values()) == pytest.approx(value(found, "ARRIVALS_CHANGE_QOQ", "2025-Q2"))
    assert value(found, "ARRIVALS_CONTRIBUTION_QOQ", "2025-Q2", area="CIS") == pytest.approx(65)
    assert value(found, "ARRIVALS_CONTRIBUTION_QOQ", "2025-Q2", area="FAR_ABROAD") == pytest.approx(-20)
    assert value(found, "ARRIVALS_CONTRIBUTION_QOQ", "2025-Q1", area="UZ") is None


def test_flows_of_a_year_are_the_sum_of_its_quarters_and_citizens_stand_apart() -> None:
    quarters = [f"2024-Q{q}" for q in (1, 2, 3, 4)]
    found = published(
        *(flow("arrivals", q, "UZ", 10 + i) for i, q in enumerate(quarters)),
        *(citizens("citizens_out", q, "TR", 100 + i) for i, q in enumerate(quarters)),
        citizens("citizens_in", "2024-Q1", "TR", 7),
        citizens("citizens_in", "2024-Q1", "RU", 8),
    )
    assert value(found, "ARRIVALS", "2024") == 10 + 11 + 12 + 13
    assert value(found, "CITIZENS_OUT", "2024", area="TR") == 100 + 101 + 102 + 103
    assert value(found, "CITIZENS_IN", "2024-Q1") == 15
    assert value(found, "CITIZENS_IN", "2024-Q1", area="CIS") is None, "citizens are given by country and in total"
    assert value(found, "DEPARTURES", "2024") is None
    assert value(found, "BORDER_BALANCE", "2024-Q3") == 12


def test_rolling_figures_go_by_the_day_they_end_on() -> None:
    entry = {"measure": "arrivals_rolling", "period": "2025-06-30", "area": "CIS", "value": 12}
    found = published(entry, {**entry, "measure": "departures_rolling", "value": 13})
    assert value(found, "ARRIVALS", "2025-06-30", area="CIS") == 12
    assert value(found, "DEPARTURES", "2025-06-30", area="CIS") == 13


def test_permits_have_their_margins_and_their_change_on_the_year() -> None:
    found = published(
        stock("permits_in_force", "2024-Q2", "CN", "1", 13_000),
        stock("permits_in_force", "2025-Q2", "CN", "1", 10_000),
        stock("permits_in_force", "2025-Q2", "RU", "3", 4_820),
        stock("permits_issued", "2025-Q1", "CN", "1", 5),
        stock("permits_issued", "2025-Q2", "CN", "2", 7),
    )
    assert value(found, "PERMITS_IN_FORCE", "2025-Q2") == 14_820
    assert value(found, "PERMITS_IN_FORCE", "2025-Q2", area="EAEU") == 4_820
    assert value(found, "PERMITS_IN_FORCE", "2025-Q2", category="1") == 10_000
    assert value(found, "PERMITS_IN_FORCE", "2025-Q2", area="CN") == 10_000
    assert value(found, "PERMITS_IN_FORCE", "2025-Q2", area="CIS") is None
    assert value(found, "PERMITS_IN_FORCE_CHANGE_YOY", "2025-Q2") == pytest.approx(14)
    assert value(found, "PERMITS_IN_FORCE", "2025") is None, "a stock has no sum over a year"
    assert value(found, "PERMITS_ISSUED", "2025") == 12
    assert value(found, "PERMITS_ISSUED", "2025", category="2") == 7
    assert value(found, "PERMITS_ISSUED", "2025", area="RU") is None


def test_growth_reaches_the_target_at_the_end_of_the_target_year() -> None:
    found = published(stock("students", "2025-Q2", "IN", "bachelor", 31_500), target(150_000))
    growth = value(found, "FOREIGN_STUDENTS_GROWTH_REQUIRED", "2025-Q2")
    assert round(growth, 1) == 41.5
    assert 31_500 * (1 + growth / 100) ** 4.5 == pytest.approx(150_000), "four years and a half are left"
    assert value(found, "FOREIGN_STUDENTS_GAP", "2025-Q2") == 118_500
    assert found["A.FOREIGN_STUDENTS_TARGET._T._T._T._Z", "2029"].status == "F"
    assert value(found, "FOREIGN_STUDENTS_TARGET", "2029") == 150_000


def test_the_newest_target_counts_and_every_target_year_keeps_its_own() -> None:
    targets = (target(150_000, "2029", "2025-05-15"), target(100_000, "2028", "2025-10-31"), target(90_000, "2028", "2024-01-01"))
    found = published(stock("students", "2025-Q2", "IN", "bachelor", 50_000), *targets)
    assert value(found, "FOREIGN_STUDENTS_TARGET", "2029") == 150_000
    assert value(found, "FOREIGN_STUDENTS_TARGET", "2028") == 100_000
    assert value(found, "FOREIGN_STUDENTS_GAP", "2025-Q2") == 50_000


def test_without_target_or_when_its_year_is_over_no_growth_is_required() -> None:
    assert value(published(stock("students", "2025-Q2", "IN", "master", 5)), "FOREIGN_STUDENTS_GAP", "2025-Q2") is None
    over = published(stock("students", "2029-Q4", "IN", "master", 5), target(10))
    assert value(over, "FOREIGN_STUDENTS_GROWTH_REQUIRED", "2029-Q4") is None
    assert value(over, "FOREIGN_STUDENTS_GAP", "2029-Q4") == 5


def test_estimates_carry_method_limits_and_status_and_absent_ones_are_not_published() -> None:
    estimate = {"indicator": "INFORMAL_SHARE", "method": "SURVEY", "period": "2025-Q2", "value": 34.0, "lower": 31.9, "upper": 36.2}
    absent = {"indicator": "INFORMAL_SHARE", "method": "RESIDUAL", "period": "2025-Q2", "absent": True, "reason": "none"}
    (observation,) = published(estimates=(estimate, absent)).values()
    assert observation == Observation(
        "Q.INFORMAL_SHARE._T._T._T.SURVEY", "2025-Q2", 34.0, 31.9, 36.2, "percent", 1, "E", "F"
    )  # fmt: skip


def test_nothing_comes_from_nothing() -> None:
    assert published() == {}


def test_every_observation_has_the_unit_and_decimals_of_its_definition() -> None:
    found = published(*IOM, *MIXED, target(5), stock("students", "2025-Q2", "IN", "master", 5))
    for (series, _), observation in found.items():
        assert (observation.unit, observation.decimals) == UNITS[series.split(".")[1]]
    assert found["Q.ARRIVALS_CONTRIBUTION_QOQ.UZ._T._T._Z", "2024-Q2"].unit == "percentage points"
