"""The published indicators: pure functions of the aggregates, estimates and reference figures of one cut.

Definitions are in schemas/indicators.csv. A count of 0 is not there; a share, change or ratio without its base is absent.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Generic, Literal

from schemas.values import CountEntry, Entry, Estimate, KeptFigure, is_count, is_reference
from services.shared.statistics.estimation.estimate import Absent
from services.shared.statistics.estimation.informality import newest
from services.shared.statistics.estimation.what_if import growth_required
from services.shared.statistics.exchange.observation import (
    ESTIMATE,
    NOT_APPLICABLE,
    PROVISIONAL,
    TARGET,
    TOTAL,
    Observation,
    series_key,
)
from services.shared.statistics.terms import calendar
from services.shared.statistics.terms.areas import EAEU, groups_of
from services.shared.statistics.terms.universe import Crossings, Emigrants, Measure, Permits, Q, Residents, Stays, Students

Area = Literal["citizenship", "destination", "counterpart"]
Part = Literal["purpose", "category", "level"]
SHARE_AREAS_EXCLUDED = frozenset({TOTAL, "EAEU"})  # shares are given for countries, the CIS and the far abroad

ARRIVALS, DEPARTURES = Measure("arrivals", Crossings), Measure("departures", Crossings)
CITIZENS_IN, CITIZENS_OUT = Measure("citizens_in", Crossings), Measure("citizens_out", Crossings)
RESIDENCE_ARRIVALS, RESIDENCE_DEPARTURES = Measure("residence_arrivals", Residents), Measure("residence_departures", Residents)
LABOUR_EMIGRATION = Measure("labour_emigration", Emigrants)
GUESTS, MEDICAL = Measure("guests", Stays), Measure("medical", Stays)
PERMITS_IN_FORCE, PERMITS_ISSUED = Measure("permits_in_force", Permits), Measure("permits_issued", Permits)
STUDENTS = Measure("students", Students)


class Counts(defaultdict[tuple[str, str, str], int], Generic[Q]):
    """Counts of one universe: (period, area or citizenship, purpose or category) -> number; TOTAL among both."""

    def __init__(self, universe: type[Q]) -> None:
        super().__init__(int)
        self._universe = universe

    def of(self, period: str, area: str = TOTAL, purpose: str = TOTAL) -> Q:
        """One of them, to calculate with: 0 if it is not there."""
        return self._universe(self.get((period, area, purpose), 0))


class Indicators:
    """Collects the observations of one cut. `units`: (unit, decimals) by indicator, as schemas/indicators.csv has them."""

    def __init__(self, units: Mapping[str, tuple[str, int]]) -> None:
        self._units = units
        self.found: dict[tuple[str, str], Observation] = {}

    def add(
        self,
        freq: str,
        indicator: str,
        period: str,
        value: float,
        area: str = TOTAL,
        purpose: str = TOTAL,
        category: str = TOTAL,
        method: str = NOT_APPLICABLE,
        status: str = PROVISIONAL,
        limits: tuple[float | None, float | None] = (None, None),
    ) -> None:
        unit, decimals = self._units[indicator]
        lower, upper = limits
        series = series_key(freq, indicator, area, purpose, category, method)
        self.found[series, period] = Observation(series, period, value, lower, upper, unit, decimals, status)


def observations(
    aggregates: Mapping[str, Entry], estimates: Iterable[Estimate], units: Mapping[str, tuple[str, int]]
) -> dict[tuple[str, str], Observation]:
    """All observations of a cut by (series key, period). `aggregates`: entries of the aggregates ledger by key."""
    by_measure: dict[str, list[CountEntry]] = defaultdict(list)
    for entry in aggregates.values():
        if is_count(entry):
            by_measure[entry["measure"]].append(entry)
    references = [entry for entry in aggregates.values() if is_reference(entry)]
    out = Indicators(units)
    arrivals = _flow(out, "ARRIVALS", by_measure, ARRIVALS, "citizenship", "purpose", groups=True)
    departures = _flow(out, "DEPARTURES", by_measure, DEPARTURES, "destination", groups=True)
    _rolling(out, by_measure)
    _changes(out, "ARRIVALS", arrivals)
    _changes(out, "DEPARTURES", departures)
    _shares(out, "ARRIVALS_SHARE", arrivals)
    _shares(out, "DEPARTURES_SHARE", departures)
    _contributions(out, arrivals)
    _purpose_shares(out, "ARRIVALS_PURPOSE_SHARE", arrivals, annual=False)
    _balance(out, "BORDER_BALANCE", arrivals, departures)
    _flow(out, "CITIZENS_OUT", by_measure, CITIZENS_OUT, "destination")
    _flow(out, "CITIZENS_IN", by_measure, CITIZENS_IN, "counterpart")
    _residence(out, by_measure)
    _labour(out, by_measure)
    _visitors(out, by_measure)
    _permits(out, by_measure)
    _students(out, by_measure, references)
    _estimates(out, estimates)
    return out.found


def _periods(quarter: str) -> tuple[tuple[str, str], tuple[str, str]]:
    return ("Q", quarter), ("A", quarter[:4])


def _flow(
    out: Indicators,
    indicator: str,
    by_measure: Mapping[str, list[CountEntry]],
    measure: Measure[Q],
    area_field: Area,
    purpose_field: Part | None = None,
    groups: bool = False,
) -> Counts[Q]:
    """Quarterly and annual counts with their totals, by purpose if a field holds it; returns them by (period, area, purpose)."""
    counts = Counts(measure.universe)
    for entry in by_measure[measure.name]:
        area, value = entry[area_field], entry["value"]
        areas = (area, TOTAL, *groups_of(area)) if groups else (area, TOTAL)
        purposes = (entry[purpose_field], TOTAL) if purpose_field else (TOTAL,)
        for _, period in _periods(entry["period"]):
            for a in areas:
                for purpose in purposes:
                    counts[period, a, purpose] += value
    for (period, area, purpose), value in counts.items():
        out.add("Q" if "Q" in period else "A", indicator, period, value, area, purpose)
    return counts


def _rolling(out: Indicators, by_measure: Mapping[str, list[CountEntry]]) -> None:
    for indicator, measure in (("ARRIVALS", "arrivals_rolling"), ("DEPARTURES", "departures_rolling")):
        for entry in by_measure[measure]:
            out.add("D", indicator, entry["period"], entry["value"], entry["area"])


def _quarters(counts: Counts[Q]) -> list[str]:
    return sorted({period for period, _, _ in counts if "Q" in period})


def _before(period: str, quarters: int) -> str:
    return calendar.quarter_label(calendar.parse_quarter(period) - quarters)


def _changes(out: Indicators, indicator: str, counts: Counts[Q]) -> None:
    for period in _quarters(counts):
        for name, quarters in (("QOQ", 1), ("YOY", 4)):
            base = counts.of(_before(period, quarters))
            if base.value:
                out.add("Q", f"{indicator}_CHANGE_{name}", period, counts.of(period).change_from(base))


def _shares(out: Indicators, indicator: str, counts: Counts[Q]) -> None:
    for period, area, purpose in counts:
        if purpose == TOTAL and "Q" in period and area not in SHARE_AREAS_EXCLUDED:
            out.add("Q", indicator, period, counts.of(period, area).percent_of(counts.of(period)), area)


def _contributions(out: Indicators, counts: Counts[Q]) -> None:
    areas_of: dict[str, set[str]] = defaultdict(set)
    for period, area, purpose in counts:
        if purpose == TOTAL and area not in SHARE_AREAS_EXCLUDED:
            areas_of[period].add(area)
    for period in _quarters(counts):
        before = _before(period, 1)
        base = counts.of(before)
        if base.value:
            for area in areas_of[period] | areas_of[before]:
                change = counts.of(period, area) - counts.of(before, area)
                out.add("Q", "ARRIVALS_CONTRIBUTION_QOQ", period, change.percent_of(base), area)


def _purpose_shares(out: Indicators, indicator: str, counts: Counts[Q], annual: bool) -> None:
    for period, area, purpose in counts:
        if area == TOTAL and purpose != TOTAL and (annual or "Q" in period):
            share = counts.of(period, purpose=purpose).percent_of(counts.of(period))
            out.add("Q" if "Q" in period else "A", indicator, period, share, purpose=purpose)


def _balance(out: Indicators, indicator: str, arrivals: Counts[Q], departures: Counts[Q]) -> None:
    totals = {period for period, area, purpose in (*arrivals, *departures) if area == TOTAL and purpose == TOTAL}
    for period in totals:
        balance = arrivals.of(period) - departures.of(period)
        out.add("Q" if "Q" in period else "A", indicator, period, balance.value)


def _residence(out: Indicators, by_measure: Mapping[str, list[CountEntry]]) -> None:
    arrivals = _flow(out, "RESIDENCE_ARRIVALS", by_measure, RESIDENCE_ARRIVALS, "citizenship", "purpose")
    departures = _flow(out, "RESIDENCE_DEPARTURES", by_measure, RESIDENCE_DEPARTURES, "destination")
    _balance(out, "NET_MIGRATION", arrivals, departures)
    _purpose_shares(out, "RESIDENCE_PURPOSE_SHARE", arrivals, annual=True)


def _labour(out: Indicators, by_measure: Mapping[str, list[CountEntry]]) -> None:
    leaving = _flow(out, "LABOUR_EMIGRATION", by_measure, LABOUR_EMIGRATION, "destination")
    for period, area, _ in leaving:
        base = leaving.of(_before(period, 4) if "Q" in period else str(int(period) - 1))
        if area == TOTAL and base.value:
            out.add("Q" if "Q" in period else "A", "LABOUR_EMIGRATION_CHANGE_YOY", period, leaving.of(period).change_from(base))


def _visitors(out: Indicators, by_measure: Mapping[str, list[CountEntry]]) -> None:
    _flow(out, "FOREIGN_GUESTS", by_measure, GUESTS, "citizenship")
    patients = _flow(out, "MEDICAL_VISITORS", by_measure, MEDICAL, "citizenship")
    for period, area, _ in patients:
        if "Q" not in period:
            base = patients.of(str(int(period) - 5), area)
            if base.value:
                out.add("A", "MEDICAL_VISITORS_RATIO_5Y", period, patients.of(period, area) / base, area)


def _margins(by_measure: Mapping[str, list[CountEntry]], measure: Measure[Q], category_field: Part, groups: bool) -> Counts[Q]:
    """Totals over all but one dimension. Inner cells (citizenship by category) are for releases, under disclosure control."""
    counts = Counts(measure.universe)
    for entry in by_measure[measure.name]:
        period, area, value = entry["period"], entry["citizenship"], entry["value"]
        counts[period, TOTAL, TOTAL] += value
        counts[period, area, TOTAL] += value
        counts[period, TOTAL, entry[category_field]] += value
        if groups and area in EAEU:
            counts[period, "EAEU", TOTAL] += value
    return counts


def _permits(out: Indicators, by_measure: Mapping[str, list[CountEntry]]) -> None:
    in_force = _margins(by_measure, PERMITS_IN_FORCE, "category", groups=True)
    for (period, area, category), value in in_force.items():
        out.add("Q", "PERMITS_IN_FORCE", period, value, area, category=category)
    for period in _quarters(in_force):
        base = in_force.of(_before(period, 4))
        if base.value:
            out.add("Q", "PERMITS_IN_FORCE_CHANGE_YOY", period, in_force.of(period).change_from(base))
    issued: dict[tuple[str, str, str, str], int] = defaultdict(int)
    for (quarter, area, category), value in _margins(by_measure, PERMITS_ISSUED, "category", groups=False).items():
        for freq, period in _periods(quarter):
            issued[freq, period, area, category] += value
    for (freq, period, area, category), value in issued.items():
        out.add(freq, "PERMITS_ISSUED", period, value, area, category=category)


def _students(out: Indicators, by_measure: Mapping[str, list[CountEntry]], references: Iterable[KeptFigure]) -> None:
    students = _margins(by_measure, STUDENTS, "level", groups=False)
    for (period, area, level), value in students.items():
        out.add("Q", "FOREIGN_STUDENTS", period, value, area, category=level)
    for entry in by_measure["branches"]:
        out.add("Q", "FOREIGN_BRANCHES", entry["period"], entry["value"])
    targets = [r for r in references if r["figure"] == "FOREIGN_STUDENTS_TARGET"]
    for year in {t["period"] for t in targets if len(t["period"]) == 4}:
        of_year = newest([t for t in targets if t["period"] == year], "FOREIGN_STUDENTS_TARGET")
        assert of_year is not None
        out.add("A", "FOREIGN_STUDENTS_TARGET", year, of_year["value"], status=TARGET)
    target = newest(targets, "FOREIGN_STUDENTS_TARGET")
    if target is None:
        return
    for period in _quarters(students):
        stock = students.of(period)
        out.add("Q", "FOREIGN_STUDENTS_GAP", period, (Students(target["value"]) - stock).value)
        years = (calendar.last_quarter_of_period(target["period"]) - calendar.parse_quarter(period)) / 4
        growth = growth_required(stock.value, target["value"], years)
        if not isinstance(growth, Absent):
            out.add("Q", "FOREIGN_STUDENTS_GROWTH_REQUIRED", period, growth)


def _estimates(out: Indicators, estimates: Iterable[Estimate]) -> None:
    for entry in estimates:
        if "value" in entry:
            out.add(
                "Q" if "Q" in entry["period"] else "A",
                entry["indicator"],
                entry["period"],
                entry["value"],
                method=entry["method"],
                status=ESTIMATE,
                limits=(entry["lower"], entry["upper"]),
            )
