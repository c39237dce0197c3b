"""Disclosure control: which cells of a release are hidden so that no small one follows from all that is published.

Counts below the threshold are small. They are hidden, and with them as many others as it takes that whoever has every figure of
this release and of those before it can say no more of a small cell than that it is small. Totals are never hidden. What an attacker
can find out is the answer to a linear programme; which cells to hide is the answer to another. Page: docs/methods/disclosure.md.
"""

from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linprog
from scipy.sparse import csr_array, hstack

from services.shared.statistics.observation import SECONDARY, SMALL_CELL

THRESHOLD = 5  # a count below it is small: four people of one country and category know each other
_NOTHING = 1e-6  # a movement below it is rounding of the solver: counts move by whole persons
COUNT_MAX = 1e9  # more than any table of people can hold: stands for "no limit"
_INFEASIBLE = 2  # scipy's status of a programme without solution

Floats = NDArray[np.float64]
Fact = Mapping[str, float]  # cell -> weight: a figure gives away the sum of weight * count over these cells


class Table(NamedTuple):
    """Counts that hang together, by key.

    `cells`: all that could be shown, those that are 0 too; `sums`: groups and years, as the cells that they add up, to be shown or
    hidden like cells; `totals`: sums of cells that are always published.
    """

    cells: Mapping[str, int]
    sums: Mapping[str, tuple[str, ...]] = {}
    totals: tuple[tuple[str, ...], ...] = ()

    def values(self) -> dict[str, int]:
        """Cells and sums."""
        return {**self.cells, **{key: sum(self.cells[part] for part in parts) for key, parts in self.sums.items()}}


class Released(NamedTuple):
    """A table as it went out: `hidden` has the confidentiality status of what was not shown."""

    table: Table
    hidden: Mapping[str, str]


class Range(NamedTuple):
    """What an attacker can say of a cell: at least, at most (about COUNT_MAX: no limit)."""

    lower: float
    upper: float


def two_way(counts: Mapping[tuple[str, str], int], groups: Mapping[str, Iterable[str]]) -> Table:
    """The table of counts by (row, column), keys `row|column`. Totals of rows and columns are open, those of groups not."""
    rows, columns = sorted({row for row, _ in counts}), sorted({column for _, column in counts})
    cells = {f"{row}|{column}": counts.get((row, column), 0) for row in rows for column in columns}
    totals = [tuple(f"{row}|{column}" for column in columns) for row in rows]
    totals += [tuple(f"{row}|{column}" for row in rows) for column in columns]
    sums: dict[str, tuple[str, ...]] = {}
    for group, members in groups.items():
        present = sorted(set(members) & set(rows))
        if present:
            sums |= {f"{group}|{column}": tuple(f"{row}|{column}" for row in present) for column in columns}
    return Table(cells, sums, tuple(totals))


def protect(table: Table, earlier: Sequence[Released] = (), threshold: int = THRESHOLD) -> dict[str, str]:
    """What to hide of a table: key -> SMALL_CELL (0 included) or SECONDARY.

    `earlier`: the releases before it that have some of its keys, oldest first. What they hid stays hidden; what they showed cannot
    be taken back, so it protects nothing.
    """
    values = table.values()
    system = _System([*earlier, Released(table, dict.fromkeys(values, SECONDARY))], threshold)
    hidden = {key for released in earlier for key in released.hidden if key in values}
    small = sorted(key for key, value in values.items() if 0 < value < threshold)
    hidden.update(small)
    for key in small:
        for target in (threshold - 1 - values[key], -values[key]):
            if target:
                hidden.update(system.companions(key, target, hidden))
    return {key: SMALL_CELL if values[key] < threshold else SECONDARY for key in sorted(hidden)}


def protection(table: Table, earlier: Sequence[Released] = (), threshold: int = THRESHOLD) -> dict[str, Range]:
    """The protection interval of each small cell: 0 to threshold - 1, as far as totals and what was shown before leave it open."""
    values = table.values()
    system = _System([*earlier, Released(table, dict.fromkeys(values, SECONDARY))], threshold)
    return {key: system.range_of(key) for key, value in values.items() if 0 < value < threshold}


def attack(releases: Sequence[Released], facts: Sequence[Fact] = (), threshold: int = THRESHOLD) -> dict[str, Range]:
    """What follows for each hidden cell of the last release from every figure of all releases (oldest first).

    `facts`: further published figures about cells of the last release. The attacker knows the threshold, the statuses, and which
    counts did not change from one release to the next.
    """
    system = _System(releases, threshold, facts)
    return {key: system.range_of(key) for key in releases[-1].hidden}


def hidden_with(derived: Mapping[str, Iterable[str]], hidden: Mapping[str, str]) -> dict[str, str]:
    """Shares, changes and the like that go with what is hidden. `derived`: figure -> the cells that it is computed from."""
    return {key: SECONDARY for key, cells in derived.items() if any(cell in hidden for cell in cells)}


