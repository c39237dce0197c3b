"""The open quarter: how much of it is known, and what it will come to, from the feed's own history of delays.

A *reporting triangle* counts the records of a feed by the local day on which something happened and by how many days later they
were appended to the log. Its recent corner is empty: those records have yet to come. The chain ladder fills it; what the days that
are still ahead will bring is taken from the same days of earlier years. Page: docs/methods/nowcast.md.
"""

from math import ceil, exp, log
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from services.shared.statistics.estimation.estimate import Absent, Interval
from services.shared.statistics.folding.sheet import DELAY_DAYS
from services.shared.statistics.terms import calendar

Counts = NDArray[np.int64]
Floats = NDArray[np.float64]

YEAR_DAYS = 364  # 52 weeks: a Monday is compared with a Monday
YEARS_MAX = 2  # earlier years that say how the rest of a quarter goes: older ones are about other times
TRIALS_MAX = 39  # past spans on which the method is tried: their 33rd and 39th errors are the 80 and 95 % limits
TRIALS_MIN = 19  # with fewer errors, 95 % would lie beyond the greatest of them
TRIAL_STEP_DAYS = 21  # from one trial to the next: 39 of them reach back over two years, all seasons
REPORTED_MIN = 0.2  # a day of which less is expected to be known is treated as still ahead: dividing by little multiplies noise

TOO_LITTLE = "too little of the quarter is known"
TOO_SHORT = "the feed's history is too short to know how far the method errs"


class Triangle(NamedTuple):
    """`counts[i, d]`: records of day `first_day + i` that were appended `d` days later, int64 (days, DELAY_DAYS + 1).

    The last column has those that came later still. Days without a gap; the last one is the day on which it is looked at.
    """

    first_day: int
    counts: Counts

    @property
    def today(self) -> int:
        return self.first_day + len(self.counts) - 1

    def at(self, today: int) -> "Triangle":
        """The triangle as it stood at the end of a day that has passed."""
        days = today - self.first_day + 1
        assert 0 < days <= len(self.counts), "the triangle does not reach that day"
        # Only the youngest days had records yet to come.
        start = max(0, days - self.counts.shape[1])
        young = self.counts[start:days].copy()
        young[np.arange(young.shape[1]) > np.arange(len(young))[::-1, np.newaxis]] = 0
        return Triangle(self.first_day, np.concatenate([self.counts[:start], young]))

    def total(self, first: int, last: int) -> int:
        """The records of some days, as far as they are known."""
        return int(self.counts[first - self.first_day : last - self.first_day + 1].sum())


class Nowcast(NamedTuple):
    """What a quarter will come to. `known`: counted so far; `completeness`: known as a share of what has happened so far."""

    known: int
    completeness: float
    value: float
    interval_80: Interval
    interval_95: Interval


class _Span(NamedTuple):
    """Days that are asked for: a quarter, or as many days in the past. `age`: days from the first to the day of asking."""

    first: int
    days: int
    age: int


def reported(triangle: Triangle) -> Floats:
    """The share of a day's records that is in the log after 0, 1, ... DELAY_DAYS days: the chain ladder's, float64, ends with 1.

    T. Mack, Distribution-free calculation of the standard error of chain ladder reserve estimates, ASTIN Bulletin 23 (1993).
    """
    counts = triangle.counts[-YEAR_DAYS:]
    total = np.cumsum(counts, axis=1)
    # Of the days that are d days old or more: how many were known after d days, and how many of these the day before.
    all_days = np.cumsum(total, axis=0)
    old_enough = len(counts) - 1 - np.arange(min(counts.shape[1], len(counts)))
    after = np.ones(counts.shape[1])
    before = np.ones(counts.shape[1])
    for delay, day in enumerate(old_enough[1:].tolist(), 1):
        after[delay], before[delay] = all_days[day, delay], all_days[day, delay - 1]
    step = np.divide(before, after, out=np.ones_like(after), where=after > 0)
    return np.append(np.cumprod(step[:0:-1])[::-1], 1.0)


