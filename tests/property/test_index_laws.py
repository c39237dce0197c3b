"""Laws of the record index: whatever the runs and their merges, it says what a dictionary would say."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from services.shared.statistics.folding.contribution import Counts, merge
from services.shared.statistics.folding.fold import NO_VERSION
from services.shared.statistics.folding.index import (
    TIER_ROWS_MIN,
    TIER_RUNS_MAX,
    Run,
    distinct,
    filter_of,
    look_up,
    merge_runs,
    next_merge,
    size_class,
)

Key = tuple[int, int]
State = dict[Key, tuple[int, int]]

# Few high halves, so that many keys share theirs; the extremes among them.
halves = st.one_of(st.sampled_from([0, 1, 2, 2**63, 2**64 - 1]), st.integers(0, 2**64 - 1))
keys = st.tuples(halves, st.one_of(halves, st.integers(0, 6)))
rows = st.dictionaries(keys, st.tuples(st.integers(1, 9), st.integers(0, 2**64 - 1)), min_size=1, max_size=12)
counts = st.dictionaries(st.integers(0, 5), st.integers(-3, 3).filter(bool), max_size=4)
histories = st.lists(st.tuples(rows, counts), min_size=1, max_size=9)


def run_of(state: State, changed: dict[int, int]) -> Run:
    ordered = sorted(state)
    slots = sorted(changed)
    return Run(
        np.array([k[0] for k in ordered], np.uint64),
        np.array([k[1] for k in ordered], np.uint64),
        np.array([state[k][0] for k in ordered], np.int64),
        np.array([state[k][1] for k in ordered], np.uint64),
        Counts(np.array(slots, np.int64), np.array([changed[s] for s in slots], np.int64)),
        filter_of(np.array([k[0] for k in ordered], np.uint64)),
    )


def asked(runs: list[Run], wanted: list[Key]) -> State:
    high, low = (np.array(column, np.uint64) for column in zip(*wanted, strict=True))
    versions, contributions = look_up(runs, high, low)
    found = zip(versions.tolist(), contributions.tolist(), strict=True)
    return {key: row for key, row in zip(wanted, found, strict=True) if row[0] != NO_VERSION}


def newest(states: list[State]) -> State:
    merged: State = {}
    for state in states:
        merged |= state
    return merged


@given(histories, st.sets(keys, max_size=10), st.randoms(use_true_random=False))
@settings(max_examples=300, deadline=None)
def test_of_all_runs_that_have_a_key_the_newest_counts(history, others, random) -> None:  # type: ignore[no-untyped-def]
    states = [state for state, _ in history]
    expected = newest(states)
    wanted = list(expected.keys() | others)
    random.shuffle(wanted)
    assert asked([run_of(*step) for step in history], wanted) == expected


@given(histories, st.sets(st.integers(1, 8)))
@settings(max_examples=150, deadline=None)
def test_merging_neighbours_changes_no_answer_and_no_sum_of_counts(history, cuts) -> None:  # type: ignore[no-untyped-def]
    runs = [run_of(*step) for step in history]
    borders = [0, *sorted(c for c in cuts if c < len(runs)), len(runs)]
    merged = [merge_runs(runs[a:b]) for a, b in pairwise(borders)]
    expected = newest([state for state, _ in history])
    assert asked(merged, list(expected)) == expected
    for run in merged:
        pairs = list(zip(run.high.tolist(), run.low.tolist(), strict=True))
        assert pairs == sorted(set(pairs))
    total = merge(*(run.counts for run in merged))
    sums: dict[int, int] = {}
    for _, changed in history:
        for slot, n in changed.items():
            sums[slot] = sums.get(slot, 0) + n
    assert dict(zip(total.slots.tolist(), total.counts.tolist(), strict=True)) == {s: n for s, n in sums.items() if n}


@given(st.lists(keys, min_size=1, max_size=30))
def test_distinct_numbers_keys_in_their_order(several: list[Key]) -> None:
    high, low = (np.array(column, np.uint64) for column in zip(*several, strict=True))
    firsts, numbers = distinct(high, low)
    ordered = sorted(set(several))
    assert [several[i] for i in firsts.tolist()] == ordered
    assert [ordered[n] for n in numbers.tolist()] == several


@given(st.lists(st.integers(1, 200_000), min_size=1, max_size=400))
@example([*[1] * 7, TIER_ROWS_MIN] * 3)
@settings(max_examples=100, deadline=None)
def test_tiers_keep_runs_few_whatever_the_sizes_that_come(sizes: list[int]) -> None:
    """Applied after each new run, the rule leaves fewer than a tier's worth in a class, and no smaller run before a larger one."""
    standing: list[int] = []
    for size in sizes:
        standing.append(size)
        start = next_merge(standing)
        if start is not None:
            standing[start:] = [sum(standing[start:])]
        classes = [size_class(n) for n in standing]
        assert all(classes.count(tier) < TIER_RUNS_MAX for tier in set(classes))
        assert classes == sorted(classes, reverse=True)
    assert sum(standing) == sum(sizes)
    assert size_class(TIER_ROWS_MIN - 1) == 0
    assert size_class(TIER_ROWS_MIN) == 1


@pytest.mark.parametrize("size", [400, 20_000, 50_000])
def test_under_steady_saves_of_one_size_runs_stay_few(size: int) -> None:
    standing: list[int] = []
    copied = 0
    for _ in range(4_000):
        standing.append(size)
        start = next_merge(standing)
        if start is not None:
            standing[start:] = [sum(standing[start:])]
            copied += standing[-1]
        assert len(standing) <= TIER_RUNS_MAX * (size_class(sum(standing)) + 1)
    # Each class copies a row once, the smallest one up to as often as it takes eight runs of it to leave it.
    assert copied / sum(standing) <= size_class(sum(standing)) + TIER_ROWS_MIN / size / TIER_RUNS_MAX + 1
