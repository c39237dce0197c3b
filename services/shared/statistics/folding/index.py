"""The record index: key -> (version, contribution), as columns sorted by key, in runs merged by tiers.

A run is immutable. A key may stand in several runs; the newest run that has it counts, whatever the versions: the rule was applied
when its records came. Each run also carries the signed counts
that its records added when they came: the counts of a partition are the sum over its runs, so they are saved with the index or not
at all.
Keys are 128-bit hashes in two columns; both are compared always.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from services.shared.statistics.folding.contribution import Counts, Integers, Packed, merge
from services.shared.statistics.folding.fold import NO_VERSION

# Runs of one size class before they become one of the next: 8 * log8(n) look-ups at worst, each row copied log8(n) times.
TIER_RUNS_MAX = 8
TIER_ROWS_MIN = 16_384  # runs below this are of the smallest class


# Bits of a run's filter per row: one of 16 keys that the run has not is looked for in vain. Two bytes beside a row of 32.
FILTER_BITS = 16
_HALF = np.uint64(32)


class Run(NamedTuple):
    """`high`, `low` (sorted, unique pairs), `versions`, `contributions`: one row per key; `counts`: what the rows changed;
    `filter`: of `filter_of(high)`."""

    high: NDArray[np.uint64]
    low: NDArray[np.uint64]
    versions: Integers
    contributions: Packed
    counts: Counts
    filter: NDArray[np.uint8]


def filter_of(high: NDArray[np.uint64]) -> NDArray[np.uint8]:
    """A bitmap over the range of keys, in their order: a key whose bit is not set is not in the run."""
    bits = np.zeros(-(-max(1, len(high) * FILTER_BITS) // 8) * 8, bool)
    bits[_filter_bit(high >> _HALF, len(bits))] = True
    return np.packbits(bits, bitorder="little")


def _filter_bit(high_half: NDArray[np.uint64], bits: int) -> NDArray[np.uint64]:
    assert bits < 1 << 32, "a run of more rows than its filter can be of"
    return (high_half * np.uint64(bits)) >> _HALF


def _possible(run: Run, high_half: NDArray[np.uint64]) -> Integers:
    """Places of those keys, given by the upper halves of their `high`, that the run may have."""
    bit = _filter_bit(high_half, 8 * len(run.filter))
    return np.flatnonzero((run.filter[bit >> np.uint64(3)] >> (bit & np.uint64(7)).astype(np.uint8)) & np.uint8(1))


def size_class(rows: int) -> int:
    """0 for the smallest runs, one more for each eightfold size."""
    tier = 0
    while rows >= TIER_ROWS_MIN:
        rows //= TIER_RUNS_MAX
        tier += 1
    return tier


def _key_order(high: NDArray[np.uint64], low: NDArray[np.uint64]) -> tuple[Integers, NDArray[np.bool_]]:
    """(rows in key order, those of one key in the order in which they came; which of them is the first of its key).

    The same as a lexicographic sort, for hashes: equal high halves are rare, or belong to equal keys.
    """
    order = np.argsort(high)
    sorted_high = high[order]
    first = np.ones(len(high), bool)
    first[1:] = sorted_high[1:] != sorted_high[:-1]
    if not first.all():
        among = ~first
        among[:-1] |= among[1:]
        rows = order[among]
        rows = order[among] = rows[np.lexsort((rows, low[rows], high[rows]))]
        first[among] = _firsts(high[rows], low[rows])
    return order, first


def _firsts(high: NDArray[np.uint64], low: NDArray[np.uint64]) -> NDArray[np.bool_]:
    first = np.ones(len(high), bool)
    first[1:] = (high[1:] != high[:-1]) | (low[1:] != low[:-1])
    return first


def distinct(high: NDArray[np.uint64], low: NDArray[np.uint64]) -> tuple[Integers, Integers]:
    """(one position per distinct key in key order, the key's number of each row)."""
    order, first = _key_order(high, low)
    number = np.empty(len(high), np.int64)
    number[order] = np.cumsum(first) - 1
    return order[first], number


def _positions(run: Run, high: NDArray[np.uint64], low: NDArray[np.uint64]) -> tuple[Integers, NDArray[np.bool_]]:
    """Row of each key in the run, and whether it is there."""
    at = np.searchsorted(run.high, high)
    inside = np.minimum(at, len(run.high) - 1)
    found = (at < len(run.high)) & (run.high[inside] == high)
    wrong = found & (run.low[inside] != low)
    while wrong.any():  # two keys with the same high half: almost never, but then exactly right
        inside[wrong] = np.minimum(inside[wrong] + 1, len(run.high) - 1)
        moved = np.flatnonzero(wrong)
        same_high = run.high[inside[moved]] == high[moved]
        same_low = run.low[inside[moved]] == low[moved]
        at_end = inside[moved] == len(run.high) - 1
        found[moved] = same_high & same_low
        wrong[moved] = same_high & ~same_low & ~at_end
    return inside, found


def look_up(runs: list[Run], high: NDArray[np.uint64], low: NDArray[np.uint64]) -> tuple[Integers, Packed]:
    """Versions and contributions of distinct keys (sorted or not); NO_VERSION and NOTHING where unknown. `runs`: oldest first."""
    versions = np.full(len(high), NO_VERSION, np.int64)
    contributions = np.zeros(len(high), np.uint64)
    halves = high >> _HALF
    found_before = np.zeros(len(high), bool)
    for run in reversed(runs):
        places = _possible(run, halves)
        places = places[~found_before[places]]
        at, found = _positions(run, high[places], low[places])
        hits = places[found]
        versions[hits] = run.versions[at[found]]
        contributions[hits] = run.contributions[at[found]]
        found_before[hits] = True
    return versions, contributions


def merge_runs(runs: list[Run]) -> Run:
    """One run that says the same as several (oldest first)."""
    if len(runs) == 1:
        return runs[0]
    newest_first = runs[::-1]  # of equal keys the newest run's row comes first
    high = np.concatenate([r.high for r in newest_first])
    low = np.concatenate([r.low for r in newest_first])
    order, first = _key_order(high, low)
    keep = order if first.all() else order[first]
    high = high[keep]
    versions = np.concatenate([r.versions for r in newest_first])[keep]
    contributions = np.concatenate([r.contributions for r in newest_first])[keep]
    return Run(high, low[keep], versions, contributions, merge(*(r.counts for r in runs)), filter_of(high))


def next_merge(rows: list[int]) -> int | None:
    """Given run sizes, oldest first: from which run on the newest ones should become one, or None.

    Runs that come before one of a larger class join it, so classes never rise from old to new; and a full class is merged with all
    that come after it, of several full ones the largest. Else runs would pile up before larger ones, or behind smaller ones.
    """
    classes = [size_class(n) for n in rows]
    start = next((i for i in range(len(rows)) if classes[i] < max(classes[i:])), len(rows))
    for tier in set(classes):
        if classes.count(tier) >= TIER_RUNS_MAX:
            start = min(start, classes.index(tier))
    if start == len(rows):
        return None
    while start > 0 and classes[start - 1] < size_class(sum(rows[start:])):
        start -= 1
    return start
