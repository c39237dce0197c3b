"""The sink: one cut becomes one publication, in PostgreSQL first and then on `indicators.v1`.

PostgreSQL is the truth of what was published. A kill between its transaction and the topic is mended at the next start, when the
topic is made equal to the database.
"""

import asyncio
import logging
import time
from datetime import UTC, datetime
from typing import Any

import orjson

from schemas.indicators import units
from services.indicator_publisher.alignment import Aligned, Alignment
from services.shared.runtime import metrics
from services.shared.runtime.errors import ConfigurationError, Unavailable
from services.shared.runtime.ledger import LedgerFollower, LedgerOwner, Position, rest_after
from services.shared.runtime.service import ServiceContext
from services.shared.runtime.store import Annex, Outcome, Publication, Published, Snapshot, Standing, Store
from services.shared.statistics.indicators import observations
from services.shared.statistics.ledger_set import Changes, is_behind

FOLD = 1  # version of the indicators' formulas
INPUT_FOLD = 1  # version of aggregates and estimates that they understand
AGGREGATES, ESTIMATES, INDICATORS = "aggregates.quarterly.v1", "estimates.informality.v1", "indicators.v1"
DATABASE_RETRY_SECONDS = 1.0  # while the database is away

log = logging.getLogger("tolqyn.publisher")


class Publisher:
    """Publishes until the service stops."""

    def __init__(self, context: ServiceContext) -> None:
        self._context = context
        self._units = units()
        self._alignment = Alignment(AGGREGATES, ESTIMATES)
        self._aggregates: dict[str, dict[str, Any]] = {}
        self._estimates: dict[str, dict[str, Any]] = {}
        self._follower = LedgerFollower(context.settings, [AGGREGATES, ESTIMATES], INPUT_FOLD)
        self._ledger = LedgerOwner(context.settings, INDICATORS, FOLD)
        self._store = Store.of(context.settings)
        self._known: Snapshot | None = None
        self._owned = False

    async def run(self) -> None:
        stopping = self._context.stopping
        await self._ledger.start(stopping)
        await self._follower.start(stopping)
        keeper = asyncio.ensure_future(self._ledger.keep_right(stopping))
        work = asyncio.ensure_future(self._work())
        try:
            # Whichever ends first: the work because the service stops, either of them because it failed.
            for done in (await asyncio.wait({work, keeper}, return_when=asyncio.FIRST_COMPLETED))[0]:
                done.result()
            await work
        finally:
            keeper.cancel()
            work.cancel()
            await self._follower.stop()
            await self._ledger.stop()
            await self._store.__aexit__(None, None, None)

    async def _work(self) -> None:
        """Publish what the ledgers bring, cut by cut."""
        await self._connect()
        async for adoptions in self._follower.adoptions(self._context.stopping):
            for adoption in adoptions:
                self._alignment.take(adoption)
            aligned = self._alignment.give()
            if aligned is not None:
                await self._publish(aligned)

    async def _connect(self) -> None:
        """Reach the database, however long it is away, and make the topic equal to what it holds."""
        while not self._context.stopping.is_set():
            try:
                await self._store.__aexit__(None, None, None)
                await self._store.__aenter__()
                await self._store.create()
                self._known = await self._store.snapshot()
                standing = await self._store.standing()
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
            await self._own(standing)
            self._show(standing)
        self._context.set_ready()

    async def _publish(self, aligned: Aligned) -> None:
        started = time.monotonic()
        _update(self._aggregates, aligned.aggregates)
        _update(self._estimates, aligned.estimates)
        found = await asyncio.to_thread(observations, self._aggregates, self._estimates.values(), self._units)
        mark = aligned.mark
        standing = Standing(0, datetime.now(UTC), mark.cut, mark.log_time, mark.identity, FOLD)
        while not self._context.stopping.is_set():
            try:
                published = await self._store.standing()
                if published is not None:
                    self._refuse_another_log(standing, published)
                if published is not None and is_behind(mark.cut, published.cut):
                    return  # the ledgers are catching up with what is published already
                new = Publication(found, self._annex(), standing)
                outcome = await self._store.publish(new, self._known, datetime.now(UTC))
                break
            except Unavailable as error:
                log.warning("%s", error)
                await self._connect()
        else:
            return
        self._known = outcome.snapshot
        await self._write(outcome)
        metrics.STAGE_CUTS.labels("indicator-publisher").inc()
        took = time.monotonic() - started
        metrics.STAGE_SECONDS.labels("indicator-publisher").observe(took)
        await asyncio.sleep(rest_after(took))

    async def _own(self, standing: Standing) -> None:
        """Make `indicators.v1` equal to the database; not while it is ahead of it (the database is new, or came from a backup)."""
        assert self._known is not None
        entries = {f"{o.series}:{o.period}": _value(o) for o in self._known.observations.values()}
        self._owned = await self._ledger.own(0, entries, _position(standing)) is None

    async def _write(self, outcome: Outcome) -> None:
        """Bring `indicators.v1` to the new publication."""
        now = outcome.standing
        if self._owned:
            changes: Changes = {f"{s}:{p}": None if o is None else _value(o) for (s, p), o in outcome.changes.items()}
            await self._ledger.write(0, changes, _position(now))
        else:
            await self._own(now)
        metrics.PUBLICATION_CHANGES.inc(len(outcome.changes))
        self._show(now)

    def _refuse_another_log(self, new: Standing, published: Standing) -> None:
        """At the same offset there must be the same record before the cut, or it is not the log that was published from."""
        for name, offset in published.cut.items():
            if new.cut.get(name) == offset and new.identity.get(name) != published.identity.get(name):
                raise ConfigurationError(f"the log of {name} is not the one that was published from")

    def _annex(self) -> Annex:
        annex: Annex = {("estimate", key): body for key, body in self._estimates.items()}
        for entry in self._aggregates.values():
            if entry["measure"] == "reference":
                annex["reference", entry["key"]] = {k: v for k, v in entry.items() if k != "measure"}
        return annex

    def _show(self, standing: Standing) -> None:
        metrics.PUBLICATION.set(standing.publication)
        metrics.PUBLICATION_TIME.set(standing.published_at.timestamp())
        metrics.PUBLICATION_LOG_TIME.set(standing.log_time / 1000)


def _update(entries: dict[str, dict[str, Any]], changes: Changes) -> None:
    for key, value in changes.items():
        if value is None:
            entries.pop(key, None)
        else:
            entries[key] = orjson.loads(value)


def _position(standing: Standing) -> Position:
    return Position(standing.cut, standing.log_time, standing.identity, standing.publication)


def _value(o: Published) -> bytes:
    """One observation as `indicators.v1` carries it."""
    return orjson.dumps(
        {
            "OBS_VALUE": o.value,
            "LOWER": o.lower,
            "UPPER": o.upper,
            "UNIT_MEASURE": o.unit,
            "DECIMALS": o.decimals,
            "OBS_STATUS": o.status,
            "CONF_STATUS": o.confidentiality,
            "AS_OF": o.as_of,
            "PUBLISHED_AT": o.published_at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        }
    )
