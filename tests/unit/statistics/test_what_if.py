"""Targets: the page's example, growth that does reach the target, the interval of the year, and when there is none."""

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import linregress, t

from services.shared.statistics.estimation.estimate import Absent
from services.shared.statistics.estimation.what_if import Arrival, arrival, growth_required
from services.shared.statistics.terms import calendar

PAGE = (Path(__file__).parents[3] / "docs" / "methods" / "what-if.md").read_text("utf-8")
QUARTER = calendar.parse_quarter("2025-Q2")


def arrives(stocks: list[float], target: float) -> Arrival:
    found = arrival(stocks, QUARTER, target)
    assert isinstance(found, Arrival), found
    return found


def test_the_example_of_the_page_comes_out_as_printed() -> None:
    numbers = dict(re.findall(r"^(\w+) = (.+)$", PAGE, re.MULTILINE))
    stocks, target = [float(stock) for stock in numbers["stocks"].split()], float(numbers["target"])
    required = growth_required(stocks[-1], target, 4.5)
    assert f"{required:.1f}" == numbers["growth_required"]
    found = arrives(stocks, target)
    for name in ("growth", "growth_lower", "growth_upper"):
        assert f"{getattr(found, name):.1f}" == numbers[name]
    for name in ("year", "earliest", "latest"):
        assert str(getattr(found, name)) == numbers[name]


@given(st.floats(100, 1e5), st.floats(100, 1e5), st.integers(4, 60))
def test_growing_by_what_is_required_reaches_the_target_in_time(stock: float, target: float, quarters: int) -> None:
    growth = growth_required(stock, target, quarters / 4)
    assert isinstance(growth, float)
    assert stock * (1 + growth / 100) ** (quarters / 4) == pytest.approx(target)


def test_a_steady_pace_arrives_in_the_quarter_that_compound_growth_says() -> None:
    stocks = [1000 * 1.02**quarter for quarter in range(8)]
    # 1.02^36 is the first power above 2: nine years after the second quarter of 2025, in the second of 2034.
    found = arrives(stocks, 2 * stocks[-1])
    assert (found.earliest, found.year, found.latest) == (2034, 2034, 2034)
    assert found.growth == pytest.approx(100 * (1.02**4 - 1))


def test_the_pace_and_its_limits_are_those_of_the_regression_of_the_textbook() -> None:
    stocks = [1000.0, 1080.0, 1100.0, 1230.0, 1260.0, 1400.0, 1390.0]
    line = linregress(range(len(stocks)), np.log(stocks))
    half = t.ppf(0.975, len(stocks) - 2) * line.stderr
    found = arrives(stocks, 5000)
    for growth, slope in (
        (found.growth_lower, line.slope - half),
        (found.growth, line.slope),
        (found.growth_upper, line.slope + half),
    ):
        assert growth == pytest.approx(100 * (np.exp(4 * slope) - 1))


def test_only_the_last_three_years_make_the_present_pace() -> None:
    shrinking, growing = [1e6, 1e5, 1e4], [1000 * 1.01**quarter for quarter in range(12)]
    assert arrives(shrinking + growing, 2000) == arrives(growing, 2000)


def test_95_percent_limits_of_the_growth_cover_it_about_that_often() -> None:
    random = np.random.default_rng(11)
    covered = 0
    for _ in range(300):
        stocks = np.exp(0.03 * np.arange(12) + random.normal(0, 0.01, 12))
        found = arrives(stocks.tolist(), 1e3)
        covered += found.growth_lower <= 100 * (np.exp(0.12) - 1) <= found.growth_upper
    assert 0.91 <= covered / 300 <= 0.99


def test_a_pace_that_may_be_none_has_no_latest_year() -> None:
    found = arrives([100, 104, 99, 103, 101, 105], 150)
    assert found.growth_lower < 0 < found.growth
    assert found.latest is None
    assert found.earliest <= found.year


@pytest.mark.parametrize(
    ("stocks", "target", "word"),
    [
        ([10, 11, 12, 13, 14], 20, "needs 6"),
        ([0, 11, 12, 13, 14, 15], 20, "above 0"),
        ([10, 11, 12, 13, 14, 15], 15, "reached"),
        ([32100, 31900, 31720, 31500, 31400, 31300], 100_000, "not reached"),
        ([1000, 1000, 1000, 1000, 1000, 1001], 100_000, "not reached"),
    ],
)
def test_where_no_year_can_be_said_the_reason_is(stocks: list[float], target: float, word: str) -> None:
    found = arrival(stocks, QUARTER, target)
    assert isinstance(found, Absent)
    assert word in found.reason


@pytest.mark.parametrize(("stock", "target", "years"), [(100, 200, 0), (100, 200, -1), (0, 200, 2), (100, 0, 2)])
def test_no_growth_reaches_what_is_over_or_starts_from_nothing(stock: float, target: float, years: float) -> None:
    assert isinstance(growth_required(stock, target, years), Absent)
