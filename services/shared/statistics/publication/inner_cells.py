"""The inner cells of a release: permits and students by citizenship *and* category or level, estimates by group of citizenships.

They are published at releases only, with the small ones and those that would give them away hidden. Margins, totals over all but
one dimension, are published continuously and in full: whoever reads a release has those of the same cut. What later releases must
know, so that what this one hid stays hidden, is its *confidential* body. Page: docs/methods/disclosure.md.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, NamedTuple

from schemas.values import Entry, is_count, is_violations
from services.shared.statistics.estimation.estimate import Interval
from services.shared.statistics.exchange.observation import ESTIMATE, PROVISIONAL, SUPPRESSED, Observation, series_key
from services.shared.statistics.publication.disclosure import Released, Table, protect
from services.shared.statistics.publication.group_estimates import INDICATOR, group_estimates
from services.shared.statistics.publication.release import Confidential
from services.shared.statistics.terms import calendar
from services.shared.statistics.terms.areas import EAEU

Units = Mapping[str, tuple[str, int]]
_YEAR_QUARTERS = 4


class _Subject(NamedTuple):
    """What is counted by citizenship and one dimension more."""

    indicator: str
    measure: str  # of the aggregates
    dimension: Literal["category", "level"]  # its field there
    groups: Mapping[str, frozenset[str]]
    annual: bool  # whether the quarters of a year are published as a sum too


_IN_FORCE = _Subject("PERMITS_IN_FORCE", "permits_in_force", "category", {"EAEU": EAEU}, annual=False)
_ISSUED = _Subject("PERMITS_ISSUED", "permits_issued", "category", {}, annual=True)
_STUDENTS = _Subject("FOREIGN_STUDENTS", "students", "level", {}, annual=False)
# Subjects that tell of each other: no more permits are in force than a quarter before and issued since.
_LINKED = ((_IN_FORCE, _ISSUED), (_STUDENTS,))


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
    for subjects in _LINKED:
        counts = {key: n for subject in subjects for key, n in _counts(held, subject, period).items()}
        table, hidden = _protected(subjects, period, counts, earlier)
        body["counts"] |= counts
        body["hidden"] |= hidden
        observations += _of_table(table, hidden, units)
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
    """The quarters of which a release has counts, its own last: others of the year whose sums it has, the one before of a stock."""
    last = calendar.parse_quarter(period)
    before = 0 if subject is _STUDENTS else 1 if subject is _IN_FORCE else _YEAR_QUARTERS - 1 if _has_year(period) else 0
    return [calendar.quarter_label(quarter) for quarter in range(last - before, last + 1)]


def _counts(entries: Iterable[Entry], subject: _Subject, period: str) -> dict[str, int]:
    quarters = _quarters(subject, period)
    return {
        _Cell(subject.indicator, entry["period"], entry["citizenship"], entry[subject.dimension]).key: entry["value"]
        for entry in entries
        if is_count(entry) and entry["measure"] == subject.measure and entry["period"] in quarters
    }


def _frequencies(entries: Iterable[Entry], year: str) -> dict[str, dict[int, int]]:
    return {
        entry["area"]: {int(times): persons for times, persons in entry["frequencies"].items()}
        for entry in entries
        if is_violations(entry) and entry["period"] == year
    }


def _protected(
    subjects: tuple[_Subject, ...], period: str, counts: Mapping[str, int], earlier: Sequence[Confidential]
) -> tuple[Table, dict[str, str]]:
    """The table of some subjects, and what of it is hidden."""
    linked = [_cut(subjects, body) for body in earlier if _tells_of(subjects, body["period"], period)]
    # One frame for all: where a release has no count of a citizenship that another has, it says 0.
    cells = [_Cell(*key.split("|")) for keys in (counts, *(cut.counts for cut in linked)) for key in keys]
    frame = sorted({cell.area for cell in cells}), sorted({cell.category for cell in cells})
    released = [Released(_table(subjects, cut.period, cut.counts, frame), cut.hidden) for cut in linked]
    table = _table(subjects, period, counts, frame)
    return table, protect(table, released)


def _cut(subjects: tuple[_Subject, ...], body: Confidential) -> _Cut:
    mine = {subject.indicator for subject in subjects}
    counts = {key: n for key, n in body["counts"].items() if key.partition("|")[0] in mine}
    hidden = {key: status for key, status in body["hidden"].items() if key.partition("|")[0] in mine}
    return _Cut(body["period"], counts, hidden)


def _tells_of(subjects: tuple[_Subject, ...], other: str, period: str) -> bool:
    """Whether something could follow from the release of one quarter for that of another.

    Stocks and flows hang together from quarter to quarter, without end: a year and the quarters beside it are taken.
    """
    if _STUDENTS in subjects:
        return other == period
    first = calendar.parse_quarter(f"{period[:4]}-Q1")
    return first - 1 <= calendar.parse_quarter(other) <= first + _YEAR_QUARTERS


def _table(subjects: tuple[_Subject, ...], period: str, counts: Mapping[str, int], frame: tuple[list[str], list[str]]) -> Table:
    """All that a release could show of some subjects, and the margins that are published anyway."""
    areas, categories = frame
    sums: dict[str, tuple[str, ...]] = {}
    totals: list[tuple[str, ...]] = []
    keys: list[tuple[str, str]] = []
    for subject in subjects:
        quarters = _quarters(subject, period)
        key = {(q, a, c): _Cell(subject.indicator, q, a, c).key for q in quarters for a in areas for c in categories}
        keys += [(text, q) for (q, _, _), text in key.items()]
        totals += [tuple(key[q, a, c] for c in categories) for q in quarters for a in areas]
        totals += [tuple(key[q, a, c] for a in areas) for q in quarters for c in categories]
        for group, countries in subject.groups.items():
            members = [a for a in areas if a in countries]
            if members:
                sums |= {
                    _Cell(subject.indicator, period, group, c).key: tuple(key[period, a, c] for a in members) for c in categories
                }
        if subject.annual and _has_year(period):
            year = period[:4]
            sums |= {
                _Cell(subject.indicator, year, a, c).key: tuple(key[q, a, c] for q in quarters) for a in areas for c in categories
            }
    cells = {text: counts.get(text, 0) for text, _ in keys}
    limits = _limits(period, cells, frame) if _IN_FORCE in subjects else {}
    return Table(cells, sums, tuple(totals), limits, frozenset(text for text, q in keys if q != period))


def _limits(period: str, cells: Mapping[str, int], frame: tuple[list[str], list[str]]) -> dict[str, tuple[str, ...]]:
    """Permits in force at the end of a quarter were in force at the end of the one before, or issued in it."""
    before = _quarters(_IN_FORCE, period)[0]
    found: dict[str, tuple[str, ...]] = {}
    for area in frame[0]:
        for category in frame[1]:
            now, then = (_Cell(_IN_FORCE.indicator, quarter, area, category).key for quarter in (period, before))
            issued = _Cell(_ISSUED.indicator, period, area, category).key
            if cells[now] <= cells[then] + cells[issued]:
                found[now] = then, issued
    return found


def _of_table(table: Table, hidden: Mapping[str, str], units: Units) -> list[Observation]:
    found = []
    for key, value in table.values().items():
        cell = _Cell(*key.split("|"))
        unit = units[cell.indicator]
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
