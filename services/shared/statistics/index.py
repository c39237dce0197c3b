"""The record index: key -> (version, contribution), as columns sorted by key, in runs merged by tiers.

A run is immutable. A key may stand in several runs; the newest run that has it counts. Each run also carries the signed counts
that its records added when they came: the counts of a partition are the sum over its runs, so they are saved with the index or not
at all.
Keys are 128-bit hashes in two columns; both are compared always.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from services.shared.statistics.contribution import Counts, Integers, Packed, merge
from services.shared.statistics.fold import NO_VERSION

# Runs of one size class before they become one of the next: 8 * log8(n) look-ups at worst, each row copied log8(n) times.
TIER_RUNS_MAX = 8
TIER_ROWS_MIN = 16_384  # runs below this are of the smallest class


class Run(NamedTuple):
    """`high`, `low` (sorted, unique pairs), `versions`, `contributions`: one row per key; `counts`: what the rows changed."""

    high: NDArray[np.uint64]
    low: NDArray[np.uint64]
    versions: Integers
    contributions: Packed
    counts: Counts


def size_class(rows: int) -> int:
    """0 for the smallest runs, one more for each eightfold size."""
    tier = 0
    while rows >= TIER_ROWS_MIN:
        rows //= TIER_RUNS_MAX
        tier += 1
    return tier


def distinct(high: NDArray[np.uint64], low: NDArray[np.uint64]) -> tuple[Integers, Integers]:
    """(one position per distinct key in key order, the key's number of each row)."""
    order = np.lexsort((low, high))
    sorted_high, sorted_low = high[order], low[order]
    new = np.ones(len(high), bool)
    new[1:] = (sorted_high[1:] != sorted_high[:-1]) | (sorted_low[1:] != sorted_low[:-1])
    number = np.empty(len(high), np.int64)
    number[order] = np.cumsum(new) - 1
    return order[new], number


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
    open_keys = np.arange(len(high))
    for run in reversed(runs):
        if not len(open_keys):
            break
        at, found = _positions(run, high[open_keys], low[open_keys])
        hits = open_keys[found]
        versions[hits] = run.versions[at[found]]
        contributions[hits] = run.contributions[at[found]]
        open_keys = open_keys[~found]
    return versions, contributions


def merge_runs(runs: list[Run]) -> Run:
    """One run that says the same as several (oldest first)."""
    high = np.concatenate([r.high for r in reversed(runs)])
    low = np.concatenate([r.low for r in reversed(runs)])
    versions = np.concatenate([r.versions for r in reversed(runs)])
    contributions = np.concatenate([r.contributions for r in reversed(runs)])
    order = np.lexsort((low, high))  # stable: of equal keys the newest run's row comes first
    high, low = high[order], low[order]
    first = np.ones(len(high), bool)
    first[1:] = (high[1:] != high[:-1]) | (low[1:] != low[:-1])
    keep = order[first]
    return Run(high[first], low[first], versions[keep], contributions[keep], merge(*(r.counts for r in runs)))


def next_merge(rows: list[int]) -> int | None:
    """Given run sizes, oldest first: from which run on the newest ones should become one, or None."""
    if len(rows) < TIER_RUNS_MAX:
        return None
    tail = size_class(rows[-1])
    start = len(rows)
    while start > 0 and size_class(rows[start - 1]) <= tail:
        start -= 1
    return start if len(rows) - start >= TIER_RUNS_MAX else None
