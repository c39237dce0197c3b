"""The publisher between two real ledgers and a real PostgreSQL: what was published when, and what a crash leaves behind."""

import asyncio
import json
import logging
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import psycopg
import pytest
from prometheus_client import REGISTRY

from services.indicator_publisher.publisher import FOLD
from services.shared.runtime.kafka import clients as kafka
from services.shared.runtime.kafka.ledger import LedgerFollower
from services.shared.runtime.postgres import database as database_module
from services.shared.runtime.postgres.release_store import ReleaseStore
from services.shared.runtime.postgres.store import Publication, Snapshot, Standing, Store
from services.shared.runtime.process.clock_skew import SKEW_SECONDS_MAX
from services.shared.runtime.process.errors import ConfigurationError, Failure, Unavailable
from services.shared.runtime.process.settings import Settings
from services.shared.statistics.exchange.observation import Observation
from services.shared.statistics.publication.quality import NO_RELEASE
from services.shared.statistics.publication.sdmx_csv import instant
from tests.chaos.real.proxy import Proxy
from tests.integration.stages import (
    AGGREGATES,
    ESTIMATES,
    INDICATORS,
    QUALITY,
    SECONDS_MAX,
    Entries,
    Stages,
    arrivals,
    exported,
    held,
    on_topic,
    publishing,
    put_back,
    standing_at,
    until,
)

LOOKS = 8  # of the publisher at its clock: more than it takes to publish
TOTAL = "Q.ARRIVALS._T._T._T._Z"


async def figures(settings: Settings) -> dict[str, float]:
    """Values of the current publication by `<series>:<period>`."""
    async with Store.of(settings) as store:
        snapshot = await store.snapshot()
    assert snapshot is not None
    return {f"{s}:{p}": o.value for (s, p), o in snapshot.observations.items() if o.value is not None}


async def reports(settings: Settings, as_of: int | None = None) -> dict[str, Any]:
    """Quality reports of a publication by quarter."""
    async with Store.of(settings) as store:
        snapshot = await store.snapshot(as_of)
    assert snapshot is not None
    return dict(snapshot.qualities)


async def topic_is_right(settings: Settings) -> bool:
    right = await on_topic(settings) == await figures(settings)
    return right and await held(settings, QUALITY) == await reports(settings)


async def test_what_was_known_at_a_publication_or_an_instant_stays_a_query(settings: Settings, stages: Stages) -> None:
    history = [arrivals(UZ=10), arrivals(UZ=10, RU=5), arrivals(RU=7), arrivals(UZ=10, RU=5)]
    known: dict[int, tuple[str, datetime]] = {}
    async with publishing(settings) as task:
        for cut, aggregates in enumerate(history, start=1):
            await stages.cut(cut, aggregates)
            standing = await until(partial(standing_at, settings, cut), task)
            assert standing.publication == cut
            known[standing.publication] = (await exported(settings), standing.published_at)
    assert len({text for text, _ in known.values()}) == len(history)
    for number, (text, published_at) in known.items():
        assert await exported(settings, number) == text
        assert await exported(settings, published_at) == text
        assert await exported(settings, published_at + timedelta(microseconds=1)) == text
    assert await exported(settings, 0) == ""
    assert await exported(settings, known[1][1] - timedelta(microseconds=1)) == ""
    assert await exported(settings, 99) == await exported(settings) == known[4][0]


async def test_a_cut_that_changes_no_figure_moves_the_position_and_makes_no_publication(settings: Settings, stages: Stages) -> None:
    async with publishing(settings) as task:
        await stages.cut(1, arrivals(UZ=10))
        first = await until(lambda: standing_at(settings, 1), task)
        await stages.cut(2, arrivals(UZ=10))
        second = await until(lambda: standing_at(settings, 2), task)
        assert (second.publication, second.published_at) == (first.publication, first.published_at)

        async def marked() -> bool:
            stopping = asyncio.Event()
            follower = LedgerFollower(settings, [INDICATORS], FOLD)
            await follower.start(stopping)
            try:
                async for adoptions in follower.adoptions(stopping):
                    mark = adoptions[-1].mark
                    return mark.cut == {"f/0": 2} and mark.publication == first.publication
            finally:
                await follower.stop()
            return False

        await until(marked, task)


