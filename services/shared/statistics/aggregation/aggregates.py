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
violations               area                        persons found at work without papers in a year, by how often (offences.py)
branches                                             institutions that are branches and have an open enrolment
reference                figure|record key           a published figure, as it was sent
reporting, corrections   feed                        how late records came, and what became of them (reporting.py)
"""

from collections import defaultdict
from collections.abc import Iterable
from itertools import accumulate
from typing import Any, NamedTuple

import orjson

from services.shared.feeds.flows import flow_of
from services.shared.feeds.offences import FEED as OFFENCES
from services.shared.feeds.offences import Frequencies
from services.shared.statistics.aggregation.reporting import Reporting
from services.shared.statistics.exchange.ledger_set import Changes
from services.shared.statistics.exchange.observation import TOTAL
from services.shared.statistics.folding.sheet import Sheet, decode
from services.shared.statistics.terms import calendar
from services.shared.statistics.terms.areas import HOME, groups_of

ROLLING_DAYS = 91  # thirteen whole weeks: no weekday weighs more than another

_NO_SHEET = Sheet("", {}, {}, {})

Series = tuple[str, str]  # (measure, dimensions joined by "|")
_FIELDS = {
    "arrivals": ("citizenship", "purpose"),
    "departures": ("destination", "purpose"),
    "citizens_in": ("counterpart",),
    "citizens_out": ("destination",),
    "arrivals_rolling": ("area",),
    "departures_rolling": ("area",),
    "employment_balance": ("citizenship",),
    "employment_crossings": ("citizenship",),
    "permits_issued": ("citizenship", "category"),
    "permits_in_force": ("citizenship", "category"),
    "students": ("citizenship", "level"),
    "branches": (),
    "residence_arrivals": ("citizenship", "purpose"),
    "residence_departures": ("destination",),
    "labour_emigration": ("destination",),
    "guests": ("citizenship",),
    "medical": ("citizenship",),
}


class _Effects(NamedTuple):
    """What one unit in a cell adds to: flows by quarter, rolling sums and stocks by day (with a sign)."""

    flows: tuple[Series, ...] = ()
    rolling: tuple[Series, ...] = ()
    stocks: tuple[tuple[Series, int], ...] = ()


def _crossing(cell: str) -> _Effects:
    direction, citizenship, counterpart, purpose = cell.split("|")
    measure, arrives = flow_of("border-crossings", cell), direction == "arrival"
    if citizenship == HOME:
        return _Effects(flows=((measure, counterpart),))
    area = citizenship if arrives else counterpart
    balance: tuple[tuple[Series, int], ...] = ()
    if purpose == "employment":
        balance = ((("employment_balance", citizenship), 1 if arrives else -1), (("employment_crossings", citizenship), 1))
    rolling = tuple((f"{measure}_rolling", a) for a in (TOTAL, *groups_of(area)))
    return _Effects(((measure, f"{area}|{purpose}"),), rolling, balance)


def _permit(cell: str) -> _Effects:
    return _Effects(flows=(("permits_issued", cell),), stocks=((("permits_in_force", cell), 1),))


def _enrolment(cell: str) -> _Effects:
    citizenship, level, branch = cell.split("|", 2)
    stocks: list[tuple[Series, int]] = []
    if citizenship != HOME:
        stocks.append((("students", f"{citizenship}|{level}"), 1))
    if branch:
        stocks.append((("institution", branch), 1))
    return _Effects(stocks=tuple(stocks))


def _residence(cell: str) -> _Effects:
    direction, citizenship, counterpart, purpose = cell.split("|")
    dimensions = f"{citizenship}|{purpose}" if direction == "arrival" else counterpart
    return _Effects(flows=((flow_of("residence-registrations", cell), dimensions),))


def _emigration(cell: str) -> _Effects:
    return _Effects(flows=(("labour_emigration", cell),))


def _stay(cell: str) -> _Effects:
    citizenship, _ = cell.split("|")
    return _Effects(flows=((flow_of("visitor-stays", cell), citizenship),))


_EFFECTS = {
    "border-crossings": _crossing,
    "work-permits": _permit,
    "student-enrolments": _enrolment,
    "residence-registrations": _residence,
    "labour-emigration": _emigration,
    "visitor-stays": _stay,
}


class Aggregates:
    """All aggregates of one cut. Feed it the changes of sheets with `apply`; ask for what changed with `changes`."""

    def __init__(self) -> None:
        self._sheets: dict[tuple[str, int, str], bytes] = {}
        self._effects: dict[tuple[str, str], _Effects] = {}
        self._flows: dict[Series, dict[int, int]] = defaultdict(dict)  # by quarter
        self._days: dict[Series, dict[int, int]] = defaultdict(dict)  # stocks and rolling sums: by day
        self._feed_days: dict[str, dict[int, int]] = defaultdict(dict)  # how much stands on each day of a feed
        self._offences = Frequencies()
        self._reporting = Reporting()
        self._references: dict[str, int] = defaultdict(int)  # texts, with how often they stand
        self._touched: set[Series] = set()
        self._span: tuple[object, ...] = ()
        self._touched_references: set[str] = set()
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
            if feed == OFFENCES:
                self._offences.add(day, cell, change)
                continue
            _add(self._feed_days[feed], day, change)
            if feed == "reference-figures":
                self._references[cell] += change
                self._touched_references.add(cell)
            else:
                self._count(feed, cell, day, change)
        for cell, change in _differences(before.ended, after.ended):
            for series, sign in self._effect(feed, cell).stocks:
                self._touched.add(series)
                _add(self._days[series], day, -sign * change)

    def _effect(self, feed: str, cell: str) -> _Effects:
        known = self._effects.get((feed, cell))
        if known is None:
            known = self._effects[feed, cell] = _EFFECTS[feed](cell)
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
        """Entries that changed since the last call. `log_time`: append time of the cut's newest record, ms (0: empty log)."""
        now = calendar.local_day(log_time)
        span = (now, *(self._first_and_last(feed) for feed in _EFFECTS))
        if span != self._span:  # a new day, or a feed reaches further: every stock and rolling sum has other periods
            self._span = span
            self._touched |= set(self._days)
        entries: Changes = {}
        if any(measure == "institution" for measure, _ in self._touched):
            self._touched.add(("branches", ""))
        for series in self._touched:
            if series[0] == "institution":
                continue
            values = self._values(series, now)
            fresh = {f"{series[0]}|{period}|{series[1]}": _encode(series, period, value) for period, value in values}
            entries.update(dict.fromkeys(self._written[series] - fresh.keys()))
            entries.update(fresh)
            self._written[series] = set(fresh)
        present = {text for text, n in self._references.items() if n}
        for text in self._touched_references:
            record = orjson.loads(text)
            key = f"reference|{record['period']}|{record['figure']}|{record['key']}"
            # Two versions of one record can touch the same key in one cut: what stands now decides.
            if text in present:
                entries[key] = orjson.dumps({"measure": "reference", **record})
            else:
                entries.setdefault(key, None)
                self._references.pop(text, None)
        self._touched, self._touched_references = set(), set()
        return entries | self._offences.changes() | self._reporting.changes()

    def _values(self, series: Series, now: int) -> Iterable[tuple[str, int]]:
        measure = series[0]
        if measure == "branches":
            return self._branches(now)
        if measure.endswith("_rolling"):
            return self._rolling(series)
        if series in self._flows:
            return [(calendar.quarter_label(q), n) for q, n in self._flows[series].items()]
        return [(period, n) for period, n in self._stock(series, _feed_of(measure), now) if n]

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

    def _branches(self, now: int) -> list[tuple[str, int]]:
        institutions = [series for series in self._days if series[0] == "institution"]
        counts: dict[str, int] = defaultdict(int)
        for series in institutions:
            for period, n in self._stock(series, "student-enrolments", now):
                counts[period] += n > 0
        return [(period, n) for period, n in counts.items() if n]

    def _rolling(self, series: Series) -> list[tuple[str, int]]:
        """(day, sum of the 91 days to it) from the 91st day of the feed's data to its newest."""
        span = self._first_and_last("border-crossings")
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


def _feed_of(measure: str) -> str:
    if measure == "permits_in_force":
        return "work-permits"
    return "border-crossings" if measure.startswith("employment_") else "student-enrolments"


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
    named: dict[str, Any] = dict(zip(_FIELDS[measure], dimensions.split("|"), strict=False))
    return orjson.dumps({"measure": measure, "period": period, **named, "value": value})
