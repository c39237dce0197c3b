"""Nowcasts of the open quarter, and of the one before until it is complete, from the `reporting` entries of the aggregates.

Each is an estimate `NOWCAST|<quarter>|<indicator>`, or absent with the reason. `inputs` say how much of the quarter is known:
`known` records, `completeness` of the flow and `feed_completeness` of all flows of its feed together, in percent, each where the
history carries it; and the 80 % limits beside the 95 % ones. "Now" is the log's time. Page: docs/methods/nowcast.md.

The history of a feed begins on the first day on which something of less than DELAY_DAYS before was appended: what had happened
before the log began came all at once, and says nothing of how late records are.
"""

from collections import defaultdict
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from schemas.values import Entry, Estimate, Inputs, ReportingEntry, is_reporting
from services.shared.feeds.catalogue import RULES
from services.shared.statistics.aggregation.reporting import flows_of
from services.shared.statistics.estimation.estimate import Absent, key_of
from services.shared.statistics.estimation.nowcast import Nowcast, Triangle, completeness, nowcast
from services.shared.statistics.folding.contribution import Integers
from services.shared.statistics.folding.sheet import DELAY_DAYS
from services.shared.statistics.terms import calendar

METHOD = "NOWCAST"
# Of each feed: the indicator and the unit of each flow that is published.
PUBLISHED = {
    feed: published
    for feed, rules in RULES.items()
    if (published := {flow.name: (flow.indicator, flow.unit) for flow in rules.flows if flow.indicator})
}
ASSUMPTIONS = (
    ("Records are as late now as in the last 364 days", "amber"),
    ("The rest of the quarter goes like the same weeks of earlier years", "amber"),
    ("The method errs now as it did in its trials", "amber"),
    ("Corrections and withdrawals come as often and as late as in the last 364 days", "amber"),
    ("A day that follows a change of the rules or of the border regime is like any other", "red"),
)
NO_HISTORY = "no such record has come within 60 days yet: nothing is known of how late they are"


class History(NamedTuple):
    """The triangles of a feed, by flow and of all flows together."""

    flows: dict[str, Triangle]
    feed: Triangle


class Nowcasts:
    """Keeps the nowcasts of a cut: `put` entries that changed, then ask for all; a feed is computed when it or the day changed."""

    def __init__(self) -> None:
        self._tables: dict[str, dict[int, dict[str, Integers]]] = defaultdict(dict)  # by feed, quarter, flow
        self._found: dict[str, dict[str, Estimate]] = {}  # by feed
        self._today = 0

    def put(self, key: str, entry: ReportingEntry | None) -> None:
        """An entry of the measure `reporting`; None: it is no longer there."""
        _, period, feed = key.split("|")
        if feed not in PUBLISHED:
            return
        self._found.pop(feed, None)
        if entry is None:
            self._tables[feed].pop(calendar.parse_quarter(period), None)
        else:
            self._tables[feed][calendar.parse_quarter(period)] = flows_of(entry)

    def estimates(self, log_time: int) -> dict[str, Estimate]:
        """All of them by key. `log_time`: the log's time at the cut, ms."""
        today = calendar.local_day(log_time)
        if today != self._today:
            self._today, self._found = today, {}
        for feed, tables in self._tables.items():
            if feed not in self._found and tables:
                self._found[feed] = {key_of(e): e for e in _of_feed(feed, tables, today)}
        return {key: estimate for of_feed in self._found.values() for key, estimate in of_feed.items()}


def nowcasts(entries: Mapping[str, Entry], log_time: int) -> dict[str, Estimate]:
    """All nowcasts of a cut by their key. `entries`: aggregates, of which those of the measure `reporting` are used."""
    kept = Nowcasts()
    for key, entry in entries.items():
        if is_reporting(entry):
            kept.put(key, entry)
    return kept.estimates(log_time)


def _of_feed(feed: str, tables: dict[int, dict[str, Integers]], today: int) -> list[Estimate]:
    history = history_of(tables, today)
    open_quarter = calendar.quarter_of(today)
    found = []
    for quarter in (open_quarter - 1, open_quarter):
        if today > calendar.last_day(quarter) + DELAY_DAYS:
            continue
        of_feed = completeness(history.feed, quarter) if history is not None else None
        for flow, (indicator, unit) in PUBLISHED[feed].items():
            triangle = history.flows.get(flow) if history is not None else None
            result = nowcast(triangle, quarter) if triangle is not None else Absent(NO_HISTORY)
            inputs: Inputs = {"feed": feed}
            if triangle is not None:
                first = calendar.first_day(quarter)
                inputs["history_from"] = calendar.day_label(triangle.first_day)
                inputs["known"] = triangle.total(max(first, triangle.first_day), min(calendar.last_day(quarter), today))
                share = completeness(triangle, quarter)
                if share is not None:
                    inputs["completeness"] = 100 * share
                if of_feed is not None:
                    inputs["feed_completeness"] = 100 * of_feed
            found.append(_said(indicator, calendar.quarter_label(quarter), result, unit, inputs))
    return found


def _said(indicator: str, period: str, result: Nowcast | Absent, unit: str, inputs: Inputs) -> Estimate:
    if isinstance(result, Absent):
        return {
            "indicator": indicator,
            "method": METHOD,
            "period": period,
            "absent": True,
            "reason": result.reason,
            "inputs": inputs,
        }
    inputs["lower_80"], inputs["upper_80"] = result.interval_80.lower, result.interval_80.upper
    return {
        "indicator": indicator,
        "method": METHOD,
        "period": period,
        "value": result.value,
        "lower": result.interval_95.lower,
        "upper": result.interval_95.upper,
        "unit": unit,
        "inputs": inputs,
        "assumptions": [{"text": text, "rating": rating} for text, rating in ASSUMPTIONS],
    }


def history_of(tables: Mapping[int, Mapping[str, Integers]], today: int) -> History | None:
    """All days from the beginning of the history to today; None if it has not begun. `tables`: not empty, by quarter and flow."""
    first, last = min(tables), calendar.quarter_of(today)
    names = sorted({flow for of_quarter in tables.values() for flow in of_quarter})
    days = calendar.last_day(last) - calendar.first_day(first) + 1
    if days <= 0 or not names:
        return None
    counts = {flow: np.zeros((days, DELAY_DAYS + 1), np.int64) for flow in names}
    for quarter, of_quarter in tables.items():
        if quarter <= last:
            at = calendar.first_day(quarter) - calendar.first_day(first)
            for flow, table in of_quarter.items():
                counts[flow][at : at + len(table)] = table
    whole = sum(counts.values(), np.zeros((days, DELAY_DAYS + 1), np.int64))
    there = np.argwhere(np.any([table[:, :DELAY_DAYS] != 0 for table in counts.values()], axis=0))
    begin = int(there.sum(axis=1).min()) if len(there) else days
    end = today - calendar.first_day(first) + 1
    if begin >= end:
        return None
    first_day = calendar.first_day(first) + begin
    return History({flow: Triangle(first_day, c[begin:end]) for flow, c in counts.items()}, Triangle(first_day, whole[begin:end]))
