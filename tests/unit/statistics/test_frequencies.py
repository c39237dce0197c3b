"""Estimators over frequencies: the published example, the formulas by definition, coverage, and what cannot be estimated."""

from collections.abc import Callable
from math import exp, factorial, log

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from services.shared.statistics.estimation.estimate import Absent, Interval
from services.shared.statistics.estimation.frequencies import (
    METHODS,
    Frequencies,
    chao,
    persons_found,
    truncated_poisson,
    zelterman,
)

# Irregular immigrants apprehended in four Dutch cities in 1995: van der Heijden and others, Stat. Modelling 3 (2003).
DUTCH = {1: 1645, 2: 183, 3: 37, 4: 13, 5: 1, 6: 1}
Estimator = Callable[[Frequencies], Interval | Absent]

tables = st.dictionaries(st.integers(1, 12), st.integers(0, 5000), min_size=1, max_size=8)


def rounded(found: Interval | Absent) -> tuple[int, int, int]:
    assert isinstance(found, Interval)
    return round(found.value), round(found.lower), round(found.upper)


def test_the_published_example_comes_out_to_the_printed_precision() -> None:
    assert persons_found(DUTCH) == 1880
    assert rounded(truncated_poisson(DUTCH)) == (7080, 6363, 7797)
    assert rounded(zelterman(DUTCH)) == (9425, 8084, 10765)
    bound = chao(DUTCH)
    assert isinstance(bound, Interval)
    assert round(bound.value, 1) == 9273.5


@given(st.integers(1, 5000), st.integers(1, 5000), st.integers(0, 5000))
def test_chao_is_its_formula_and_its_limits_are_symmetric_in_the_logarithm(once: int, twice: int, more: int) -> None:
    found = chao({1: once, 2: twice, 7: more})
    assert isinstance(found, Interval)
    n = once + twice + more
    assert found.value == pytest.approx(n + once * once / (2 * twice))
    assert n < found.lower < found.value < found.upper
    assert (found.lower - n) * (found.upper - n) == pytest.approx((found.value - n) ** 2)


@pytest.mark.parametrize(("once", "missed"), [(2, 1), (3, 3), (10, 45)])
def test_chao_without_anyone_found_twice_is_the_bias_corrected_form(once: int, missed: int) -> None:
    found = chao({1: once, 3: 4})
    assert isinstance(found, Interval)
    assert found.value == once + 4 + missed
    assert once + 4 < found.lower < found.value < found.upper


@given(tables)
def test_the_truncated_poisson_has_the_rate_of_greatest_likelihood(table: dict[int, int]) -> None:
    found = truncated_poisson(table)
    assume(isinstance(found, Interval))
    assert isinstance(found, Interval)
    n = persons_found(table)
    chance = n / found.value
    assume(chance < 1 - 1e-9)
    rate = -log(1 - chance)

    def likelihood(x: float) -> float:
        return sum(f * log(exp(-x) * x**k / factorial(k) / (1 - exp(-x))) for k, f in table.items() if f)

    # At a top, a step either way is lower. Below 1e-3 of the rate the difference would drown in rounding.
    top = likelihood(rate)
    assert likelihood(rate * 1.01) < top
    assert likelihood(rate * 0.99) < top


@given(tables, st.sampled_from(sorted(METHODS)))
def test_an_estimate_is_absent_with_a_reason_or_finite_and_never_below_those_found(table: dict[int, int], method: str) -> None:
    found = METHODS[method](table)
    if isinstance(found, Absent):
        assert found.reason
    else:
        assert persons_found(table) <= found.lower <= found.value <= found.upper < float("inf")


@pytest.mark.parametrize(
    ("method", "table", "word"),
    [
        ("CHAO", {}, "nobody was found"),
        ("CHAO", {2: 5}, "exactly once"),
        ("CHAO", {1: 1, 3: 2}, "exactly twice"),
        ("ZELTERMAN", {1: 0}, "nobody was found"),
        ("ZELTERMAN", {2: 5, 3: 1}, "exactly once"),
        ("ZELTERMAN", {1: 100, 3: 1}, "exactly twice"),
        ("TRUNCATED_POISSON", {}, "nobody was found"),
        ("TRUNCATED_POISSON", {1: 100}, "more than once"),
    ],
)
def test_what_the_data_cannot_carry_is_absent_and_says_why(method: str, table: dict[int, int], word: str) -> None:
    found = METHODS[method](table)
    assert isinstance(found, Absent)
    assert word in found.reason


@pytest.mark.parametrize("method", ["CHAO", "ZELTERMAN", "TRUNCATED_POISSON"])
def test_95_percent_intervals_cover_a_known_population_about_that_often(method: str) -> None:
    population, runs = 3000, 400
    random = np.random.default_rng(20250630)
    covered = 0
    for _ in range(runs):
        times, persons = np.unique(random.poisson(0.6, population), return_counts=True)
        found = METHODS[method]({int(k): int(f) for k, f in zip(times, persons, strict=True) if k})
        assert isinstance(found, Interval)
        covered += found.lower <= population <= found.upper
    assert 0.92 <= covered / runs <= 0.98


def test_chao_stays_below_a_population_in_which_some_are_hardly_ever_found() -> None:
    random = np.random.default_rng(7)
    rates = np.where(np.arange(20_000) % 2, 0.1, 1.5)
    times, persons = np.unique(random.poisson(rates), return_counts=True)
    table = {int(k): int(f) for k, f in zip(times, persons, strict=True) if k}
    lower, same_for_all = chao(table), truncated_poisson(table)
    assert isinstance(lower, Interval)
    assert isinstance(same_for_all, Interval)
    assert same_for_all.value < lower.value < 20_000


def test_frequencies_that_count_people_who_were_never_found_are_a_bug_of_the_caller() -> None:
    with pytest.raises(AssertionError):
        chao({0: 5, 1: 3})
