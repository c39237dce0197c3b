"""Disclosure control against an attacker of its own: integer programmes over nothing but what was published.

The attacker here shares no code with the product: it is given the shown counts, the statuses and the totals as numbers.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from scipy.optimize import Bounds, LinearConstraint, milp

from services.shared.statistics.disclosure import THRESHOLD, Range, Released, Table, attack, protect, protection, two_way
from services.shared.statistics.observation import SMALL_CELL

TARGETS = Path(__file__).parents[2] / "services" / "simulate" / "targets" / "2025-H1.yaml"
MANY = 10**6
SMALL = Range(0, THRESHOLD - 1)  # all that "a small cell" says
Counts = dict[tuple[str, str], int]


def random_counts(seed: int) -> Counts:
    """Some cells large, many small, some 0; no row or column is left empty."""
    random = np.random.default_rng(seed)
    rows, columns = int(random.integers(2, 6)), int(random.integers(2, 5))
    values = (random.geometric(0.12, (rows, columns)) - 1) * (random.random((rows, columns)) < 0.85)
    values[0] += 1
    values[:, 0] += 1
    return {(f"r{i}", f"c{j}"): int(values[i, j]) for i in range(rows) for j in range(columns)}


def table_of(counts: Counts) -> Table:
    return two_way(counts, {"GROUP": ["r0", "r1"]})


def what_follows(public: list[dict[str, Any]], wanted: str, sign: int) -> int:
    """The least (sign 1) or greatest (sign -1) value of a count of the last table, by the figures of all.

    Each is `{"shown": {key: count}, "hidden": {key: status}, "sums": {key: parts}, "totals": [(parts, value)], "same": keys whose
    counts are those of the table before}`.
    """
    names: dict[tuple[int, str], int] = {}
    low: list[float] = []
    high: list[float] = []
    rows: list[tuple[list[int], list[int], float]] = []
    for vintage, release in enumerate(public):
        for key in (*release["shown"], *release["hidden"]):
            names[vintage, key] = len(low)
            status, count = release["hidden"].get(key), release["shown"].get(key)
            low.append(count if status is None else 0 if status == SMALL_CELL else THRESHOLD)
            high.append(count if status is None else THRESHOLD - 1 if status == SMALL_CELL else MANY)
        rows += [([names[vintage, key], names[vintage - 1, key]], [1, -1], 0) for key in release["same"]]
        for key, parts in release["sums"].items():
            rows.append(([names[vintage, key], *(names[vintage, part] for part in parts)], [-1] + [1] * len(parts), 0))
        for parts, value in release["totals"]:
            rows.append(([names[vintage, part] for part in parts], [1] * len(parts), value))
    matrix = np.zeros((len(rows), len(low)))
    for i, (places, weights, _) in enumerate(rows):
        matrix[i, places] = weights
    values = [value for _, _, value in rows]
    objective = np.zeros(len(low))
    objective[names[len(public) - 1, wanted]] = sign
    found = milp(
        objective, constraints=LinearConstraint(matrix, values, values), bounds=Bounds(low, high), integrality=np.ones(len(low))
    )
    assert found.status == 0, found.message
    return round(sign * found.fun)


def printed(table: Table, hidden: Mapping[str, str], same: Iterable[str] = ()) -> dict[str, Any]:
    """A release as the public has it."""
    values = table.values()
    return {
        "shown": {key: value for key, value in values.items() if key not in hidden},
        "hidden": dict(hidden),
        "sums": table.sums,
        "totals": [(parts, sum(table.cells[part] for part in parts)) for parts in table.totals],
        "same": list(same),
    }


def holds(found: Range, wanted: Range) -> bool:
    return found.lower <= wanted.lower + 1e-6 and found.upper >= wanted.upper - 1e-6


@pytest.mark.parametrize("seed", range(200))
def test_no_attacker_narrows_a_small_cell_of_a_random_table_below_its_protection_interval(seed: int) -> None:
    table = table_of(random_counts(seed))
    values, hidden = table.values(), protect(table)
    assert {key for key, status in hidden.items() if status == SMALL_CELL} >= {k for k, v in values.items() if 0 < v < THRESHOLD}
    assert all((status == SMALL_CELL) == (values[key] < THRESHOLD) for key, status in hidden.items())
    ranges = attack([Released(table, hidden)])
    if any(not holds(found, SMALL) for key, found in ranges.items() if 0 < values[key] < THRESHOLD):
        for key, wanted in protection(table).items():
            assert holds(ranges[key], wanted), (key, values[key], ranges[key], wanted)
    for key, found in ranges.items():
        assert found.upper - found.lower >= 1 or values[key] < THRESHOLD  # hiding what can be computed would be for nothing


@pytest.mark.parametrize("seed", range(12))
def test_the_products_attacker_finds_as_much_as_one_that_reads_only_what_was_printed(seed: int) -> None:
    table = table_of(random_counts(seed))
    hidden = protect(table)
    public = [printed(table, hidden)]
    for key, found in attack([Released(table, hidden)]).items():
        assert what_follows(public, key, 1) == pytest.approx(found.lower)
        if found.upper < MANY:
            assert -what_follows(public, key, -1) == pytest.approx(-found.upper)


@pytest.mark.parametrize("seed", range(40))
def test_what_was_hidden_stays_hidden_and_two_vintages_together_tell_no_more(seed: int) -> None:
    random = np.random.default_rng(1000 + seed)
    counts = random_counts(seed)
    first = table_of(counts)
    before = Released(first, protect(first))
    corrected = {
        cell: max(0, value + int(random.integers(-3, 4))) if random.random() < 0.3 else value for cell, value in counts.items()
    }
    second = table_of(corrected)
    hidden = protect(second, [before])
    assert set(hidden) >= set(before.hidden)
    ranges = attack([before, Released(second, hidden)])
    for key, wanted in protection(second, [before]).items():
        assert holds(ranges[key], wanted), (key, ranges[key], wanted)
    if seed < 6:
        old, new = first.values(), second.values()
        public = [printed(first, before.hidden), printed(second, hidden, [key for key in new if old[key] == new[key]])]
        for key in hidden:
            assert what_follows(public, key, 1) == pytest.approx(ranges[key].lower)


def bundled(weights: Mapping[Any, float], other: Mapping[Any, float], total: int) -> Counts:
    whole = sum(weights.values()) * sum(other.values())
    return {(str(a), str(b)): round(total * x * y / whole) for a, x in weights.items() for b, y in other.items()}


@pytest.mark.parametrize(("feed", "columns"), [("work_permits", "categories"), ("student_enrolments", "levels")])
def test_the_bundled_quarters_inner_cells_are_safe(feed: str, columns: str) -> None:
    targets = yaml.safe_load(TARGETS.read_text("utf-8"))[feed]
    counts = bundled(targets["citizenships"], targets[columns], max(targets["stocks"].values()))
    table = two_way(counts, {"EAEU": ["AM", "BY", "KG", "RU"]})
    values, hidden = table.values(), protect(table)
    small = {key for key, value in values.items() if 0 < value < THRESHOLD}
    assert len(small) > 3
    ranges = attack([Released(table, hidden)])
    for key, wanted in protection(table).items():
        assert holds(ranges[key], wanted), (key, values[key], ranges[key], wanted)
    # Most of what is published still is.
    assert sum(values[key] for key in hidden) < 0.1 * sum(values.values())
