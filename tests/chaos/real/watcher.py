"""Who reads what is handed on: a subscriber of `indicators.v1`, as docs/ledger.md tells one to be, and one of tally's marks."""

import asyncio
import contextlib
import json
from hashlib import blake2b
from typing import NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition

from services.shared.runtime.kafka.topics import load_topics
from tests.chaos.real.truth import Cut, covered
from tests.chaos.real.verdict import Publication, Values

TOPIC = "indicators.v1"
POLL_MS = 500


class _Adopted(NamedTuple):
    number: int
    cut: Cut
    changes: dict[str, bytes | None]


class _Follower:
    """Reads topics from their beginning. `start`, then `stop`; each record goes to `_take`."""

    def __init__(self, bootstrap_servers: str, topics: list[str]) -> None:
        self._consumer = AIOKafkaConsumer(
            bootstrap_servers=bootstrap_servers, client_id="chaos-watcher", auto_offset_reset="earliest"
        )
        self._topics = topics
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        await self._consumer.start()
        self._consumer.assign([TopicPartition(topic, p) for topic in self._topics for p in range(load_topics()[topic].partitions)])
        self._task = asyncio.create_task(self._follow())

    async def stop(self) -> None:
        assert self._task is not None
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        await self._consumer.stop()

    async def _follow(self) -> None:
        while True:
            for records in (await self._consumer.getmany(timeout_ms=POLL_MS)).values():
                for record in records:
                    self._take(record.key.decode(), record.value, ("kind", b"mark") in record.headers)

    def _take(self, key: str, value: bytes | None, is_mark: bool) -> None:
        raise NotImplementedError


class Counted(_Follower):
    """Up to where tally has counted, from the marks of its ledgers."""

    def __init__(self, bootstrap_servers: str, feeds: list[str]) -> None:
        super().__init__(bootstrap_servers, [f"tallies.{feed}.v1" for feed in feeds])
        self.cut: Cut = {}

    def _take(self, key: str, value: bytes | None, is_mark: bool) -> None:
        if is_mark and value is not None:
            self.cut |= json.loads(value)["cut"]

    def has(self, wanted: Cut) -> bool:
        """Whether everything before this cut is counted."""
        return all(self.cut.get(name, 0) >= end for name, end in wanted.items())


class Watcher(_Follower):
    """A subscriber of `indicators.v1`, and what it saw."""

    def __init__(self, bootstrap_servers: str) -> None:
        super().__init__(bootstrap_servers, [TOPIC])
        self._held: dict[str, bytes] = {}
        self._digests: dict[str, int] = {}
        self._sum = 0
        self._changes: dict[str, bytes | None] = {}
        self._adopted: list[_Adopted] = []
        self._mark: dict[str, object] | None = None

    def _take(self, key: str, value: bytes | None, is_mark: bool) -> None:
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
