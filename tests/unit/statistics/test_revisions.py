"""Revision measures: the page's example, and what has no measure."""

import re
from pathlib import Path

import pytest

from services.shared.statistics.publication.revisions import measures, triangle

PAGE = (Path(__file__).parents[3] / "docs" / "methods" / "revisions.md").read_text("utf-8")
VINTAGES = {
    period: [None if figure == "-" else float(figure) for figure in figures.split()]
    for period, figures in re.findall(r"^(\d{4}-Q\d) = (.+)$", PAGE, re.MULTILINE)
}


def test_the_example_of_the_page_comes_out_as_printed() -> None:
    numbers = dict(re.findall(r"^(periods|MR|MAR|RMAR) = (.+)$", PAGE, re.MULTILINE))
    found = measures(VINTAGES, 1)
    assert found is not None
    assert found.relative_mean_absolute is not None
    assert found.periods == int(numbers["periods"])
    assert f"{found.mean:.2f}" == numbers["MR"]
    assert f"{found.mean_absolute:.2f}" == numbers["MAR"]
    assert f"{found.relative_mean_absolute:.3f}" == numbers["RMAR"]


def test_a_row_of_the_triangle_starts_with_the_first_figure_and_repeats_what_stood() -> None:
    assert triangle(VINTAGES) == {
        "2024-Q1": [100, 104, 105],
        "2024-Q2": [200, 198, 198],
        "2024-Q3": [150, 156],
        "2024-Q4": [180],
    }
    assert triangle({"2025-Q1": [None, None]}) == {}


def test_a_revision_downwards_lowers_the_mean_and_not_the_mean_absolute() -> None:
    found = measures({"a": [100, 90], "b": [-50, -40]}, 1)
    assert found is not None
    assert (found.mean, found.mean_absolute) == (0, 10)
    assert found.relative_mean_absolute == pytest.approx(20 / 130)


def test_without_a_later_vintage_or_a_level_there_is_no_measure() -> None:
    assert measures(VINTAGES, 3) is None
    assert measures({}, 1) is None
    gone = measures({"a": [5, 0]}, 1)
    assert gone is not None
    assert (gone.mean, gone.relative_mean_absolute) == (-5, None)


def test_a_revision_at_the_first_release_is_a_bug_of_the_caller() -> None:
    with pytest.raises(AssertionError):
        measures(VINTAGES, 0)
