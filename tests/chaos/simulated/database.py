"""What PostgreSQL keeps, without SQL: goes away now and then, before or after it has done what was asked.

Holds every publication and every frozen release against the oracle, and asks for releases as an operator would.
"""

import asyncio
import random
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import orjson

from services.shared.runtime.postgres.release_store import Freezing, Frozen, Request, Waiting
from services.shared.runtime.postgres.store import Outcome, Publication, Published, Snapshot, Standing
from services.shared.runtime.process.errors import Failure, Unavailable
from services.shared.statistics.exchange.ledger_set import Cut, Mark, is_behind
from services.shared.statistics.exchange.observation import Observation
from services.shared.statistics.publication.inner_cells import release_cells
from services.shared.statistics.publication.quality import HEADLINE_SERIES
from services.shared.statistics.publication.release import Confidential, Named, Released
from tests.chaos.simulated.clients import Luck
from tests.chaos.simulated.oracle import UNITS, Oracle

EMBARGO_SECONDS_MAX = 3  # of a release that somebody asks for
CLOCK_BEHIND_SECONDS_MAX = 2  # holds an embargo that long; a run comes to rest in not much more
CLOCK_AHEAD_SECONDS_MAX = 3600  # ends none
Figures = dict[tuple[str, str], Observation]
Said = dict[str, tuple[Any, ...]]


class Wrong(Exception):
    """The engine broke a promise."""


class _Kept(NamedTuple):
    frozen: Frozen
    confidential: Confidential


