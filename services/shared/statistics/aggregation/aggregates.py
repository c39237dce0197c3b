"""Quarterly and rolling aggregates: the sum of all day sheets of one cut, kept up to date sheet by sheet.

An aggregate is an absolute number per (measure, period, dimensions). Flows are sums over the days of a quarter; stocks are what is
open at the end of its last day, or of the newest past day while the quarter is open. "Now" is the local day on which the newest
record was appended to the log, so the same cut always gives the same aggregates. What is 0 is not there.

measure                  dimensions                  of
arrivals, departures     area|purpose                foreigners' crossings; area: citizenship / country they leave for
citizens_in, _out        area                        crossings of KZ citizens
arrivals_rolling, departures_rolling  area          the 91 days to the period's day; areas are _T and the groups
employment_balance       citizenship                 employment-purpose arrivals less departures since the series began
employment_crossings     citizenship                 the same arrivals and departures added up: what the balance is made of
permits_issued           citizenship|category        permits whose first day lies in the quarter
permits_in_force         citizenship|category        stock
students                 citizenship|level           stock of open enrolments of foreigners
residence_arrivals       citizenship|purpose         changes of permanent residence into the country
residence_departures     destination                 and out of it
labour_emigration        destination                 citizens leaving for work abroad
guests, medical          citizenship                 stays
violations               area                        persons found at work without papers in a year, by how often
branches                                             institutions that are branches and have an open enrolment
reference                figure|record key           a published figure, as it was sent
reporting, corrections   feed                        how late records came, and what became of them (reporting.py)
"""

from collections import defaultdict
from collections.abc import Iterable
from itertools import accumulate
from typing import NamedTuple

import orjson

from services.shared.feeds.catalogue import RULES
from services.shared.feeds.feed import Effects, Kind, Measure, Series
from services.shared.statistics.aggregation.reporting import Reporting
from services.shared.statistics.exchange.ledger_set import Changes
from services.shared.statistics.folding.sheet import Sheet, decode
from services.shared.statistics.terms import calendar

ROLLING_DAYS = 91  # thirteen whole weeks: no weekday weighs more than another

_NO_SHEET = Sheet("", {}, {}, {})


class _Owned(NamedTuple):
    """A measure, and the feed that gives it."""

    measure: Measure
    feed: str


_MEASURES = {measure.name: _Owned(measure, rules.feed) for rules in RULES.values() for measure in rules.measures}
_SERVING = {owned.measure.of: name for name, owned in _MEASURES.items() if owned.measure.of}  # stocks that are only counted
_ADDED_UP = tuple(rules.feed for rules in RULES.values() if rules.effects is not None)


