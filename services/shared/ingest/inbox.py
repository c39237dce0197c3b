"""Ingest by file: contract section 3. Watches `inbox/*/<feed>/` and takes each file whose manifest is there, once and whole.

Files of one folder are taken one after the other, in the order in which their manifests came. What lies there is looked at again
only when its folder changes, or once in `LIST_SECONDS_MAX`.
"""

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from schemas.feeds import FEEDS
from services.shared.ingest.edge import Edge
from services.shared.ingest.inbox_folder import Folder, opened
from services.shared.ingest.manifest import FileRefused
from services.shared.ingest.outbox import Outbox
from services.shared.ingest.take import InboxFile, Taker, refused
from services.shared.runtime.kafka.producer import EventProducer
from services.shared.runtime.process import metrics
from services.shared.runtime.process.api_keys import AGENCY
from services.shared.runtime.process.errors import Unavailable

POLL_SECONDS = 1.0  # a file waits no longer than a person would notice; a look at a dozen folders takes less than a millisecond
LIST_SECONDS_MAX = 30.0  # a file that is written over in its place changes no folder: it is seen at this interval
SETTLE_SECONDS = 3.0  # what is wrong may still be on its way: it is refused when it has lain so long without a change
AGAIN_SECONDS = 10.0  # between tries of a folder that cannot be read or written

log = logging.getLogger("tolqyn.inbox")


@dataclass
class _Watched:
    """A folder of the inbox, as it was when last listed. `waiting`: what has to be looked at, by NAME; `done`: what was."""

    modified: int = -1
    listed: float = 0.0
    again: bool = False
    not_before: float = 0.0
    waiting: dict[str, str] = field(default_factory=dict)
    done: dict[str, str] = field(default_factory=dict)
    since: dict[str, tuple[str, float]] = field(default_factory=dict)  # how long NAME has lain there as it does

    def due(self, modified: int, now: float) -> bool:
        """Whether to list it. Twice after a change: what comes within one tick of the disk's clock leaves the time as it was."""
        again, self.again = self.again, modified != self.modified
        self.modified = modified
        return self.again or again or bool(self.waiting) or now > self.listed + LIST_SECONDS_MAX

    def note(self, seen: dict[str, str], now: float) -> None:
        self.listed = now
        self.done = {name: at for name, at in self.done.items() if name in seen}
        self.waiting = {name: at for name, at in seen.items() if self.done.get(name) != at}
        since = self.since
        self.since = {n: since[n] if n in since and since[n][0] == at else (at, now) for n, at in self.waiting.items()}