class _System:
    """Unknowns and equations of several releases. An unknown is how far a hidden count could lie from what it is.

    A count that is the same in two releases is one unknown; a count that any release shows does not move.
    """

    def __init__(self, releases: Sequence[Released], threshold: int, facts: Sequence[Fact] = ()) -> None:
        self._numbers: dict[str, int] = {}  # the newest unknown of each key
        self._newest = releases[-1].table.values().keys()
        counts: list[int] = []
        shown: set[int] = set()
        equations: list[dict[int, float]] = []
        for table, hidden in releases:
            for key, value in table.values().items():
                if key not in self._numbers or counts[self._numbers[key]] != value:
                    self._numbers[key] = len(counts)
                    counts.append(value)
                if key not in hidden:
                    shown.add(self._numbers[key])
            equations += [self._equation(dict.fromkeys(total, 1.0)) for total in table.totals]
            equations += [self._equation({**dict.fromkeys(parts, 1.0), key: -1.0}) for key, parts in table.sums.items()]
        equations += [self._equation(weights) for weights in facts]
        self._counts = np.array(counts, dtype=float)
        small = self._counts < threshold
        moves = ~np.isin(np.arange(len(counts)), list(shown))
        self._lowest = np.where(moves, np.where(small, 0.0, threshold) - self._counts, 0.0)
        self._highest = np.where(moves, np.where(small, threshold - 1.0, COUNT_MAX) - self._counts, 0.0)
        self._equations = _matrix(equations, len(counts))
        self._both_ways = hstack([self._equations, -self._equations])

    def _equation(self, weights: Mapping[str, float]) -> dict[int, float]:
        return {self._numbers[key]: weight for key, weight in weights.items()}

    def range_of(self, key: str) -> Range:
        """Between which values the count can lie, as far as all figures tell."""
        number = self._numbers[key]
        count = self._counts[number]
        return Range(float(count + self._extreme(number, -1)), float(count + self._extreme(number, 1)))

    def _extreme(self, number: int, sign: int) -> float:
        objective = np.zeros(len(self._counts))
        objective[number] = -sign
        bounds = np.column_stack([self._lowest, self._highest])
        found = _solve(objective, self._equations, bounds)
        assert found.status == 0, found.message  # to move nothing is always a solution
        return float(found.x[number])

    def companions(self, key: str, target: int, hidden: Set[str]) -> set[str]:
        """The cells that must be hidden beside those hidden already, so that `key` could lie off by `target`, at the least loss.

        If figures that cannot be hidden do not leave that open: by as much as they do.
        """
        number = self._numbers[key]
        moved = self._least(number, target, hidden)
        if moved is None:
            nearer = self._extreme(number, 1 if target > 0 else -1)
            if abs(nearer) < _NOTHING:
                return set()
            moved = self._least(number, nearer, hidden)
            assert moved is not None
        return {other for other in self._newest if abs(moved[self._numbers[other]]) > _NOTHING}

    def _least(self, number: int, target: float, hidden: Set[str]) -> Floats | None:
        """The movements that bring one unknown to `target` and cost least; None if none can."""
        costs = np.zeros(len(self._counts))  # what only earlier releases have is hidden already, or does not move
        shown = [self._numbers[key] for key in self._newest - hidden]
        costs[shown] = 1 + np.log2(1 + self._counts[shown])  # a large count tells more than a small one, but not in proportion
        up, down = np.maximum(self._highest, 0), np.maximum(-self._lowest, 0)
        least, most = np.zeros(2 * len(up)), np.concatenate([up, down])
        size = len(costs)
        for place, amount in ((number, max(target, 0.0)), (size + number, max(-target, 0.0))):
            least[place] = most[place] = amount
        found = _solve(np.concatenate([costs, costs]), self._both_ways, np.column_stack([least, most]))
        if found.status == _INFEASIBLE:
            return None
        assert found.status == 0, found.message
        moved: Floats = found.x[:size] - found.x[size:]
        return moved


def _solve(objective: Floats, equations: csr_array, bounds: Floats) -> Any:
    """The least of a programme whose equations all come to 0."""
    # The tables are small: to simplify the programme first takes longer than to solve it.
    options = {"presolve": False}
    return linprog(objective, A_eq=equations, b_eq=np.zeros(equations.shape[0]), bounds=bounds, method="highs", options=options)


def _matrix(equations: Sequence[Mapping[int, float]], unknowns: int) -> csr_array:
    """One row per equation, one column per unknown."""
    rows = [row for row, weights in enumerate(equations) for _ in weights]
    columns = [column for weights in equations for column in weights]
    entries = [weight for weights in equations for weight in weights.values()]
    return csr_array((entries, (rows, columns)), shape=(len(equations), unknowns))
