"""Local days and calendar quarters of Kazakhstan, as integers and as labels.

A *day number* counts local days from 2000-01-01 (= 0), the first date that any feed accepts. A *quarter number* counts calendar
quarters from 2000-Q1 (= 0). Instants are milliseconds since the Unix epoch, UTC.
"""

import re
from datetime import date, timedelta
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

EPOCH = date(2000, 1, 1)
_EPOCH_DAYS = (EPOCH - date(1970, 1, 1)).days
MILLISECONDS_PER_DAY = 86_400_000
_PERIOD = re.compile(
    r"(?P<year>(?:19|20|21)[0-9]{2})(-S(?P<half>[12])|-Q(?P<quarter>[1-4])|-(?P<month>0[1-9]|1[0-2])(-[0-3][0-9])?|/(?P<academic>[0-9]{2}))?"
)
_DAYS_CACHED = 1 << 16  # a century of days is 36,525: all that a stack meets, asked for again and again
DAY_MAX = (date.max - EPOCH).days  # 9999-12-31, the last date that can be written

# Asia/Almaty since 2000, from the tz database (a test compares): instants (Unix seconds) at which the offset changes, and the
# offset in hours from then on. Written out here because the fold of a log must not change with a library's data.
_CHANGES = np.array(
    [954014400, 972763200, 985464000, 1004212800, 1017518400, 1035662400, 1048968000, 1067112000, 1080417600, 1099166400,
     1709229600]
) * 1000  # fmt: skip
_OFFSETS = np.array([6, 7, 6, 7, 6, 7, 6, 7, 6, 7, 6, 5]) * 3_600_000


def local_days(instants: NDArray[np.int64]) -> NDArray[np.int64]:
    """Day numbers of instants in `Asia/Almaty`; the last millisecond of a day belongs to it."""
    local = instants + _OFFSETS[np.searchsorted(_CHANGES, instants, side="right")]
    days: NDArray[np.int64] = local // MILLISECONDS_PER_DAY - _EPOCH_DAYS
    return days


def local_day(instant: int) -> int:
    """The day number of one instant."""
    return int(local_days(np.array([instant]))[0])


def instant_of(day: int, milliseconds: int) -> int:
    """The instant at which clocks show a time of a local day: the earlier one where they show it twice, and where they skip it
    the one at which they would, had they not been put forward."""
    local = (day + _EPOCH_DAYS) * MILLISECONDS_PER_DAY + milliseconds
    for offset in sorted({*_OFFSETS.tolist()}, reverse=True):
        if _offset(local - offset) == offset:
            return int(local - offset)
    return local - _offset(local - int(_OFFSETS.max()))


def _offset(instant: int) -> int:
    return int(_OFFSETS[np.searchsorted(_CHANGES, instant, side="right")])


def day_number(day: date) -> int:
    return (day - EPOCH).days


@lru_cache(maxsize=_DAYS_CACHED)
def day_label(day: int) -> str:
    """`2025-06-30`"""
    return (EPOCH + timedelta(days=day)).isoformat()


@lru_cache(maxsize=_DAYS_CACHED)
def parse_day(label: str) -> int:
    """The day number of `2025-06-30`."""
    return day_number(date.fromisoformat(label))


@lru_cache(maxsize=_DAYS_CACHED)
def quarter_of(day: int) -> int:
    """The quarter number of a day number."""
    when = EPOCH + timedelta(days=day)
    return (when.year - EPOCH.year) * 4 + (when.month - 1) // 3


def quarter_label(quarter: int) -> str:
    """`2025-Q2`"""
    return f"{EPOCH.year + quarter // 4}-Q{quarter % 4 + 1}"


def parse_quarter(label: str) -> int:
    """The quarter number of `2025-Q2`; ValueError for anything else."""
    year, separator, number = label.partition("-Q")
    if not (separator and len(year) == 4 and year.isdigit() and number in ("1", "2", "3", "4")):
        raise ValueError("a quarter is written like 2025-Q2")
    return (int(year) - EPOCH.year) * 4 + int(number) - 1


def year_of(quarter: int) -> int:
    return EPOCH.year + quarter // 4


def first_day_of_year(day: int) -> int:
    """The first day number of the year in which a day lies."""
    return first_day(quarter_of(day) // 4 * 4)


def first_day(quarter: int) -> int:
    """The first day number of a quarter."""
    return day_number(date(year_of(quarter), quarter % 4 * 3 + 1, 1))


def last_day(quarter: int) -> int:
    """The last day number of a quarter."""
    return first_day(quarter + 1) - 1


def last_quarter_of_period(period: str) -> int:
    """The quarter in which a period ends: `2024`, `2024-S1`, `2025-Q2`, `2025-06`, `2025-06-30`, or the academic year `2024/25`.

    ValueError for anything else.
    """
    match = _PERIOD.fullmatch(period)
    if match is None:
        raise ValueError("a period is a year, half-year, quarter, month, day or academic year")
    start = (int(match["year"]) - EPOCH.year) * 4
    if match["half"]:
        return start + 2 * int(match["half"]) - 1
    if match["quarter"]:
        return start + int(match["quarter"]) - 1
    if match["month"]:
        return start + (int(match["month"]) - 1) // 3
    return start + (5 if match["academic"] else 3)  # an academic year ends in the second quarter of the next year
