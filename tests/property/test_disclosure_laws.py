"""What the product's own attacker finds, against integer programmes over nothing but what was published.

The second attacker shares no code with the product: it is given the shown counts, the statuses and the totals as numbers. Whole
releases are attacked in test_inner_cell_laws.py.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pytest
from scipy.optimize import Bounds, LinearConstraint, milp

from services.shared.statistics.exchange.observation import SMALL_CELL
from services.shared.statistics.publication.disclosure import (
    THRESHOLD,
    Range,
    Released,
    Table,
    attack,
    protect,
    protection,
    two_way,
)

MANY = 10**6
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
        objective,
        constraints=LinearConstraint(matrix, values, values),
        bounds=Bounds(low, high),
        integrality=np.ones(len(low)),
        options={"presolve": False},  # HiGHS's calls some programmes impossible that are not
    )
    assert found.status == 0, found.message
    most: int = round(sign * found.fun)
    return most


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


@pytest.mark.parametrize("seed", range(12))
def test_the_products_attacker_finds_as_much_as_one_that_reads_only_what_was_printed(seed: int) -> None:
    table = table_of(random_counts(seed))
    hidden = protect(table)
    public = [printed(table, hidden)]
    for key, found in attack([Released(table, hidden)]).items():
        assert what_follows(public, key, 1) == pytest.approx(found.lower)
        if found.upper < MANY:
            assert -what_follows(public, key, -1) == pytest.approx(-found.upper)


@pytest.mark.parametrize("seed", range(8))
def test_of_two_vintages_too_the_products_attacker_finds_as_much(seed: int) -> None:
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
    old, new = first.values(), second.values()
    public = [printed(first, before.hidden), printed(second, hidden, [key for key in new if old[key] == new[key]])]
    for key in hidden:
        assert what_follows(public, key, 1) == pytest.approx(ranges[key].lower)


@pytest.mark.parametrize("seed", range(20))
def test_nothing_is_hidden_that_follows_from_the_rest(seed: int) -> None:
    table = table_of(random_counts(seed))
    values = table.values()
    for key, found in attack([Released(table, protect(table))]).items():
        assert found.upper - found.lower >= 1 or values[key] < THRESHOLD
