"""The sink: one cut becomes one publication, in PostgreSQL first and then on `indicators.v1` and `quality.v1`.

PostgreSQL is the truth of what was published. A kill between its transaction and the topics is mended at the next start, when the
topics are made equal to the database.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, cast

import orjson

from schemas.indicators import units
from schemas.values import Entry, Estimate, KeptFigure, is_reference
from services.indicator_publisher.alignment import Aligned, Alignment
from services.indicator_publisher.outlets import Outlets
from services.indicator_publisher.qualities import Qualities
from services.indicator_publisher.releases import Place, Releases
from services.shared.runtime.kafka.ledger import LedgerFollower, rest_after
from services.shared.runtime.postgres.release_store import ReleaseStore
from services.shared.runtime.postgres.store import Annex, Outcome, Publication, Snapshot, Standing
from services.shared.runtime.process import metrics
from services.shared.runtime.process.clock_skew import SKEW_SECONDS_MAX, printed
from services.shared.runtime.process.errors import ConfigurationError, Unavailable
from services.shared.runtime.process.release_dates import release_calendar
from services.shared.runtime.process.service import ServiceContext
from services.shared.statistics.exchange.ledger_set import Changes, Cut, is_behind
from services.shared.statistics.publication.indicators import observations
from services.shared.statistics.publication.inner_cells import release_cells

FOLD = 1  # version of the indicators' formulas
INPUT_FOLD = 3  # version of aggregates and estimates that they understand
AGGREGATES, ESTIMATES = "aggregates.quarterly.v1", "estimates.informality.v1"
DATABASE_RETRY_SECONDS = 1.0  # while the database is away
CLOCKS_LOOK_SECONDS = 1.0  # whether clocks agree again, while a publication is held back: nobody waits longer for it than for a cut
RELEASE_LOOK_SECONDS = 0.5  # whether a release is asked for or due: it goes out so long after its instant at the most

log = logging.getLogger("tolqyn.publisher")


def utc_now() -> datetime:
    return datetime.now(UTC)


class Publisher:
    """Publishes until the service stops. `now`: the clock that says when releases go out."""

    def __init__(self, context: ServiceContext, now: Callable[[], datetime] = utc_now) -> None:
        self._context = context
        self._units = units()
        self._alignment = Alignment(AGGREGATES, ESTIMATES)
        self._aggregates: dict[str, Entry] = {}
        self._estimates: dict[str, Estimate] = {}
        self._follower = LedgerFollower(context.settings, [AGGREGATES, ESTIMATES], INPUT_FOLD)
        self._outlets = Outlets(context.settings, FOLD)
        self._qualities = Qualities(self._units)
        self._now = now
        self._store = ReleaseStore.of(context.settings)
        self._releases = Releases(self._store, release_calendar(context.settings), self._units, release_cells, now)
        self._known: Snapshot | None = None
        self._standing: Standing | None = None  # of what is published
        self._cut: Cut | None = None  # of the aggregates that are held
        self._turn = asyncio.Lock()  # cuts and releases, one after the other: there is one connection, and one `known`

    async def run(self) -> None:
        stopping = self._context.stopping
        await self._outlets.start(stopping)
        await self._follower.start(stopping)
        tasks: list[asyncio.Future[None]] = []
        try:
            await self._connect()
            tasks += [asyncio.ensure_future(one) for one in (self._work(), self._release(), self._outlets.keep_repaired(stopping))]
            # Whichever ends first: because the service stops, or because it failed.
            for done in (await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED))[0]:
                done.result()
            await asyncio.gather(*tasks[:2])
        finally:
            for task in tasks:
                task.cancel()
            await self._follower.stop()
            await self._outlets.stop()
            await self._store.__aexit__(None, None, None)

    async def _work(self) -> None:
        """Publish what the ledgers bring, cut by cut."""
        async for adoptions in self._follower.adoptions(self._context.stopping):
            for adoption in adoptions:
                self._alignment.adopt(adoption)
            aligned = self._alignment.give()
            if aligned is not None:
                await self._agree(aligned.mark.log_time)
                started = time.monotonic()
                async with self._turn:
                    published = await self._publish(aligned)
                if published:
                    took = time.monotonic() - started
                    metrics.STAGE_CUTS.labels("indicator-publisher").inc()
                    metrics.STAGE_SECONDS.labels("indicator-publisher").observe(took)
                    await asyncio.sleep(rest_after(took))

    async def _agree(self, log_time: int) -> None:
        """Wait while the log's time (Unix milliseconds) is too far ahead of the publisher's clock or of the database's.

        One of them is wrong then, and what is published cannot be taken back. Releases that are frozen still go out.
        """
        held = False
        while (clock := await self._earlier_clock()) is not None:
            ahead = log_time / 1000 - clock.timestamp()
            if ahead <= SKEW_SECONDS_MAX:
                break
            if not held:
                said = printed(log_time / 1000), printed(clock.timestamp()), ahead
                log.warning("the log's time is %s, the publisher's or the database's clock says %s, %.0f s less: held back", *said)
            held = True
            metrics.PUBLICATION_LOG_AHEAD.set(ahead)
            self._context.set_not_ready("the log's time is too far ahead of the publisher's clock or the database's")
            await asyncio.sleep(CLOCKS_LOOK_SECONDS)
        if held and clock is not None:
            log.info("the clocks agree with the log's time again: publishing goes on")
            metrics.PUBLICATION_LOG_AHEAD.set(0)
            self._context.set_ready()

    async def _earlier_clock(self) -> datetime | None:
        """Of the publisher's clock and the database's the one that says less; waits for the database. None: the service stops."""
        async with self._turn:
            while not self._context.stopping.is_set():
                try:
                    return min(await self._store.clock(), self._now())
                except Unavailable as error:
                    log.warning("%s", error)
                    await self._connect()
        return None

    async def _release(self) -> None:
        """Freeze releases and make them public, as the calendar wants it and as operators ask."""
        while not self._context.stopping.is_set():
            async with self._turn:
                try:
                    await self._releases_now()
                except Unavailable as error:
                    log.warning("%s", error)
                    await self._connect()
            await asyncio.sleep(RELEASE_LOOK_SECONDS)

    async def _releases_now(self) -> None:
        if self._known is None or self._standing is None:
            return
        if self._cut == self._standing.cut:  # else it catches up with what is published: inner cells would be of another cut
            await self._releases.freeze(Place(self._known, self._standing, self._aggregates))
        while (outcome := await self._releases.publish(self._known, self._standing, self._told)) is not None:
            await self._take(outcome)

    def _told(self, annex: Annex) -> Annex:
        """The annexes of a release with the quality reports that it changes; they stay while the cut held is not the published."""
        assert self._standing is not None
        return self._qualities.with_release(annex) if self._cut == self._standing.cut else annex

    async def _connect(self) -> None:
        """Reach the database, however long it is away, and make the topics equal to what it holds."""
        while not self._context.stopping.is_set():
            try:
                await self._store.__aexit__(None, None, None)
                await self._store.__aenter__()
                await self._store.create()
                self._known = await self._store.snapshot()
                await self._releases.load()
                standing = self._standing = await self._store.standing()
                if (standing.publication if standing else 0) == (self._known.publication if self._known else 0):
                    break
                log.info("another publisher published while the figures were read: reading them again")
            except Unavailable as error:
                self._context.set_not_ready(str(error))
                log.warning("%s", error)
                await asyncio.sleep(DATABASE_RETRY_SECONDS)
        else:
            return
        if standing is not None:
            assert self._known is not None
            await self._outlets.own(self._known, standing)
            self._show(standing)
        self._context.set_ready()

    async def _publish(self, aligned: Aligned) -> bool:
        """Bring what is published to a cut; False if it is there or ahead already, or the service stops."""
        _update(self._aggregates, aligned.aggregates)
        _update(self._estimates, aligned.estimates)
        self._qualities.note_changes([*aligned.aggregates, *aligned.estimates])
        found = await asyncio.to_thread(observations, self._aggregates, self._estimates.values(), self._units)
        mark = aligned.mark
        self._cut = mark.cut
        standing = Standing(0, self._now(), mark.cut, mark.log_time, mark.identity, FOLD)
        while not self._context.stopping.is_set():
            try:
                published = await self._store.standing()
                if published is not None:
                    self._refuse_another_log(standing, published)
                if published is not None and is_behind(mark.cut, published.cut):
                    return False  # the ledgers are catching up with what is published already
                releases = self._releases.annex(found, self._known)
                reports = await asyncio.to_thread(self._qualities.annex, self._aggregates, found, releases, mark.log_time)
                annex = self._annex() | releases | reports
                new = Publication(self._releases.standing(found), annex, standing)
                outcome = await self._store.publish(new, self._known, self._now())
                break
            except Unavailable as error:
                log.warning("%s", error)
                await self._connect()
        else:
            return False
        await self._take(outcome)
        return True

    async def _take(self, outcome: Outcome) -> None:
        """Hand on what was published."""
        self._known, self._standing = outcome.snapshot, outcome.standing
        await self._outlets.write(outcome)
        metrics.PUBLICATION_CHANGES.inc(len(outcome.changes))
        self._show(outcome.standing)

    def _refuse_another_log(self, new: Standing, published: Standing) -> None:
        """At the same offset there must be the same record before the cut, or it is not the log that was published from."""
        for name, offset in published.cut.items():
            if new.cut.get(name) == offset and new.identity.get(name) != published.identity.get(name):
                raise ConfigurationError(f"the log of {name} is not the one that was published from")

    def _annex(self) -> Annex:
        annex: Annex = {("estimate", key): body for key, body in self._estimates.items()}
        for entry in self._aggregates.values():
            if is_reference(entry):
                annex["reference", entry["key"]] = cast(KeptFigure, {k: v for k, v in entry.items() if k != "measure"})
        return annex

    def _show(self, standing: Standing) -> None:
        metrics.PUBLICATION.set(standing.publication)
        metrics.PUBLICATION_TIME.set(standing.published_at.timestamp())
        metrics.PUBLICATION_LOG_TIME.set(standing.log_time / 1000)


def _update(entries: dict[str, Any], changes: Changes) -> None:
    for key, value in changes.items():
        if value is None:
            entries.pop(key, None)
        else:
            entries[key] = orjson.loads(value)
