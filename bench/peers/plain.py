"""A plain loop, as one would write it first: aiokafka, pydantic, a dict, SQLite."""

import asyncio
import signal
import sqlite3
import time
from pathlib import Path
from typing import Literal

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from pydantic import BaseModel

from bench.peers.job import Job, Progress, cell_of

COMMIT_SECONDS = 1.0


class Event(BaseModel):
    record_id: str
    version: int
    action: Literal["record", "withdraw"]
    occurred_at: str = ""
    direction: str = ""
    citizenship: str = ""
    counterpart: str = ""
    purpose: str = ""


class State:
    """Everything in memory, and in SQLite as of the last commit: records, counts and offsets in one transaction."""

    def __init__(self, folder: str) -> None:
        self._database = sqlite3.connect(Path(folder) / "state.sqlite")
        self._database.executescript(
            "pragma journal_mode = wal; pragma synchronous = normal;"
            "create table if not exists record (key text primary key, version int, cell text) without rowid;"
            "create table if not exists count (cell text primary key, n int) without rowid;"
            "create table if not exists position (partition int primary key, offset int);"
        )
        read = self._database.execute
        self.known = {key: (version, cell) for key, version, cell in read("select * from record")}
        self.counts = dict(read("select * from count"))
        self.offsets = dict(read("select * from position"))
        self._records: set[str] = set()
        self.changed: set[str] = set()

    def fold(self, value: bytes) -> None:
        event = Event.model_validate_json(value)
        before = self.known.get(event.record_id)
        if before is not None and event.version <= before[0]:
            return
        cell = cell_of(event.__dict__) if event.action == "record" else ""
        self.known[event.record_id] = (event.version, cell)
        self._records.add(event.record_id)
        if before is not None and before[1]:
            self._count(before[1], -1)
        if cell:
            self._count(cell, 1)

    def _count(self, cell: str, change: int) -> None:
        self.counts[cell] = self.counts.get(cell, 0) + change
        self.changed.add(cell)

    def commit(self) -> None:
        write = self._database.executemany
        write("replace into record values (?, ?, ?)", ((key, *self.known[key]) for key in self._records))
        write("replace into count values (?, ?)", ((cell, self.counts[cell]) for cell in self.changed))
        write("replace into position values (?, ?)", self.offsets.items())
        self._database.commit()
        self._records.clear()
        self.changed.clear()


async def main() -> None:
    job = Job.from_arguments()
    state, progress = State(job.folder), Progress(job.records)
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    consumer = AIOKafkaConsumer(
        job.topic, bootstrap_servers=job.bootstrap_servers, auto_offset_reset="earliest", enable_auto_commit=False,
        max_partition_fetch_bytes=4 << 20,
    )  # fmt: skip
    producer = AIOKafkaProducer(bootstrap_servers=job.bootstrap_servers, linger_ms=50, compression_type="lz4")
    await asyncio.gather(consumer.start(), producer.start())
    for tp in consumer.assignment():
        if tp.partition in state.offsets:
            consumer.seek(tp, state.offsets[tp.partition])
    committed = time.monotonic()
    while not stopping.is_set():
        for tp, records in (await consumer.getmany(timeout_ms=200, max_records=5000)).items():
            for record in records:
                state.fold(record.value)
            state.offsets[tp.partition] = records[-1].offset + 1
            progress.add(len(records))
        if time.monotonic() - committed > COMMIT_SECONDS and state.changed:
            for cell in state.changed:
                await producer.send(job.results, key=cell.encode(), value=str(state.counts[cell]).encode())
            await producer.flush()
            state.commit()
            committed = time.monotonic()
    await asyncio.gather(consumer.stop(), producer.stop())


asyncio.run(main())
