"""Disclosure control: which cells of a release are hidden so that no small one follows from all that is published.

Counts below the threshold are small. They are hidden, and with them as many others as it takes that whoever has every figure of
this release and of those before it can say no more of a small cell than that it is small. Totals are never hidden. What an attacker
can find out is the answer to a linear programme; which cells to hide is the answer to another. Page: docs/methods/disclosure.md.
"""

from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Any, NamedTuple

import numpy as np
import scipy
from numpy.typing import NDArray

from services.shared.statistics.exchange.observation import SECONDARY, SMALL_CELL

THRESHOLD = 5  # a count below it is small: four people of one country and category know each other
_NOTHING = 1e-6  # a movement below it is rounding of the solver: counts move by whole persons
COUNT_MAX = 1e7  # more than any cell here can hold, few enough for the solver's precision: stands for "no limit"
_NEAR = 0.2  # a sweep need not move as many as can be: what it leaves is looked at one by one
_INFEASIBLE = 2  # scipy's status of a programme without solution

Floats = NDArray[np.float64]
_Matrix = Any  # scipy.sparse.csr_array
_Weights = frozenset[tuple[int, float]]  # by unknown


class Table(NamedTuple):
    """Counts that hang together, by key.

    `cells`: all that could be shown, those that are 0 too; `sums`: groups and years, as the cells that they add up, to be shown or
    hidden like cells; `totals`: sums of cells that are always published; `limits`: cells that are known not to be above the sum of
    others; `unsaid`: cells of which the release says nothing, not even that they are small: earlier quarters, on which it builds.
    """

    cells: Mapping[str, int]
    sums: Mapping[str, tuple[str, ...]] = {}
    totals: tuple[tuple[str, ...], ...] = ()
    limits: Mapping[str, tuple[str, ...]] = {}
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
    system.sweep(hidden)
    for number, target in system.wanted():
        if not system.reached(number, target):
            hidden.update(system.companions(number, target, hidden))
    return {key: SMALL_CELL if values[key] < threshold else SECONDARY for key in sorted(hidden - table.unsaid)}


def protection(table: Table, earlier: Sequence[Released] = (), threshold: int = THRESHOLD) -> dict[str, Range]:
    """The protection interval of each small cell: 0 to threshold - 1, as far as totals and what was shown before leave it open."""
    values = table.values()
    system = _System([*earlier, Released(table, dict.fromkeys(values, SECONDARY))], threshold)
    return {key: system.range_of(key) for key, value in values.items() if 0 < value < threshold}


def attack(releases: Sequence[Released], threshold: int = THRESHOLD) -> dict[str, Range]:
    """What follows for each hidden cell of the last release from every figure of all releases (oldest first).

    The attacker knows the threshold, the statuses, and which counts did not change from one release to the next.
    """
    system = _System(releases, threshold)
    return {key: system.range_of(key) for key in releases[-1].hidden}


