"""Who reads what is handed on: a subscriber of `indicators.v1`, as docs/ledger.md tells one to be, and one of tally's marks."""

import asyncio
import contextlib
import json
from hashlib import blake2b
from typing import NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition

from services.shared.runtime.topics import load_topics
from tests.chaos.real.truth import Cut, covered
from tests.chaos.real.verdict import Publication, Values

TOPIC = "indicators.v1"
POLL_MS = 500


class _Adopted(NamedTuple):
    number: int
    cut: Cut
    changes: dict[str, bytes | None]


class Counted:
    """Up to where tally has counted, from the marks of its ledgers. `start`, then `stop`."""

    def __init__(self, bootstrap_servers: str, feeds: list[str]) -> None:
        self._consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap_servers, auto_offset_reset="earliest")
        self._feeds = feeds
        self._task: asyncio.Task[None] | None = None
        self.cut: Cut = {}

    async def start(self) -> None:
        await self._consumer.start()
        topics = [f"tallies.{feed}.v1" for feed in self._feeds]
        self._consumer.assign([TopicPartition(topic, p) for topic in topics for p in range(load_topics()[topic].partitions)])
        self._task = asyncio.create_task(self._follow())

    async def stop(self) -> None:
        await _end(self._task)
        await self._consumer.stop()

    async def _follow(self) -> None:
        while True:
            for records in (await self._consumer.getmany(timeout_ms=POLL_MS)).values():
                for record in records:
                    if ("kind", b"mark") in record.headers and record.value is not None:
                        self.cut |= json.loads(record.value)["cut"]

    def has(self, wanted: Cut) -> bool:
        """Whether everything before this cut is counted."""
        return all(self.cut.get(name, 0) >= end for name, end in wanted.items())


async def _end(task: "asyncio.Task[None] | None") -> None:
    assert task is not None
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


class Watcher:
    """`start`, then `stop`; then what it saw."""

    def __init__(self, bootstrap_servers: str) -> None:
        self._consumer = AIOKafkaConsumer(
            bootstrap_servers=bootstrap_servers, client_id="chaos-watcher", auto_offset_reset="earliest"
        )
        self._task: asyncio.Task[None] | None = None
        self._held: dict[str, bytes] = {}
        self._digests: dict[str, int] = {}
        self._sum = 0
        self._changes: dict[str, bytes | None] = {}
        self._adopted: list[_Adopted] = []
        self._mark: dict[str, object] | None = None

    async def start(self) -> None:
        await self._consumer.start()
        self._consumer.assign([TopicPartition(TOPIC, 0)])
        self._task = asyncio.create_task(self._follow())

    async def stop(self) -> None:
        await _end(self._task)
        await self._consumer.stop()

    async def _follow(self) -> None:
        while True:
            for records in (await self._consumer.getmany(timeout_ms=POLL_MS)).values():
                for record in records:
                    self._read(record.key.decode(), record.value, ("kind", b"mark") in record.headers)

    def _read(self, key: str, value: bytes | None, is_mark: bool) -> None:
        if is_mark:
            self._mark = None if value is None else json.loads(value)
        else:
            self._put(key, value)
        mark = self._mark
        if mark and mark["entries"] == len(self._held) and mark["digest"] == f"{self._sum % (1 << 128):032x}":
            self._adopted.append(_Adopted(mark["publication"], mark["cut"], self._changes))  # type: ignore[arg-type]
            self._changes, self._mark = {}, None

    def _put(self, key: str, value: bytes | None) -> None:
        self._sum -= self._digests.pop(key, 0)
        self._held.pop(key, None)
        if value is not None:
            self._held[key] = value
            name = key.encode()
            digest = blake2b(b"%d:" % len(name) + name + value, digest_size=16).digest()
            self._digests[key] = int.from_bytes(digest, "big")
            self._sum += self._digests[key]
        self._changes[key] = value

    @property
    def order(self) -> list[tuple[int, Cut]]:
        """Number and cut of each adopted set, in the order in which they came."""
        return [(one.number, one.cut) for one in self._adopted]

    def publications(self, wanted: set[int]) -> list[Publication]:
        """The adopted sets at these places of `order`, with all figures that the truth knows."""
        figures: Values = {}
        found = []
        for place, one in enumerate(self._adopted):
            for name, value in one.changes.items():
                series, _, period = name.rpartition(":")
                if not covered(series):
                    continue
                if value is None:
                    figures.pop((series, period), None)
                else:
                    figures[series, period] = json.loads(value)["OBS_VALUE"]
            if place in wanted:
                found.append(Publication(TOPIC, one.number, one.cut, dict(figures)))
        return found
