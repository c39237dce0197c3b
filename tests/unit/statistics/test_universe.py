"""Universes are kept apart: by mypy before anything runs, and by Python when it does."""

import itertools
import operator
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mypy import api

from services.shared.statistics.publication.indicators import Counts
from services.shared.statistics.terms.universe import (
    Crossings,
    Emigrants,
    Permits,
    Quantity,
    Residents,
    Stays,
    Students,
    crossings_as_persons,
)

UNIVERSES: list[type[Quantity]] = [Crossings, Residents, Emigrants, Permits, Students, Stays]
OPERATIONS: list[Callable[[Any, Any], Any]] = [
    operator.add, operator.sub, operator.truediv, Quantity.percent_of, Quantity.change_from,
]  # fmt: skip

ACCEPTED = """
from services.shared.statistics.terms.universe import Crossings, Permits, crossings_as_persons
from services.shared.statistics.publication.indicators import Counts, Indicators, _balance

balance: Crossings = Crossings(5) - Crossings(2)
ratio: float = Permits(5) / Permits(2)
left: Permits = crossings_as_persons(balance) - Permits(1)
_balance(Indicators({}), "BORDER_BALANCE", Counts(Crossings), Counts(Crossings))
"""
REFUSED = [
    "Crossings(5) + Permits(2)",
    "Crossings(5) - Permits(2)",
    "Crossings(5) / Permits(2)",
    "Crossings(5).percent_of(Permits(2))",
    "Crossings(5).change_from(Permits(2))",
    "Crossings(5) + 2",
    '_balance(Indicators({}), "BORDER_BALANCE", Counts(Crossings), Counts(Permits))',
]


@pytest.mark.parametrize(("one", "other"), [*itertools.permutations(UNIVERSES, 2)])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_numbers_of_two_universes_do_not_meet_at_run_time(
    operation: Callable[[Any, Any], Any], one: type[Quantity], other: type[Quantity]
) -> None:
    with pytest.raises(TypeError, match="not counted in the same universe"):
        operation(one(5), other(2))


@pytest.mark.parametrize("universe", UNIVERSES)
def test_within_a_universe_numbers_are_added_and_divided(universe: type[Quantity]) -> None:
    five, two = universe(5), universe(2)
    assert [type(five + two), (five + two).value] == [universe, 7]
    assert [type(five - two), (five - two).value] == [universe, 3]
    assert [five / two, five.percent_of(two), five.change_from(two)] == [2.5, 250, 150]


def test_mypy_refuses_what_python_refuses_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "mixed.py"
    path.write_text(ACCEPTED + "\n".join(REFUSED) + "\n")
    options = ["--config-file=", "--follow-imports=silent", "--ignore-missing-imports", f"--cache-dir={tmp_path}"]
    answer, crash, _ = api.run([str(path), *options])
    assert crash == ""
    first = ACCEPTED.count("\n") + 1
    refused = {int(line.split(":")[1]) for line in answer.splitlines() if ": error:" in line}
    assert refused == set(range(first, first + len(REFUSED))), answer


def test_counts_are_of_one_universe_and_0_where_there_are_none() -> None:
    counts = Counts(Permits)
    counts["2025-Q2", "CN", "_T"] = 3
    assert counts.of("2025-Q2", "CN").percent_of(Permits(12)) == 25
    assert counts.of("2025-Q1").value == 0
    assert len(counts) == 1
    with pytest.raises(TypeError):
        counts.of("2025-Q2", "CN") - Counts(Crossings).of("2025-Q2", "CN")  # type: ignore[operator]  # types refuse it, too


def test_the_conversion_of_the_residual_is_the_only_way_from_one_universe_to_another() -> None:
    assert (crossings_as_persons(Crossings(9)) - Permits(4)).value == 5
    assert repr(Permits(4)) == "Permits(4)"
