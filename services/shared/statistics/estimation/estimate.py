"""Estimators with intervals. Percentages are shares of 1 here; sources in docs/methods."""

from math import sqrt
from typing import NamedTuple

from schemas.values import Estimate

Z_95 = 1.959963984540054  # the standard normal distribution's 0.975 quantile, to the last bit; a test compares


class Interval(NamedTuple):
    """A value with its lower and upper limit."""

    value: float
    lower: float
    upper: float


class Absent(NamedTuple):
    """A figure that its data cannot carry."""

    reason: str


def key_of(estimate: Estimate) -> str:
    """Under which it stands on its topic."""
    area = estimate.get("area")
    return "|".join((estimate["method"], estimate["period"], estimate["indicator"], *(() if area is None else (area,))))


def wilson(share: float, sample_size: float, design_effect: float = 1.0) -> Interval:
    """The 95 % Wilson score interval of a surveyed share; a design effect d makes n respondents worth n / d.

    E. B. Wilson, Probable inference, the law of succession, and statistical inference, JASA 22 (1927).
    """
    assert 0 <= share <= 1
    assert sample_size > 0
    assert design_effect > 0
    n = sample_size / design_effect
    z2 = Z_95**2
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = Z_95 / (1 + z2 / n) * sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    return Interval(share, centre - half, centre + half)


def product(first: float, first_variance: float, second: float, second_variance: float) -> Interval:
    """The product of two independent uncertain factors, 95 % normal interval, not below 0.

    Var(NP) = P^2 Var(N) + N^2 Var(P) + Var(N) Var(P): L. A. Goodman, On the exact variance of products, JASA 55 (1960).
    """
    variance = second**2 * first_variance + first**2 * second_variance + first_variance * second_variance
    value = first * second
    half = Z_95 * sqrt(variance)
    return Interval(value, max(0.0, value - half), value + half)


def share_variance(share: float, sample_size: float, design_effect: float = 1.0) -> float:
    """Sampling variance of a surveyed share."""
    return share * (1 - share) * design_effect / sample_size
