"""A follower that starts behind: what it hands on first is where the ledgers stood when it began, not what it has read so far."""

import asyncio
from collections import defaultdict
from typing import NamedTuple

import pytest
from aiokafka import TopicPartition
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.shared.runtime.kafka.ledger import LedgerFollower
from services.shared.runtime.process.settings import Settings
from services.shared.statistics.exchange.ledger_set import MARK_KEY, MARK_KIND, EntrySet, LedgerReader, Mark

TOPIC, FOLD = "tallies.work-permits.v1", 1


class Record(NamedTuple):
    """As the client gives it."""

    key: bytes
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]


class DrippingConsumer:
    """Stands for the client: gives a few records of one partition at a time, in the order that it is told."""

    def __init__(self, logs: dict[TopicPartition, list[Record]], drips: list[tuple[int, int]]) -> None:
        self._logs, self._drips = logs, list(drips)
        self.at: dict[TopicPartition, int] = defaultdict(int)

    async def end_offsets(self, tps: list[TopicPartition]) -> dict[TopicPartition, int]:
        return {tp: len(self._logs[tp]) for tp in tps}

    async def position(self, tp: TopicPartition) -> int:
        return self.at[tp]

    def highwater(self, tp: TopicPartition) -> int:
        return len(self._logs[tp])

    async def getmany(self, timeout_ms: int) -> dict[TopicPartition, list[Record]]:
        await asyncio.sleep(0)
        open_ones = [tp for tp in self._logs if self.at[tp] < len(self._logs[tp])]
        if not open_ones:
            return {}
        which, count = self._drips.pop(0) if self._drips else (0, 1)
        tp = open_ones[which % len(open_ones)]
        records = self._logs[tp][self.at[tp] : self.at[tp] + count]
        self.at[tp] += len(records)
        return {tp: records}


def ledger(cuts: int) -> list[Record]:
    """A ledger after some cuts, not compacted: each replaces the entry of the one before."""
    held, records = EntrySet(), list[Record]()
    for cut in range(1, cuts + 1):
        changes: dict[str, bytes | None] = {f"{cut}": b"new", f"{cut - 1}": None} if cut > 1 else {"1": b"new"}
        for key, value in changes.items():
            held.put(key, value)
            records.append(Record(key.encode(), value, ()))
        mark = Mark({"f/0": cut}, cut, FOLD, len(held.values), held.digest(), {})
        records.append(Record(MARK_KEY.encode(), mark.to_bytes(), (("kind", MARK_KIND),)))
    return records


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.integers(0, 5), min_size=1, max_size=4).filter(any), st.lists(st.tuples(st.integers(0, 9), st.integers(1, 4))))
def test_the_first_sets_handed_on_are_the_newest_of_all_partitions_however_slowly_they_are_read(
    monkeypatch: pytest.MonkeyPatch, cuts: list[int], drips: list[tuple[int, int]]
) -> None:
    tps = [TopicPartition(TOPIC, number) for number in range(len(cuts))]

    async def first() -> dict[int, tuple[int, dict[str, bytes]]]:
        """By partition: the cut of the newest set of the first answer, and that set."""
        follower = LedgerFollower(Settings(bootstrap_servers="127.0.0.1:1"), [TOPIC], FOLD)
        monkeypatch.setattr(follower, "_readers", {tp: LedgerReader(FOLD) for tp in tps})
        logs = {tp: ledger(n) for tp, n in zip(tps, cuts, strict=True)}
        monkeypatch.setattr(follower, "_consumer", DrippingConsumer(logs, drips))
        found: dict[int, tuple[int, dict[str, bytes]]] = {}
        async for adoptions in follower.adoptions(asyncio.Event()):
            for a in adoptions:
                held = found.get(a.partition, (0, {}))[1] | a.changes
                found[a.partition] = a.mark.cut["f/0"], {k: v for k, v in held.items() if v is not None}
            break
        return found

    assert asyncio.run(first()) == {number: (n, {f"{n}": b"new"}) for number, n in enumerate(cuts) if n}
