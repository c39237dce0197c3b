"""Releases as the publisher makes them: what is to be frozen or to go out now, and what a release consists of.

Two clocks, the publisher's and the database's, decide only when a release goes out, never what counts: what it holds is the
publication that it was frozen from.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import NamedTuple

from schemas.values import Entry
from services.shared.runtime.postgres.release_store import Freezing, Frozen, ReleaseStore, Request
from services.shared.runtime.postgres.store import Annex, Outcome, Publication, Snapshot, Standing, annex_of, bare
from services.shared.statistics.exchange.observation import DIMENSIONS, FINAL, TOTAL, Observation
from services.shared.statistics.publication import release
from services.shared.statistics.publication.release import Confidential, Dates, ReleaseCalendar, Released, Told
from services.shared.statistics.publication.revisions import SeriesRevisions, revision_table

# A release that could not be frozen in time (the publisher was away, or had no figures of the period) goes out late; after that
# long only when somebody asks for it: a stack that is filled with old figures must not release them all by itself.
LATE = timedelta(days=7)
CALENDAR = "calendar"  # key of the annex that tells readers what is due

Key = tuple[str, str]
Figures = dict[Key, Observation]
Cells = Callable[..., tuple[Figures, Confidential]]

log = logging.getLogger("tolqyn.publisher")


class Place(NamedTuple):
    """Where the publisher stands: what is published, and the aggregates of the same cut."""

    known: Snapshot
    standing: Standing
    aggregates: Mapping[str, Entry]


class Releases:
    """Freezes releases and makes them public. All calls one after the other: the store is a single connection."""

    def __init__(
        self,
        store: ReleaseStore,
        dates: ReleaseCalendar,
        units: Mapping[str, tuple[str, int]],
        cells: Cells,
        now: Callable[[], datetime],
    ) -> None:
        self._store, self._dates, self._units, self._cells, self._now = store, dates, units, cells, now
        self._released = Released()
        self._scheduled: tuple[datetime | None, set[tuple[str, bool]]] = None, set()
        self._periods: tuple[int, set[str]] = 0, set()  # of the figures of a publication

    async def load(self) -> None:
        """Read anew what is public and what was frozen."""
        self._released = await self._store.released()
        self._scheduled = await self._store.scheduled()

    def standing(self, computed: Mapping[Key, Observation]) -> Figures:
        """All that is to be published of what was computed."""
        return release.standing(computed, self._released)

    def annex(self, computed: Mapping[Key, Observation], known: Snapshot | None) -> Annex:
        """What a continuous publication says of releases: those that went out, and when the next ones of each quarter are due."""
        periods = sorted({period for _, period in computed if "-Q" in period})
        dates = {
            period: {kind: self._dates.instant(period, final).isoformat() for kind, final in release.KINDS.items()}
            for period in periods
        }
        annex: Annex = {("release", key): note for key, note in known.releases.items()} if known is not None else {}
        annex["release", CALENDAR] = Dates(periods=dates)
        return annex

    async def freeze(self, place: Place) -> None:
        """Freeze what was asked for and what the calendar wants now."""
        now = await self._passed()
        for request in (await self._store.waiting(now)).requests:
            if not self._has(place.known, request.period):
                await self._store.refuse(request.number, f"nothing has been published for {request.period}")
            elif not release.is_over(request.period, now):
                await self._store.refuse(request.number, f"{request.period} is not over yet")
            else:
                await self._freeze(place, request.period, request.final, max(request.due or now, now), request)
        first, scheduled = self._scheduled
        if first is None:
            first, scheduled = self._scheduled = await self._store.scheduled()
        ahead = timedelta(minutes=self._dates.freeze_minutes)
        for due in self._dates.between(max(first or now, now - LATE), now + ahead):
            if (due.period, due.final) not in scheduled and self._has(place.known, due.period):
                await self._freeze(place, due.period, due.final, due.instant, None)
                scheduled.add((due.period, due.final))

    async def _passed(self) -> datetime:
        """The instant that both clocks have passed, the publisher's and the database's: one that runs ahead ends no embargo."""
        return min(await self._store.clock(), self._now())

    def _has(self, known: Snapshot, period: str) -> bool:
        if self._periods[0] != known.publication:
            self._periods = known.publication, {period for _, period in known.observations}
        return period in self._periods[1]

    async def _freeze(self, place: Place, period: str, final: bool, due: datetime, request: Request | None) -> None:
        earlier = await self._store.confidential()
        inner, confidential = await asyncio.to_thread(self._cells, place.aggregates.values(), period, earlier, self._units)
        kept = self._released.inner
        published = {key: bare(o) for key, o in place.known.observations.items() if key not in kept}
        named = release.Named(period, final, 0)  # the store numbers it
        figures = release.frozen(published, inner, named)
        number = None if request is None else request.number
        new = Freezing(period, final, due, number, figures, {key: figures[key] for key in inner}, confidential, len(earlier))
        frozen = await self._store.freeze(new, place.standing, self._now())
        log.debug("frozen: %s", frozen)  # not at the level of a running service: it is under embargo

    async def publish(self, known: Snapshot, standing: Standing, told: Callable[[Annex], Annex]) -> Outcome | None:
        """Make the first of the frozen releases public whose instant has come; None if there is none.

        `told`: the annexes with what else a release changes in them.
        """
        now = await self._passed()  # once: if a clock is put back meanwhile, the release still goes out past its instant
        due = (await self._store.waiting(now)).due
        if not due:
            return None
        frozen = await self._store.frozen(due[0])
        after = self._with(frozen)
        kept = self._released.inner
        computed = {key: bare(o) for key, o in known.observations.items() if key not in kept}
        annex = told(await self._annex_with(frozen, known))
        new = Publication(release.standing(computed, after), annex, standing)
        outcome = await self._store.release(frozen, new, known, now)
        self._released = after
        log.info("released %s as publication %d", frozen.named, outcome.standing.publication)
        return outcome

    def _with(self, frozen: Frozen) -> Released:
        """What is released once this release is public too."""
        periods = release.periods_of(frozen.named.period)
        inner = {key: o for key, o in self._released.inner.items() if key[1] not in periods} | frozen.inner
        if not frozen.named.final:
            return self._released._replace(inner=inner)
        finals = {key: value for key, value in self._released.finals.items() if key[1] not in periods}
        new = {key: o.value for key, o in frozen.figures.items() if o.status == FINAL and key not in frozen.inner}
        return Released(inner, finals | new)

    async def _annex_with(self, frozen: Frozen, known: Snapshot) -> Annex:
        """All annexes with those of a release that goes out: what it is, and how far it revises what went out before."""
        named = frozen.named
        told: Told = {
            "name": str(named),
            "title": named.title,
            "period": named.period,
            "final": named.final,
            "number": named.number,
            "due": frozen.due.isoformat(),
            "frozen_from": frozen.frozen_from,
            "publication": known.publication + 1,
            "figures": len(frozen.figures),
            "hidden": sum(o.value is None for o in frozen.figures.values()),
        }
        annex: Annex = {**annex_of(known), ("release", str(named)): told}
        totals = [o for o in frozen.figures.values() if _is_total(o.series)]
        before = await self._store.released_values([o.series for o in totals])
        for o in totals:
            rows = before.get(o.series, {})
            values = {**rows, o.period: [*rows.get(o.period, []), (str(named), o.value)]}
            table = revision_table(values)
            annex["release", f"revisions|{o.series}"] = SeriesRevisions(series=o.series, unit=o.unit, **table)
        return annex


def _is_total(series: str) -> bool:
    dimensions = dict(zip(DIMENSIONS, series.split("."), strict=True))
    return {dimensions[name] for name in ("COUNTERPART_AREA", "PURPOSE", "CATEGORY")} == {TOTAL}