class Inbox:
    """The files of one feed, and those of feeds that nobody has: they are refused by whoever sees them first."""

    def __init__(
        self,
        folders: tuple[Path, Path],
        edge: Edge,
        producer: EventProducer,
        partitions: int,
        ready: Callable[[], bool],
        stopping: asyncio.Event,
    ) -> None:
        self._inbox, self._outbox = folders
        self._feed, self._stopping = edge.feed.name, stopping
        self._taker = Taker(edge, producer, partitions, ready, stopping)
        self._watched: dict[tuple[str, str], _Watched] = {}
        self._closed: set[Path] = set()  # folders that could not be read when last looked at
        metrics.INBOX_WAITING.labels(self._feed).set_function(lambda: sum(len(some.waiting) for some in self._watched.values()))

    async def watch(self) -> None:
        """Take what comes until the service stops."""
        while not self._stopping.is_set():
            await self.look()
            with contextlib.suppress(Unavailable):
                await self._taker.pause(POLL_SECONDS)

    async def look(self) -> None:
        """Take all that lies there now."""
        for agency, feed in await asyncio.to_thread(self._look_around):
            await self._folder(agency, feed)

    def _look_around(self) -> list[tuple[str, str]]:
        """List the folders that changed; returns those in which something waits."""
        now, found = time.monotonic(), {}
        for agency in self._folders(self._inbox):
            for feed in self._folders(self._inbox / agency):
                if feed == self._feed or feed not in FEEDS:
                    found[agency, feed] = watched = self._watched.get((agency, feed), _Watched())
                    if now >= watched.not_before:
                        self._list(agency, feed, watched, now)
        self._watched = found
        return sorted(place for place, watched in found.items() if watched.waiting and now >= watched.not_before)

    def _folders(self, above: Path) -> list[str]:
        """The folders in a folder, links too: `opened` says no to them. None if there is no such folder."""
        try:
            with os.scandir(above) as entries:
                names = [some.name for some in entries if some.is_dir(follow_symlinks=False) or some.is_symlink()]
        except FileNotFoundError:
            return []
        except OSError as error:
            if above not in self._closed:
                log.warning("the inbox cannot be read: %a: %s", str(above), error.strerror)
            self._closed.add(above)
            metrics.INBOX_FAILURES.labels(self._feed).inc()
            return []
        self._closed.discard(above)
        return [name for name in names if not name.startswith(".")]

    def _list(self, agency: str, feed: str, watched: _Watched, now: float) -> None:
        try:
            modified = (self._inbox / agency / feed).stat(follow_symlinks=False).st_mtime_ns
            if watched.due(modified, now):
                with opened(self._inbox, agency, feed) as folder:
                    watched.note(folder.seen(), now)
        except FileNotFoundError:
            return
        except OSError as error:
            self._later(agency, feed, watched, f"the inbox cannot be read: {error.strerror}")

    def _later(self, agency: str, feed: str, watched: _Watched, reason: str) -> None:
        log.warning("%a/%a: %s", agency, feed, reason)
        metrics.INBOX_FAILURES.labels(self._feed).inc()
        watched.not_before = time.monotonic() + AGAIN_SECONDS

    async def _folder(self, agency: str, feed: str) -> None:
        """Take what waits in one folder, unless another process does."""
        watched, outbox = self._watched[agency, feed], Outbox(self._outbox / agency / feed)
        try:
            if not await asyncio.to_thread(outbox.lock):
                return
            with opened(self._inbox, agency, feed) as folder:
                for name, seen in list(watched.waiting.items()):
                    if await self._file(agency, feed, name, seen, folder, outbox):
                        watched.done[name] = seen
                        del watched.waiting[name]
        except (OSError, Unavailable) as error:
            if not self._stopping.is_set():
                self._later(agency, feed, watched, str(error))
        finally:
            outbox.unlock()

    async def _file(self, agency: str, feed: str, name: str, seen: str, folder: Folder, outbox: Outbox) -> bool:
        """Take or refuse one file; whether it is done with. It is not while what is wrong with it may still be on its way."""
        receipt = await asyncio.to_thread(outbox.receipt, name)
        beside = await asyncio.to_thread(outbox.refusal, name)
        if any(said is not None and said.get("seen") == seen for said in (receipt, beside)):
            return True
        taken = receipt if receipt is not None and "refused" not in receipt else None
        try:
            if feed not in FEEDS:
                raise FileRefused("there is no feed of this name")
            if not AGENCY.fullmatch(agency):
                raise FileRefused("an agency is named by 1 to 32 of a-z, 0-9 and -")
            manifest = folder.manifest(name)
            if taken is None:
                with folder.open(manifest.file) as file:
                    await self._taker.take(InboxFile(agency, name, file, manifest), outbox)
                metrics.INBOX_FILES.labels(self._feed, "taken").inc()
                log.info("took %a of %a", name, agency)
            elif taken["sha256"] != manifest.sha256:
                raise FileRefused(
                    f"under this name the file with the sha256 {taken['sha256']} was taken: give this one another name"
                )
        except FileRefused as refusal:
            at, since = self._watched[agency, feed].since[name]
            if at == seen and time.monotonic() < since + SETTLE_SECONDS:
                return False
            progress = await self._taker.patiently(partial(outbox.progress, name)) if taken is None else None
            body = refused(str(refusal), seen, progress)
            await self._taker.patiently(partial(outbox.answer_refusal, name, body, taken is not None))
            metrics.INBOX_FILES.labels(self._feed, "refused").inc()
            log.warning("refused %a of %a: %s", name, agency, refusal)
        return True
