"""Records that are sent all the time, so that true figures move and there is always something not yet counted.

Of the bundled simulation, in another order for each seed: new records, and everything that agencies get wrong: files sent again,
corrections, withdrawals, versions that come late or not at all, contradictions, rubbish. Sent by the product's own sender, which
knows of each record whether it was acknowledged.
"""

import asyncio
import json
import random
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from services.shared.ingest.bodies import NDJSON
from services.shared.ingest.files import Chunk
from services.shared.runtime.process.errors import TolqynError
from tests.chaos.real.truth import UNNUMBERED, read_body
from tests.chaos.real.verdict import Sent, impersonal
from tools.command.delivery import Delivery

AGENCY = "local"
BEAT_SECONDS = 0.25  # between two submissions: there is always one under way
# new, again, corrected, late, withdrawn, without a version, contradicted, rubbish
SHARES = (0.5, 0.25, 0.1, 0.04, 0.04, 0.05, 0.01, 0.01)
UNNUMBERED_IDS = 50  # few, so that most of what comes without a version is about a record that came before
RUBBISH = (b'{"record_id":"bad', b'{"version":1}', b"[]", b'{"record_id":"bad id","version":1}')


class Agency:
    """What one agency sends of one feed, drawn from a seed."""

    def __init__(self, feed: str, file: Path, seed: str, prefix: str) -> None:
        self.feed = feed
        self._rng = random.Random(seed)
        self._lines = file.read_bytes().splitlines()
        self._rng.shuffle(self._lines)
        self._prefix = prefix
        self._next = 0
        self._sent: list[bytes] = []
        self._versions: dict[str, int] = {}  # the highest that was sent
        self._ids: list[str] = []

    def lines(self, count: int) -> list[bytes]:
        """The next records."""
        for _ in range(count):
            self._sent.append(self._line())
        return self._sent[-count:]

    def _line(self) -> bytes:
        kinds = (
            self._new, self._again, self._corrected, self._late, self._withdrawn, self._unnumbered, self._contradicted,
            self._rubbish,
        )  # fmt: skip
        if not self._versions:
            return self._new()
        return self._rng.choices(kinds, SHARES)[0]()

    def _new(self) -> bytes:
        turn, place = divmod(self._next, len(self._lines))
        self._next += 1
        body = orjson.loads(self._lines[place])
        record_id = body["record_id"] = f"{self._prefix}{turn}-{body['record_id']}"
        if record_id not in self._versions:  # the simulation has later versions of some too
            self._ids.append(record_id)
        self._versions[record_id] = max(self._versions.get(record_id, 1), body["version"])
        return orjson.dumps(body)

    def _again(self) -> bytes:
        return self._rng.choice(self._sent)

    def _corrected(self) -> bytes:
        record_id, body = self._other()
        self._versions[record_id] += self._rng.choice((1, 2))  # agencies skip numbers
        return orjson.dumps({**body, "record_id": record_id, "version": self._versions[record_id]})

    def _late(self) -> bytes:
        record_id, body = self._other()
        return orjson.dumps({**body, "record_id": record_id, "version": max(1, self._versions[record_id] - 1)})

    def _withdrawn(self) -> bytes:
        record_id, _ = self._other()
        self._versions[record_id] += 1
        return orjson.dumps({"record_id": record_id, "version": self._versions[record_id], "action": "withdraw"})

    def _unnumbered(self) -> bytes:
        """Without a version: mostly of records that never have one, now and then of one that has."""
        record_id, body = self._other()
        if self._rng.random() < 0.9:
            record_id = f"{self._prefix}u-{self._rng.randrange(UNNUMBERED_IDS)}"
        if self._rng.random() < 0.2:
            body = {"action": "withdraw"}
        return orjson.dumps({name: value for name, value in {**body, "record_id": record_id}.items() if name != "version"})

    def _contradicted(self) -> bytes:
        record_id, body = self._other()
        return orjson.dumps({**body, "record_id": record_id, "version": self._versions[record_id]})

    def _rubbish(self) -> bytes:
        return self._rng.choice(RUBBISH)

    def _other(self) -> tuple[str, dict[str, Any]]:
        """A record that was sent, and what another one says."""
        return self._rng.choice(self._ids), orjson.loads(self._rng.choice(self._lines))


class Sender:
    """Sends what an agency has to one service, at its pace, until it is told to stop."""

    def __init__(self, agency: Agency, url: str, key: str, records_per_second: float) -> None:
        self.feed = agency.feed
        self.waiting = ""  # why it is not getting on
        self._agency = agency
        self._delivery = Delivery(url, key)
        self._beat = max(BEAT_SECONDS, 1 / records_per_second)
        self._count = max(1, round(records_per_second * self._beat))
        self._stopping = False
        self.attempted: list[bytes] = []
        self.acknowledged: list[bytes] = []
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._delivery.deliver(self._chunks(), {}, self._done, self._wait))

    async def stop(self, seconds_max: float) -> str:
        """Stop after the submission that is under way. "" or what went wrong."""
        self._stopping = True
        assert self._task is not None
        try:
            async with asyncio.timeout(seconds_max):
                await self._task
        except TimeoutError:
            return f"the sender of {self.feed} is stuck: {self.waiting}"
        except TolqynError as error:
            return f"the sender of {self.feed} gave up: {error}"
        total = self._delivery.total
        rubbish = sum(_is_rubbish(line) for line in self.acknowledged)
        if total.rejected != rubbish or total.retry or total.received != len(self.acknowledged):
            return f"the sender of {self.feed}: {total.rejected} rejected of which {rubbish} are rubbish, {total.items[:3]}"
        return ""

    def _chunks(self) -> Iterator[Chunk]:
        """Called in a thread, one ahead."""
        first = 0
        while not self._stopping:
            time.sleep(self._beat)
            lines = self._agency.lines(self._count)
            self.attempted += lines
            yield Chunk(NDJSON, first, list(lines), first)
            first += len(lines)

    def _done(self, chunk: Chunk) -> None:
        self.waiting = ""
        self.acknowledged += [record for record in chunk.records if isinstance(record, bytes)]

    def _wait(self, reason: str) -> None:
        self.waiting = reason


def _is_rubbish(line: bytes) -> bool:
    return line in RUBBISH


def sent(feed: str, lines: list[bytes]) -> "Counter[Sent]":
    """What these lines say, as it must stand in the log; without rubbish."""
    found: Counter[Sent] = Counter()
    for line in lines:
        if not _is_rubbish(line):
            body = {"version": UNNUMBERED, **json.loads(line)}
            read = read_body(feed, body)
            assert read is not None, f"the traffic of {feed} is no good: {line!r}"
            found[feed, f"{AGENCY}/{body['record_id']}".encode(), impersonal(feed, read)] += 1
    return found


async def stop_all(senders: list[Sender], seconds_max: float) -> list[str]:
    """What went wrong."""
    return [text for text in await asyncio.gather(*(sender.stop(seconds_max) for sender in senders)) if text]
