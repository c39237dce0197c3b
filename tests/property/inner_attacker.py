"""An attacker of releases: integer programmes over nothing but what was published. Shares no code with the product.

It has, of every release so far, the inner cells with their statuses, and the margins that are published continuously as they stood
at the release's cut. It knows which counts did not change from one release to the next. A table that fits all of that is one that
it cannot exclude.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp

from services.shared.statistics.exchange.observation import Observation

SMALL_MOST = 4  # a count of 5 or more is not small
MANY = 100_000
EAEU = {"AM", "BY", "KG", "RU"}
GROUPS = {"PERMITS_IN_FORCE": EAEU}
ANNUAL = {"PERMITS_ISSUED"}

Name = tuple[str, str, str, str]  # indicator, period, area, category
Figures = Mapping[tuple[str, str], Observation]


class Public(NamedTuple):
    """One release: its quarter, its inner cells, all margins at its cut; and all true counts, to tell only which did not change."""

    period: str
    inner: Figures
    margins: Figures
    counts: Mapping[Name, int]

    @property
    def year(self) -> str | None:
        return self.period[:4] if self.period.endswith("4") else None


def of_series(series: str, period: str) -> Name:
    _, indicator, area, _, category, _ = series.split(".")
    return indicator, period, area, category


def before(quarter: str) -> str:
    """The quarter before."""
    year, _, number = quarter.partition("-Q")
    return f"{year}-Q{int(number) - 1}" if number != "1" else f"{int(year) - 1}-Q4"


def _part(name: Name) -> tuple[str, ...]:
    indicator, period, area, _ = name
    return indicator, period, "group" if area == "EAEU" else "country"


class Attacker:
    """Everything that follows from some releases, oldest first."""

    def __init__(self, releases: Sequence[Public]) -> None:
        self.places: dict[tuple[int, Name], int] = {}
        self._low: list[int] = []
        self._high: list[int] = []
        self._sums: list[tuple[dict[int, int], int, int]] = []  # weights, between what and what they come to
        self._matrix = np.zeros((0, 0))
        self.witnesses: list[np.ndarray] = []
        # The newest release that had counts of an indicator and period; of groups apart: a stock of the quarter before has none.
        covered: dict[tuple[str, ...], int] = {}
        for vintage, release in enumerate(releases):
            inner = {of_series(*key): one for key, one in release.inner.items()}
            for indicator in sorted({of_series(*key)[0] for key in release.margins}):
                self._take(vintage, release, indicator, inner)
            mine = {name: place for (v, name), place in self.places.items() if v == vintage}
            for name, place in mine.items():
                since = covered.get(_part(name))
                if since is None or release.counts.get(name, 0) != releases[since].counts.get(name, 0):
                    continue
                earlier = self.places.get((since, name))  # without one, its row or column was empty then
                self._equal({place: 1} if earlier is None else {place: 1, earlier: -1}, 0)
            self._limit(release, mine)
            covered |= {_part(name): vintage for name in mine}
        self._matrix = np.zeros((len(self._sums), len(self._low)))
        for row, (weights, _, _) in enumerate(self._sums):
            for place, weight in weights.items():
                self._matrix[row, place] += weight

    def _equal(self, weights: dict[int, int], value: int) -> None:
        self._sums.append((weights, value, value))

    def _limit(self, release: Public, mine: Mapping[Name, int]) -> None:
        """Permits in force at a quarter's end were in force at the end of the one before, or issued in it; 0 where not there."""
        quarter = release.period
        for (indicator, period, area, category), now in mine.items():
            if indicator == "PERMITS_IN_FORCE" and period == quarter and area != "EAEU":
                others = ("PERMITS_IN_FORCE", before(quarter), area, category), ("PERMITS_ISSUED", quarter, area, category)
                # Counts that somebody made up need not be so.
                if release.counts.get((indicator, period, area, category), 0) <= sum(release.counts.get(one, 0) for one in others):
                    self._sums.append(({now: 1} | {mine[one]: -1 for one in others if one in mine}, -MANY, 0))

    def _take(self, vintage: int, release: Public, indicator: str, inner: Mapping[Name, Observation]) -> None:
        last = int(release.period[-1])
        annual = release.year is not None and indicator in ANNUAL
        quarters = [f"{release.period[:5]}Q{n}" for n in range(1, last + 1)] if annual else [release.period]
        if indicator == "PERMITS_IN_FORCE":
            quarters.insert(0, before(release.period))
        parts: dict[tuple[str, str], list[int]] = {}
        for quarter in quarters:
            margins = {of_series(*key): one for key, one in release.margins.items() if key[1] == quarter and key[0][0] == "Q"}
            rows = {
                n[2]: o.value for n, o in margins.items() if n[0] == indicator and n[3] == "_T" and len(n[2]) == 2 and n[2] != "_T"
            }
            columns = {n[3]: o.value for n, o in margins.items() if n[0] == indicator and n[2] == "_T" and n[3] != "_T"}
            unknowns = {}
            for row in rows:
                for column in columns:
                    name = indicator, quarter, row, column
                    unknowns[row, column] = self._unknown(vintage, name, inner, said=quarter == release.period)
                    parts.setdefault((row, column), []).append(unknowns[row, column])
            for row, value in rows.items():
                self._equal({unknowns[row, column]: 1 for column in columns}, int(value or 0))
            for column, value in columns.items():
                self._equal({unknowns[row, column]: 1 for row in rows}, int(value or 0))
            members = set(rows) & GROUPS.get(indicator, set()) if quarter == release.period else set()
            for column in columns if members else ():
                whole = self._unknown(vintage, (indicator, quarter, "EAEU", column), inner, said=True)
                self._equal({whole: -1} | {unknowns[row, column]: 1 for row in members}, 0)
        for (row, column), places in parts.items() if annual else ():
            assert release.year is not None
            whole = self._unknown(vintage, (indicator, release.year, row, column), inner, said=True)
            self._equal({whole: -1} | dict.fromkeys(places, 1), 0)

    def _unknown(self, vintage: int, name: Name, inner: Mapping[Name, Observation], said: bool) -> int:
        found = inner.get(name)
        if not said:
            low, high = 0, MANY
        elif found is None:
            low, high = 0, 0
        elif found.value is not None:
            low = high = int(found.value)
        else:
            low, high = (0, SMALL_MOST) if found.confidentiality == "A" else (SMALL_MOST + 1, MANY)
        self.places[vintage, name] = len(self._low)
        self._low.append(low)
        self._high.append(high)
        return self.places[vintage, name]

    def least(self, place: int, sign: int = 1) -> int:
        """The least (sign 1) or greatest (-1) value of one unknown; the table that has it becomes a witness."""
        objective = np.zeros(len(self._low))
        objective[place] = sign
        low, high = [low for _, low, _ in self._sums], [high for _, _, high in self._sums]
        found = milp(
            objective,
            constraints=LinearConstraint(self._matrix, low, high),
            bounds=Bounds(self._low, self._high),
            integrality=np.ones(len(self._low)),
            options={"presolve": False},  # HiGHS's calls some programmes impossible that are not
        )
        assert found.status == 0, found.message
        self.witnesses.append(np.round(found.x))
        held: int = round(found.x[place])
        return held

    def could_be(self, place: int, value: int) -> bool:
        """Whether a witness so far has this value."""
        return any(witness[place] == value for witness in self.witnesses)


def narrowed(attacker: Attacker, most: Attacker, small: Iterable[tuple[int, Name]]) -> list[str]:
    """The small counts (vintage, name) of which more follows than that they are 0 to 4, and more than must.

    `most`: the attacker that would be if the newest release had hidden all its inner cells; what follows even then is no fault.
    """
    found = []
    for key in small:
        place, other = attacker.places[key], most.places[key]
        for sign, end in ((1, 0), (-1, SMALL_MOST)):
            if attacker.could_be(place, end):
                continue
            value = attacker.least(place, sign)
            if sign * value > sign * end and sign * value > sign * most.least(other, sign):
                found.append(f"{key}: {value}")
    return found
