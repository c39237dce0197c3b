"""Estimators give their published worked examples, and the formulas written out again."""

from math import sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from services.shared.statistics.estimation.estimate import Z_95, product, share_variance, wilson


def test_the_quantile_is_that_of_the_normal_distribution_to_the_last_bit() -> None:
    assert norm.ppf(0.975) == Z_95


# With a design effect of 2, 30.9 is also in print: that is the lower limit of the normal interval, not of Wilson's.
@pytest.mark.parametrize(("design_effect", "lower", "upper"), [(1.0, 31.9, 36.2), (2.0, 31.0, 37.1)])
def test_the_share_of_the_2024_survey_has_its_published_interval(design_effect: float, lower: float, upper: float) -> None:
    found = wilson(0.34, 1845, design_effect)
    assert found.value == 0.34
    assert (round(100 * found.lower, 1), round(100 * found.upper, 1)) == (lower, upper)


@given(st.floats(0, 1), st.integers(1, 100_000))
def test_both_wilson_limits_solve_the_equation_that_defines_them(share: float, n: int) -> None:
    found = wilson(share, n)
    for limit in (found.lower, found.upper):
        assert (share - limit) ** 2 == pytest.approx(Z_95**2 * limit * (1 - limit) / n, abs=1e-9)
    assert -1e-12 <= found.lower <= share + 1e-12
    assert share - 1e-12 <= found.upper <= 1 + 1e-12


def test_the_variance_of_a_product_has_all_three_terms() -> None:
    found = product(1000, 400, 0.5, 0.01)
    variance = 0.5**2 * 400 + 1000**2 * 0.01 + 400 * 0.01
    assert found.value == 500
    assert found.upper - found.value == pytest.approx(Z_95 * sqrt(variance))
    assert found.value - found.lower == pytest.approx(Z_95 * sqrt(variance))


def test_the_lower_limit_of_a_product_is_never_negative() -> None:
    assert product(10, 1000, 0.5, 0.2).lower == 0


def test_a_design_effect_multiplies_the_variance_of_a_share() -> None:
    assert share_variance(0.34, 1845) == pytest.approx(0.34 * 0.66 / 1845)
    assert share_variance(0.34, 1845, 2) == pytest.approx(2 * 0.34 * 0.66 / 1845)


@pytest.mark.parametrize(("share", "n", "effect"), [(-0.1, 10, 1), (1.1, 10, 1), (0.5, 0, 1), (0.5, 10, 0)])
def test_a_share_that_no_survey_can_find_is_a_bug_of_the_caller(share: float, n: float, effect: float) -> None:
    with pytest.raises(AssertionError):
        wilson(share, n, effect)
