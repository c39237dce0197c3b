"""How many persons were found how often at work without papers: year sheets and their sums, in which no person is.

What counts is persons, so contributions are kept by person: a cell is `citizenship|kind|person`. A sheet is of a year, under the
label of its first day, and its cells are `area|times`: so many persons were found so often. All records are in one partition, so a
person's offences meet there, and what leaves tally is numbers of persons only.
"""

import re
from collections import defaultdict
from typing import Final

import numpy as np
import orjson
import polars as pl

from schemas.feeds.fields import codes
from schemas.feeds.migration_violations import FEED
from schemas.values import Sheet, ViolationsEntry
from services.shared.feeds.feed import FeedRules
from services.shared.feeds.reading import columns, is_country, on_day
from services.shared.statistics.exchange.ledger_set import Changes
from services.shared.statistics.exchange.observation import TOTAL
from services.shared.statistics.folding.contribution import Counts, slot_cells, slots_of_day
from services.shared.statistics.terms import calendar
from services.shared.statistics.terms.areas import groups_of

MEASURE: Final = "violations"
COUNTED_KINDS = ("work_without_permit", "work_without_contract")  # what the estimates are made of
_FIELDS = ("citizenship", "kind", "person")
_KINDS = frozenset(codes(FEED.record, "kind"))
_PERSON = re.compile("[0-9a-f]{32}")  # a pseudonym: 128 bits
_QUARTERS = 4
assert set(COUNTED_KINDS) <= _KINDS


def year_sheets(days: list[int], counts: Counts, names: list[str]) -> Changes:
    """The sheets of the years in which these days lie, by the labels of their first days; None for a year without any."""
    years = sorted({calendar.first_day_of_year(day) for day in days})
    return {calendar.day_label(first): _year_sheet(first, counts, names) for first in years}


def _year_sheet(first: int, counts: Counts, names: list[str]) -> bytes | None:
    after = calendar.first_day(calendar.quarter_of(first) + _QUARTERS)
    low, high = np.searchsorted(counts.slots, (slots_of_day(first)[0], slots_of_day(after)[0]))
    cells = slot_cells(counts.slots[low:high]).tolist()
    offences = (
        pl.DataFrame({"cell": pl.Series([names[cell] for cell in cells], dtype=pl.String), "n": counts.counts[low:high]})
        .with_columns(pl.col("cell").str.split_exact("|", 2).struct.rename_fields(["country", "kind", "person"]))
        .unnest("cell")
        .filter(pl.col("kind").is_in(COUNTED_KINDS))
    )
    persons: dict[str, int] = {}
    members = defaultdict(list)
    for country in offences["country"].unique().to_list():
        for area in (TOTAL, *groups_of(country)):
            members[area].append(country)
    for area, countries in members.items():
        found = offences.filter(pl.col("country").is_in(countries)).group_by("person").agg(pl.col("n").sum())
        for times, number in found.group_by("n").len().rows():
            persons[f"{area}|{times}"] = number
    if not persons:
        return None
    columns = sorted(persons.items())
    sheet: Sheet = {
        "day": calendar.day_label(first),
        "cells": [cell for cell, _ in columns],
        "counts": [number for _, number in columns],
    }
    return orjson.dumps(sheet)


class Frequencies:
    """The aggregates `violations|<year>|<area>`: `value` persons, `frequencies` by how often they were found."""

    def __init__(self) -> None:
        self._persons: dict[tuple[str, str], dict[int, int]] = defaultdict(dict)
        self._touched: set[tuple[str, str]] = set()

    def add(self, day: int, cell: str, change: int) -> None:
        """A difference in one cell of the sheet of a year."""
        area, _, times = cell.partition("|")
        place = calendar.day_label(day)[:4], area
        persons = self._persons[place]
        persons[int(times)] = persons.get(int(times), 0) + change
        self._touched.add(place)

    def changes(self) -> Changes:
        """Entries that changed since the last call."""
        entries: Changes = {}
        for year, area in self._touched:
            persons = {times: n for times, n in sorted(self._persons[year, area].items()) if n}
            self._persons[year, area] = persons
            entries[f"{MEASURE}|{year}|{area}"] = _entry(year, area, persons) if persons else None
        self._touched = set()
        return entries


def _entry(year: str, area: str, persons: dict[int, int]) -> bytes:
    entry: ViolationsEntry = {
        "measure": MEASURE,
        "period": year,
        "area": area,
        "value": sum(persons.values()),
        "frequencies": {str(times): n for times, n in persons.items()},
    }
    return orjson.dumps(entry)


def _valid(cell: str) -> bool:
    citizenship, kind, person = cell.split("|") if cell.count("|") == len(_FIELDS) - 1 else ("", "", "")
    return is_country(citizenship) and kind in _KINDS and _PERSON.fullmatch(person) is not None


RULES = FeedRules(
    contract=FEED,
    columns=columns(FEED.record, "occurred_on", *_FIELDS),
    spans=on_day("occurred_on", *_FIELDS),
    valid_cell=_valid,
    sheets=year_sheets,
    accumulator=Frequencies,
    counted_by_person=True,
)