class _System:
    """Unknowns and equations of several releases. An unknown is how far a hidden count could lie from what it is.

    A count that is the same in two releases is one unknown; a count that any release shows does not move.
    """

    def __init__(self, releases: Sequence[Released], threshold: int) -> None:
        self._threshold = threshold
        self._numbers: dict[str, int] = {}  # the newest unknown of each key
        self._newest = releases[-1].table.values().keys()
        counts: list[int] = []
        shown: set[int] = set()
        said: set[int] = set()  # of these is known at least whether they are small
        equations: set[_Weights] = set()  # two releases between which little changed have most in common
        limits: set[_Weights] = set()
        for table, hidden in releases:
            for key, value in table.values().items():
                if key not in self._numbers or counts[self._numbers[key]] != value:
                    self._numbers[key] = len(counts)
                    counts.append(value)
                if key not in table.unsaid:
                    said.add(self._numbers[key])
                    if key not in hidden:
                        shown.add(self._numbers[key])
            equations |= {self._weights(dict.fromkeys(total, 1.0)) for total in table.totals}
            equations |= {self._weights({**dict.fromkeys(parts, 1.0), key: -1.0}) for key, parts in table.sums.items()}
            limits |= {self._weights({**dict.fromkeys(parts, -1.0), key: 1.0}) for key, parts in table.limits.items()}
            for total in table.totals:
                if not any(table.cells[key] for key in total):
                    shown.update(self._numbers[key] for key in total)  # a total of 0 shows them all
        self._counts = np.array(counts, dtype=float)
        numbers = np.arange(len(counts))
        small, known, moves = self._counts < threshold, np.isin(numbers, list(said)), ~np.isin(numbers, list(shown))
        self._lowest = np.where(moves, np.where(small | ~known, 0.0, threshold) - self._counts, 0.0)
        self._highest = np.where(moves, np.where(small & known, threshold - 1.0, COUNT_MAX) - self._counts, 0.0)
        self._costs = np.where(
            moves, 1 + np.log2(1 + self._counts), 0.0
        )  # a large count tells more than a small one, not in proportion
        self._equations, self._limits = _matrix(equations, moves), _matrix(limits, moves)
        self._room = -(_matrix(limits, np.ones(len(counts), dtype=bool)) @ self._counts)
        assert (self._room >= 0).all(), "a cell is above its limit"
        self._places = np.cumsum(moves) - 1  # of an unknown that moves, among those that do
        self._moves = moves
        hstack = scipy.sparse.hstack
        self._both_ways = hstack([self._equations, -self._equations]), hstack([self._limits, -self._limits])
        self._reached_low, self._reached_high = np.zeros(len(counts)), np.zeros(len(counts))

    def _weights(self, weights: Mapping[str, float]) -> _Weights:
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
        found = _solve(objective, self._equations, self._limits, self._room, bounds, whole)
        assert found.status == 0, found.message  # to move nothing is always a solution
        return float(found.x[place])

    def wanted(self) -> list[tuple[int, int]]:
        """How far each small unknown should be able to move, up and down; those too that were small in an earlier release only."""
        few = ((self._counts > 0) & (self._counts < self._threshold) & self._moves).nonzero()[0].tolist()
        ends = ((number, int(end - self._counts[number])) for number in few for end in (self._threshold - 1, 0))
        return [(number, target) for number, target in ends if target]

    def sweep(self, hidden: Set[str]) -> None:
        """Move as many small unknowns at once as what is hidden already allows: most then need no answer of their own."""
        still = self._moves.copy()
        still[[self._numbers[key] for key in self._newest - hidden]] = False
        bounds = np.column_stack([np.where(still, self._lowest, 0), np.where(still, self._highest, 0)])[self._moves]
        left = [one for one in self.wanted() if still[one[0]]]
        before = 0
        while len(left) != before:
            before = len(left)
            for sign in (1, -1):
                self._sweep_one_way(sign, left, bounds)
                left = [one for one in left if not self.reached(*one)]

    def _sweep_one_way(self, sign: int, wanted: Iterable[tuple[int, int]], bounds: Floats) -> None:
        objective = np.zeros(len(self._counts))
        objective[[number for number, target in wanted if target * sign > 0]] = -sign
        if objective.any():
            arguments = objective[self._moves], self._equations, self._limits, self._room, bounds
            found = _solve(*arguments)
            if np.abs(found.x - np.round(found.x)).max() > _NOTHING:
                found = _solve(*arguments, nearly=True)
            assert found.status == 0, found.message
            self._reach(np.round(found.x))

    def _reach(self, moved: Floats) -> Floats:
        """Remember an answer, given for those that move; returns it for all."""
        everywhere = np.zeros(len(self._counts))
        everywhere[self._moves] = moved
        np.minimum(self._reached_low, everywhere, out=self._reached_low)
        np.maximum(self._reached_high, everywhere, out=self._reached_high)
        return everywhere

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
            if self.reached(number, nearer):
                return set()
            moved = self._least(number, nearer, hidden)
            assert moved is not None
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
        both_costs, bounds = np.concatenate([costs, costs]), np.column_stack([least, most])
        for whole in (False, True):  # tables of three dimensions can have halves for an answer
            found = _solve(both_costs, *self._both_ways, self._room, bounds, whole)
            if found.status == _INFEASIBLE:
                return None
            assert found.status == 0, found.message
            if np.abs(found.x - np.round(found.x)).max() < _NOTHING:
                break
        return self._reach(np.round(found.x[:size] - found.x[size:]))


def _solve(
    objective: Floats,
    equations: _Matrix,
    limits: _Matrix,
    room: Floats,
    bounds: Floats,
    whole: bool = False,
    nearly: bool = False,
) -> Any:
    """The least of a programme whose equations all come to 0 and limits to `room` at most.

    `whole`: among whole numbers only; `nearly`: one of these that is not far from the least.
    """
    options: dict[str, float] = {"mip_rel_gap": _NEAR} if nearly else {}
    # Not simplified first: with whole numbers to find, HiGHS's presolve has called programmes impossible that had an answer (see
    # test_found_by_seeds), and a cell would be less protected than it can be. At these sizes it is no slower.
    return scipy.optimize.linprog(
        objective,
        A_ub=limits,
        b_ub=room,
        A_eq=equations,
        b_eq=np.zeros(equations.shape[0]),
        bounds=bounds,
        method="highs",
        integrality=np.ones(len(objective)) if whole or nearly else None,
        options={"presolve": False, **options},
    )


def _matrix(lines: Iterable[_Weights], moves: NDArray[np.bool_]) -> _Matrix:
    """One row per line, one column per unknown that moves."""
    places = np.cumsum(moves) - 1
    kept = [[(places[number], weight) for number, weight in sorted(line) if moves[number]] for line in sorted(lines, key=sorted)]
    rows = [row for row, line in enumerate(kept) for _ in line]
    columns = [place for line in kept for place, _ in line]
    weights = [weight for line in kept for _, weight in line]
    return scipy.sparse.csr_array((weights, (rows, columns)), shape=(len(kept), int(moves.sum())))
