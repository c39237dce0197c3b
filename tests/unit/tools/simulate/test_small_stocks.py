"""Stocks of a few: rising, falling, and nothing beside them. Where every one counts, chance has no room to help."""

import datetime as dt
import json
from collections.abc import Callable, Iterable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tools.simulate.permits import write_permits
from tools.simulate.students import write_students
from tools.simulate.targets_file import load_targets

Oracle = Callable[[Iterable[str]], dict[str, dict[str, Any]]]

STOCKS = {dt.date(2024, 3, 1): 4, dt.date(2024, 3, 4): 40, dt.date(2024, 12, 31): 1, dt.date(2025, 6, 30): 12}


def chance(seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("irregular", [Fraction(0), Fraction(1)])
def test_every_date_finds_its_permits(tmp_path: Path, oracle: Oracle, seed: int, irregular: Fraction) -> None:
    targets = replace(
        load_targets().permits,
        stocks=STOCKS,
        citizenships={"CN": Fraction(1)},
        turnover=Fraction(1, 2),
        between_dates=30,
        one_day=3,
        never_in_force=3,
    )
    write_permits(tmp_path / "permits", targets, irregular, chance(seed))
    permits = oracle((tmp_path / "permits").read_text().splitlines()).values()
    for day, stock in STOCKS.items():
        held = [p for p in permits if p["valid_from"] <= str(day) <= p["valid_to"] and p.get("revoked_on", "9") > str(day)]
        assert len(held) == stock
    assert {permit["citizenship"] for permit in permits} == {"CN"}


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("branches", [0, 1, 12])
def test_every_date_finds_its_students_and_each_branch_one_of_them(
    tmp_path: Path, oracle: Oracle, seed: int, branches: int
) -> None:
    targets = replace(
        load_targets().students,
        stocks=STOCKS,
        ended_before=2,
        citizens_in_branches=0,
        branches_open=branches,
        branches_closed=2,
    )
    write_students(tmp_path / "students", targets, Fraction(1, 2), chance(seed))
    students = oracle((tmp_path / "students").read_text().splitlines()).values()
    for day, stock in STOCKS.items():
        held = [s for s in students if s["enrolled_on"] <= str(day) < s.get("ended_on", "9")]
        assert len(held) == stock
    assert len({s["institution"] for s in held if "branch_of" in s}) == branches
    ended = {s["institution"] for s in students if "branch_of" in s and s.get("ended_on", "9") <= "2024-03-01"}
    assert len(ended) >= 2


def test_a_feed_of_one_record_is_written(tmp_path: Path) -> None:
    targets = replace(
        load_targets().students,
        stocks={dt.date(2024, 3, 31): 1, dt.date(2024, 6, 30): 1},
        ended_before=0,
        citizens_in_branches=0,
        branches_open=0,
        branches_closed=0,
    )
    write_students(tmp_path / "students", targets, Fraction(0), chance(1))
    assert json.loads((tmp_path / "students").read_text())["version"] == 1
