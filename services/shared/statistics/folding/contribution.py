"""What one version of a record adds to the figures, packed into 64 bits so that millions of them are columns.

A contribution is a cell (what is counted: a small number that stands for a text such as `arrival|UZ|UZ|employment`), the day on
which it starts, and for stocks the day on which it ends (the first day on which it no longer counts). NOTHING is what a withdrawal
contributes. Layout, from the high bit: first day 20, last day 22, cell 22.

Counts are kept per *slot*: (day, cell, does it start or end there). A contribution is +1 in the slot of its start and, if it ends,
+1 in the slot of its end; retracting it is the same with -1. This is a group: order, splitting and repetition cannot matter.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from services.shared.statistics.terms.calendar import DAY_MAX

Packed = NDArray[np.uint64]
Integers = NDArray[np.int64]

CELL_BITS, LAST_BITS = 22, 22
CELLS_MAX = 1 << CELL_BITS  # per feed and partition: 4 million different things to count
NOTHING = np.uint64(0)  # cell 0 stands for nothing: real cells start at 1
NEVER = (1 << LAST_BITS) - 1  # no end: an open stock, or a flow
FIRST_DAY_MAX = (1 << 20) - 1

_CELL_MASK = np.uint64(CELLS_MAX - 1)
_LAST_MASK = np.uint64(NEVER)
_SLOT_DAY_SHIFT = CELL_BITS + 1


def pack(cells: Integers, first: Integers, last: Integers) -> Packed:
    """Contributions of cells that start on day numbers `first` and end on `last` (NEVER, or >= first)."""
    assert (cells > 0).all()
    assert (cells < CELLS_MAX).all(), "more cells than one partition can hold"
    assert (first >= 0).all()
    assert (first <= FIRST_DAY_MAX).all()
    # An end after the last date that can be written is no end.
    ends = np.where(last > DAY_MAX, NEVER, last)
    packed = (first << (LAST_BITS + CELL_BITS)) | (ends << CELL_BITS) | cells
    return packed.astype(np.uint64)


class Counts(NamedTuple):
    """Signed counts per slot: `slots` sorted and unique, `counts` of the same length. Zero: empty. Add: `merge`."""

    slots: Integers
    counts: Integers


ZERO = Counts(np.empty(0, np.int64), np.empty(0, np.int64))


def merge(*parts: Counts) -> Counts:
    """The sum of several; slots whose counts cancel are gone."""
    return _collect(np.concatenate([p.slots for p in parts]), np.concatenate([p.counts for p in parts]))


def _collect(slots: Integers, counts: Integers) -> Counts:
    unique, where = np.unique(slots, return_inverse=True)
    total = np.zeros(len(unique), np.int64)
    np.add.at(total, where, counts)
    keep = total != 0
    return Counts(unique[keep], total[keep])


def count(added: Packed, retracted: Packed) -> Counts:
    """Signed counts of contributions that came and contributions that went."""
    came, came_counts = np.unique(added, return_counts=True)
    went, went_counts = np.unique(retracted, return_counts=True)
    packed, weights = np.concatenate([came, went]), np.concatenate([came_counts, -went_counts])
    keep = packed != NOTHING
    packed, weights = packed[keep], weights[keep].astype(np.int64)
    first, cells = first_days_and_cells(packed)
    last = ((packed >> np.uint64(CELL_BITS)) & _LAST_MASK).astype(np.int64)
    ends = last != NEVER
    ending = starting(last[ends], cells[ends]) | 1
    return _collect(np.concatenate([starting(first, cells), ending]), np.concatenate([weights, weights[ends]]))


def first_days_and_cells(packed: Packed) -> tuple[Integers, Integers]:
    return (packed >> np.uint64(LAST_BITS + CELL_BITS)).astype(np.int64), (packed & _CELL_MASK).astype(np.int64)


def starting(days: Integers, cells: Integers) -> Integers:
    """The slots of what starts on these days in these cells."""
    return (days << _SLOT_DAY_SHIFT) | (cells << 1)


def slot_days(slots: Integers) -> Integers:
    return slots >> _SLOT_DAY_SHIFT


def slot_cells(slots: Integers) -> Integers:
    return (slots >> 1) & (CELLS_MAX - 1)


def slot_ends(slots: Integers) -> NDArray[np.bool_]:
    return (slots & 1).astype(bool)


def slots_of_day(day: int) -> tuple[int, int]:
    """The half-open range of slots that a day's counts lie in."""
    return day << _SLOT_DAY_SHIFT, (day + 1) << _SLOT_DAY_SHIFT
