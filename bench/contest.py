"""One contestant, one run: a process folds a topic from its beginning to its end, its results are read back and judged.

The same clock for all. It starts with the first record that the process says it has processed, so nobody pays for start-up; it
stops with the time at which the broker took the last result. CPU seconds are those of the whole process tree between the two.
"""

import asyncio
import json
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, Protocol

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from bench.clock import ProcessClock
from bench.oracle import Counts
from services.shared.runtime.process.errors import Failure
from services.shared.runtime.process.settings import Settings
from tools.stack.embedded.children import dies_with_parent

PARTITIONS = 12
QUIET_SECONDS = 12.0  # after its last record and its last result: every contestant emits at least every five seconds
STOP_SECONDS_MAX = 15
POLL_SECONDS = 0.2
BATCH_LAST = 50_000  # adding up takes a while: not while thousands of results come in at once


class Told(NamedTuple):
    """What a process said of itself: so many records were through by then (Unix seconds)."""

    at: float
    records: int


class Run(NamedTuple):
    """One run of a contestant."""

    records: int
    seconds: float
    cpu_seconds: float
    memory_bytes: int
    exact: bool

    @property
    def records_per_second(self) -> float:
        return self.records / self.seconds

    @property
    def cpu_us_per_record(self) -> float:
        return self.cpu_seconds / self.records * 1e6


class Results(Protocol):
    """A results topic, understood record by record."""

    def take(self, record: ConsumerRecord) -> None: ...

    def counts(self) -> Counts: ...


class Contestant(NamedTuple):
    """A process and how to understand it: `told` reads one line of its output, `results` a fresh reader of its results topic.

    Without `tells_records` it says when it started and no more: its results are read while it works (they must be few).
    """

    command: list[str]
    env: dict[str, str]
    told: Callable[[str], Told | None]
    results: Callable[[], Results]
    tells_records: bool = True


class NewestCounts:
    """Results as most contestants emit them: a key `partition|cell` (or `cell`), its count as JSON. The newest one holds."""

    def __init__(self) -> None:
        self._newest: dict[bytes, bytes] = {}

    def take(self, record: ConsumerRecord) -> None:
        self._newest[record.key] = record.value

    def counts(self) -> Counts:
        sums: Counter[str] = Counter()
        for key, value in self._newest.items():
            partition, _, cell = key.decode().partition("|")
            said = json.loads(value)
            n = said[-1] if isinstance(said, list) else said
            sums[cell if partition.isdecimal() else key.decode()] += n
        return {cell: n for cell, n in sums.items() if n}


def told_in_json(line: str) -> Told | None:
    """A line as the rivals print it."""
    if not line.startswith("{"):
        return None
    said = json.loads(line)
    return Told(said["at"], said["records"])


def make_topic(settings: Settings, name: str) -> None:
    """A topic for results, stamped by the broker."""
    asyncio.run(_make_topic(settings, name))


async def _make_topic(settings: Settings, name: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.broker())
    await admin.start()
    try:
        config = {"message.timestamp.type": "LogAppendTime"}
        await admin.create_topics([NewTopic(name, PARTITIONS, 1, topic_configs=config)])
    finally:
        await admin.close()


class _Process:
    """A contestant that runs. What it prints goes to a log file; what it tells is kept."""

    def __init__(self, contestant: Contestant, log: Path) -> None:
        self.told: list[Told] = []
        self._understand = contestant.told
        self._log = log
        self.process = subprocess.Popen(
            contestant.command, env=contestant.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, start_new_session=True, preexec_fn=dies_with_parent(signal.SIGKILL),  # noqa: PLW1509 - two system calls
        )  # fmt: skip
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self._log.open("w", encoding="utf-8") as log:
            for line in self.process.stdout:
                told = self._understand(line)
                if told is None:
                    log.write(line)
                    log.flush()
                else:
                    self.told.append(told)

    def check(self) -> None:
        if self.process.poll() is not None:
            tail = self._log.read_text("utf-8", "replace")[-3000:]
            raise Failure(f"{self.process.args!r} ended with {self.process.returncode}:\n{tail}")

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._reader.join()


def run(
    contestant: Contestant, settings: Settings, results: str, records: int, right: Counts, log: Path, seconds_max: float
) -> Run:
    """Run a contestant until its results are right, or until nothing more comes from it. Failure if it dies or takes too long."""
    process = _Process(contestant, log)
    try:
        with ProcessClock(process.process.pid) as clock:
            ended, counts = asyncio.run(_follow(process, contestant, settings, results, records, right, seconds_max))
    finally:
        process.stop()
    first = process.told[0]
    return Run(
        records - first.records,
        ended - first.at,
        clock.cpu_seconds(first.at, ended),
        clock.memory_bytes_max,
        counts == right,
    )


async def _follow(
    process: _Process, contestant: Contestant, settings: Settings, results: str, records: int, right: Counts, seconds_max: float
) -> tuple[float, Counts]:
    """(when the broker took the last result, the counts that all results come to)."""
    limit = time.monotonic() + seconds_max
    while not process.told or (contestant.tells_records and process.told[-1].records < records):
        process.check()
        if time.monotonic() > limit:
            raise Failure(f"{contestant.command[-1]}: not through after {seconds_max:.0f} s")
        await asyncio.sleep(POLL_SECONDS)
    # Only now: reading results takes time from who still makes them.
    consumer = AIOKafkaConsumer(bootstrap_servers=settings.broker(), max_partition_fetch_bytes=4 << 20)
    await consumer.start()
    try:
        tps = [TopicPartition(results, p) for p in range(PARTITIONS)]
        consumer.assign(tps)
        await consumer.seek_to_beginning(*tps)
        reader, counts, last, news = contestant.results(), Counts(), 0, time.monotonic()
        while True:
            batch = [record for some in (await consumer.getmany(timeout_ms=200)).values() for record in some]
            for record in batch:
                reader.take(record)
                last = max(last, record.timestamp)
            if batch:
                news = time.monotonic()
                counts = reader.counts() if len(batch) < BATCH_LAST else {}
            process.check()
            if counts == right or time.monotonic() - news > QUIET_SECONDS:
                return last / 1000, reader.counts()
    finally:
        await consumer.stop()
