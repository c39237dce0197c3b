"""What tests of the publisher share: the two stages before it, played by hand, and a publisher that runs."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

import psycopg

from services.indicator_publisher.publisher import INPUT_FOLD, Publisher, utc_now
from services.shared.runtime.kafka import clients as kafka
from services.shared.runtime.kafka.ledger import LedgerOwner, Position
from services.shared.runtime.postgres.store import Standing, Store
from services.shared.runtime.process.service import ServiceContext
from services.shared.runtime.process.settings import Settings
from services.shared.statistics.exchange.ledger_set import MARK_KIND
from services.shared.statistics.publication.sdmx_csv import to_csv

AGGREGATES, ESTIMATES, INDICATORS = "aggregates.quarterly.v1", "estimates.informality.v1", "indicators.v1"
QUALITY = "quality.v1"
SECONDS_MAX = 30.0  # a publication takes tens of milliseconds

Entries = dict[str, bytes]


def arrivals(**countries: int) -> Entries:
    """Aggregates of 2025-Q2."""
    return {
        f"arrivals|2025-Q2|{country}|transit": json.dumps(
            {"measure": "arrivals", "period": "2025-Q2", "citizenship": country, "purpose": "transit", "value": n}
        ).encode()
        for country, n in countries.items()
    }


SURVEY = {
    "indicator": "INFORMAL_SHARE", "method": "SURVEY", "period": "2025-Q2", "value": 34.0, "lower": 31.9, "upper": 36.2,
    "unit": "percent", "inputs": {}, "assumptions": [],
}  # fmt: skip


class Stages:
    """Plays the two stages before the publisher: writes whole cuts of aggregates and estimates."""

    def __init__(self, settings: Settings) -> None:
        self._owners = {topic: LedgerOwner(settings, topic, INPUT_FOLD) for topic in (AGGREGATES, ESTIMATES)}
        self._standing: dict[str, Entries] = {}

    async def start(self) -> None:
        for owner in self._owners.values():
            await owner.start(asyncio.Event())

    async def stop(self) -> None:
        for owner in self._owners.values():
            await owner.stop()

    async def write(self, topic: str, cut: int, entries: Entries, identity: str = "hash", log_time: int | None = None) -> None:
        """`log_time`: Unix milliseconds; by default long ago."""
        position = Position({"f/0": cut}, cut if log_time is None else log_time, {"f/0": f"{identity}{cut}"})
        old = self._standing.get(topic)
        if old is None:
            assert await self._owners[topic].own(0, entries, position) is None
        else:
            await self._owners[topic].write(0, {key: entries.get(key) for key in old.keys() | entries.keys()}, position)
        self._standing[topic] = entries

    async def cut(self, number: int, aggregates: Entries, estimates: Entries | None = None) -> None:
        await self.write(AGGREGATES, number, aggregates)
        await self.write(
            ESTIMATES, number, {"SURVEY|2025-Q2|INFORMAL_SHARE": json.dumps(SURVEY).encode()} if estimates is None else estimates
        )


@asynccontextmanager
async def publishing(settings: Settings, now: Callable[[], datetime] = utc_now) -> AsyncIterator[asyncio.Task[None]]:
    """A publisher that runs, and is stopped at the end."""
    context = ServiceContext("indicator-publisher", settings)
    task = asyncio.create_task(Publisher(context, now).run())
    try:
        yield task
        assert not task.done() or task.exception() is not None, "the publisher went home early"
    finally:
        context.stopping.set()
        if not task.done():
            await task


async def put_back(settings: Settings, behind: timedelta) -> None:
    """Put the database's clock back: whoever connects after the first time finds this `clock_timestamp` before PostgreSQL's own."""
    async with await psycopg.AsyncConnection.connect(settings.database(), autocommit=True) as connection:
        await connection.execute("create schema if not exists clocks")
        await connection.execute(
            "create or replace function clocks.clock_timestamp() returns timestamptz language sql as "
            f"$$ select pg_catalog.clock_timestamp() - interval '{behind.total_seconds():.6f} seconds' $$".encode()
        )
        name = connection.info.dbname
        await connection.execute(f'alter database "{name}" set search_path = clocks, pg_catalog, public'.encode())


async def until(holds: Callable[[], Awaitable[Any]], task: "asyncio.Task[None] | None" = None) -> Any:
    """Wait until something is there, and return it; fail with the publisher if it fails."""
    async with asyncio.timeout(SECONDS_MAX):
        while not (found := await holds()):
            if task is not None and task.done():
                task.result()
            await asyncio.sleep(0.02)
        return found


async def standing_at(settings: Settings, cut: int) -> Standing | None:
    async with Store.of(settings) as store:
        standing = await store.standing()
    return standing if standing is not None and standing.cut == {"f/0": cut} else None


async def exported(settings: Settings, as_of: int | datetime | None = None) -> str:
    async with Store.of(settings) as store:
        snapshot = await store.snapshot(as_of)
    return "" if snapshot is None else to_csv(snapshot.observations.values())


async def on_topic(settings: Settings) -> dict[str, float]:
    """The same as a simple consumer of the topic has it."""
    return {key: value["OBS_VALUE"] for key, value in (await held(settings, INDICATORS)).items()}


async def held(settings: Settings, topic: str) -> dict[str, Any]:
    """The newest value of each key."""
    entries: dict[str, Any] = {}
    for record in await kafka.read_to_end(settings, topic):
        if ("kind", MARK_KIND) in record.headers:
            continue
        if record.value is None:
            entries.pop(record.key.decode(), None)
        else:
            entries[record.key.decode()] = json.loads(record.value)
    return entries
