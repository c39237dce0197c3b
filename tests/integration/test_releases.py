"""Releases on a real PostgreSQL: frozen, hidden, public; what is final; and every vintage as it was."""

from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from services.indicator_publisher.releases import Place, Releases
from services.shared.runtime.postgres.release_store import Freezing, ReleaseStore
from services.shared.runtime.postgres.store import Annex, Publication, Snapshot, Standing
from services.shared.runtime.postgres.vintages import vintages
from services.shared.runtime.process.errors import Failure
from services.shared.statistics.exchange.observation import Observation
from services.shared.statistics.publication.release import Confidential, parse_calendar
from services.shared.statistics.publication.sdmx_csv import to_csv

CALENDAR = parse_calendar('[rule]\nprovisional_days = 45\ntime = "09:00"\nfinal_quarters = 4\nfreeze_minutes = 60\n')
START = datetime(2025, 7, 1, tzinfo=UTC)
DUE = datetime(2025, 8, 14, 4, tzinfo=UTC)  # 09:00 in Almaty
FINAL_DUE = datetime(2026, 8, 14, 4, tzinfo=UTC)
TOTAL, CHINA = "Q.ARRIVALS._T._T._T._Z", "Q.ARRIVALS.CN._T._T._Z"
CELL, SMALL = "Q.PERMITS_IN_FORCE.CN._T.1._Z", "Q.PERMITS_IN_FORCE.CN._T.2._Z"
Q2 = "2025-Q2"

Key = tuple[str, str]


def observation(series: str, value: float | None, period: str = Q2, status: str = "P") -> Observation:
    return Observation(series, period, value, None, None, "persons", 0, status)


def same(annex: Annex) -> Annex:
    """Of figures without reports."""
    return annex


class AheadStore(ReleaseStore):
    """Its database's clock is past every instant of these tests: the desk's alone counts."""

    async def clock(self) -> datetime:
        return datetime.max.replace(tzinfo=UTC)


class Desk:
    """A publisher without its ledgers: publishes what it is told, and makes releases by its own clock."""

    def __init__(self, store: ReleaseStore, now: datetime = START) -> None:
        self.store, self.now = store, now
        self.earlier: list[list[Confidential]] = []
        self.known: Snapshot | None = None
        self.standing: Standing | None = None
        self.cells = {CELL: 20}
        self.releases = Releases(store, CALENDAR, {}, self._cells, lambda: self.now)
        self._cut = 0

    def _cells(self, entries: Any, period: str, earlier: list[Confidential], units: Any) -> tuple[Any, Any]:
        self.earlier.append(earlier)
        made = [observation(series, n, period) for series, n in self.cells.items()]
        made.append(observation(SMALL, None, period, "Q")._replace(confidentiality="A"))
        return {o.key: o for o in made}, {"period": period, "counts": {SMALL: 3}}

    async def open(self) -> None:
        await self.store.create()
        self.known = await self.store.snapshot()
        await self.releases.load()
        self.standing = await self.store.standing()

    async def publish(self, period: str = Q2, **values: float) -> int:
        """Publish a cut of which only these figures are known: `total`, `china`; the number of the publication."""
        self._cut += 1
        self.now += timedelta(seconds=1)
        found = {
            (series, period): observation(series, values[name], period)
            for series, name in ((TOTAL, "total"), (CHINA, "china"))
            if name in values
        }
        standing = Standing(0, self.now, {"f/0": self._cut}, self._cut, {"f/0": ""}, 1)
        new = Publication(self.releases.standing(found), self.releases.annex(found, self.known), standing)
        outcome = await self.store.publish(new, self.known, self.now)
        self.known, self.standing = outcome.snapshot, outcome.standing
        return outcome.standing.publication

    async def step(self, now: datetime | None = None) -> list[int]:
        """Do what is to be done about releases at an instant; the publications that this made."""
        assert self.known is not None
        assert self.standing is not None
        self.now = now or self.now + timedelta(seconds=1)
        await self.releases.freeze(Place(self.known, self.standing, {}))
        made = []
        while (outcome := await self.releases.publish(self.known, self.standing, same)) is not None:
            self.known, self.standing = outcome.snapshot, outcome.standing
            made.append(self.standing.publication)
        assert self.known == await self.store.snapshot(), "what the publisher knows is what the database says"
        return made

    async def release(self, final: bool = False, period: str = Q2) -> int:
        """A release at once, by hand."""
        await self.store.request(period, final, None)
        (number,) = await self.step()
        return number

    def statuses(self) -> dict[str, str]:
        assert self.known is not None
        return {series: o.status for (series, _), o in self.known.observations.items()}

    def values(self) -> dict[str, float | None]:
        assert self.known is not None
        return {series: o.value for (series, _), o in self.known.observations.items()}


