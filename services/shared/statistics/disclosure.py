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
COUNT_MAX = 1e7  # more than any cell here can hold, few enough for the solver's precision: stands for "no limit"
_INFEASIBLE = 2  # scipy's status of a programme without solution

Floats = NDArray[np.float64]
Fact = Mapping[str, float]  # cell -> weight: a figure gives away the sum of weight * count over these cells


class Table(NamedTuple):
    """Counts that hang together, by key.

    `cells`: all that could be shown, those that are 0 too; `sums`: groups and years, as the cells that they add up, to be shown or
    hidden like cells; `totals`: sums of cells that are always published; `unsaid`: cells of which the release says nothing, not
    even that they are small: the earlier quarters of a year whose sums it has.
    """

    cells: Mapping[str, int]
    sums: Mapping[str, tuple[str, ...]] = {}
    totals: tuple[tuple[str, ...], ...] = ()
    unsaid: Set[str] = frozenset()

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
    hidden = {key for released in earlier for key in released.hidden if key in values} | table.unsaid
    hidden.update(key for key, value in values.items() if 0 < value < threshold)
    for number, count in system.small():
        for target in (threshold - 1 - count, -count):
            if not system.reached(number, target):
                hidden.update(system.companions(number, target, hidden))
    return {key: SMALL_CELL if values[key] < threshold else SECONDARY for key in sorted(hidden - table.unsaid)}


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
        self._threshold = threshold
        self._numbers: dict[str, int] = {}  # the newest unknown of each key
        self._newest = releases[-1].table.values().keys()
        counts: list[int] = []
        shown: set[int] = set()
        said: set[int] = set()  # of these is known at least whether they are small
        equations: set[frozenset[tuple[int, float]]] = set()  # two releases between which little changed have most in common
        for table, hidden in releases:
            for key, value in table.values().items():
                if key not in self._numbers or counts[self._numbers[key]] != value:
                    self._numbers[key] = len(counts)
                    counts.append(value)
                if key not in table.unsaid:
                    said.add(self._numbers[key])
                    if key not in hidden:
                        shown.add(self._numbers[key])
            equations |= {self._equation(dict.fromkeys(total, 1.0)) for total in table.totals}
            equations |= {self._equation({**dict.fromkeys(parts, 1.0), key: -1.0}) for key, parts in table.sums.items()}
            for total in table.totals:
                if not any(table.cells[key] for key in total):
                    shown.update(self._numbers[key] for key in total)  # a total of 0 shows them all
        equations |= {self._equation(weights) for weights in facts}
        self._counts = np.array(counts, dtype=float)
        numbers = np.arange(len(counts))
        small, known, moves = self._counts < threshold, np.isin(numbers, list(said)), ~np.isin(numbers, list(shown))
        self._lowest = np.where(moves, np.where(small | ~known, 0.0, threshold) - self._counts, 0.0)
        self._highest = np.where(moves, np.where(small & known, threshold - 1.0, COUNT_MAX) - self._counts, 0.0)
        self._costs = np.where(
            moves, 1 + np.log2(1 + self._counts), 0.0
        )  # a large count tells more than a small one, not in proportion
        self._equations = _matrix(sorted(map(sorted, equations)), moves)
        self._places = np.cumsum(moves) - 1  # of an unknown that moves, among those that do
        self._moves = moves
        self._both_ways = hstack([self._equations, -self._equations])
        self._reached_low, self._reached_high = np.zeros(len(counts)), np.zeros(len(counts))

    def _equation(self, weights: Mapping[str, float]) -> frozenset[tuple[int, float]]:
        return frozenset((self._numbers[key], weight) for key, weight in weights.items())

    def range_of(self, key: str) -> Range:
        """Between which values the count can lie, as far as all figures tell."""
        number = self._numbers[key]
        count = self._counts[number]
        return Range(float(count + self._extreme(number, -1)), float(count + self._extreme(number, 1)))

    def _extreme(self, number: int, sign: int, whole: bool = False) -> float:
        """How far one unknown can move down (sign -1) or up (1); `whole`: while all move by whole persons."""
        if not self._moves[number]:
            return 0.0
        place = self._places[number]
        bounds = np.column_stack([self._lowest[self._moves], self._highest[self._moves]])
        objective = np.zeros(len(bounds))
        objective[place] = -sign
        found = _solve(objective, self._equations, bounds, whole)
        assert found.status == 0, found.message  # to move nothing is always a solution
        return float(found.x[place])

    def small(self) -> list[tuple[int, int]]:
        """The unknowns that are small counts, with these; those too that were small in an earlier release only."""
        few = (self._counts > 0) & (self._counts < self._threshold) & self._moves
        return [(number, int(self._counts[number])) for number in few.nonzero()[0].tolist()]

    def reached(self, number: int, target: int) -> bool:
        """Whether some answer so far has an unknown off by as much as `target`, with nothing moved but what is hidden now."""
        return bool(self._reached_low[number] <= target <= self._reached_high[number])

    def companions(self, number: int, target: int, hidden: Set[str]) -> set[str]:
        """The cells to hide beside those hidden already so that an unknown could lie off by `target`, at the least loss.

        If figures that cannot be hidden do not leave that open: by as much as they do.
        """
        moved = self._least(number, target, hidden)
        if moved is None:
            nearer = round(self._extreme(number, 1 if target > 0 else -1, whole=True))
            if nearer == 0:
                return set()
            moved = self._least(number, nearer, hidden)
            assert moved is not None
        np.minimum(self._reached_low, moved, out=self._reached_low)
        np.maximum(self._reached_high, moved, out=self._reached_high)
        return {other for other in self._newest if moved[self._numbers[other]]}

    def _least(self, number: int, target: int, hidden: Set[str]) -> Floats | None:
        """The movements by whole persons that bring one unknown to `target` and cost least; None if none can."""
        if not self._moves[number]:
            return None
        costs = np.zeros(len(self._counts))  # what only earlier releases have is hidden already, or does not move
        shown = [self._numbers[key] for key in self._newest - hidden]
        costs[shown] = self._costs[shown]
        costs = costs[self._moves]
        up, down = np.maximum(self._highest[self._moves], 0), np.maximum(-self._lowest[self._moves], 0)
        least, most = np.zeros(2 * len(up)), np.concatenate([up, down])
        size, first = len(costs), self._places[number]
        for place, amount in ((first, max(target, 0)), (size + first, max(-target, 0))):
            least[place] = most[place] = amount
        arguments = np.concatenate([costs, costs]), self._both_ways, np.column_stack([least, most])
        found = _solve(*arguments)
        if found.status != _INFEASIBLE and np.abs(found.x - np.round(found.x)).max() > _NOTHING:
            found = _solve(*arguments, whole=True)  # tables of three dimensions can have halves for an answer
        if found.status == _INFEASIBLE:
            return None
        assert found.status == 0, found.message
        moved = np.zeros(len(self._counts))
        moved[self._moves] = np.round(found.x[:size] - found.x[size:])
        return moved


def _solve(objective: Floats, equations: csr_array, bounds: Floats, whole: bool = False) -> Any:
    """The least of a programme whose equations all come to 0; `whole`: among whole numbers only."""
    # The tables are small: to simplify the programme first takes longer than to solve it.
    return linprog(
        objective,
        A_eq=equations,
        b_eq=np.zeros(equations.shape[0]),
        bounds=bounds,
        method="highs",
        integrality=np.ones(len(objective)) if whole else None,
        options={"presolve": whole},
    )


def _matrix(equations: Sequence[Sequence[tuple[int, float]]], moves: NDArray[np.bool_]) -> csr_array:
    """One row per equation that anything can move in, one column per unknown that moves."""
    places = np.cumsum(moves) - 1
    kept = [part for equation in equations if (part := [(places[number], weight) for number, weight in equation if moves[number]])]
    rows = [row for row, equation in enumerate(kept) for _ in equation]
    columns = [place for equation in kept for place, _ in equation]
    weights = [weight for equation in kept for _, weight in equation]
    return csr_array((weights, (rows, columns)), shape=(len(kept), int(moves.sum())))
