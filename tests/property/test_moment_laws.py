"""The local day of a crossing, whatever is written as its moment, against Python's own calendar."""

import re
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from services.shared.feeds.catalogue import RULES
from services.shared.feeds.reading import NO_DAY
from services.shared.statistics.terms.calendar import day_number

ALMATY = ZoneInfo("Asia/Almaty")
FIELDS = ("direction", "citizenship", "counterpart", "purpose")

good = st.datetimes(datetime(2000, 1, 2), datetime(2035, 12, 31)).map(lambda t: t.strftime("%Y-%m-%dT%H:%M:%S.%f")[:23] + "Z")
# Around the hour at which the clocks of 2024 changed, and at the ends of days.
near = st.integers(-7_200_000, 7_200_000).map(
    lambda ms: (datetime(2024, 2, 29, 18) + timedelta(milliseconds=ms)).strftime("%Y-%m-%dT%H:%M:%S.%f")[:23] + "Z"
)
written = st.from_regex(r"2025-(0[0-9]|1[0-9])-[0-3][0-9]T[0-2][0-9]:[0-6][0-9]:[0-6][0-9]\.[0-9]{3}Z", fullmatch=True)
spoilt = st.tuples(good, st.integers(0, 24), st.sampled_from(["", " ", "x", "\u0663", "+5"])).map(
    lambda t: t[0][: t[1]] + t[2] + t[0][t[1] :]
)


def expected(text: str | None) -> int:
    if text is None or not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z", text, re.ASCII):
        return NO_DAY
    try:
        moment = datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)
    except ValueError:
        return NO_DAY
    day: date = moment.astimezone(ALMATY).date()
    return day_number(day)


@given(st.lists(st.one_of(good, near, written, spoilt, st.none(), st.text(max_size=25)), min_size=1, max_size=20))
@settings(max_examples=400, deadline=None)
def test_the_local_day_of_a_moment_is_that_of_the_calendar(moments: list[str | None]) -> None:
    frame = pl.DataFrame({"occurred_at": pl.Series(moments, dtype=pl.String), **dict.fromkeys(FIELDS, "x")})
    spans = RULES["border-crossings"].spans(frame, [])
    assert spans.first.tolist() == [expected(text) for text in moments]