class MemoryStore:
    """In place of the ReleaseStore of all publishers of a run."""

    def __init__(self, luck: Luck, oracle: Oracle, rng: random.Random, now: Callable[[], datetime]) -> None:
        self._luck, self._oracle, self._rng, self._now = luck, oracle, rng, now
        self._ahead = timedelta(seconds=rng.uniform(-CLOCK_BEHIND_SECONDS_MAX, CLOCK_AHEAD_SECONDS_MAX))
        self._said: list[tuple[int, Cut, Said]] = []  # every set that was ever published, of databases that were lost too
        self.wipe()

    def wipe(self) -> None:
        self._standing: Standing | None = None
        self._snapshot: Snapshot | None = None
        self._requests: dict[int, Request] = {}  # that nobody has answered
        self._asked = 0
        self._kept: list[_Kept] = []  # in the order in which they were frozen
        self._public: list[str] = []  # names, in the order in which they went out

    async def __aenter__(self) -> "MemoryStore":
        await self._reach()
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.sleep(0)

    async def _reach(self) -> None:
        await asyncio.sleep(0.01)
        if self._luck.strikes("database_away"):
            raise Unavailable("the database went away")

    async def create(self) -> None:
        await self._reach()

    async def clock(self) -> datetime:
        await self._reach()
        return self._now() + self._ahead

    async def standing(self) -> Standing | None:
        await self._reach()
        return self._standing

    async def snapshot(self) -> Snapshot | None:
        await self._reach()
        return self._snapshot

    def said(self, mark: Mark) -> list[Said]:
        """What a set on the topic may be that has this mark: value, limits and status by key."""
        return [said for publication, cut, said in self._said if (publication, cut) == (mark.publication, mark.cut)]

    async def publish(self, new: Publication, known: Snapshot | None, now: datetime) -> Outcome:
        await self._reach()
        outcome = self._commit(new, known, now, self._public)
        await self._reach()  # the answer may be lost
        return outcome

    def _commit(self, new: Publication, known: Snapshot | None, now: datetime, public: list[str]) -> Outcome:
        before = self._snapshot
        number = before.publication if before else 0
        if number != (known.publication if known else 0):
            raise Failure("another publisher was here: read its figures first")
        if self._standing is not None and is_behind(new.standing.cut, self._standing.cut):
            raise Failure("a cut behind the published one cannot be published")
        wanted = self._wanted(new.standing.cut, public)
        if dict(new.observations) != wanted:
            raise Wrong(f"published at {new.standing.cut}: {differences(dict(new.observations), wanted)}")
        annex: dict[str, Any] = {kind: {} for kind in ("reference", "estimate", "quality", "release")}
        for (kind, key), body in new.annex.items():
            annex[kind][key] = body
        estimates, reports, releases = annex["estimate"], annex["quality"], annex["release"]
        due = self._oracle.reports(new.standing.cut, self._first_released(public))
        # A publisher that is behind what is published releases all the same, and reports when it has caught up.
        if reports != due and not (public != self._public and before is not None and reports == before.qualities):
            raise Wrong(f"reports at {new.standing.cut}: {differences(reports, due)}")
        old = before.observations if before else {}
        at = before.published_at + timedelta(milliseconds=1) if before else now
        found = {
            k: old[k] if k in old and old[k][:9] == tuple(o) else Published(*o, number + 1, at) for k, o in new.observations.items()
        }
        snapshot = Snapshot(number + 1, at, new.standing.cut, found, [], estimates, reports, releases)
        if before is None or found != old or snapshot[5:] != before[5:]:
            self._snapshot = snapshot
        assert self._snapshot is not None
        standing = new.standing._replace(publication=self._snapshot.publication, published_at=self._snapshot.published_at)
        self._standing, self._public = standing, public
        said = {f"{o.series}:{o.period}": (o.value, o.lower, o.upper, o.status) for o in found.values()}
        self._said.append((standing.publication, standing.cut, said))
        changes = {k: found.get(k) for k in old.keys() | found.keys() if old.get(k) != found.get(k)}
        return Outcome(standing, self._snapshot, changes)

    def _first_released(self, public: list[str]) -> dict[tuple[str, str], float]:
        found: dict[tuple[str, str], float] = {}
        for name in public:
            for key, o in next(one.frozen.figures for one in self._kept if str(one.frozen.named) == name).items():
                if key[0] in HEADLINE_SERIES and o.value is not None:
                    found.setdefault(key, o.value)
        return found

    def _wanted(self, cut: Cut, public: list[str]) -> Figures:
        """What must be published at a cut once these releases are public."""
        found = dict(self._oracle.observations(cut))
        kept = {str(one.frozen.named): one.frozen for one in self._kept}
        finals: Figures = {}
        inner: dict[str, Figures] = {}
        for name in public:
            named = kept[name].named
            inner[named.period] = kept[name].inner
            if named.final:
                finals = {key: o for key, o in finals.items() if _quarter(key[1]) != named.period}
                finals |= {key: o for key, o in kept[name].figures.items() if key not in kept[name].inner}
        for key, o in found.items():
            if o.status == "P" and key in finals and finals[key].value == o.value:
                found[key] = o._replace(status="A")
        return found | {key: o for cells in inner.values() for key, o in cells.items()}

    # --- releases --------------------------------------------------------------------------------------------------------------

    async def waiting(self, now: datetime) -> Waiting:
        await self._reach()
        periods = sorted({p for _, p in self._snapshot.observations if "-Q" in p}) if self._snapshot else []
        if periods and self._luck.strikes("release_wanted"):
            self._asked += 1
            due = self._rng.choice([None, now + timedelta(seconds=self._rng.randrange(EMBARGO_SECONDS_MAX))])
            period = self._rng.choice([*periods, "2031-Q1"])
            self._requests[self._asked] = Request(self._asked, period, self._rng.random() < 0.5, due)
        due_now = [one.frozen for one in self._kept if one.frozen.due <= now and str(one.frozen.named) not in self._public]
        return Waiting(list(self._requests.values()), [str(one.named) for one in sorted(due_now, key=lambda one: one.due)])

    async def released(self) -> Released:
        await self._reach()
        newest: dict[str, Frozen] = {}
        finals: dict[str, Frozen] = {}
        for name in self._public:
            frozen = next(one.frozen for one in self._kept if str(one.frozen.named) == name)
            newest[frozen.named.period] = frozen
            if frozen.named.final:
                finals[frozen.named.period] = frozen
        return Released(
            {key: o for frozen in newest.values() for key, o in frozen.inner.items()},
            {k: o.value for one in finals.values() for k, o in one.figures.items() if o.status == "A" and k not in one.inner},
        )

    async def scheduled(self) -> tuple[datetime | None, set[tuple[str, bool]]]:
        await self._reach()
        return (self._snapshot.published_at if self._snapshot else None), set()  # nothing is due in the weeks of a run

    async def confidential(self) -> list[Confidential]:
        await self._reach()
        return [one.confidential for one in self._kept]

    async def refuse(self, request: int, reason: str) -> None:
        await self._reach()
        if request not in self._requests:
            return  # another publisher has answered it
        period = self._requests[request].period
        # What was there when it was asked for may have been withdrawn since.
        if reason != f"nothing has been published for {period}":
            raise Wrong(f"no release of {period}: {reason}")
        del self._requests[request]

    async def freeze(self, new: Freezing, at: Standing, now: datetime) -> Named | None:
        await self._reach()
        assert new.request is not None
        if new.request not in self._requests:
            return None
        before = self._standing
        if before is None or (before.publication, before.cut, len(self._kept)) != (at.publication, at.cut, new.after):
            raise Failure("another publisher was here: read its figures first")
        number = 1 + sum((k.frozen.named.period, k.frozen.named.final) == (new.period, new.final) for k in self._kept)
        named = Named(new.period, new.final, number)
        entries = [orjson.loads(value) for value in self._oracle.aggregates(at.cut).values()]
        cells, body = release_cells(entries, new.period, [one.confidential for one in self._kept], UNITS)
        counted = {key: o for key, o in self._oracle.observations(at.cut).items() if _quarter(key[1]) == new.period}
        status = "A" if new.final else "P"
        wanted = {k: o._replace(status=status) if o.status == "P" else o for k, o in {**counted, **cells}.items()}
        if (dict(new.figures), new.confidential) != (wanted, body):
            raise Wrong(f"{named} at {at.cut}: {differences(dict(new.figures), wanted)}")
        self._kept.append(_Kept(Frozen(named, new.due, at.publication, new.figures, new.inner), new.confidential))
        del self._requests[new.request]
        await self._reach()  # the answer may be lost
        return named

    async def frozen(self, name: str) -> Frozen:
        await self._reach()
        return next(one.frozen for one in self._kept if str(one.frozen.named) == name)

    async def released_values(self, series: list[str]) -> dict[str, Any]:
        await self._reach()
        found: dict[str, Any] = {}
        for name in self._public:
            for (of, period), o in (await self.frozen(name)).figures.items():
                if of in series:
                    found.setdefault(of, {}).setdefault(period, []).append((name, o.value))
        return found

    async def release(self, frozen: Frozen, new: Publication, known: Snapshot, now: datetime) -> Outcome:
        await self._reach()
        if frozen.due > now:
            raise Wrong(f"{frozen.named} went out before its instant")
        outcome = self._commit(new, known, now, [*self._public, str(frozen.named)])
        if outcome.standing.publication != known.publication + 1:
            raise Wrong(f"{frozen.named} is no publication of its own")
        await self._reach()  # the answer may be lost
        return outcome


def _quarter(period: str) -> str:
    """The quarter whose release holds a period."""
    return period if "-Q" in period else f"{period}-Q4"


def differences(one: dict[Any, Any], other: dict[Any, Any]) -> str:
    """The first keys that differ."""
    keys = [key for key in one.keys() | other.keys() if one.get(key) != other.get(key)]
    return "; ".join(f"{key}: {one.get(key)} and not {other.get(key)}" for key in sorted(keys, key=str)[:3])