class Aggregates:
    """All aggregates of one cut. Feed it the changes of sheets with `apply`; ask for what changed with `changes`."""

    def __init__(self) -> None:
        self._sheets: dict[tuple[str, int, str], bytes] = {}
        self._effects: dict[tuple[str, str], Effects] = {}
        self._flows: dict[Series, dict[int, int]] = defaultdict(dict)  # by quarter
        self._days: dict[Series, dict[int, int]] = defaultdict(dict)  # stocks and rolling sums: by day
        self._feed_days: dict[str, dict[int, int]] = defaultdict(dict)  # how much stands on each day of a feed
        self._accumulators = {feed: rules.accumulator() for feed, rules in RULES.items() if rules.accumulator is not None}
        self._reporting = Reporting()
        self._touched: set[Series] = set()
        self._span: tuple[object, ...] = ()
        self._written: dict[Series, set[str]] = defaultdict(set)  # entries that stand for a series

    def apply(self, feed: str, partition: int, changes: Changes) -> None:
        """Take the changed sheets of one ledger partition."""
        for day, value in changes.items():
            place = (feed, partition, day)
            old = self._sheets.pop(place, None)
            if value is not None:
                self._sheets[place] = value
            self._replace(feed, calendar.parse_day(day), old, value)

    def _replace(self, feed: str, day: int, old: bytes | None, new: bytes | None) -> None:
        before = decode(old) if old is not None else _NO_SHEET
        after = decode(new) if new is not None else _NO_SHEET
        for cell, change in _differences(before.marginals, after.marginals):
            self._reporting.add(feed, day, cell, change)
        for cell, change in _differences(before.counts, after.counts):
            if feed in self._accumulators:
                self._accumulators[feed].add(day, cell, change)
            else:
                _add(self._feed_days[feed], day, change)
                self._count(feed, cell, day, change)
        for cell, change in _differences(before.ended, after.ended):
            for series, sign in self._effect(feed, cell).stocks:
                self._touched.add(series)
                _add(self._days[series], day, -sign * change)

    def _effect(self, feed: str, cell: str) -> Effects:
        known = self._effects.get((feed, cell))
        if known is None:
            effects = RULES[feed].effects
            assert effects is not None, "sheets of a feed with an accumulator have nothing that ends"
            known = self._effects[feed, cell] = effects(cell)
        return known

    def _count(self, feed: str, cell: str, day: int, change: int) -> None:
        effects = self._effect(feed, cell)
        for series in effects.flows:
            self._touched.add(series)
            _add(self._flows[series], calendar.quarter_of(day), change)
        for series in effects.rolling:
            self._touched.add(series)
            _add(self._days[series], day, change)
        for series, sign in effects.stocks:
            self._touched.add(series)
            _add(self._days[series], day, sign * change)

    def changes(self, log_time: int) -> Changes:
        """Entries that changed since the last call. `log_time`: the log's time at the cut, ms (0: none)."""
        now = calendar.local_day(log_time)
        span = (now, *(self._first_and_last(feed) for feed in _ADDED_UP))
        if span != self._span:  # a new day, or a feed reaches further: every stock and rolling sum has other periods
            self._span = span
            self._touched |= set(self._days)
        entries: Changes = {}
        self._touched |= {(_SERVING[measure], "") for measure, _ in self._touched if measure in _SERVING}
        for series in self._touched:
            if not _MEASURES[series[0]].measure.published:
                continue
            values = self._values(series, now)
            fresh = {f"{series[0]}|{period}|{series[1]}": _encode(series, period, value) for period, value in values}
            entries.update(dict.fromkeys(self._written[series] - fresh.keys()))
            entries.update(fresh)
            self._written[series] = set(fresh)
        self._touched = set()
        for accumulator in self._accumulators.values():
            entries |= accumulator.changes()
        return entries | self._reporting.changes()

    def _values(self, series: Series, now: int) -> Iterable[tuple[str, int]]:
        measure, feed = _MEASURES[series[0]]
        match measure.kind:
            case Kind.FLOW:
                return [(calendar.quarter_label(q), n) for q, n in self._flows[series].items()]
            case Kind.STOCK:
                return [(period, n) for period, n in self._stock(series, feed, now) if n]
            case Kind.ROLLING:
                return self._rolling(series, feed)
            case Kind.MEMBERS:
                return self._members(measure.of, feed, now)

    def _first_and_last(self, feed: str) -> tuple[int, int] | None:
        days = self._feed_days[feed]
        return (min(days), max(days)) if days else None

    def _stock(self, series: Series, feed: str, now: int) -> list[tuple[str, int]]:
        """(quarter, what is open at its end) for every quarter from the feed's first event to the current one."""
        span = self._first_and_last(feed)
        if span is None:
            return []
        days = sorted(self._days[series].items())
        levels = list(accumulate(n for _, n in days))
        result, i = [], 0
        for quarter in range(calendar.quarter_of(span[0]), calendar.quarter_of(now) + 1):
            end = min(calendar.last_day(quarter), now - 1)
            while i < len(days) and days[i][0] <= end:
                i += 1
            result.append((calendar.quarter_label(quarter), levels[i - 1] if i else 0))
        return result

    def _members(self, measure: str, feed: str, now: int) -> list[tuple[str, int]]:
        """(quarter, how many series of a stock are above 0 at its end)."""
        counts: dict[str, int] = defaultdict(int)
        for series in [series for series in self._days if series[0] == measure]:
            for period, n in self._stock(series, feed, now):
                counts[period] += n > 0
        return [(period, n) for period, n in counts.items() if n]

    def _rolling(self, series: Series, feed: str) -> list[tuple[str, int]]:
        """(day, sum of the 91 days to it) from the 91st day of the feed's data to its newest."""
        span = self._first_and_last(feed)
        if span is None:
            return []
        first, last = span
        days = self._days[series]
        window = sum(days.get(day, 0) for day in range(first, first + ROLLING_DAYS - 1))
        result = []
        for day in range(first + ROLLING_DAYS - 1, last + 1):
            window += days.get(day, 0)
            if window:
                result.append((calendar.day_label(day), window))
            window -= days.get(day - ROLLING_DAYS + 1, 0)
        return result


def _add(numbers: dict[int, int], key: int, change: int) -> None:
    number = numbers.get(key, 0) + change
    if number:
        numbers[key] = number
    else:
        numbers.pop(key, None)


def _differences(before: dict[str, int], after: dict[str, int]) -> Iterable[tuple[str, int]]:
    for cell, n in after.items():
        change = n - before.get(cell, 0)
        if change:
            yield cell, change
    for cell, n in before.items():
        if cell not in after:
            yield cell, -n


def _encode(series: Series, period: str, value: int) -> bytes:
    measure, dimensions = series
    named: dict[str, str] = dict(zip(_MEASURES[measure].measure.dimensions, dimensions.split("|"), strict=False))
    return orjson.dumps({"measure": measure, "period": period, **named, "value": value})