async def test_a_figure_that_reached_0_is_gone_from_the_database_and_from_the_topic(settings: Settings, stages: Stages) -> None:
    async with publishing(settings) as task:
        await stages.cut(1, arrivals(UZ=10, CN=3))
        await until(lambda: standing_at(settings, 1), task)
        await until(lambda: topic_is_right(settings), task)
        before = await on_topic(settings)
        await stages.cut(2, arrivals(UZ=10))
        await until(lambda: standing_at(settings, 2), task)
        await until(lambda: topic_is_right(settings), task)
    gone = before.keys() - (await on_topic(settings)).keys()
    counts = {
        f"{f}.ARRIVALS.{area}.{purpose}._T._Z:{period}"
        for f, period in (("Q", "2025-Q2"), ("A", "2025"))
        for area in ("CN", "FAR_ABROAD")
        for purpose in ("_T", "transit")
    }
    assert gone == counts | {f"Q.ARRIVALS_SHARE.{area}._T._T._Z:2025-Q2" for area in ("CN", "FAR_ABROAD")}
    last = {r.key.decode(): r.value for r in await kafka.read_to_end(settings, INDICATORS)}
    assert {last[key] for key in gone} == {None}, "by a tombstone"


async def test_aggregates_wait_for_the_estimates_of_the_same_cut(settings: Settings, stages: Stages) -> None:
    async with publishing(settings) as task:
        await stages.cut(1, arrivals(UZ=1))
        await until(lambda: standing_at(settings, 1), task)
        await stages.write(AGGREGATES, 2, arrivals(UZ=2))
        await stages.write(AGGREGATES, 3, arrivals(UZ=3))
        await stages.write(ESTIMATES, 2, {})
        await until(lambda: standing_at(settings, 2), task)
        assert (await figures(settings))[f"{TOTAL}:2025-Q2"] == 2, "those of cut 3 have no estimates yet"
        await stages.write(ESTIMATES, 3, {})
        await until(lambda: standing_at(settings, 3), task)
        assert (await figures(settings))[f"{TOTAL}:2025-Q2"] == 3


async def test_what_a_crash_left_undone_on_the_topic_is_mended_at_the_next_start(settings: Settings, stages: Stages) -> None:
    """Killed between the database and the topic: the topic lacks entries, or still has old and foreign ones."""
    async with publishing(settings) as task:
        await stages.cut(1, arrivals(UZ=10, RU=5))
        await until(lambda: standing_at(settings, 1), task)
        await until(lambda: topic_is_right(settings), task)
    client = kafka.producer(settings, "crash")
    await client.start()
    try:
        name = settings.topic(INDICATORS)
        old = json.dumps({"OBS_VALUE": 999}).encode()
        await client.send_and_wait(name, None, f"{TOTAL}:2025-Q2".encode(), partition=0)
        await client.send_and_wait(name, old, b"Q.ARRIVALS.UZ._T._T._Z:2025-Q2", partition=0)
        await client.send_and_wait(name, old, b"Q.ARRIVALS.XX._T._T._Z:1999-Q1", partition=0)
        await client.send_and_wait(settings.topic(QUALITY), None, b"2025-Q2", partition=0)
        await client.send_and_wait(settings.topic(QUALITY), b"{}", b"1999-Q1", partition=0)
    finally:
        await client.stop()
    assert not await topic_is_right(settings)
    before = await exported(settings)
    async with publishing(settings) as task:
        await until(lambda: topic_is_right(settings), task)
    assert await exported(settings) == before, "the database was right all the time"


def reported(conflicts: int) -> Entries:
    """Aggregates of ten records that came on their day, and of as many that contradict others."""
    about = {"period": "2025-Q2", "feed": "border-crossings"}
    fates = {"corrected": 0, "withdrawn": 0, "conflicts": conflicts}
    came = {"measure": "reporting", **about, "value": 10, "flows": {"arrivals": [[0, 10]]}}
    met = {"measure": "corrections", **about, "value": conflicts, **fates, "records": 10}
    return {f"{e['measure']}|2025-Q2|border-crossings": json.dumps(e).encode() for e in (came, met)}


async def test_a_quality_report_is_published_with_the_figures_and_its_vintages_stay(settings: Settings, stages: Stages) -> None:
    async with publishing(settings) as task:
        await stages.cut(1, arrivals(UZ=10) | reported(0))
        await until(lambda: standing_at(settings, 1), task)
        before, first = await exported(settings), (await reports(settings))["2025-Q2"]
        await stages.cut(2, arrivals(UZ=10) | reported(1))
        second = await until(lambda: standing_at(settings, 2), task)
        await until(lambda: topic_is_right(settings), task)
    assert second.publication == 2, "a conflict changes no figure, but the report"
    assert await exported(settings) == before
    lines = [(await reports(settings, number))["2025-Q2"]["feeds"][0] for number in (1, 2)]
    assert [(line["records"], line["conflicts"], line["doubts"]) for line in lines] == [(10, 0, []), (10, 1, ["conflicts"])]
    assert (await reports(settings, 1))["2025-Q2"] == first


