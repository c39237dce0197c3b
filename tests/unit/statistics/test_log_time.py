"""The log's time moves by append times that the edge's clock confirms, and by nothing else."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.shared.statistics.exchange.log_time import APART_MS_MAX, NOTHING_YET, STAMP, LogTime, log_time_after
from services.shared.statistics.exchange.records import Headers, Records, Stretches

NOON = 1_790_000_000_000  # ms
DAYS_40 = 40 * 86_400_000
SCHEMA = ("schema", b"border-crossings/1")


def stamped(stamp: int | bytes) -> Headers:
    return (SCHEMA, (STAMP, stamp if isinstance(stamp, bytes) else b"%d" % stamp))


def records(rows: list[tuple[int, Headers]]) -> Records:
    n = len(rows)
    return Records(range(n), [time for time, _ in rows], [b"k"] * n, [b"{}"] * n, [headers for _, headers in rows])


def log_time(*rows: tuple[int, Headers]) -> int:
    return log_time_after(NOTHING_YET, records([*rows])).newest


def test_where_both_clocks_agree_the_newest_append_time_counts() -> None:
    assert log_time((NOON, stamped(NOON - 5)), (NOON + 900, stamped(NOON + 800)), (NOON + 10, stamped(NOON))) == NOON + 900


def test_one_record_under_a_wrong_clock_moves_nothing() -> None:
    assert log_time((NOON, stamped(NOON)), (NOON + DAYS_40, stamped(NOON + 1000))) == NOON
    assert log_time((NOON, stamped(NOON)), (NOON + 1000, stamped(NOON + DAYS_40))) == NOON
    assert log_time((NOON + DAYS_40, stamped(NOON))) == 0


@pytest.mark.parametrize("sign", [1, -1])
def test_five_minutes_apart_confirm_and_a_millisecond_more_does_not(sign: int) -> None:
    assert APART_MS_MAX == 300_000
    assert log_time((NOON, stamped(NOON + sign * APART_MS_MAX))) == NOON
    assert log_time((NOON, stamped(NOON + sign * (APART_MS_MAX + 1)))) == 0


def test_a_log_without_stamps_goes_by_its_append_times() -> None:
    assert log_time((NOON, (SCHEMA,)), (NOON + DAYS_40, ()), (NOON + 1, (SCHEMA,))) == NOON + DAYS_40


def test_after_the_first_stamp_a_record_without_one_says_nothing_about_the_time() -> None:
    assert log_time((NOON, (SCHEMA,)), (NOON + 1, stamped(NOON)), (NOON + DAYS_40, (SCHEMA,))) == NOON + 1


@pytest.mark.parametrize(
    "stamp",
    [
        b"",
        b" ",
        b"-1",
        b"+%d" % NOON,
        b"%d " % NOON,
        b"%d\n" % NOON,
        b"1.79e12",
        b"9" * 5000,
        str(NOON).translate({48: 0x660}).encode(),
    ],
)
def test_a_stamp_that_cannot_be_read_confirms_nothing_and_ends_the_time_without_stamps(stamp: bytes) -> None:
    found = log_time_after(NOTHING_YET, records([(NOON, stamped(stamp))]))
    assert found == LogTime(0, True)
    assert log_time_after(found, records([(NOON, (SCHEMA,))])) == LogTime(0, True)


def test_a_stamp_without_a_value_confirms_nothing() -> None:
    assert log_time((NOON, (SCHEMA, (STAMP, None)))) == 0  # type: ignore[arg-type]


def test_of_several_stamps_the_first_is_the_records() -> None:
    assert log_time((NOON, (*stamped(NOON), (STAMP, b"1")))) == NOON
    assert log_time((NOON, (*stamped(1), (STAMP, b"%d" % NOON)))) == 0


some_rows = st.lists(
    st.tuples(
        st.sampled_from([NOON, NOON + 1, NOON + DAYS_40, NOON - DAYS_40]),
        st.sampled_from([(SCHEMA,), stamped(NOON), stamped(NOON + DAYS_40), stamped(NOON - DAYS_40), stamped(b"soon")]),
    ),
    min_size=1,
    max_size=12,
)


@given(some_rows, st.sets(st.integers(1, 11)))
def test_it_depends_on_the_prefix_only_and_never_goes_back(rows: list[tuple[int, Headers]], splits: set[int]) -> None:
    whole = log_time_after(NOTHING_YET, records(rows))
    seen = [NOTHING_YET]
    for begin, end in pairwise([0, *sorted(s for s in splits if s < len(rows)), len(rows)]):
        seen.append(log_time_after(seen[-1], records(rows[begin:end])))
    assert seen[-1] == whole
    assert all(before.newest <= after.newest for before, after in pairwise(seen))


@given(some_rows)
def test_columns_of_stretches_say_what_columns_of_single_records_say(rows: list[tuple[int, Headers]]) -> None:
    plain = records(rows)

    def stretches(column: list[object]) -> Stretches:
        ends = [n for n in range(1, len(column) + 1) if n == len(column) or column[n] != column[n - 1]]
        return Stretches([column[end - 1] for end in ends], ends)

    packed = plain._replace(timestamps=stretches([*plain.timestamps]), headers=stretches([*plain.headers]))
    assert log_time_after(NOTHING_YET, packed) == log_time_after(NOTHING_YET, plain)
    assert packed.as_lists() == plain.as_lists()
