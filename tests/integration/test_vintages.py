"""Every vintage of a figure, read back from a real PostgreSQL that the store filled."""

from datetime import UTC, datetime, timedelta

from services.shared.runtime.postgres.store import Publication, Snapshot, Standing, Store
from services.shared.runtime.postgres.vintages import vintages
from services.shared.statistics.exchange.observation import Observation

SERIES, PERIOD, OTHER = "Q.ARRIVALS._T._T._T._Z", "2025-Q2", "Q.DEPARTURES._T._T._T._Z"
BEGIN = datetime(2025, 7, 1, tzinfo=UTC)
MANY = 100


def observation(series: str, value: float | None, status: str = "P") -> Observation:
    return Observation(series, PERIOD, value, None, None, "crossings", 0, status)


async def fill(store: Store, values: list[float | None]) -> None:
    """A publication a minute; None: the figure is not there. Another figure changes at each, so that every one has a number."""
    await store.create()
    known: Snapshot | None = None
    for minute, value in enumerate(values):
        at = BEGIN + timedelta(minutes=minute)
        found = [observation(OTHER, 1000 + minute)] + ([] if value is None else [observation(SERIES, value)])
        standing = Standing(0, at, {"border-crossings/0": minute}, 0, {}, 1)
        outcome = await store.publish(Publication({o.key: o for o in found}, {}, standing), known, at)
        known = outcome.snapshot


async def test_every_change_of_a_figure_is_a_vintage_and_so_is_its_end(database: str) -> None:
    async with Store(database) as store:
        await fill(store, [100, 100, 120, None, None, 120, 130])
        found = await vintages(store, SERIES, PERIOD, 7, MANY)
        assert [(v.publication, v.value, v.status) for v in found] == [
            (7, 130, "P"), (6, 120, "P"), (4, None, ""), (3, 120, "P"), (1, 100, "P"),
        ]  # fmt: skip
        assert [v.published_at for v in found] == [BEGIN + timedelta(minutes=v.publication - 1) for v in found]


async def test_vintages_of_a_publication_are_those_that_were_known_then(database: str) -> None:
    async with Store(database) as store:
        await fill(store, [100, 120, None, 130])
        for publication in (1, 2, 3, 4):
            found = await vintages(store, SERIES, PERIOD, publication, MANY)
            snapshot = await store.snapshot(publication)
            assert snapshot is not None
            current = snapshot.observations.get((SERIES, PERIOD))
            assert (found[0].value, found[0].status) == ((None, "") if current is None else (current.value, current.status))
            assert all(v.publication <= publication for v in found)


async def test_no_more_vintages_are_read_than_were_asked_for_and_the_newest_are(database: str) -> None:
    async with Store(database) as store:
        await fill(store, [1, 2, None, 4, 5])
        assert [v.publication for v in await vintages(store, SERIES, PERIOD, 5, 3)] == [5, 4, 3]


async def test_a_figure_that_was_never_published_has_no_vintages(database: str) -> None:
    async with Store(database) as store:
        assert await vintages(store, SERIES, PERIOD, 1, MANY) == []
        await fill(store, [None])
        assert await vintages(store, SERIES, PERIOD, 1, MANY) == []
