"""A running publisher, a real broker, a real database: nothing of a release is visible before its instant, all of it afterwards."""

import json
import logging
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from prometheus_client import REGISTRY

from services.dissemination import app, bulletin, page
from services.indicator_publisher.outlets import Outlets
from services.indicator_publisher.publisher import utc_now
from services.shared.runtime.kafka import clients as kafka
from services.shared.runtime.postgres.database import schema_name
from services.shared.runtime.postgres.release_store import ReleaseStore
from services.shared.runtime.postgres.store import Outcome, Store
from services.shared.runtime.postgres.vintages import vintages
from services.shared.runtime.process.errors import Failure
from services.shared.runtime.process.settings import Settings
from services.shared.statistics.publication.sdmx_csv import to_csv
from tests.integration.stages import INDICATORS, Stages, arrivals, on_topic, publishing, put_back, standing_at, until
from tools.command import release as command

DUE = datetime(2025, 8, 14, 4, tzinfo=UTC)  # 2025-Q2 provisional by the bundled calendar: 09:00 in Almaty
NAME = "2025-Q2.P1"
QUALITY = "quality.v1"
CELL = ("Q.PERMITS_IN_FORCE.UZ._T.1._Z", "2025-Q2")
READERS_TABLES = ("publication", "position", "observation", "annex", "release", "release_figure")
LOOKS = 6  # of the publisher at its clock: more than it takes to freeze and publish


class Clock:
    """The real time, put to another day. Counts who looks at it."""

    def __init__(self, start: datetime) -> None:
        self.looks = 0
        self.put(start)

    def put(self, to: datetime) -> None:
        self._ahead = to - utc_now()

    def __call__(self) -> datetime:
        self.looks += 1
        return utc_now() + self._ahead


def aggregates(**countries: int) -> dict[str, bytes]:
    """Arrivals, and permits of which one inner cell is small."""
    permits = {("CN", "2"): 3, ("CN", "3"): 20, ("TR", "2"): 9, ("TR", "3"): 11, ("UZ", "1"): 40}
    return arrivals(**countries) | {
        f"permits_in_force|2025-Q2|{citizenship}|{category}": json.dumps(
            {"measure": "permits_in_force", "period": "2025-Q2", "citizenship": citizenship, "category": category, "value": n}
        ).encode()
        for (citizenship, category), n in permits.items()
    }


async def visible(settings: Settings) -> dict[str, Any]:
    """All that anybody but the publisher and an operator can see, by where."""
    async with ReleaseStore.of(settings) as store:
        snapshot, standing, releases = await store.snapshot(), await store.standing(), await store.releases()
        assert snapshot is not None
        assert standing is not None
        history = await vintages(store, *CELL, standing.publication, 99)
        revised = await store.released_values([CELL[0], "Q.ARRIVALS._T._T._T._Z"])
    async with await psycopg.AsyncConnection.connect(settings.database()) as connection:
        schema = schema_name(settings.prefix)
        rows = {}
        for table in READERS_TABLES:
            found = await connection.execute(f"select count(*) from {schema}.{table}".encode())
            rows[table] = await found.fetchone()
    said = bulletin.build(snapshot._replace(cut={}), "2025-Q2", "en")  # no feed of these tests has a name
    records = [*await kafka.read_to_end(settings, INDICATORS), *await kafka.read_to_end(settings, QUALITY)]
    return {
        "data": snapshot.observations,
        "annexes": (snapshot.references, snapshot.estimates, snapshot.qualities, snapshot.releases),
        "rows": rows,
        "publication": standing,
        "ETag": app.tag(snapshot, "2025-Q2", "en"),
        "topic": [(r.topic, r.offset, r.key, r.value) for r in records],
        "metrics": {
            (s.name, *s.labels.values()): s.value
            for m in REGISTRY.collect()
            if m.name.startswith("tolqyn_publication")
            for s in m.samples
        },
        "export": to_csv(snapshot.observations.values()),
        "bulletin": page.render_bulletin(said, "/bulletin/2025-Q2"),
        "vintages": history,
        "revisions": revised,
        "releases": releases,
        "tolqyn release list": [line for line in await command._public(settings) if NAME in line],
    }


