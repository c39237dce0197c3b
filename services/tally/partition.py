"""The fold of one event partition: pure state that records go into and day sheets come out of.

Deterministic: the state after a prefix of the log depends on that prefix and on FOLD only, not on clocks, batches or restarts.
"""

from collections.abc import Iterator
from hashlib import blake2b
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from services.shared.feeds.feed import FeedRules
from services.shared.statistics.exchange.ledger_set import Changes
from services.shared.statistics.exchange.log_time import NOTHING_YET, log_time_after
from services.shared.statistics.exchange.records import Records, distinct_values
from services.shared.statistics.folding.contribution import ZERO, Counts, Integers, count, merge, slot_days
from services.shared.statistics.folding.fold import Resolved, resolve
from services.shared.statistics.folding.index import Run, distinct, filter_of, look_up, merge_runs, next_merge
from services.shared.statistics.terms.calendar import local_days
from services.tally.decode import Cells, Decoded, decode
from services.tally.marginals import Marginals


class Effect(NamedTuple):
    """What a batch did: records by effect, and (place in the batch, reason) of those to set aside."""

    counted: int
    duplicate: int
    stale: int
    dead: list[tuple[int, str]]


def record_hash(records: Records, place: int) -> str:
    """Tells the record before a cut apart from any other: offset, append time, key and value."""
    key, value = records.keys[place] or b"", records.values[place] or b""
    head = f"{records.offsets[place]}:{records.timestamps[place]}:{len(key)}:".encode()
    return blake2b(head + key + value, digest_size=16).hexdigest()


class PartitionFold:
    """The state of one partition. `offset`: everything before it is in; `saved` runs are on disk, `fresh` ones are not yet."""

    def __init__(self, rules: FeedRules, cells: list[str] | None = None, saved: list[Run] | None = None) -> None:
        self.rules = rules
        self.cells = Cells(rules, cells or [])
        self._marginals = Marginals(rules, self.cells)
        self.saved: list[Run] = saved or []
        self.fresh: list[Run] = []
        self._counts: list[Counts] = [ZERO, *(run.counts for run in self.saved)]  # their sum; added up when it is asked for
        self.offset = 0
        self.time = NOTHING_YET
        self.last_offset = -1
        self.record_hash = ""
        self._touched: list[Integers] = []

    def fold(self, records: Records) -> Effect:
        """Take records in log order, each exactly once; they start at or after `offset`."""
        assert records.offsets[0] >= self.offset, "records before the fold's offset would count twice"
        decoded = decode(self.rules, self.cells, records)
        counted = duplicate = 0
        conflicts: list[int] = []
        begin = len(self.fresh)
        for arrived, part in _by_arrival_day(decoded, records):
            resolved = self._take(arrived, part)
            counted += int(resolved.counted.sum())
            duplicate += int(resolved.duplicate.sum())
            conflicts += part.positions[resolved.conflict].tolist()
            self._merge_fresh(begin)
        self.offset = records.offsets[-1] + 1
        self.last_offset = records.offsets[-1]
        self.time = log_time_after(self.time, records)
        self.record_hash = record_hash(records, len(records.offsets) - 1)
        return Effect(
            counted,
            duplicate,
            len(decoded.positions) - counted - duplicate - len(conflicts),
            sorted([*decoded.unreadable, *((place, "version_conflict") for place in conflicts)]),
        )

    def _take(self, arrived: int, decoded: Decoded) -> Resolved:
        """Fold records that all arrived on one local day."""
        firsts, numbers = distinct(decoded.high, decoded.low)
        high, low = decoded.high[firsts], decoded.low[firsts]
        versions, contributions = look_up([*self.saved, *self.fresh], high, low)
        resolved = resolve(numbers, decoded.versions, decoded.contributions, versions, contributions)
        changed = resolved.groups
        net = count(resolved.contributions, resolved.retracted)
        counts = merge(net, self._marginals.of(arrived, net, decoded.contributions, resolved))
        if len(changed) or len(counts.slots):  # a conflict changes no record, but is counted
            self.fresh.append(
                Run(high[changed], low[changed], resolved.versions, resolved.contributions, counts, filter_of(high[changed]))
            )
            self._counts.append(counts)
            self._touched.append(np.unique(slot_days(counts.slots)))
        return resolved

    def _merge_fresh(self, begin: int) -> None:
        """A batch of many days leaves many small runs: merged as saved ones are, or each day would be looked up in all of them."""
        start = next_merge([len(run.high) for run in self.fresh[begin:]])
        if start is not None:
            self.fresh[begin + start :] = [merge_runs(self.fresh[begin + start :])]

    @property
    def log_time(self) -> int:
        """The log's time of the partition, ms; 0: none."""
        return self.time.newest

    @property
    def counts(self) -> Counts:
        """All counts of the partition."""
        if len(self._counts) > 1:
            self._counts = [merge(*self._counts)]
        return self._counts[0]

    def fresh_run(self) -> Run | None:
        """All that is not saved yet, as one run."""
        return merge_runs(self.fresh) if self.fresh else None

    def changed_sheets(self) -> Changes:
        """The sheets of all days whose counts changed since this was last asked; None for a day that became empty."""
        days = np.unique(np.concatenate(self._touched)).tolist() if self._touched else []
        self._touched = []
        return self._sheets(days)

    def all_sheets(self) -> dict[str, bytes]:
        """Every day's sheet."""
        sheets = self._sheets(np.unique(slot_days(self.counts.slots)).tolist())
        return {day: sheet for day, sheet in sheets.items() if sheet is not None}

    def _sheets(self, days: list[int]) -> Changes:
        return self.rules.sheets(days, self.counts, self.cells.texts)


def _by_arrival_day(decoded: Decoded, records: Records) -> Iterator[tuple[int, Decoded]]:
    """(local day, the records that arrived on it), in log order: nearly always all on one day.

    What is counted by days of arrival then does not depend on how the log is cut into batches.
    """
    if not len(decoded.positions):
        return
    days = np.unique(local_days(np.array([*distinct_values(records.timestamps)], np.int64)))
    if len(days) == 1:
        yield int(days[0]), decoded
        return
    arrived = local_days(np.fromiter(records.timestamps, np.int64, len(records.timestamps)))[decoded.positions]
    bounds = [0, *(np.flatnonzero(arrived[1:] != arrived[:-1]) + 1).tolist(), len(arrived)]
    for begin, end in pairwise(bounds):
        part = slice(begin, end)
        yield (
            int(arrived[begin]),
            Decoded(
                decoded.positions[part],
                decoded.high[part],
                decoded.low[part],
                decoded.versions[part],
                decoded.contributions[part],
                [],
            ),
        )
