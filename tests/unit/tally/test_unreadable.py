"""When a tally takes itself for the wrong build: most of a thousand or more records are unreadable, however they are batched."""

from hypothesis import given, settings
from hypothesis import strategies as st

from services.tally.unreadable import NONE_RECENT, RECENT_RECORDS, UNREADABLE, UNREADABLE_SHARE_MAX, Recent, unreadable_share

BATCHES = st.lists(st.integers(1, 5000), min_size=1, max_size=60)
law = settings(deadline=None)  # hundreds of thousands of reasons an example: on a busy machine that takes its time


def stops_at(batches: list[tuple[int, list[str]]]) -> int | None:
    """After how many records of these batches a worker of one partition stops; None if it does not."""
    recent, seen = NONE_RECENT, 0
    for records, reasons in batches:
        recent, seen = recent.after(records, reasons), seen + records
        if unreadable_share([recent]) > UNREADABLE_SHARE_MAX:
            return seen
    return None


@given(BATCHES, st.sampled_from(sorted(UNREADABLE)))
@law
def test_a_worker_that_can_read_nothing_stops_with_the_batch_that_makes_it_a_thousand(sizes: list[int], reason: str) -> None:
    sums = [sum(sizes[: n + 1]) for n in range(len(sizes))]
    assert stops_at([(n, [reason] * n) for n in sizes]) == next((n for n in sums if n >= RECENT_RECORDS), None)


@given(BATCHES)
@law
def test_a_worker_that_reads_two_of_three_never_stops(sizes: list[int]) -> None:
    assert stops_at([(n, ["malformed_json"] * (n // 3)) for n in sizes]) is None


@given(BATCHES)
@law
def test_conflicts_and_records_without_value_or_key_stop_nobody(sizes: list[int]) -> None:
    assert stops_at([(n, ["version_conflict", "no_value", "no_key"] * n) for n in sizes]) is None


@given(st.integers(0, 200_000), st.integers(1, 2000))
@law
def test_good_records_of_the_past_excuse_two_thousand_bad_ones_at_most(good: int, size: int) -> None:
    batches: list[tuple[int, list[str]]] = [(1000, []) for _ in range(good // 1000)] + [(size, ["newer_schema"] * size)] * 3000
    stopped = stops_at(batches)
    assert stopped is not None
    assert stopped - good // 1000 * 1000 <= max(2 * RECENT_RECORDS + size, size)


def test_a_start_after_another_goes_on_where_it_stood() -> None:
    """Each one alone would have seen too little to tell."""
    saved = NONE_RECENT.after(600, ["newer_schema"] * 600)
    assert unreadable_share([saved]) == 0.0
    assert unreadable_share([Recent(*saved).after(600, ["newer_schema"] * 600)]) == 1.0


def test_the_partitions_of_a_worker_count_together() -> None:
    some = Recent(300, 300)
    assert unreadable_share([some] * 3) == 0.0
    assert unreadable_share([some] * 4) == 1.0
    assert unreadable_share([]) == 0.0