@pytest.fixture
async def desk(database: str) -> AsyncIterator[Desk]:
    async with AheadStore(database) as store:
        one = Desk(store)
        await one.open()
        yield one


async def exported(desk: Desk, as_of: int | datetime | None = None) -> str:
    snapshot = await desk.store.snapshot(as_of)
    return "" if snapshot is None else to_csv(snapshot.observations.values())


async def test_a_release_by_calendar_is_frozen_an_hour_before_its_instant_and_public_at_it(desk: Desk) -> None:
    assert await desk.publish(total=100, china=10) == 1
    moment = timedelta(microseconds=1)
    assert await desk.step(DUE - timedelta(hours=1) - moment) == []
    assert await desk.store.embargoed() == []
    assert await desk.step(DUE - timedelta(hours=1)) == []
    (embargoed,) = await desk.store.embargoed()
    assert (embargoed.name, embargoed.due, embargoed.frozen_from, embargoed.figures) == ("2025-Q2.P1", DUE, 1, 4)
    assert await desk.publish(total=105, china=10) == 2, "publication goes on"
    assert await desk.step(DUE - moment) == []
    assert await desk.store.releases() == []
    assert await desk.step(DUE) == [3]
    (public,) = await desk.store.releases()
    assert (public.name, public.frozen_from, public.publication, public.cut) == ("2025-Q2.P1", 1, 3, {"f/0": 1})
    figures, inner = await desk.store.release_figures("2025-Q2.P1")
    assert {series: o.value for (series, _), o in figures.items()} == {TOTAL: 100, CHINA: 10, CELL: 20, SMALL: None}
    assert inner == {(CELL, Q2), (SMALL, Q2)}
    assert desk.values() == {TOTAL: 105, CHINA: 10, CELL: 20, SMALL: None}, "what is counted continuously went on"
    assert await desk.store.embargoed() == []
    assert await desk.step(DUE + timedelta(hours=1)) == [], "once"


async def test_only_instants_after_the_first_publication_release_anything_by_themselves(desk: Desk) -> None:
    desk.now = DUE + timedelta(minutes=1)
    await desk.publish(total=100)
    assert await desk.step() == []
    assert await desk.store.embargoed() == []
    await desk.store.request(Q2, False, None)
    assert await desk.step() == [2]
    assert await desk.step(DUE + timedelta(days=1)) == []


async def test_a_release_that_could_not_be_made_in_time_is_made_late_but_not_after_a_week(desk: Desk) -> None:
    await desk.publish(total=100)
    assert await desk.step(DUE + timedelta(days=7, seconds=1)) == []
    assert await desk.step(DUE + timedelta(days=6)) == [2]
    assert (await desk.store.releases())[0].due == DUE


async def test_a_figure_is_final_while_it_is_that_of_the_newest_final_release(desk: Desk) -> None:
    await desk.publish(total=100, china=10)
    await desk.release()
    assert desk.statuses() == {TOTAL: "P", CHINA: "P", CELL: "P", SMALL: "Q"}
    await desk.release(final=True)
    assert desk.statuses() == {TOTAL: "A", CHINA: "A", CELL: "A", SMALL: "Q"}
    await desk.publish(total=101, china=10)
    assert desk.statuses() == {TOTAL: "P", CHINA: "A", CELL: "A", SMALL: "Q"}
    await desk.publish(total=100, china=10)
    assert desk.statuses()[TOTAL] == "A", "the value of the final release again"
    await desk.publish(total=102, china=11)
    await desk.release()
    assert desk.statuses() == {TOTAL: "P", CHINA: "P", CELL: "P", SMALL: "Q"}, "a provisional one makes nothing final"
    await desk.release(final=True)
    assert desk.statuses() == {TOTAL: "A", CHINA: "A", CELL: "A", SMALL: "Q"}
    assert [r.name for r in await desk.store.releases()] == ["2025-Q2.P1", "2025-Q2.F1", "2025-Q2.P2", "2025-Q2.F2"]


