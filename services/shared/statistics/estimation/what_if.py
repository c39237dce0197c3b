"""What it takes to reach a target, and when it is reached at the present pace. Page: docs/methods/what-if.md."""

from collections.abc import Iterable, Mapping, Sequence
from math import ceil, exp, log
from typing import NamedTuple

import numpy as np
import scipy

from schemas.values import KeptFigure
from services.shared.statistics.estimation.estimate import Absent
from services.shared.statistics.exchange.observation import Figure, series_key
from services.shared.statistics.terms import calendar

STUDENTS, STUDENTS_TARGET = series_key("Q", "FOREIGN_STUDENTS"), "FOREIGN_STUDENTS_TARGET"

QUARTERS_PER_YEAR = 4
QUARTERS_MIN = 6  # of a pace: with fewer, four degrees of freedom are missing and the interval covers everything
QUARTERS_MAX = 12  # the present pace is that of the last three years
YEARS_MAX = 100  # further away is called never: no pace holds for a century


class Arrival(NamedTuple):
    """`growth`: percent a year at the present pace, with its 95 % limits; `year`: in which the target is reached.

    `earliest`, `latest`: the same at the limits of the growth; None: not within YEARS_MAX.
    """

    growth: float
    growth_lower: float
    growth_upper: float
    year: int
    earliest: int
    latest: int | None


class Outlook(NamedTuple):
    """A published target (the reference figure as it was sent), and what it takes to reach it."""

    target: KeptFigure
    growth_required: float | Absent
    arrival: Arrival | Absent


def of_students(
    references: Iterable[KeptFigure], observations: Mapping[tuple[str, str], Figure], quarter: int
) -> tuple[float | None, list[Outlook]]:
    """(foreign students at a quarter's end, what each published target for them would take), of what is published."""
    stocks = {
        calendar.parse_quarter(period): float(figure.value)
        for (series, period), figure in observations.items()
        if series == STUDENTS and figure.value is not None
    }
    if quarter not in stocks:
        return None, []
    return stocks[quarter], outlooks(references, STUDENTS_TARGET, stocks, quarter)


def outlooks(references: Iterable[KeptFigure], figure: str, stocks: Mapping[int, float], quarter: int) -> list[Outlook]:
    """Every published target of this code, newest last, seen from the end of a quarter.

    `stocks`: by quarter number; `quarter` is one of them. Targets that agree with one another or not: each stands with its source.
    """
    unbroken: list[float] = []
    at = quarter
    while at in stocks:
        unbroken.insert(0, stocks[at])
        at -= 1
    targets = sorted((r for r in references if r["figure"] == figure), key=lambda r: (r["published_on"], r["key"]))
    found = []
    for target in targets:
        years = (calendar.last_quarter_of_period(target["period"]) - quarter) / QUARTERS_PER_YEAR
        required = growth_required(stocks[quarter], target["value"], years)
        found.append(Outlook(target, required, arrival(unbroken, quarter, target["value"])))
    return found


def growth_required(stock: float, target: float, years: float) -> float | Absent:
    """Growth a year, in percent, that brings a stock to a target in that many years: 100 * ((target / stock)^(1 / years) - 1)."""
    if years <= 0:
        return Absent("the target's year is over")
    if stock <= 0 or target <= 0:
        return Absent("growth is between numbers above 0")
    return float(100 * ((target / stock) ** (1 / years) - 1))


def arrival(stocks: Sequence[float], last_quarter: int, target: float) -> Arrival | Absent:
    """When a stock reaches a target if it goes on as it did.

    `stocks`: at the ends of successive quarters without a gap, the last at the end of quarter number `last_quarter` (quarters since
    2000-Q1). The pace is the slope of a straight line through the logarithms of the last QUARTERS_MAX.
    """
    recent = np.array(stocks[-QUARTERS_MAX:], dtype=float)
    if len(recent) < QUARTERS_MIN:
        return Absent(f"{len(recent)} quarters are known, and a pace needs {QUARTERS_MIN}")
    if (recent <= 0).any() or target <= 0:
        return Absent("a pace is between numbers above 0")
    if recent[-1] >= target:
        return Absent("the target is reached")
    (slope, _), covariance = np.polyfit(np.arange(len(recent)), np.log(recent), 1, cov=True)
    # Student's t, of as many degrees of freedom as there are points beyond the two that make a line.
    half = float(scipy.special.stdtrit(len(recent) - 2, 0.975) * np.sqrt(covariance[0, 0]))
    slopes = [float(slope + off) for off in (-half, 0.0, half)]
    lower, growth, upper = (100 * (exp(QUARTERS_PER_YEAR * slope) - 1) for slope in slopes)
    latest, year, earliest = (_year(float(recent[-1]), target, slope, last_quarter) for slope in slopes)
    if year is None or earliest is None:
        return Absent(f"at the present pace, {growth:+.1f} percent a year, the target is not reached")
    return Arrival(growth, lower, upper, year, earliest, latest)


def _year(stock: float, target: float, slope: float, last_quarter: int) -> int | None:
    """The year in which a stock that grows by `slope` a quarter (in logarithms) reaches the target."""
    if slope <= 0 or log(target / stock) / slope > QUARTERS_PER_YEAR * YEARS_MAX:
        return None
    return calendar.year_of(last_quarter + ceil(log(target / stock) / slope))
