"""The log's time: how far the log of a partition has come, by two clocks that agree.

The broker says when it appended a batch, the edge says in the header `stamped` when it sent it. An append time counts if the stamp
of the same record confirms it: one wrong clock moves nothing. Logs of version 1 have no stamps: up to the first record that has
the header, whatever it says, append times count by themselves; after it what has no stamp says nothing about the time. So the
result is a function of the prefix of the log, and never goes back.
"""

import re
from collections.abc import Iterable
from typing import NamedTuple

from services.shared.statistics.exchange.records import Headers, Records, Stretches

STAMP = "stamped"  # header of an event: the edge's clock when it was sent, Unix milliseconds in ASCII decimals
# Clocks under NTP are within a second of each other, and an acknowledgement takes at most twenty: those that are minutes apart are
# not both right. A wrong clock that stays within this begins a day five minutes early.
APART_MS_MAX = 5 * 60 * 1000
_STAMP = re.compile(rb"[0-9]{1,15}")  # until the year 33658


class LogTime(NamedTuple):
    """Of a prefix. `newest`: the newest append time that counts, ms (0: none); `stamped`: whether any record has the header."""

    newest: int
    stamped: bool


NOTHING_YET = LogTime(0, False)


def log_time_after(before: LogTime, records: Records) -> LogTime:
    """Of the prefix that `records` end, `before` being that of what stands before them."""
    newest, stamped = before
    for headers, appended in _distinct_pairs(records):
        stamp = next((value for name, value in headers if name == STAMP), _MISSING)
        if stamp is _MISSING:
            counts = not stamped
        else:
            stamped, counts = True, _confirms(stamp, appended)
        if counts and appended > newest:
            newest = appended
    return LogTime(newest, stamped)


_MISSING = object()


def _confirms(stamp: object, appended: int) -> bool:
    return isinstance(stamp, bytes) and bool(_STAMP.fullmatch(stamp)) and abs(appended - int(stamp)) <= APART_MS_MAX


def _distinct_pairs(records: Records) -> Iterable[tuple[Headers, int]]:
    """(headers, append time) as they occur, in the order of their first record: a few per send, not one per record."""
    headers, times = records.headers, records.timestamps
    if isinstance(headers, Stretches) and isinstance(times, Stretches):
        return headers.beside(times)
    return dict.fromkeys(zip(headers, times, strict=True))
