"""The nowcast: the page's example, the chain ladder by hand, what was known when, its published scores, and when it is silent."""

import re
from pathlib import Path

import numpy as np
import pytest

from services.shared.statistics.estimation.estimate import Absent
from services.shared.statistics.estimation.nowcast import Nowcast, Triangle, nowcast, reported
from services.shared.statistics.folding.sheet import DELAY_DAYS
from services.shared.statistics.terms import calendar
from tests.scores.nowcast import AGES, row, scores

PAGE = (Path(__file__).parents[3] / "docs" / "methods" / "nowcast.md").read_text("utf-8")
QUARTER = calendar.parse_quarter("2025-Q2")
FIRST = calendar.first_day(QUARTER)


def regular(first_quarter: str, delays: tuple[int, ...], until: str = "2025-Q4") -> Triangle:
    """The same every day: so many records that day, so many the next, and so on."""
    first = calendar.first_day(calendar.parse_quarter(first_quarter))
    counts = np.zeros((calendar.last_day(calendar.parse_quarter(until)) - first + 1, DELAY_DAYS + 1), dtype=np.int64)
    counts[:, : len(delays)] = delays
    return Triangle(first, counts)


def said(triangle: Triangle) -> Nowcast:
    found = nowcast(triangle, QUARTER)
    assert isinstance(found, Nowcast), found
    return found


def test_the_example_of_the_page_comes_out_as_printed() -> None:
    numbers = {name: float(number) for name, number in re.findall(r"^(\w+) = ([\d.]+)$", PAGE, re.MULTILINE)}
    delays = (int(numbers["same_day"]), int(numbers["next_day"]), int(numbers["second_day"]))
    found = said(regular("2020-Q1", delays).at(FIRST + int(numbers["days_seen"]) - 1))
    assert found.known == numbers["known"]
    assert round(100 * found.completeness, 2) == numbers["completeness"]
    assert round(found.value) == numbers["value"]


def test_the_chain_ladder_divides_what_was_known_a_day_later_by_what_was_known_before() -> None:
    # Three days, looked at on the third: 50 of the first day came at once, 40 a day later, 10 the day after, and so on.
    counts = np.zeros((3, DELAY_DAYS + 1), dtype=np.int64)
    counts[0, :3], counts[1, :2], counts[2, 0] = (50, 40, 10), (30, 20), 70
    shares = reported(Triangle(0, counts))
    second = (50 + 40) / (50 + 40 + 10)
    first = (50 + 30) / (50 + 40 + 30 + 20)
    assert shares[:3].tolist() == pytest.approx([first * second, second, 1])
    assert set(shares[2:].tolist()) == {1.0}


def test_only_what_had_been_appended_by_a_day_was_known_on_it() -> None:
    triangle = Triangle(10, np.tile(np.arange(1, DELAY_DAYS + 2), (80, 1)))
    then = triangle.at(12)
    assert then.today == 12
    assert then.counts.shape == (3, DELAY_DAYS + 1)
    assert [day.nonzero()[0].tolist() for day in then.counts] == [[0, 1, 2], [0, 1], [0]]
    assert triangle.at(80).counts[0].sum() == triangle.counts[0].sum()


def test_a_regular_feed_is_foretold_exactly_and_shows_no_error() -> None:
    for day in (0, 20, 90, 91, 100):
        found = said(regular("2020-Q1", (60, 30, 10)).at(FIRST + day))
        for interval in (found.interval_80, found.interval_95):
            assert (interval.lower, found.value, interval.upper) == pytest.approx((9100, 9100, 9100))


def test_what_is_already_known_is_the_least_that_an_interval_says() -> None:
    triangle = regular("2020-Q1", (60, 30, 10))
    uneven = np.random.default_rng(3).poisson(triangle.counts * 3)
    found = said(Triangle(triangle.first_day, uneven).at(calendar.last_day(QUARTER) + 1))
    assert found.known <= found.interval_95.lower <= found.interval_80.lower <= found.value
    assert found.value <= found.interval_80.upper <= found.interval_95.upper
    assert found.interval_95.lower < found.interval_95.upper


def test_a_season_that_came_in_earlier_years_is_expected_again() -> None:
    triangle = regular("2020-Q1", (100,))
    counts = triangle.counts.copy()
    for year in range(2020, 2026):  # the second half of every second quarter has twice as much
        start = calendar.first_day(calendar.parse_quarter(f"{year}-Q2")) + 42 - triangle.first_day
        counts[start : start + 49] *= 2
    found = said(Triangle(triangle.first_day, counts).at(FIRST + 41))
    # The weeks of earlier years lie up to three days aside. By days it would be 9100.
    assert found.value == pytest.approx(42 * 100 + 49 * 200, rel=0.06)


@pytest.mark.parametrize(
    ("first_quarter", "day", "delays", "word"),
    [
        ("2020-Q1", -1, (60, 30, 10), "not begun"),
        ("2020-Q1", 91 + DELAY_DAYS, (60, 30, 10), "complete"),
        ("2024-Q1", 30, (60, 30, 10), "too short"),
        ("2020-Q1", 1, (0, 0, 100), "too little"),
    ],
)
def test_where_nothing_can_be_said_the_reason_is(first_quarter: str, day: int, delays: tuple[int, ...], word: str) -> None:
    found = nowcast(regular(first_quarter, delays).at(FIRST + day), QUARTER)
    assert isinstance(found, Absent)
    assert word in found.reason


def test_with_less_history_fewer_earlier_years_are_asked() -> None:
    # Two and a half years leave no room for trials with two years before each.
    assert said(regular("2022-Q4", (60, 30, 10)).at(FIRST + 30)).value == pytest.approx(9100)


def tables() -> list[list[str]]:
    """The page's tables of scores: of the full run, and of its beginning."""
    blocks = re.findall(r"^\| age .*\n\|[-|]+\n((?:\|.*\n)+)", PAGE, re.MULTILINE)
    return [block.splitlines() for block in blocks]


def test_the_scores_of_the_page_are_those_that_the_simulation_gives() -> None:
    _, short = tables()
    histories = re.search(r"first (\d+) histories", PAGE)
    assert histories is not None
    assert [row(score) for score in scores(int(histories[1]))] == short


def test_the_published_coverage_is_within_5_points_of_nominal_and_the_errors_below_the_baselines() -> None:
    full, _ = tables()
    rows = [[float(number) for number in line.strip("| ").split(" | ")] for line in full]
    assert [line[0] for line in rows] == list(AGES)
    for _, covered_80, covered_95, error, last_year, pro_rata in rows:
        assert abs(covered_80 - 80) <= 5
        assert abs(covered_95 - 95) <= 5
        assert error < last_year < pro_rata


def test_where_more_withdrawals_than_records_are_expected_the_value_lies_below_what_is_known_and_in_its_interval() -> None:
    triangle = regular("2020-Q1", (100,))
    triangle.counts[:, 20] -= 10
    found = said(triangle.at(calendar.last_day(QUARTER)))
    assert found.known > found.value == pytest.approx(91 * 90)
    for interval in (found.interval_80, found.interval_95):
        assert interval.lower <= found.value <= interval.upper
