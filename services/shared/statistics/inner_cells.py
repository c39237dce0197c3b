"""The inner cells of a release: permits and students by citizenship *and* category or level, estimates by group of citizenships.

They are published at releases only, with the small ones and those that would give them away hidden. Margins, totals over all but
one dimension, are published continuously and in full: whoever reads a release has those of the same cut. What later releases must
know, so that what this one hid stays hidden, is its *confidential* body. Page: docs/methods/disclosure.md.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from services.shared.statistics import calendar, offences
from services.shared.statistics.areas import EAEU
from services.shared.statistics.disclosure import Released, Table, protect
from services.shared.statistics.estimate import Interval
from services.shared.statistics.group_estimates import INDICATOR, group_estimates
from services.shared.statistics.observation import ESTIMATE, PROVISIONAL, SUPPRESSED, Observation, series_key

Entry = Mapping[str, Any]
Confidential = dict[str, Any]
Units = Mapping[str, tuple[str, int]]
_YEAR_QUARTERS = 4


class _Subject(NamedTuple):
    """What is counted by citizenship and one dimension more."""

    indicator: str
    measure: str  # of the aggregates
    dimension: str  # its field there
    groups: Mapping[str, frozenset[str]]
    annual: bool  # whether the quarters of a year are published as a sum too


_SUBJECTS = (
    _Subject("PERMITS_IN_FORCE", "permits_in_force", "category", {"EAEU": EAEU}, annual=False),
    _Subject("PERMITS_ISSUED", "permits_issued", "category", {}, annual=True),
    _Subject("FOREIGN_STUDENTS", "students", "level", {}, annual=False),
)


class _Cell(NamedTuple):
    """One count. `period`: a quarter, or a year; `area`: a citizenship or a group."""

    indicator: str
    period: str
    area: str
    category: str

    @property
    def key(self) -> str:
        return "|".join(self)


class _Cut(NamedTuple):
    """What one release had of a subject: counts above 0 by key, and what it hid."""

    period: str
    counts: Mapping[str, int]
    hidden: Mapping[str, str]


def release_cells(
    entries: Iterable[Entry], period: str, earlier: Sequence[Confidential], units: Units
) -> tuple[dict[tuple[str, str], Observation], Confidential]:
    """The inner cells of the release of a quarter, and of its year if it is the fourth; and what later releases must know of them.

    `entries`: values of `aggregates.quarterly.v1` at the release's cut. `earlier`: the confidential bodies of all releases so far,
    oldest first; those that have nothing to do with this one are passed over. `units`: (unit, decimals) by indicator. The second
    part of the answer can be written as JSON. It has every count, those that were hidden too: nobody else may read it.
    """
    held = list(entries)
    observations: list[Observation] = []
    body: Confidential = {"period": period, "counts": {}, "hidden": {}, "groups": {}}
    for subject in _SUBJECTS:
        counts = _counts(held, subject, period)
        table, hidden = _protected(subject, period, counts, earlier)
        body["counts"] |= counts
        body["hidden"] |= hidden
        observations += _of_table(table, hidden, units[subject.indicator])
    if _has_year(period):
        year = period[:4]
        hidden_before = {group for one in earlier for group in one["groups"].get(year, ())}
        estimates = group_estimates(_frequencies(held, year), hidden_before)
        body["groups"][year] = sorted(hidden_before | {group for (group, _), found in estimates.items() if isinstance(found, str)})
        observations += [_of_group(year, *key, found, units[INDICATOR]) for key, found in estimates.items()]
    return {one.key: one for one in observations}, body


def _has_year(period: str) -> bool:
    return calendar.parse_quarter(period) % _YEAR_QUARTERS == _YEAR_QUARTERS - 1


def _quarters(subject: _Subject, period: str) -> list[str]:
    """The quarters that a release has counts of: its own, and the others of the year whose sums it has."""
    if not (subject.annual and _has_year(period)):
        return [period]
    last = calendar.parse_quarter(period)
    return [calendar.quarter_label(quarter) for quarter in range(last - _YEAR_QUARTERS + 1, last + 1)]


def _counts(entries: Iterable[Entry], subject: _Subject, period: str) -> dict[str, int]:
    quarters = _quarters(subject, period)
    return {
        _Cell(subject.indicator, entry["period"], entry["citizenship"], entry[subject.dimension]).key: entry["value"]
        for entry in entries
        if entry["measure"] == subject.measure and entry["period"] in quarters
    }


def _frequencies(entries: Iterable[Entry], year: str) -> dict[str, dict[int, int]]:
    return {
        entry["area"]: {int(times): persons for times, persons in entry["frequencies"].items()}
        for entry in entries
        if entry["measure"] == offences.MEASURE and entry["period"] == year
    }


def _protected(
    subject: _Subject, period: str, counts: Mapping[str, int], earlier: Sequence[Confidential]
) -> tuple[Table, dict[str, str]]:
    """The table of a subject, and what of it is hidden."""
    start = subject.indicator + "|"
    cuts = [
        _Cut(
            body["period"],
            {key: n for key, n in body["counts"].items() if key.startswith(start)},
            {key: status for key, status in body["hidden"].items() if key.startswith(start)},
        )
        for body in earlier
    ]
    linked = _linked(subject, period, cuts)
    # One frame for all: where a release has no count of a citizenship that another has, it says 0.
    cells = [_Cell(*key.split("|")) for keys in (counts, *(cut.counts for cut in linked)) for key in keys]
    areas, categories = sorted({cell.area for cell in cells}), sorted({cell.category for cell in cells})
    released = [Released(_table(subject, cut.period, cut.counts, areas, categories), cut.hidden) for cut in linked]
    table = _table(subject, period, counts, areas, categories)
    return table, protect(table, released)


def _linked(subject: _Subject, period: str, cuts: list[_Cut]) -> list[_Cut]:
    """Those releases from which something could follow for this one: of the same quarter or, once its sums are out, of the year."""
    year = [cut for cut in cuts if cut.period[:4] == period[:4]]
    if subject.annual and any(_has_year(one) for one in (period, *(cut.period for cut in year))):
        return year
    return [cut for cut in year if cut.period == period]


def _table(subject: _Subject, period: str, counts: Mapping[str, int], areas: list[str], categories: list[str]) -> Table:
    """All that a release could show of a subject, and the margins that are published anyway."""
    quarters = _quarters(subject, period)
    key = {(q, a, c): _Cell(subject.indicator, q, a, c).key for q in quarters for a in areas for c in categories}
    totals = [tuple(key[q, a, c] for c in categories) for q in quarters for a in areas]
    totals += [tuple(key[q, a, c] for a in areas) for q in quarters for c in categories]
    sums: dict[str, tuple[str, ...]] = {}
    for group, countries in subject.groups.items():
        members = [a for a in areas if a in countries]
        if members:
            sums |= {_Cell(subject.indicator, period, group, c).key: tuple(key[period, a, c] for a in members) for c in categories}
    if len(quarters) > 1:
        year = period[:4]
        sums |= {_Cell(subject.indicator, year, a, c).key: tuple(key[q, a, c] for q in quarters) for a in areas for c in categories}
    unsaid = frozenset(text for (q, _, _), text in key.items() if q != period)
    return Table({text: counts.get(text, 0) for text in key.values()}, sums, tuple(totals), unsaid)


def _of_table(table: Table, hidden: Mapping[str, str], unit: tuple[str, int]) -> list[Observation]:
    found = []
    for key, value in table.values().items():
        cell = _Cell(*key.split("|"))
        series = series_key("Q" if "Q" in cell.period else "A", cell.indicator, cell.area, category=cell.category)
        if key in hidden:
            found.append(Observation(series, cell.period, None, None, None, *unit, SUPPRESSED, hidden[key]))
        elif value and key not in table.unsaid:
            found.append(Observation(series, cell.period, value, None, None, *unit, PROVISIONAL))
    return found


def _of_group(year: str, group: str, method: str, found: Interval | str, unit: tuple[str, int]) -> Observation:
    series = series_key("A", INDICATOR, group, method=method)
    if isinstance(found, Interval):
        return Observation(series, year, found.value, found.lower, found.upper, *unit, ESTIMATE)
    return Observation(series, year, None, None, None, *unit, SUPPRESSED, found)
