"""Notices a tally that does not understand its log, before it empties the topic into dead letters.

One bad record is set aside and costs nothing. But when most records of a feed are unreadable, it is the program that is wrong: an
old build met records of a newer schema, or the topic is not the feed's. Such a worker must stop before it saves anything.

No agency can bring this about: ingest refuses what this build cannot read. The verdict is about going on or stopping only; what is
counted never depends on it.
"""

from collections.abc import Iterable
from typing import NamedTuple

# Fewer records say nothing: a careless hand that wrote some hundred lines to the topic must not stop a feed. It also bounds how
# many good records are set aside before the stop, over all restarts: about as many per partition, few enough to redrive.
RECENT_RECORDS = 1_000
UNREADABLE_SHARE_MAX = 0.5  # a build that fits its log reads all but a handful; one that does not, hardly any: nothing lies between
# Why a record cannot be read. A version conflict is none of these: it was read well.
UNREADABLE = frozenset({"unknown_schema", "newer_schema", "malformed_json", "invalid_record"})


class Recent(NamedTuple):
    """Of the last records of a partition, one to two thousand: how many there were, and how many of them were unreadable.

    Saved with the partition, so that a worker that is started again and again does not begin at nothing each time.
    """

    records: int = 0
    unreadable: int = 0

    def after(self, records: int, reasons: Iterable[str]) -> "Recent":
        """With one more batch. `reasons`: of those of its records that were set aside."""
        total, unreadable = self.records + records, self.unreadable + sum(reason in UNREADABLE for reason in reasons)
        while total >= 2 * RECENT_RECORDS:
            total, unreadable = total // 2, unreadable // 2
        return Recent(total, unreadable)


NONE_RECENT = Recent()


def unreadable_share(recents: Iterable[Recent]) -> float:
    """Of the recent records of some partitions together; 0.0 while they are too few to tell."""
    sums = [sum(column) for column in zip(*recents, strict=True)] or [0, 0]
    return sums[1] / sums[0] if sums[0] >= RECENT_RECORDS else 0.0