async def test_a_release_gives_the_report_something_to_compare_with(settings: Settings, stages: Stages) -> None:
    async with publishing(settings) as task:
        await stages.cut(1, arrivals(UZ=10) | reported(0))
        await until(lambda: standing_at(settings, 1), task)
        assert (await reports(settings))["2025-Q2"]["feeds"][0]["revision"]["reason"] == NO_RELEASE
        async with ReleaseStore.of(settings) as store:
            request = await store.request("2025-Q2", False, None)
            answer = await until(lambda: store.answer(request), task)
        await until(lambda: topic_is_right(settings), task)
        released = (await reports(settings, answer.publication))["2025-Q2"]["feeds"][0]["revision"]
        assert released == {"figures": 1, "mean_absolute": 0, "percent": 0}, "in the release itself"
        await stages.cut(2, arrivals(UZ=8) | reported(0))
        await until(lambda: standing_at(settings, 2), task)
        moved = (await reports(settings))["2025-Q2"]["feeds"][0]
        assert (moved["revision"]["mean_absolute"], moved["revision"]["percent"], moved["doubts"]) == (2, 25, ["revised"])


async def test_the_database_may_go_away_in_the_middle(settings: Settings, stages: Stages) -> None:
    async with publishing(settings) as task:
        await stages.cut(1, arrivals(UZ=10))
        await until(lambda: standing_at(settings, 1), task)
        async with await psycopg.AsyncConnection.connect(settings.database(), autocommit=True) as connection:
            await connection.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity "
                "where application_name = 'tolqyn' and datname = current_database()"
            )
        await stages.cut(2, arrivals(UZ=20))
        await until(lambda: standing_at(settings, 2), task)
        await until(lambda: topic_is_right(settings), task)
    assert (await figures(settings))[f"{TOTAL}:2025-Q2"] == 20


async def test_a_publisher_started_again_numbers_on_and_publishes_nothing_twice(settings: Settings, stages: Stages) -> None:
    for cut in (1, 2):
        await stages.cut(cut, arrivals(UZ=cut))
        async with publishing(settings) as task:
            standing = await until(partial(standing_at, settings, cut), task)
            assert standing.publication == cut
    text = await exported(settings)
    async with publishing(settings) as task:
        await stages.cut(3, arrivals(UZ=2))
        standing = await until(lambda: standing_at(settings, 3), task)
    assert standing.publication == 2
    assert await exported(settings) == text


async def test_a_log_that_is_not_the_published_one_stops_the_publisher(settings: Settings, stages: Stages) -> None:
    async with publishing(settings) as task:
        await stages.cut(5, arrivals(UZ=10))
        await until(lambda: standing_at(settings, 5), task)
        for topic in (AGGREGATES, ESTIMATES):
            await stages.write(topic, 5, arrivals(UZ=11) if topic == AGGREGATES else {}, identity="another")
        with pytest.raises(ConfigurationError, match="is not the one"):
            await asyncio.wait_for(asyncio.shield(task), SECONDS_MAX)
    assert (await figures(settings))[f"{TOTAL}:2025-Q2"] == 10


