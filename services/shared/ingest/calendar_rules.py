"""Times and dates at the edge: are they real, how are they stored, and what lies too far ahead. Pure: the clock is an argument."""

from datetime import UTC, date, datetime, timedelta, timezone
from functools import lru_cache
from typing import NamedTuple

FUTURE_HOURS_MAX = 24  # an agency's clock or time zone may be off by hours, not by a day
DAY_FIRST = "2000-01-01"
DAY_LAST = "9999-12-30"  # the day after the last day in force must be a date too
MOMENT_FIRST = "1999-12-31T18:00:00.000Z"  # where 2000-01-01 begins in Almaty (UTC+6 then)
_ALMATY = timezone(timedelta(hours=5))  # since 2024-03-01; only ever applied to the present here
_CACHED = 1 << 16  # hours, or days, remembered: seven years of hours in one offset, about 15 MB at worst


class Latest(NamedTuple):
    """The last moment and day that are not too far in the future, as stored texts: text order is time order."""

    moment: str
    day: str


def latest(now_ms: int) -> Latest:
    """What is allowed at the moment `now_ms` (Unix milliseconds)."""
    limit = datetime.fromtimestamp(now_ms // 1000, UTC) + timedelta(hours=FUTURE_HOURS_MAX)
    return Latest(f"{limit:%Y-%m-%dT%H:%M:%S}.{now_ms % 1000:03}Z", f"{limit.astimezone(_ALMATY):%Y-%m-%d}")


@lru_cache(_CACHED)
def is_day(text: str) -> bool:
    """Whether a text of the pattern YYYY-MM-DD is a day of the calendar."""
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


def utc_milliseconds(text: str) -> str | None:
    """A text of the pattern of RFC 3339 as UTC with milliseconds (rounded down), or None if there is no such time.

    The hour in UTC is remembered per hour and offset, so that a file of one quarter costs a dictionary lookup a record.
    """
    if text[-1] in "Zz":
        offset, rest = "+00:00", text[13:-1]
    else:
        offset, rest = text[-6:], text[13:-6]
    if offset[4:] != "00":
        moment = _moment(text[:16] + offset)
        return None if moment is None else moment.isoformat()[:16] + _milliseconds(rest[3:])
    hour = utc_hour(text[:13], offset)
    return None if hour is None else hour + rest[:3] + _milliseconds(rest[3:])


def _milliseconds(seconds: str) -> str:
    """`:59`, `:59.9` or `:59.99999` as `:59.999Z`, cut off, never rounded up: a crossing stays in its day."""
    return seconds + ".000Z" if len(seconds) == 3 else (seconds + "00")[:7] + "Z"


@lru_cache(_CACHED)
def utc_hour(hour: str, offset: str) -> str | None:
    """An hour `YYYY-MM-DDTHH` of an offset of whole hours in UTC, or None if there is no such hour."""
    moment = _moment(f"{hour}:00{offset}")
    return None if moment is None else moment.isoformat()[:13]


def _moment(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
