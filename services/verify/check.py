"""The whole check: the log at the published cut, counted again, against PostgreSQL and `indicators.v1`."""

import asyncio
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from services.shared.runtime.errors import Failure
from services.shared.runtime.kafka import read_to_end
from services.shared.runtime.replay import replay
from services.shared.runtime.settings import Settings
from services.shared.runtime.store import Snapshot, Standing, Store
from services.shared.statistics.ledger_set import Cut
from services.shared.statistics.records import Records, joined
from services.verify.compare import Attributes, Difference, Key, differences
from services.verify.raw import RawPartition
from services.verify.recount import TABLES, Figures, Recount

FILE_RECORDS_MIN = 200_000  # of one Parquet file: 60 MB of values in memory at once, of which two are under way
AGREE_SECONDS_MAX = 60.0  # PostgreSQL is a moment ahead of the topic after each publication; so long only if the publisher is down
AGREE_RETRY_SECONDS = 0.5
INDICATORS = "indicators.v1"

Say = Callable[[str], None]


class Verdict(NamedTuple):
    """`figures` were compared; the publication is right if there are no differences."""

    publication: int
    figures: int
    differences: list[Difference]


async def verify(settings: Settings, period: str | None, say: Say) -> Verdict:
    """Recompute the newest publication (if `period` is given, compare only that period); `say` is told of the progress.

    Raises Failure if nothing was published, or if the log is not the one that was published from.
    """
    snapshot, standing, on_topic = await _published(settings)
    say(f"publication {snapshot.publication}: {len(snapshot.observations):,} figures")
    settings.home.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="verify-", dir=settings.home) as folder:
        recomputed = await recompute(settings, standing, Path(folder), say)
    compared, found = differences(snapshot.observations, recomputed, on_topic, period)
    return Verdict(snapshot.publication, compared, found)


async def _published(settings: Settings) -> tuple[Snapshot, Standing, dict[Key, Attributes]]:
    """The newest publication in PostgreSQL, and what `indicators.v1` held at the same cut."""
    limit = time.monotonic() + AGREE_SECONDS_MAX
    async with Store.of(settings) as store:
        while True:
            snapshot, standing = await store.snapshot(), await store.standing()
            if snapshot is None or standing is None:
                raise Failure("nothing was published yet")
            if standing.cut == snapshot.cut:  # else somebody published in between
                held = _held_at(await read_to_end(settings, INDICATORS), snapshot.cut)
                if held is not None:
                    return snapshot, standing, held
            if time.monotonic() > limit:
                raise Failure(f"{INDICATORS} does not come to publication {standing.publication}: does the publisher run?")
            await asyncio.sleep(AGREE_RETRY_SECONDS)


def _held_at(records: list[Any], cut: Cut) -> dict[Key, Attributes] | None:
    """What the topic held when a mark of this cut came, or holds now if that is its last mark; None without such a mark."""
    held: dict[str, bytes] = {}
    at_mark: dict[str, bytes] | None = None
    level = False
    for record in records:
        if ("kind", b"mark") in record.headers:
            level = record.value is not None and json.loads(record.value)["cut"] == cut
            at_mark = dict(held) if level else at_mark
        elif record.value is None:
            held.pop(record.key.decode(), None)
        else:
            held[record.key.decode()] = record.value
    found = held if level else at_mark
    return None if found is None else {_key(name): json.loads(value) for name, value in found.items()}


def _key(name: str) -> Key:
    series, _, period = name.rpartition(":")
    return series, period


class _Behind:
    """Blocking work in another thread, one piece after the other, while the caller goes on to the next; one piece waits at most."""

    def __init__(self) -> None:
        self._last: asyncio.Future[None] | None = None

    async def do(self, work: Callable[..., None], *arguments: object) -> None:
        await self.finish()
        self._last = asyncio.ensure_future(asyncio.to_thread(work, *arguments))

    async def finish(self) -> None:
        last, self._last = self._last, None
        if last is not None:
            await last


async def recompute(settings: Settings, standing: Standing, folder: Path, say: Say) -> Figures:
    """Every figure at a cut, out of the raw log. `folder` must be empty; what is in it afterwards is of no use."""
    unknown = {name.partition("/")[0] for name in standing.cut} - TABLES.keys()
    if unknown:
        raise Failure(f"verify has no rules for {', '.join(sorted(unknown))}")
    recount, behind = Recount(folder), _Behind()
    try:
        for name, end in sorted(standing.cut.items()):
            feed, _, partition = name.partition("/")
            raw = RawPartition(feed, folder / name.replace("/", "-"))
            waiting: list[Records] = []
            async for records in replay(settings, f"events.{feed}.v1", int(partition), end):
                waiting.append(records)
                if sum(len(part.offsets) for part in waiting) >= FILE_RECORDS_MIN:
                    await behind.do(raw.add, joined(waiting))
                    waiting = []
            if waiting:
                await behind.do(raw.add, joined(waiting))
            await behind.do(_count, recount, raw, name, standing.identity.get(name, ""), say)
        await behind.finish()
        return await asyncio.to_thread(recount.figures)
    finally:
        await behind.finish()
        recount.close()


def _count(recount: Recount, raw: RawPartition, name: str, identity: str, say: Say) -> None:
    if raw.last_hash != identity:
        raise Failure(f"the log of {name} is not the one that was published from: another record stands before the cut")
    recount.count(raw.feed, raw.files, raw.newest_append)
    raw.discard()
    say(f"{name}: {raw.records:,} records")
