"""Largest remainders."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tools.simulate.apportion import apportion

weights = st.lists(st.fractions(min_value=0, max_value=100), min_size=1, max_size=12).filter(any)


@given(st.integers(0, 10**7), weights)
def test_parts_add_to_the_total_and_each_is_off_by_less_than_one(total: int, shares: list[Fraction]) -> None:
    parts = apportion(total, shares)
    assert sum(parts) == total
    assert all(abs(part - total * share / sum(shares)) < 1 for part, share in zip(parts, shares, strict=True))
    assert all(part == 0 for part, share in zip(parts, shares, strict=True) if share == 0)


def test_what_rounding_leaves_over_goes_to_the_largest_remainders_the_earlier_first() -> None:
    assert apportion(10, [Fraction(1), Fraction(1), Fraction(1)]) == [4, 3, 3]
    assert apportion(7, [Fraction(10), Fraction(19), Fraction(41)]) == [1, 2, 4]


@pytest.mark.parametrize(("total", "shares"), [(1, [Fraction(0)]), (-1, [Fraction(1)]), (1, [Fraction(2), Fraction(-1)]), (1, [])])
def test_what_cannot_be_divided_is_refused(total: int, shares: list[Fraction]) -> None:
    with pytest.raises(ValueError, match="cannot divide"):
        apportion(total, shares)