async def test_nothing_of_a_release_is_visible_before_its_instant(
    settings: Settings, stages: Stages, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock(DUE - timedelta(hours=2))
    caplog.set_level(logging.INFO)
    async with publishing(settings, clock) as task:
        await stages.cut(1, aggregates(UZ=10))
        await until(lambda: standing_at(settings, 1), task)
        await until(lambda: on_topic(settings), task)

        async def looked() -> bool:
            return clock.looks >= seen + LOOKS

        async def frozen() -> Any:
            async with ReleaseStore.of(settings) as store:
                return await store.embargoed()

        seen = clock.looks
        await until(looked, task)
        before = await visible(settings)
        caplog.clear()
        clock.put(DUE - timedelta(minutes=59))
        (embargoed,) = await until(frozen, task)
        assert embargoed.name == NAME
        assert await visible(settings) == before
        clock.put(DUE - timedelta(seconds=30))
        seen = clock.looks
        await until(looked, task)
        assert await visible(settings) == before
        assert [r.getMessage() for r in caplog.records if r.levelno >= logging.INFO and r.name.startswith("tolqyn")] == []

        clock.put(DUE)

        async def public() -> bool:
            async with Store.of(settings) as store:
                standing = await store.standing()
            marks = [r for r in await kafka.read_to_end(settings, INDICATORS) if ("kind", b"mark") in r.headers]
            return standing is not None and json.loads(marks[-1].value)["publication"] == standing.publication == 2

        await until(public, task)
        after = await visible(settings)
        assert [where for where in before if before[where] == after[where]] == [], "at its instant it is everywhere"
        assert [r.getMessage() for r in caplog.records if NAME in r.getMessage()] == [f"released {NAME} as publication 2"]
    assert after["publication"].published_at >= DUE
    assert after["data"][CELL].value == 40
    hidden = {series for (series, _), o in after["data"].items() if o.status == "Q"}
    assert "Q.PERMITS_IN_FORCE.CN._T.2._Z" in hidden
    on_it = {key for key, value in (await on_topic(settings)).items() if value is None}
    assert on_it == {f"{series}:2025-Q2" for series in hidden}


@pytest.mark.parametrize("late", ["publisher", "database"])
async def test_an_embargo_ends_when_both_clocks_have_passed_its_instant_in_a_night_without_records(
    settings: Settings, stages: Stages, late: str
) -> None:
    """One clock comes to the instant an hour after the other; nothing comes from the ledgers meanwhile."""
    early = DUE - timedelta(minutes=30)  # frozen, not due
    clock = Clock(early)
    await put_back(settings, utc_now() - early)
    async with publishing(settings, clock) as task:
        await stages.cut(1, aggregates(UZ=10))
        await until(lambda: standing_at(settings, 1), task)

        async def frozen() -> Any:
            async with ReleaseStore.of(settings) as store:
                return await store.embargoed()

        async def looked() -> bool:
            return clock.looks >= seen + LOOKS

        async def public() -> Any:
            async with ReleaseStore.of(settings) as store:
                return await store.releases()

        await until(frozen, task)
        if late == "database":
            clock.put(DUE + timedelta(minutes=30))
        else:
            await put_back(settings, utc_now() - DUE - timedelta(minutes=30))
        seen = clock.looks
        await until(looked, task)
        assert await public() == []
        if late == "database":
            await put_back(settings, utc_now() - DUE)
        else:
            clock.put(DUE)
        (released,) = await until(public, task)
        async with ReleaseStore.of(settings) as store:
            standing = await store.standing()
    assert (released.name, released.publication) == (NAME, 2)
    assert standing is not None
    assert standing.published_at >= DUE


async def test_a_kill_between_the_database_and_the_topic_costs_a_release_nothing(
    settings: Settings, stages: Stages, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(DUE - timedelta(hours=2))
    async with publishing(settings, clock) as task:
        await stages.cut(1, aggregates(UZ=10))
        await until(lambda: standing_at(settings, 1), task)
        with monkeypatch.context() as patched:

            async def killed(_: Outlets, outcome: Outcome) -> None:
                raise SystemError("killed")

            patched.setattr(Outlets, "write", killed)
            clock.put(DUE)
            with pytest.raises(SystemError):
                await task
    async with Store.of(settings) as store:
        snapshot = await store.snapshot()
    assert snapshot is not None
    assert snapshot.publication == 2
    assert f"{CELL[0]}:{CELL[1]}" not in await on_topic(settings)
    async with publishing(settings, clock) as task:

        async def mended() -> bool:
            held = await on_topic(settings)
            return held == {f"{s}:{p}": o.value for (s, p), o in snapshot.observations.items()}

        await until(mended, task)
        await stages.cut(2, aggregates(UZ=10))
        standing = await until(lambda: standing_at(settings, 2), task)
        assert standing.publication == 2, "released once, and what was released stays"


async def test_the_command_has_a_release_made_by_the_running_publisher(settings: Settings, stages: Stages) -> None:
    async with publishing(settings) as task:
        await stages.cut(1, aggregates(UZ=10))
        await until(lambda: standing_at(settings, 1), task)
        said = await command.freeze(settings, "2025-Q2", False, None)
        assert said.startswith(f"{NAME} is public as publication 2: ")
        assert said.endswith(" figures, 4 of them hidden")
        later = datetime.now(UTC) + timedelta(hours=1)
        said = await command.freeze(settings, "2025-Q2", True, later)
        assert said.startswith("2025-Q2.F1 is frozen from publication 2 with ")
        assert (await command._embargoed(settings))[0].startswith("2025-Q2.F1  frozen ")
        listed = "\n".join(await command._public(settings))
        assert "2025-Q2.P1  2025-Q2 provisional 1: publication 2, due " in listed
        assert "F1" not in listed
        with pytest.raises(Failure, match="nothing has been published for 2031-Q1"):
            await command.freeze(settings, "2031-Q1", False, None)


async def test_the_command_gives_up_when_no_publisher_answers(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "ANSWER_SECONDS_MAX", 0.3)
    settings = Settings(database_url=database)
    with pytest.raises(Failure, match="nothing was published yet"):
        await command.freeze(settings, "2025-Q2", False, None)
    async with ReleaseStore.of(settings) as store:
        await store.create()
        with pytest.raises(Failure, match="did not answer within 0 s: nothing was frozen"):
            await command.freeze(settings, "2025-Q2", False, None)
        assert (await store.waiting(datetime.now(UTC))).requests == []
