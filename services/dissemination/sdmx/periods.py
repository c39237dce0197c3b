"""Periods of time as SDMX writes them, as their first and last day."""

import re
from datetime import date, timedelta

MONTHS_OF = {"A": 12, "S": 6, "T": 4, "Q": 3, "M": 1}
_REPORTING = re.compile(r"(?P<year>[0-9]{4})-(?P<kind>[ASTQM])(?P<number>[0-9]{1,2})")
_MONTH = re.compile(r"(?P<year>[0-9]{4})-(?P<number>[0-9]{2})")
_YEAR = re.compile(r"[0-9]{4}")
_DAY = re.compile(r"(?P<day>[0-9]{4}-[0-9]{2}-[0-9]{2})(T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?(Z|[+-][0-9]{2}:[0-9]{2})?)?")


def span(text: str) -> tuple[date, date]:
    """First and last day of `2025`, `2025-Q2`, `2025-S1`, `2025-06`, `2025-M06` or `2025-06-30`. Raises ValueError for all else."""
    if match := _DAY.fullmatch(text):
        day = date.fromisoformat(match["day"])
        return day, day
    if _YEAR.fullmatch(text):
        return _months(int(text), 1, 12)
    if match := _REPORTING.fullmatch(text):
        return _months(int(match["year"]), int(match["number"]), MONTHS_OF[match["kind"]])
    if match := _MONTH.fullmatch(text):
        return _months(int(match["year"]), int(match["number"]), 1)
    raise ValueError("not a period")


def _months(year: int, number: int, length: int) -> tuple[date, date]:
    """The `number`-th span of `length` months of a year."""
    if not 1 <= number <= 12 // length:
        raise ValueError("no such part of a year")
    first, after = (number - 1) * length + 1, number * length
    last = date(year, 12, 31) if after == 12 else date(year, after + 1, 1) - timedelta(days=1)
    return date(year, first, 1), last
