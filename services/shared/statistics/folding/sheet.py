"""Day sheets: the absolute counts of one feed, partition and local day, as a precinct sends its tally to the count.

A sheet is JSON: `{"day": "2025-06-30", "cells": [...], "counts": [...]}`, cells in ascending order; for stocks `counts` are the
spans that start on that day and `ended` those that end. Cells that begin with MARGINAL tell, beside that, how late the day's
records came and what became of them (services/tally/marginals.py); other counts do not depend on the order in which records came.
"""

from typing import NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray

from schemas import values as contract
from services.shared.statistics.exchange.ledger_set import Changes
from services.shared.statistics.folding.contribution import Counts, Integers, slot_cells, slot_ends, slots_of_day
from services.shared.statistics.terms.calendar import day_label

MARGINAL = "~"  # what the texts of marginal cells begin with: those of a feed begin with a letter, or are JSON
DELAY, CORRECTED, WITHDRAWN, CONFLICT = (MARGINAL + name for name in ("delay", "corrected", "withdrawn", "conflict"))
DELAY_DAYS = 60  # records later than this are taken as this late: one in some hundreds of the slowest feed


class Sheet(NamedTuple):
    """Counts of one day: per cell, how many start and how many end; and of the marginal cells."""

    day: str
    counts: dict[str, int]
    ended: dict[str, int]
    marginals: dict[str, int]


def encode(day: int, counts: Counts, names: list[str], ranks: Integers) -> bytes | None:
    """The sheet of a day out of all counts of a partition; None if the day is empty.

    `names[cell]` is a cell's text and `ranks[cell]` its place among all texts in ascending order.
    """
    low, high = (int(i) for i in np.searchsorted(counts.slots, slots_of_day(day)))
    if low == high:
        return None
    slots, numbers = counts.slots[low:high], counts.counts[low:high]
    ends = slot_ends(slots)
    cells = slot_cells(slots)
    used = np.unique(cells)
    used = used[np.argsort(ranks[used])]
    column = {int(cell): i for i, cell in enumerate(used)}

    def spread(chosen: NDArray[np.bool_]) -> list[int]:
        values = [0] * len(used)
        for cell, number in zip(cells[chosen].tolist(), numbers[chosen].tolist(), strict=True):
            values[column[cell]] = number
        return values

    sheet: contract.Sheet = {"day": day_label(day), "cells": [names[c] for c in used.tolist()], "counts": spread(~ends)}
    if ends.any():
        sheet["ended"] = spread(ends)
    return orjson.dumps(sheet)


def day_sheets(days: list[int], counts: Counts, names: list[str]) -> Changes:
    """The sheets of these days by their labels; None for a day that is empty."""
    ranks = np.argsort(np.argsort(np.array(names, dtype=object)))
    return {day_label(day): encode(day, counts, names, ranks) for day in days}


def decode(value: bytes) -> Sheet:
    """Read a sheet back; zeros are left out."""
    body: contract.Sheet = orjson.loads(value)
    cells = body["cells"]
    counts: dict[str, int] = {}
    marginals: dict[str, int] = {}
    for cell, n in zip(cells, body["counts"], strict=True):
        if n:
            (marginals if cell.startswith(MARGINAL) else counts)[cell] = n
    ended = {c: n for c, n in zip(cells, body.get("ended", ()), strict=False) if n}
    return Sheet(body["day"], counts, ended, marginals)
