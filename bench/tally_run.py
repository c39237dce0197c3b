"""Tally as a contestant: the product's own service process, started as the local stack starts it, judged by its day sheets."""

import asyncio
import json
import os
import time
from collections import Counter
from datetime import datetime
from pathlib import Path

from aiokafka import ConsumerRecord
from aiokafka.admin import AIOKafkaAdminClient

from bench.contest import Contestant, Told
from bench.oracle import Counts
from bench.topic import FEED
from services.shared.runtime.kafka.topics import ensure_topics
from services.shared.runtime.process.errors import Unavailable
from services.shared.runtime.process.settings import Settings
from services.shared.statistics.exchange.ledger_set import MARK_KIND, Mark
from services.shared.statistics.folding.sheet import decode
from tools.stack import processes
from tools.stack.embedded.ports import free_port

SHEETS = f"tallies.{FEED}.v1"
DELETE_SECONDS_MAX = 20.0  # takes a tenth of one
POLL_SECONDS = 0.05
_STARTED = f"{FEED}: folding partitions"


def contestant(settings: Settings, home: Path, count: int) -> Contestant:
    """Tally with an empty home on the topics of these settings."""
    service = next(s for s in processes.SERVICES if s.env.get("TOLQYN_FEED") == FEED)
    own = Settings.from_env(
        {"TOLQYN_HOME": str(home), "TOLQYN_PREFIX": settings.prefix, "KAFKA_BOOTSTRAP_SERVERS": settings.broker()}
    )
    program = processes.service_program(service, own, free_port())
    return Contestant(program.command, os.environ | program.env, _told, lambda: Sheets(f"{FEED}/", count), tells_records=False)


def _told(line: str) -> Told | None:
    """Tally's clock starts when it has been given its partitions, before its first fetch: a little early, against it."""
    if _STARTED not in line:
        return None
    return Told(datetime.fromisoformat(json.loads(line)["time"]).timestamp(), 0)


class Sheets:
    """The tallies topic: the newest sheet of every partition and day, once the marks say that all `count` records are in."""

    def __init__(self, component: str, count: int) -> None:
        self._component, self._count = component, count
        self._sheets: dict[tuple[int, bytes], bytes | None] = {}
        self._folded: dict[int, int] = {}

    def take(self, record: ConsumerRecord) -> None:
        if dict(record.headers).get("kind") == MARK_KIND:
            self._folded[record.partition] = Mark.from_bytes(record.value).cut[f"{self._component}{record.partition}"]
        else:
            self._sheets[record.partition, record.key] = record.value

    def counts(self) -> Counts:
        if sum(self._folded.values()) < self._count:
            return {}
        sums: Counter[str] = Counter()
        for value in self._sheets.values():
            if value is not None:
                sheet = decode(value)
                sums.update({f"{sheet.day}|{cell}": n for cell, n in sheet.counts.items()})
        return dict(sums)


def empty_ledger(settings: Settings) -> str:
    """Make the tallies topic anew, so that a run finds nothing of the one before; its name on the cluster."""
    asyncio.run(_empty(settings))
    return settings.topic(SHEETS)


async def _empty(settings: Settings) -> None:
    name = settings.topic(SHEETS)
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.broker())
    await admin.start()
    try:
        await admin.delete_topics([name])
        limit = time.monotonic() + DELETE_SECONDS_MAX
        while any(topic["error_code"] == 0 for topic in await admin.describe_topics([name])):
            if time.monotonic() > limit:
                raise Unavailable(f"{name} is still there after {DELETE_SECONDS_MAX:.0f} s")
            await asyncio.sleep(POLL_SECONDS)
    finally:
        await admin.close()
    await ensure_topics(settings)
