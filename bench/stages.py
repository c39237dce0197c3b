"""Where tally's CPU time goes, stage by stage: the worker's own functions over a topic's batches, in one process, with clocks.

What is measured of a stage is without the stages inside it. The sum is less than what the whole process uses: the rest is the event
loop, the broker's client between fetches, metrics and the ledger's records.
"""

import asyncio
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from aiokafka import TopicPartition

from bench.table import number, printed
from bench.topic import FEED, TOPIC
from services.shared.feeds.catalogue import RULES
from services.shared.runtime.kafka import batch_columns, whole_batches
from services.shared.runtime.kafka.clients import consumer
from services.shared.runtime.kafka.topics import load_topics
from services.shared.runtime.process.settings import Settings
from services.tally import decode, partition, worker
from services.tally.run_store import RunStore

POLL_MS = 200
CUT_RECORDS = 160_000  # of one partition between two cuts: what five seconds bring while tally catches up

Batches = dict[int, list[batch_columns.WholeBatch]]

# (module, function, stage); in the order of the table.
STAGES: tuple[tuple[Any, str, str], ...] = (
    (batch_columns, "opened", "check sums, find the records"),
    (batch_columns, "_decompressed", "decompress"),
    (partition, "decode", "make contributions"),
    (decode, "_parse", "read JSON"),
    (decode, "hashes", "hash keys"),
    (partition, "distinct", "sort keys"),
    (partition, "look_up", "look keys up"),
    (partition, "resolve", "resolve versions"),
    (partition, "count", "count"),
    (partition.PartitionFold, "fold", "the rest of the fold"),
    (worker, "_save_state", "save, merge runs"),
    (partition.PartitionFold, "changed_sheets", "make sheets"),
)
FETCH = "fetch"


class _Clock:
    """CPU seconds of this process by stage; a stage's time does not run while one inside it does."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self._open: list[str] = []
        self._since = time.process_time()

    def _turn(self) -> None:
        now = time.process_time()
        if self._open:
            self.seconds[self._open[-1]] += now - self._since
        self._since = now

    def timed(self, function: Callable[..., Any], stage: str) -> Callable[..., Any]:
        def run(*arguments: Any) -> Any:
            self._turn()
            self._open.append(stage)
            try:
                return function(*arguments)
            finally:
                self._turn()
                self._open.pop()

        return run


@contextmanager
def _clocked() -> Iterator[_Clock]:
    clock = _Clock()
    originals = [(place, name, getattr(place, name)) for place, name, _ in STAGES]
    for place, name, stage in STAGES:
        setattr(place, name, clock.timed(getattr(place, name), stage))
    try:
        yield clock
    finally:
        for place, name, original in originals:
            setattr(place, name, original)


def measured(settings: Settings, count: int) -> dict[str, float]:
    """Microseconds of CPU a record, by stage, of folding the first `count` records of the topic."""
    before = time.process_time()
    batches = asyncio.run(_fetched(settings, count))
    found = {FETCH: time.process_time() - before}
    with tempfile.TemporaryDirectory(prefix="tolqyn-stages-") as home, _clocked() as clock:
        for one, parts in batches.items():
            _folded(Path(home) / str(one), parts)
    found |= {stage: clock.seconds[stage] for _, _, stage in STAGES}
    return {stage: seconds / count * 1e6 for stage, seconds in found.items()}


async def _fetched(settings: Settings, count: int) -> Batches:
    client = consumer(settings, "bench-stages")
    await client.start()
    try:
        whole_batches.install(client)
        places = [TopicPartition(settings.topic(TOPIC), one) for one in range(load_topics()[TOPIC].partitions)]
        client.assign(places)
        await client.seek_to_beginning(*places)
        batches: Batches = {place.partition: [] for place in places}
        many = 0
        while many < count:
            for place, items in (await client.getmany(timeout_ms=POLL_MS)).items():
                batches[place.partition] += items
                many += sum(item.many for item in items)
        return batches
    finally:
        await client.stop()


def _folded(folder: Path, batches: list[batch_columns.WholeBatch]) -> None:
    store = RunStore(folder)
    store.open()
    part = worker._Partition(partition.PartitionFold(RULES[FEED]), store, [])
    waiting: list[batch_columns.WholeBatch] = []
    cut_at = CUT_RECORDS
    for batch in batches:
        waiting.append(batch)
        if batch is not batches[-1] and sum(one.many for one in waiting) < worker.FOLD_RECORDS_MIN:
            continue
        records = batch_columns.opened(waiting)
        assert records is not None
        part.fold.fold(records)
        waiting = []
        if batch is batches[-1] or part.fold.offset >= cut_at:
            worker._save_state(part)
            part.fold.changed_sheets()
            cut_at = part.fold.offset + CUT_RECORDS
    store.close()


def table(by_stage: dict[str, float]) -> str:
    rows = [(stage, number(microseconds)) for stage, microseconds in by_stage.items()]
    return printed(("stage", "CPU us/record"), [*rows, ("sum", number(sum(by_stage.values())))])