@pytest.mark.parametrize("behind", ["publisher", "database"])
async def test_a_publication_whose_log_is_ahead_of_a_clock_is_held_back_until_that_clock_is_right(
    settings: Settings, stages: Stages, behind: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    back = {"publisher": timedelta(0), "database": timedelta(0)}
    looks = 0

    def own_clock() -> datetime:
        nonlocal looks
        looks += 1
        return datetime.now(UTC) - back["publisher"]

    async def put(by: timedelta) -> None:
        back[behind] = by
        await put_back(settings, back["database"])

    async def ready(wanted: int) -> bool:
        return REGISTRY.get_sample_value("tolqyn_ready", {"service": "indicator-publisher"}) == wanted

    async def looked() -> bool:
        return looks >= seen + LOOKS

    def log_time() -> int:
        return int(datetime.now(UTC).timestamp() * 1000)

    async def cut(number: int, at: int) -> None:
        for topic, entries in ((AGGREGATES, arrivals(UZ=number)), (ESTIMATES, {})):
            await stages.write(topic, number, entries, log_time=at)

    await put(timedelta(0))
    async with publishing(settings, own_clock) as task:
        await put(timedelta(seconds=SKEW_SECONDS_MAX - 30))
        await cut(1, log_time())
        await until(lambda: standing_at(settings, 1), task)
        await put(timedelta(seconds=SKEW_SECONDS_MAX + 60))
        await cut(2, log_time())
        await until(lambda: ready(0), task)
        seen = looks
        await until(looked, task)
        assert await standing_at(settings, 1) is not None
        ahead = REGISTRY.get_sample_value("tolqyn_publication_log_ahead_seconds")
        assert ahead is not None
        assert SKEW_SECONDS_MAX < ahead <= SKEW_SECONDS_MAX + 60
        assert await ready(0)
        await put(timedelta(0))
        await until(lambda: standing_at(settings, 2), task)
        await until(lambda: ready(1), task)
    assert REGISTRY.get_sample_value("tolqyn_publication_log_ahead_seconds") == 0
    said = [r.getMessage() for r in caplog.records if r.name == "tolqyn.publisher" and "log's time" in r.getMessage()]
    assert [line.endswith("held back") for line in said] == [True, False], "each once"


# --- the store by itself -----------------------------------------------------------------------------------------------------


def publication(value: float, cut: int) -> Publication:
    one = Observation(TOTAL, "2025-Q2", value, None, None, "crossings", 0, "P")
    return Publication({one.key: one}, {}, Standing(0, datetime.now(UTC), {"f/0": cut}, cut, {"f/0": ""}, FOLD))


async def test_of_two_publishers_the_one_with_old_knowledge_is_refused(database: str) -> None:
    async with Store(database) as one, Store(database) as other:
        await one.create()
        await one.publish(publication(1, 1), None, datetime.now(UTC))
        with pytest.raises(Failure, match="another publisher"):
            await other.publish(publication(2, 2), None, datetime.now(UTC))
        known = await other.snapshot()
        assert (await other.publish(publication(2, 2), known, datetime.now(UTC))).standing.publication == 2


async def test_published_at_rises_as_it_is_printed_whatever_the_clock_does(database: str) -> None:
    start = datetime.now(UTC).replace(microsecond=999_100)
    steps = [timedelta(0), timedelta(0), timedelta(microseconds=300), timedelta(hours=-1), timedelta(days=-1), timedelta(seconds=1)]
    moments: list[datetime] = []
    async with Store(database) as store:
        await store.create()
        known = None
        for number, step in enumerate(steps, start=1):
            known = (await store.publish(publication(number, number), known, start + step)).snapshot
            assert known == await store.snapshot(), "what was returned is what was written"
            moments.append(known.published_at)
        printed = [instant(moment) for moment in moments]
        assert printed == sorted(set(printed))
        assert timedelta(0) <= moments[0] - start < timedelta(milliseconds=1)
        assert timedelta(0) <= moments[-1] - start - steps[-1] < timedelta(milliseconds=1), "right again, believed"
        for number, text in enumerate(printed, start=1):
            assert await store.publication_at(datetime.fromisoformat(text)) == (number, moments[number - 1], {"f/0": number})


async def test_published_at_goes_on_after_one_that_an_earlier_version_wrote_in_microseconds(database: str) -> None:
    async with Store(database) as store:
        await store.create()
        await store.publish(publication(1, 1), None, datetime.now(UTC))
        old = datetime.now(UTC).replace(microsecond=123_500)
        await store.connection.execute("update tolqyn.publication set published_at = %s", [old])
        outcome = await store.publish(publication(2, 2), await store.snapshot(), old - timedelta(hours=1))
    assert outcome.standing.published_at == old.replace(microsecond=124_000)


async def test_a_database_whose_answers_never_come_counts_as_away(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database_module, "ANSWER_SECONDS_MAX", 1.0)
    port = int(database.rpartition("/")[0].rpartition(":")[2])
    proxy = Proxy(lambda: port)
    await proxy.start()
    async with Store(database.replace(f":{port}/", f":{proxy.port}/")) as far:
        await far.create()
        proxy.swallow()
        with pytest.raises(Unavailable):
            await far.standing()
    await proxy.stop()


async def test_a_publisher_that_falls_silent_does_not_keep_others_from_publishing(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Store(database) as silent, Store(database) as other:
        await other.create()
        monkeypatch.setattr(database_module, "ANSWER_SECONDS_MAX", 1.0)
        await silent.connection.execute("begin")
        await silent._lock()
        monkeypatch.setattr(database_module, "ANSWER_SECONDS_MAX", SECONDS_MAX)
        assert (await other.publish(publication(1, 1), None, datetime.now(UTC))).standing.publication == 1


async def test_what_publishing_returns_is_what_the_database_would_say(database: str) -> None:
    def some(**values: tuple[float, float | None, int]) -> dict[tuple[str, str], Observation]:
        made = [Observation(s, "2025-Q2", v, limit, limit, "persons", decimals, "P") for s, (v, limit, decimals) in values.items()]
        return {one.key: one for one in made}

    history: list[tuple[dict[tuple[str, str], Observation], dict[tuple[str, str], Any]]] = [
        (some(A=(3, None, 0), B=(50, None, 1)), {("estimate", "e"): {"value": 1.5, "inputs": {"n": 2}}}),
        (some(A=(3, None, 0), B=(51, None, 1), C=(7.0, 6, 0)), {("estimate", "e"): {"value": 1.5, "inputs": {"n": 2}}}),
        (some(A=(3, None, 0), B=(51, None, 1), C=(7.0, 6, 0)), {("estimate", "e"): {"value": 1.5, "inputs": {"n": 2}}}),
        (some(B=(1 / 3, None, 1), C=(7.5, 6.25, 0)), {("reference", "b"): {"key": "b"}, ("reference", "a"): {"key": "a"}}),
        ({}, {}),
    ]
    known: Snapshot | None = None
    numbers = []
    async with Store(database) as store:
        await store.create()
        for cut, (observations, annex) in enumerate(history, start=1):
            before = known.observations if known is not None else {}
            standing = Standing(0, datetime.now(UTC), {"f/0": cut}, cut, {"f/0": ""}, FOLD)
            outcome = await store.publish(Publication(observations, annex, standing), known, datetime.now(UTC))
            known = outcome.snapshot
            read = await store.snapshot()
            assert known == read
            assert read is not None
            assert repr(sorted(known.observations.values())) == repr(sorted(read.observations.values())), "3 is not 3.0"
            assert outcome.standing == await store.standing()
            wanted = {k: read.observations.get(k) for k in before.keys() | read.observations.keys()}
            assert outcome.changes == {k: o for k, o in wanted.items() if before.get(k) != o}
            numbers.append(outcome.standing.publication)
    assert numbers == [1, 2, 2, 3, 4]


async def test_a_cut_behind_the_published_one_is_refused_and_leaves_no_trace(database: str) -> None:
    async with Store(database) as store:
        await store.create()
        await store.publish(publication(2, 2), None, datetime.now(UTC))
        known = await store.snapshot()
        with pytest.raises(Failure, match="behind"):
            await store.publish(publication(1, 1), known, datetime.now(UTC))
        assert await store.snapshot() == known


async def test_a_database_of_an_earlier_version_learns_the_kinds_of_annexes_and_keeps_its_own(database: str) -> None:
    annex: dict[tuple[str, str], Any] = {("estimate", "e"): {"value": 1.5}}
    async with Store(database) as store:
        await store.create()
        first = await store.publish(publication(1, 1)._replace(annex=annex), None, datetime.now(UTC))
        await store.connection.execute(
            "alter table tolqyn.annex drop constraint annex_kind_check, "
            "add constraint annex_kind_check check (kind in ('reference', 'estimate'))"
        )
        for kind in ("quality", "release"):
            annex[kind, "q"] = {"of": kind}
        with pytest.raises(psycopg.errors.CheckViolation):
            await store.publish(publication(1, 2)._replace(annex=annex), first.snapshot, datetime.now(UTC))
        await store.create()
        outcome = await store.publish(publication(1, 2)._replace(annex=annex), first.snapshot, datetime.now(UTC))
        assert outcome.snapshot == await store.snapshot()
        kept: tuple[Any, ...] = outcome.snapshot.estimates, outcome.snapshot.qualities, outcome.snapshot.releases
        assert kept == ({"e": {"value": 1.5}}, {"q": {"of": "quality"}}, {"q": {"of": "release"}})
        constraint = "select oid from pg_constraint where conname = 'annex_kind_check'"
        before = await (await store.connection.execute(constraint)).fetchone()
        await store.create()
        assert await (await store.connection.execute(constraint)).fetchone() == before, "not changed again at every start"


async def test_before_the_first_publication_there_is_nothing_and_no_error(database: str) -> None:
    async with Store(database) as store:
        assert await store.standing() is None
        assert await store.snapshot() is None
        await store.create()
        assert await store.snapshot() is None
        await store.create()


async def test_stacks_of_different_prefixes_share_a_database_without_meeting(database: str) -> None:
    async with Store(database, "one.") as one, Store(database, "two.") as two:
        await one.create()
        await two.create()
        await one.publish(publication(1, 1), None, datetime.now(UTC))
        assert await two.snapshot() is None