async def test_released_inner_cells_stay_until_the_next_release_of_their_period(desk: Desk) -> None:
    await desk.publish(total=100)
    await desk.release()
    desk.cells = {CELL: 21, "Q.PERMITS_IN_FORCE.UZ._T.1._Z": 7}
    await desk.publish(total=100, china=5)
    await desk.publish(total=120)
    assert desk.values() == {TOTAL: 120, CELL: 20, SMALL: None}
    await desk.release()
    assert desk.values() == {TOTAL: 120, CELL: 21, SMALL: None, "Q.PERMITS_IN_FORCE.UZ._T.1._Z": 7}
    desk.cells = {}
    await desk.release(final=True)
    assert desk.values() == {TOTAL: 120, SMALL: None}
    assert [len(earlier) for earlier in desk.earlier] == [0, 1, 2]
    assert desk.earlier[-1] == [{"period": Q2, "counts": {SMALL: 3}}] * 2, "what was hidden stays hidden: the next release is told"


async def test_what_was_exported_at_any_publication_or_instant_is_exported_as_of_it_for_ever(desk: Desk) -> None:
    kept: list[tuple[int, datetime, str]] = []

    async def keep(number: int) -> None:
        desk.now += timedelta(milliseconds=1)  # an instant after that of the publication
        kept.append((number, desk.now, await exported(desk)))

    await keep(await desk.publish(total=100, china=10))
    await keep(await desk.publish(total=110, china=10))
    await keep(await desk.release())
    await keep(await desk.publish(total=111))
    await keep(await desk.release(final=True))
    await keep(await desk.publish(total=111, china=4))
    await keep(await desk.publish(total=112))
    desk.cells = {CELL: 22}
    await keep(await desk.release(final=True))
    await keep(await desk.publish(total=112))  # nothing changes
    assert [number for number, _, _ in kept] == [1, 2, 3, 4, 5, 6, 7, 8, 8]
    assert len({text for _, _, text in kept}) == 8
    for number, instant, text in kept:
        assert await exported(desk, number) == text
        assert await exported(desk, instant) == text
    final = [text.count(",A,F,") for _, _, text in kept]
    assert final == [0, 0, 0, 0, 2, 2, 1, 2, 2], "the total and a cell; a correction makes the total provisional again"


async def test_all_vintages_of_a_figure_are_there_with_the_releases_that_hold_them(desk: Desk) -> None:
    await desk.publish(total=100)
    await desk.publish(total=110)
    await desk.store.request(Q2, False, desk.now + timedelta(hours=1))
    assert await desk.step() == []
    await desk.publish(total=120)
    assert await desk.step(desk.now + timedelta(hours=1)) == [4]
    await desk.publish(china=1)
    await desk.publish(total=120)
    await desk.release(final=True)
    found = await vintages(desk.store, TOTAL, Q2, 7, 99)
    assert [(v.publication, v.value, v.status, v.releases) for v in found] == [
        (7, 120, "A", ()),
        (6, 120, "P", ("2025-Q2.F1",)),
        (5, None, "", ()),
        (3, 120, "P", ()),
        (2, 110, "P", ("2025-Q2.P1",)),
        (1, 100, "P", ()),
    ]
    known_then = await vintages(desk.store, TOTAL, Q2, 3, 99)
    assert [v.releases for v in known_then] == [(), (), ()], "at publication 3 the release was under embargo"
    cell = await vintages(desk.store, CELL, Q2, 7, 99)
    assert [(v.publication, v.value, v.status, v.releases) for v in cell] == [
        (7, 20, "A", ("2025-Q2.F1",)),
        (4, 20, "P", ("2025-Q2.P1",)),
    ]
    assert await desk.store.released_values([TOTAL, "X"]) == {TOTAL: {Q2: [("2025-Q2.P1", 110), ("2025-Q2.F1", 120)]}}


async def test_a_release_tells_readers_what_it_is_and_how_far_it_revised(desk: Desk) -> None:
    await desk.publish(total=100)
    await desk.release()
    await desk.publish(total=110)
    await desk.release(final=True)
    assert desk.known is not None
    releases: Mapping[str, Any] = desk.known.releases
    body = releases["2025-Q2.F1"]
    assert (body["title"], body["publication"], body["frozen_from"], body["figures"], body["hidden"]) == (
        "2025-Q2 final 1",
        4,
        3,
        3,
        1,
    )
    revised = releases[f"revisions|{TOTAL}"]
    assert revised["rows"] == [
        {"period": Q2, "vintages": [{"release": "2025-Q2.P1", "value": 100}, {"release": "2025-Q2.F1", "value": 110}]}
    ]
    assert revised["measures"] == [{"to": "release 2", "periods": 1, "MR": 10, "MAR": 10, "RMAR": 10 / 110}]
    assert releases["calendar"]["periods"][Q2] == {"provisional": DUE.isoformat(), "final": FINAL_DUE.isoformat()}
    assert "confidential" not in str(releases)
    assert not any(SMALL in key for key in releases)


