"""What was published before, read from the store when a query asks for it."""

import asyncio
import re
from collections import OrderedDict
from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from services.dissemination.sdmx.query import Key
from services.shared.runtime.postgres.changes import Change, changes, taken_back
from services.shared.runtime.postgres.store import Published, Snapshot, Store
from services.shared.runtime.process.settings import Settings

READS_AT_ONCE_MAX = 2  # each may take a whole publication into memory, some hundred megabytes at full size
SNAPSHOTS_KEPT_MAX = 2  # what a publication said never changes: who asks again, for another format, does not read it again


class Archive(Protocol):
    """Reads of what was published; all raise Unavailable while the database does not answer."""

    async def at(self, moment: datetime) -> Snapshot | None:
        """What was published at a moment; None if nothing was yet."""

    async def changes(self, keys: Sequence[Key], after: datetime | None, publication: int, count: int) -> Sequence[Change]:
        """Changes of the keys' series, as `services.shared.runtime.postgres.changes.changes` gives them."""

    async def taken_back(self, keys: Sequence[Key], after: datetime, publication: int) -> Sequence[Published]:
        """What ceased to be published, as `services.shared.runtime.postgres.changes.taken_back` gives it."""


def series_pattern(keys: Sequence[Key]) -> str:
    """A pattern, for PostgreSQL and Python alike, that matches the series of any of the keys."""
    one_of = (r"\.".join("[^.]+" if code is None else re.escape(code) for code in key) for key in keys)
    return f"^({'|'.join(one_of)})$"


class StoreArchive:
    """An Archive in PostgreSQL."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._reads = asyncio.Semaphore(READS_AT_ONCE_MAX)
        self._kept: OrderedDict[tuple[int, datetime], Snapshot] = OrderedDict()

    async def at(self, moment: datetime) -> Snapshot | None:
        async with self._reads, Store.of(self._settings) as store:
            found = await store.publication_at(moment)
            if found is None:
                return None
            number, published_at, _ = found
            # The time keeps apart two databases that count alike.
            snapshot = self._kept.get((number, published_at)) or await store.snapshot(number)
            assert snapshot is not None, "a publication is never taken back"
            self._kept[number, published_at] = snapshot
            self._kept.move_to_end((number, published_at))
            while len(self._kept) > SNAPSHOTS_KEPT_MAX:
                self._kept.popitem(last=False)
            return snapshot

    async def changes(self, keys: Sequence[Key], after: datetime | None, publication: int, count: int) -> Sequence[Change]:
        async with self._reads, Store.of(self._settings) as store:
            return await changes(store, series_pattern(keys), after, publication, count)

    async def taken_back(self, keys: Sequence[Key], after: datetime, publication: int) -> Sequence[Published]:
        async with self._reads, Store.of(self._settings) as store:
            return await taken_back(store, series_pattern(keys), after, publication)
