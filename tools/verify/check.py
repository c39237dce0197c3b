"""The whole check: the log at the published cut, counted again, against PostgreSQL and `indicators.v1`."""

import asyncio
import json
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

from services.shared.runtime.kafka.clients import read_to_end
from services.shared.runtime.kafka.replay import replay
from services.shared.runtime.postgres.release_store import ReleaseStore
from services.shared.runtime.postgres.store import Snapshot, Standing
from services.shared.runtime.process.errors import Failure
from services.shared.runtime.process.settings import Settings
from services.shared.statistics.exchange.ledger_set import Cut
from services.shared.statistics.exchange.records import Records, joined
from tools.verify.compare import Attributes, Difference, Key, differences
from tools.verify.inner import inner_cells, inner_differences
from tools.verify.raw import RawPartition
from tools.verify.recount import TABLES, Recount
from tools.verify.released import Told, expected, in_release, told

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

    Inner cells are compared with the release that has them: `verify_release` recomputes those. Raises Failure if nothing was
    published, or if the log is not the one that was published from.
    """
    snapshot, standing, by, on_topic = await _published(settings)
    say(f"publication {snapshot.publication}: {len(snapshot.observations):,} figures")
    async with _counted(settings, standing.cut, standing.identity, say) as recount:
        recomputed = await asyncio.to_thread(recount.figures)
    compared, found = differences(snapshot.observations, expected(recomputed, by), on_topic, period)
    return Verdict(snapshot.publication, compared, found)


async def verify_release(settings: Settings, name: str, say: Say) -> Verdict:
    """Recompute a public release at its own cut, inner cells too: what is shown must be right, what is hidden had to be.

    Raises Failure if there is no such release, or if the log is not the one that it was made from.
    """
    async with ReleaseStore.of(settings) as store:
        release = next((one for one in await store.releases() if one.name == name), None)
        if release is None:
            raise Failure(f"there is no release {name}: `tolqyn release list`")
        figures, cells = await store.release_figures(name)
        hidden_before = await store.hidden_before(name)
    say(f"release {name}, from publication {release.frozen_from}: {len(figures):,} figures")
    async with _counted(settings, release.cut, release.identity, say) as recount:
        recomputed = await asyncio.to_thread(recount.figures)
        inner = await asyncio.to_thread(inner_cells, recount, release.period, release.log_time)
    continuous = {key: o for key, o in figures.items() if key not in cells}
    compared, found = differences(continuous, in_release(recomputed, release), None, None)
    compared_inner, found_inner = inner_differences(inner, {key: figures[key] for key in cells}, hidden_before)
    return Verdict(release.publication, compared + compared_inner, [*found, *found_inner])


async def _published(settings: Settings) -> tuple[Snapshot, Standing, Told, dict[Key, Attributes]]:
    """The newest publication in PostgreSQL, the releases that count at it, and what `indicators.v1` held at it."""
    limit = time.monotonic() + AGREE_SECONDS_MAX
    async with ReleaseStore.of(settings) as store:
        while True:
            snapshot, by, standing = await store.snapshot(), await told(store), await store.standing()
            if snapshot is None or standing is None:
                raise Failure("nothing was published yet")
            if (standing.publication, standing.cut) == (snapshot.publication, snapshot.cut):  # else somebody published in between
                held = _held_at(await read_to_end(settings, INDICATORS), standing)
                if held is not None:
                    return snapshot, standing, by, held
            if time.monotonic() > limit:
                raise Failure(f"{INDICATORS} does not come to publication {standing.publication}: does the publisher run?")
            await asyncio.sleep(AGREE_RETRY_SECONDS)


def _held_at(records: list[Any], standing: Standing) -> dict[Key, Attributes] | None:
    """What the topic held when a mark of this publication and cut came, or holds now if that is its last mark; None without one."""
    held: dict[str, bytes] = {}
    at_mark: dict[str, bytes] | None = None
    level = False
    for record in records:
        if ("kind", b"mark") in record.headers:
            mark = json.loads(record.value or b"{}")
            level = (mark.get("publication"), mark.get("cut")) == (standing.publication, standing.cut)
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


@asynccontextmanager
async def _counted(settings: Settings, cut: Cut, identity: Mapping[str, str], say: Say) -> AsyncIterator[Recount]:
    """All that the raw log has up to a cut. `identity`: by component, the hash of the record before the cut."""
    unknown = {name.partition("/")[0] for name in cut} - TABLES.keys()
    if unknown:
        raise Failure(f"verify has no rules for {', '.join(sorted(unknown))}")
    settings.home.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="verify-", dir=settings.home) as place:
        folder = Path(place)
        recount, behind = Recount(folder), _Behind()
        try:
            for name, end in sorted(cut.items()):
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
                await behind.do(_count, recount, raw, name, identity.get(name, ""), say)
            await behind.finish()
            yield recount
        finally:
            await behind.finish()
            recount.close()


def _count(recount: Recount, raw: RawPartition, name: str, identity: str, say: Say) -> None:
    if raw.last_hash != identity:
        raise Failure(f"the log of {name} is not the one that was published from: another record stands before the cut")
    recount.count(raw.feed, raw.files, raw.log_time)
    raw.discard()
    say(f"{name}: {raw.records:,} records")