async def test_a_request_that_cannot_be_met_is_answered_and_one_taken_back_is_not_met(desk: Desk) -> None:
    await desk.publish(total=100)
    number = await desk.store.request("2031-Q1", False, None)
    assert await desk.store.answer(number) is None
    assert await desk.step() == []
    answer = await desk.store.answer(number)
    assert answer is not None
    assert (answer.outcome, answer.release) == ("nothing has been published for 2031-Q1", None)
    await desk.publish("2025-Q3", total=1)
    number = await desk.store.request("2025-Q3", False, None)
    assert await desk.step() == []
    answer = await desk.store.answer(number)
    assert answer is not None
    assert answer.outcome == "2025-Q3 is not over yet"
    await desk.publish(total=100)
    assert await desk.store.take_back(await desk.store.request(Q2, False, None))
    assert await desk.step() == []
    number = await desk.store.request(Q2, True, None)
    assert await desk.step() == [4]
    answer = await desk.store.answer(number)
    assert answer is not None
    assert (answer.outcome, answer.release, answer.publication) == ("frozen", "2025-Q2.F1", 4)
    assert not await desk.store.take_back(number)
    await desk.store.refuse(number, "a publisher that is behind knows of nothing")
    assert await desk.store.answer(number) == answer, "it has been answered"


async def test_a_publisher_started_again_releases_what_was_frozen_and_nothing_twice(desk: Desk) -> None:
    await desk.publish(total=100)
    await desk.store.request(Q2, True, desk.now + timedelta(hours=1))
    await desk.step()
    again = Desk(desk.store, desk.now)
    await again.open()
    again.standing = desk.standing
    assert await again.step() == []
    assert await again.step(again.now + timedelta(hours=1)) == [2]
    assert again.statuses() == {TOTAL: "A", CELL: "A", SMALL: "Q"}
    third = Desk(desk.store, again.now)
    await third.open()
    assert await third.step() == []
    third._cut = 9
    await third.publish(total=100)
    assert third.statuses() == {TOTAL: "A", CELL: "A", SMALL: "Q"}
    assert third.known is not None
    assert third.known.publication == 2, "nothing of it has changed"


async def test_of_two_publishers_the_one_with_old_knowledge_neither_freezes_nor_releases(database: str) -> None:
    async with AheadStore(database) as mine, AheadStore(database) as theirs:
        one, other = Desk(mine), Desk(theirs)
        await one.open()
        await one.publish(total=100)
        await other.open()
        await mine.request(Q2, False, one.now + timedelta(minutes=1))
        await one.step()
        assert await other.step() == [], "the request is answered"
        await one.step(DUE - timedelta(hours=1))
        assert [r.name for r in await mine.releases()] == ["2025-Q2.P1"]
        other.now = DUE - timedelta(minutes=30)
        assert other.known is not None
        assert other.standing is not None
        place = Place(other.known, other.standing, {})
        await other.releases.freeze(place)
        assert [e.name for e in await theirs.embargoed()] == ["2025-Q2.P2"], "the calendar is answered"
        await theirs.request(Q2, True, None)
        with pytest.raises(Failure, match="another publisher"):
            await other.releases.freeze(place)
        other.now = DUE
        with pytest.raises(Failure, match="another publisher"):
            await other.releases.publish(other.known, other.standing, same)
        await one.step(DUE)
        assert [r.name for r in await mine.releases()] == ["2025-Q2.P1", "2025-Q2.P2", "2025-Q2.F1"]


async def test_a_release_frozen_behind_ones_back_is_not_worked_around(desk: Desk) -> None:
    """Inner cells are hidden after what earlier releases show: one that was frozen meanwhile makes them stale."""
    await desk.publish(total=100)
    assert desk.standing is not None
    told: Confidential = {"period": Q2, "counts": {}, "hidden": {}, "groups": {}}
    new = Freezing(Q2, False, desk.now, None, {}, {}, told, after=0)
    assert await desk.store.freeze(new, desk.standing, desk.now) is not None
    assert await desk.store.freeze(new, desk.standing, desk.now) is None, "the calendar was answered"
    number = await desk.store.request(Q2, True, None)
    with pytest.raises(Failure, match="another publisher"):
        await desk.store.freeze(new._replace(request=number, final=True), desk.standing, desk.now)
    assert len(await desk.store.embargoed()) == 1
