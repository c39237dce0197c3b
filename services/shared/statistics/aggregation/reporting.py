"""How late records come and what becomes of them: the marginal cells of day sheets, added up to quarters.

`reporting|<quarter>|<feed>`: `flows` has a table for each flow of the feed (services/shared/feeds): for each day of the quarter
from its first, until the last that has any, `[delay, n, n, ...]`: net records that arrived `delay` local days later, then a day
later still, and so on; empty for a day without any. `value`: all of them. Delays of DELAY_DAYS and more stand under DELAY_DAYS,
records of days yet to come under 0.

`corrections|<quarter>|<feed>`: `corrected`, `withdrawn` and `conflicts` as the cells count them, by the day of the record that was
replaced, withdrawn or refused; `value` is their sum, `records` how many count now.

What the cells are: services/tally/marginals.py. A number is negative where more records were replaced or withdrawn than came.
"""

from collections import defaultdict
from typing import Final, NamedTuple

import numpy as np
import orjson

from schemas.values import CorrectionsEntry, ReportingEntry
from services.shared.feeds.catalogue import RULES
from services.shared.statistics.exchange.ledger_set import Changes
from services.shared.statistics.folding.contribution import Integers
from services.shared.statistics.folding.sheet import CONFLICT, CORRECTED, DELAY, DELAY_DAYS, WITHDRAWN
from services.shared.statistics.terms import calendar

MEASURE: Final = "reporting"
CORRECTIONS: Final = "corrections"


class _Quarter(NamedTuple):
    """Of one feed: per flow, net records by (day, delay); and how many met which fate."""

    tables: dict[str, Integers]
    fates: dict[str, int]


class Reporting:
    """All tables. `add` differences of marginal cells; ask for what changed with `changes`."""

    def __init__(self) -> None:
        self._quarters: dict[tuple[str, int], _Quarter] = {}
        self._touched: set[tuple[str, int]] = set()

    def add(self, feed: str, day: int, cell: str, change: int) -> None:
        kind, flow, *delay = cell.split("|")
        quarter = calendar.quarter_of(day)
        place = feed, quarter
        self._touched.add(place)
        first = calendar.first_day(quarter)
        known = self._quarters.get(place)
        if known is None:
            days = calendar.last_day(quarter) - first + 1
            tables = {flow: np.zeros((days, DELAY_DAYS + 1), np.int64) for flow in RULES[feed].flow_names}
            known = self._quarters[place] = _Quarter(tables, defaultdict(int))
        if kind == DELAY:
            known.tables[flow][day - first, int(delay[0])] += change
        else:
            known.fates[kind] += change

    def changes(self) -> Changes:
        """Entries that changed since the last call."""
        entries: Changes = {}
        for feed, number in self._touched:
            quarter, period = self._quarters[feed, number], calendar.quarter_label(number)
            flows = {flow: _rows(table) for flow, table in quarter.tables.items() if table.any()}
            records = sum(int(table.sum()) for table in quarter.tables.values())
            corrected, withdrawn, conflicts = (quarter.fates.get(kind, 0) for kind in (CORRECTED, WITHDRAWN, CONFLICT))
            late: ReportingEntry = {"measure": MEASURE, "period": period, "feed": feed, "value": records, "flows": flows}
            became: CorrectionsEntry = {
                "measure": CORRECTIONS,
                "period": period,
                "feed": feed,
                "value": corrected + withdrawn + conflicts,
                "corrected": corrected,
                "withdrawn": withdrawn,
                "conflicts": conflicts,
                "records": records,
            }
            something = records or corrected or withdrawn or conflicts
            entries[f"{MEASURE}|{period}|{feed}"] = orjson.dumps(late) if flows else None
            entries[f"{CORRECTIONS}|{period}|{feed}"] = orjson.dumps(became) if something else None
        self._touched = set()
        return entries


def _rows(table: Integers) -> list[list[int]]:
    """Without the zeros before and after the numbers of a day, and without the days after the last that has any."""
    there = table != 0
    starts = there.argmax(axis=1).tolist()
    ends = (there.shape[1] - there[:, ::-1].argmax(axis=1)).tolist()
    last = int(np.flatnonzero(there.any(axis=1))[-1])
    some = there.any(axis=1).tolist()
    numbers = table.tolist()
    return [[starts[i], *numbers[i][starts[i] : ends[i]]] if some[i] else [] for i in range(last + 1)]


def table_of(rows: list[list[int]], days: int) -> Integers:
    """The table (days, DELAY_DAYS + 1) that these rows of an entry say."""
    table = np.zeros((days, DELAY_DAYS + 1), np.int64)
    for day, row in enumerate(rows):
        if row:
            start, *numbers = row
            table[day, start : start + len(numbers)] = numbers
    return table


def flows_of(entry: ReportingEntry) -> dict[str, Integers]:
    """The tables of an entry by flow."""
    quarter = calendar.parse_quarter(entry["period"])
    days = calendar.last_day(quarter) - calendar.first_day(quarter) + 1
    return {flow: table_of(rows, days) for flow, rows in entry["flows"].items()}
