"""verify reads the log's time off the raw headers, and comes to what tally says."""

from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from services.shared.feeds.catalogue import RULES
from services.shared.statistics.exchange.records import Headers, Records
from services.tally.partition import PartitionFold
from tests.unit.tools.verify.log_of import APPENDED, Log, engine, recounted
from tools.verify.raw import RawPartition

DAYS_40 = 40 * 86_400_000
STOCK = "Q.PERMITS_IN_FORCE._T._T._T._Z"


def test_one_record_under_a_wrong_clock_opens_no_quarter_for_tally_nor_for_verify(tmp_path: Path) -> None:
    right = b"%d" % (APPENDED - 20)
    log = Log().add("work-permits", "w", valid_to="2026-12-31", stamp=right)
    log.add("border-crossings", "c", at=APPENDED + 10, stamp=right).add("visitor-stays", "s", stamp=b"%d" % (APPENDED + DAYS_40))
    before_time, before = engine(log.records()).log_time, recounted(log, tmp_path / "before")
    # A second record of the same content, while the broker's clock is ahead.
    log.add("work-permits", "w", valid_to="2026-12-31", at=APPENDED + 3 * DAYS_40, stamp=right)
    found = engine(log.records())
    assert (before_time, found.log_time) == (APPENDED + 10, APPENDED + 10)
    assert recounted(log, tmp_path / "after") == before
    assert (STOCK, "2025-Q2") in before
    assert (STOCK, "2025-Q4") not in before
    assert (STOCK, "2025-Q4") not in found.observations


headers = st.lists(
    st.tuples(
        st.sampled_from(["schema", "stamped", "stamped", "x"]),
        st.one_of(
            st.integers(-2, 2).map(lambda n: b"%d" % (APPENDED + n * 150_000)),
            st.integers(299_999, 300_001).map(lambda n: b"%d" % (APPENDED - n)),
            st.sampled_from([b"border-crossings/1", b"", b"soon", b"%d " % APPENDED, b"0%d" % APPENDED, b"1" * 16, b"1" * 5000]),
        ),
    ),
    max_size=3,
).map(tuple)
logs = st.lists(
    st.tuples(headers, st.sampled_from([0, 1, 60_000, DAYS_40, -DAYS_40]).map(lambda n: APPENDED + n)), min_size=1, max_size=8
)


@given(logs, st.integers(1, 8))
@settings(max_examples=150, deadline=None)
def test_verify_and_tally_agree_about_the_time_of_any_log_however_it_is_split(log: list[tuple[Headers, int]], split: int) -> None:
    fold = PartitionFold(RULES["border-crossings"])
    with TemporaryDirectory() as folder:
        raw = RawPartition("border-crossings", Path(folder) / "raw")
        for begin, rows in ((0, log[:split]), (split, log[split:])):
            if rows:
                n = len(rows)
                part = Records(range(begin, begin + n), [t for _, t in rows], [b"k"] * n, [b"{}"] * n, [h for h, _ in rows])
                fold.fold(part)
                raw.add(part)
        assert raw.log_time == fold.log_time
        whole = RawPartition("border-crossings", Path(folder) / "whole")
        n = len(log)
        whole.add(Records(range(n), [t for _, t in log], [b"k"] * n, [b"{}"] * n, [h for h, _ in log]))
        assert whole.log_time == fold.log_time
