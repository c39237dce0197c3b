"""What every published target for foreign students would take, seen from the end of the quarter. Page: docs/methods/what-if.md."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

from services.dissemination.figures import Figures
from services.dissemination.layout import Facts
from services.shared.statistics.estimation.estimate import Absent
from services.shared.statistics.estimation.what_if import Arrival, Outlook, of_students
from services.shared.statistics.terms.calendar import parse_quarter

PERSONS = "persons"
DECIMALS = 1  # of growth in percent, as FOREIGN_STUDENTS_GROWTH_REQUIRED is published


def outlook(figures: Figures) -> Facts | None:
    """Every target with its source and date, the gap, the growth it needs, the year it is reached; None without any to look at."""
    words = figures.words
    stock, seen = of_students(figures.snapshot.references, figures.snapshot.observations, parse_quarter(figures.period))
    if stock is None or not seen:
        return None
    groups = []
    for each in reversed(seen):
        heading = words("targets.heading", value=words.number(each.target["value"], 0), year=each.target["period"])
        groups.append((heading, tuple(_lines(figures, stock, each))))
    source = words("targets.source", period=words.period(figures.period))
    return Facts("targets", words("targets.caption"), tuple(groups), source)


def _lines(figures: Figures, stock: float, seen: Outlook) -> Iterator[tuple[str, str]]:
    words, target = figures.words, seen.target
    day = words.day(date.fromisoformat(target["published_on"]))
    yield words("targets.published_on"), words("targets.published", source=words.source(target["source"]), day=day)
    gap = target["value"] - stock
    amount = f"{words.number(abs(gap), 0)} ({words(f'units.{PERSONS}')})"
    yield words("targets.gap" if gap > 0 else "targets.over"), amount
    yield words("targets.required"), _or_reason(figures, seen.growth_required)
    if isinstance(seen.arrival, Absent):
        yield words("targets.year"), _or_reason(figures, seen.arrival)
        return
    yield words("targets.pace"), _pace(figures, seen.arrival)
    yield words("targets.year"), _year(figures, seen.arrival)


def _growth(figures: Figures, value: float) -> str:
    return figures.words.amount(value, DECIMALS, "percent", sign=True)


def _or_reason(figures: Figures, result: float | Absent) -> str:
    if isinstance(result, Absent):
        return figures.words("targets.not_known", reason=figures.words.translated(result.reason)[0])
    return _growth(figures, result)


def _pace(figures: Figures, arrival: Arrival) -> str:
    growth, lower, upper = (_growth(figures, g) for g in (arrival.growth, arrival.growth_lower, arrival.growth_upper))
    return figures.words("targets.growth", growth=growth, lower=lower, upper=upper)


def _year(figures: Figures, arrival: Arrival) -> str:
    if arrival.latest is None:
        return figures.words("targets.in_year_open", year=arrival.year, earliest=arrival.earliest)
    return figures.words("targets.in_year", year=arrival.year, earliest=arrival.earliest, latest=arrival.latest)
