"""What publications changed, read back from a real PostgreSQL, against a diff of the publications themselves."""

import random
import re
from datetime import UTC, datetime, timedelta

from services.dissemination.sdmx.archive import series_pattern
from services.dissemination.sdmx.query import KEYS_MAX, parse_keys
from services.shared.runtime.postgres.changes import changes, taken_back
from services.shared.runtime.postgres.store import Publication, Published, Snapshot, Standing, Store
from services.shared.statistics.exchange.observation import Observation

BEGIN = datetime(2025, 7, 1, tzinfo=UTC)
PUBLICATIONS = 12
SERIES = tuple(f"{freq}.ARRIVALS.{area}._T._T._Z" for freq in ("Q", "A") for area in ("UZ", "_T", "CIS"))
PERIODS = ("2025-Q1", "2025-Q2")
MANY = 10_000
Key = tuple[str, str]


async def fill(store: Store, chance: random.Random) -> list[dict[Key, Published]]:
    """Publications of figures that come, change, are taken back and come again; what each of them said, from nothing on."""
    await store.create()
    said: list[dict[Key, Published]] = [{}]
    known: Snapshot | None = None
    for minute in range(PUBLICATIONS):
        at = BEGIN + timedelta(minutes=minute)
        values = {(s, p): chance.choice((None, 1, 2, 3)) for s in SERIES for p in PERIODS}
        values["Q.ALWAYS._T._T._T._Z", "2025-Q1"] = minute + 10  # so that every cut is a publication
        found = {
            key: Observation(*key, value, None, None, "crossings", 0, "P") for key, value in values.items() if value is not None
        }
        standing = Standing(0, at, {"border-crossings/0": minute}, 0, {}, 1)
        known = (await store.publish(Publication(found, {}, standing), known, at)).snapshot
        said.append(dict(known.observations))
    return said


def diff(
    said: list[dict[Key, Published]], keys: str, after: datetime | None, publication: int
) -> set[tuple[int, Key, float | None]]:
    """(publication, key, value; None: taken back) of every change, by comparing each publication with the one before."""
    found = set()
    for number in range(1, publication + 1):
        at = BEGIN + timedelta(minutes=number - 1)
        if after is not None and at <= after:
            continue
        old, new = said[number - 1], said[number]
        for key in old.keys() | new.keys():
            before, now = old.get(key), new.get(key)
            named = re.search(keys, key[0]) is not None
            if named and (before and before.value) != (now and now.value):
                found.add((number, key, now.value if now else None))
    return found


async def test_changes_are_what_differs_between_one_publication_and_the_next(database: str) -> None:
    async with Store(database) as store:
        said = await fill(store, random.Random(7))
        for keys in ("*", "Q.*.UZ", "A.ARRIVALS.CIS,Q.ARRIVALS._T"):
            pattern = series_pattern(parse_keys(keys))
            for after in (None, BEGIN, BEGIN + timedelta(minutes=4, seconds=30), BEGIN + timedelta(days=1)):
                for publication in (1, 5, PUBLICATIONS):
                    found = await changes(store, pattern, after, publication, MANY)
                    asked = {(c.publication, (c.row.series, c.row.period), None if c.gone else c.row.value) for c in found}
                    assert asked == diff(said, pattern, after, publication)
                    assert len(asked) == len(found)
                    assert [c.published_at for c in found] == [BEGIN + timedelta(minutes=c.publication - 1) for c in found]


async def test_what_was_taken_back_is_what_a_copy_made_then_has_and_a_publication_has_not(database: str) -> None:
    async with Store(database) as store:
        said = await fill(store, random.Random(8))
        pattern = series_pattern(parse_keys("Q"))
        seen = 0
        for copied in range(1, PUBLICATIONS):
            for publication in range(copied, PUBLICATIONS + 1):
                after = BEGIN + timedelta(minutes=copied - 1)
                gone = {(row.series, row.period): row.value for row in await taken_back(store, pattern, after, publication)}
                missing = {key for key in said[copied].keys() - said[publication].keys() if key[0].startswith("Q")}
                assert missing <= gone.keys(), "a copy would keep what is no longer published"
                assert not gone.keys() & said[publication].keys()
                assert gone.keys() <= {key for one in said[: publication + 1] for key in one}, "nobody has what came later"
                seen += len(missing)
        assert seen > 0


async def test_the_longest_list_of_keys_is_understood_by_the_database(database: str) -> None:
    async with Store(database) as store:
        await fill(store, random.Random(10))
        odd = ",".join(["Q.a$b-c@d.*", *[f"*.ARRIVALS.X{i}" for i in range(KEYS_MAX - 2)], "Q.ARRIVALS.UZ"])
        found = await changes(store, series_pattern(parse_keys(odd)), None, PUBLICATIONS, MANY)
        assert {c.row.series for c in found} == {"Q.ARRIVALS.UZ._T._T._Z"}


async def test_no_more_is_read_than_was_asked_for_and_before_the_first_publication_there_is_nothing(database: str) -> None:
    async with Store(database) as store:
        assert await changes(store, ".", None, 1, MANY) == []
        assert await taken_back(store, ".", BEGIN, 1) == []
        await fill(store, random.Random(9))
        assert (
            len(
                {
                    (c.publication, c.row.series, c.row.period)
                    for c in await changes(store, ".", None, PUBLICATIONS, 3)
                    if not c.gone
                }
            )
            == 3
        )