def nowcast(triangle: Triangle, quarter: int) -> Nowcast | Absent:
    """What a quarter will come to, seen from the triangle's last day, with intervals from the method's own past errors."""
    first = calendar.first_day(quarter)
    span = _Span(first, calendar.last_day(quarter) - first + 1, triangle.today - first)
    if span.age < 0:
        return Absent("the quarter has not begun")
    if span.age >= span.days + DELAY_DAYS:
        return Absent("the quarter is complete: nothing is left to estimate")
    if span.first < triangle.first_day:
        return Absent(TOO_SHORT)
    if _value(triangle, span, 0) is None:
        return Absent(TOO_LITTLE)
    # As many earlier years as leave enough trials with as many.
    for years in range(YEARS_MAX, -1, -1):
        errors = _past_errors(triangle, span, years)
        if len(errors) >= TRIALS_MIN:
            break
    else:
        return Absent(TOO_SHORT)
    value = _value(triangle, span, years)
    assert value is not None
    known, happened = _so_far(triangle, span)
    # Independent errors would want one place less: those of spans that overlap are alike, and fewer than they seem.
    places = (min(ceil(level * (len(errors) + 1)) + 1, len(errors)) for level in (0.8, 0.95))
    intervals = (_interval(value, known, errors[place - 1]) for place in places)
    return Nowcast(known, known / happened, value, *intervals)


def completeness(triangle: Triangle, quarter: int) -> float | None:
    """Records known, as a share of those of the quarter's days that have passed; None if the history cannot tell."""
    first, last = max(calendar.first_day(quarter), triangle.first_day), min(calendar.last_day(quarter), triangle.today)
    if triangle.today - triangle.first_day < DELAY_DAYS or first > last:
        return None
    happened = expected(triangle, first, last - first + 1, reported(triangle))
    return min(1.0, triangle.total(first, last) / happened) if happened > 0 else None


def _interval(value: float, known: int, error: float) -> Interval:
    """As far off as a past error, either way; not below what is known, unless more withdrawals than records are expected."""
    return Interval(value, min(value, max(float(known), value * exp(-error))), value * exp(error))


def _past_errors(triangle: Triangle, span: _Span, years: int) -> list[float]:
    """|ln(what it came to / what would have been said)| at the same age of past spans with as many years before, ascending."""
    errors = []
    first = triangle.today - span.days - DELAY_DAYS  # the newest that is complete
    oldest = max(first - TRIAL_STEP_DAYS * (TRIALS_MAX - 1), triangle.first_day + years * YEAR_DAYS)
    for began in range(first, oldest - 1, -TRIAL_STEP_DAYS):
        said = _value(triangle.at(began + span.age), span._replace(first=began), years)
        final = triangle.total(began, began + span.days - 1)
        if said and final:
            errors.append(abs(log(final / said)))
    return sorted(errors)


def _value(triangle: Triangle, span: _Span, years: int) -> float | None:
    """The chain ladder's figure of the days seen, times how much the whole span is of these; None if there is none."""
    shares = reported(triangle)
    seen = min(span.days, span.age + 1 - int(np.argmax(shares >= REPORTED_MIN)))
    if seen <= 0:
        return None
    happened = expected(triangle, span.first, seen, shares)
    return happened * _whole(triangle, span, seen, years) if happened else None


def expected(triangle: Triangle, first: int, days: int, shares: Floats) -> float:
    """The records of some days, known and yet to come, by the chain ladder. `shares`: as `reported` gives them."""
    known = triangle.counts[first - triangle.first_day :][:days].sum(axis=1)
    ages = np.minimum(triangle.today - np.arange(first, first + days), len(shares) - 1)
    return float((known / np.maximum(shares[ages], REPORTED_MIN)).sum())


def _so_far(triangle: Triangle, span: _Span) -> tuple[int, float]:
    """How much of the span is known, and how much has happened by the chain ladder."""
    days = min(span.days, span.age + 1)
    return triangle.total(span.first, span.first + days - 1), expected(triangle, span.first, days, reported(triangle))


def _whole(triangle: Triangle, span: _Span, seen: int, years: int) -> float:
    """The whole span as a multiple of its first days: as in earlier years; by the number of days if none is asked."""
    start, rest = 0, 0
    for year in range(1, years + 1):
        first = span.first - year * YEAR_DAYS
        start += triangle.total(first, first + seen - 1)
        rest += triangle.total(first + seen, first + span.days - 1)
    return 1 + rest / start if start else span.days / seen
