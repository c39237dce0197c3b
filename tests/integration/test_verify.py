"""Verify and trace on a real log and a real database: what the engine published from irregular and odd records, and what was
altered by hand afterwards."""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest

from schemas.indicators import units
from services.indicator_publisher.outlets import value_of
from services.indicator_publisher.releases import Place, Releases
from services.shared.runtime.kafka.clients import producer
from services.shared.runtime.kafka.ledger import LedgerOwner, Position
from services.shared.runtime.kafka.replay import replay
from services.shared.runtime.kafka.topics import ensure_topics
from services.shared.runtime.postgres.database import schema_name
from services.shared.runtime.postgres.release_store import ReleaseStore
from services.shared.runtime.postgres.store import Publication, Standing
from services.shared.runtime.process.errors import Failure
from services.shared.runtime.process.release_dates import release_calendar
from services.shared.runtime.process.settings import Settings
from services.shared.statistics.exchange.records import joined
from services.shared.statistics.publication.inner_cells import release_cells
from tests.unit.tools.verify.log_of import PARTITIONS, Log, add_odd_records, engine
from tools.verify.check import Verdict, verify, verify_release
from tools.verify.inner import is_inner
from tools.verify.trace import trace

KEY = ("Q.ARRIVALS.UZ._T._T._Z", "2025-Q2")
INDICATORS = "indicators.v1"


def irregular() -> Log:
    """Corrections, withdrawals, repeats, conflicts, and what no ingest service would write."""
    log = Log()
    for n in range(200):
        log.add(
            "border-crossings",
            f"c{n}",
            occurred_at=f"2025-0{n % 6 + 1}-11T10:00:00.000Z",
            direction=["arrival", "departure"][n % 3 // 2],
        )
        log.add("work-permits", f"p{n}", valid_from=f"202{n % 3 + 3}-0{n % 9 + 1}-01", valid_to="2026-12-31")
        log.add("student-enrolments", f"s{n}", enrolled_on=f"202{n % 3 + 2}-09-01")
    for n in range(0, 200, 5):
        log.add("border-crossings", f"c{n}", 2, citizenship="CN").add("border-crossings", f"c{n}", 2, citizenship="TR")
        log.add("work-permits", f"p{n}", 3, revoked_on="2025-02-01").add("work-permits", f"p{n}", 2)
        log.withdraw("student-enrolments", f"s{n}", 2)
    for n in range(0, 60, 3):
        log.add("border-crossings", f"u{n}", 0).add("border-crossings", f"u{n}", 0, citizenship="RU", purpose="tourism")
        if n % 2:
            log.withdraw("border-crossings", f"u{n}", 0)
        if n % 5 == 0:
            log.add("border-crossings", f"u{n}", 1, citizenship="KG").add("border-crossings", f"u{n}", 0)
    log.withdraw("border-crossings", "c10", 3).add(
        "border-crossings", "c10", 4, citizenship="UZ", occurred_at="2025-06-30T18:59:59.999Z"
    )
    log.add("reference-figures", "survey").add(
        "reference-figures", "target", figure="FOREIGN_STUDENTS_TARGET", period="2029", value=150000
    )
    add_odd_records(log)
    return log


async def write(settings: Settings, log: Log) -> None:
    client = producer(settings, "tolqyn-test-verify")
    await client.start()
    try:
        sent = [
            await client.send(settings.topic(f"events.{feed}.v1"), value, key, partition, headers=list(headers))
            for (feed, partition), rows in log.partitions.items()
            for _, key, value, headers in rows
        ]
        await asyncio.gather(*sent)
    finally:
        await client.stop()


async def publish(settings: Settings, period: str | None = None, final: bool = False) -> None:
    """One publication of all that is in the log, as the services would make it, on PostgreSQL and on the topic; then a release."""
    partitions = {}
    cut, identity = {}, {}
    for feed, count in PARTITIONS.items():
        for partition in range(count):
            batches = [records async for records in replay(settings, f"events.{feed}.v1", partition)]
            cut[f"{feed}/{partition}"], identity[f"{feed}/{partition}"] = 0, ""
            if batches:
                partitions[feed, partition] = joined(batches)
    made = engine(partitions)
    cut, identity = cut | made.cut, identity | made.identity
    async with ReleaseStore.of(settings) as store:
        await store.create()
        now = datetime.now(UTC)
        known = await store.snapshot()
        releases = Releases(store, release_calendar(settings), units(), release_cells, lambda: datetime.now(UTC))
        await releases.load()
        standing = Standing(0, now, cut, made.log_time, identity, 1)
        new = Publication(releases.standing(made.observations), releases.annex(made.observations, known), standing)
        outcome = await store.publish(new, known, now)
        if period is not None:
            await store.request(period, final, None)
            await releases.freeze(Place(outcome.snapshot, outcome.standing, made.entries))
            released = await releases.publish(outcome.snapshot, outcome.standing, lambda annex: annex)
            assert released is not None
            outcome = released
    owner = LedgerOwner(settings, INDICATORS, 1)
    await owner.start(asyncio.Event())
    entries = {f"{o.series}:{o.period}": value_of(o) for o in outcome.snapshot.observations.values()}
    position = Position(cut, made.log_time, identity, outcome.standing.publication)
    assert await owner.own(0, entries, position) is None
    await owner.stop()


Check = Callable[..., Awaitable[Verdict]]


@pytest.fixture
async def published(settings: Settings) -> Settings:
    await ensure_topics(settings)
    await write(settings, irregular())
    await publish(settings)
    return settings


def alter(settings: Settings, change: str) -> None:
    with psycopg.connect(settings.database(), autocommit=True) as connection:
        table = f"{schema_name(settings.prefix)}.observation"
        where = "where series = %s and period = %s"
        assert connection.execute(f"update {table} set {change} {where}".encode(), KEY).rowcount == 1


async def checked(settings: Settings, period: str | None = None) -> Verdict:
    return await verify(settings, period, lambda _: None)


async def test_verify_passes_what_the_engine_published_and_names_exactly_what_was_altered(published: Settings) -> None:
    said: list[str] = []
    verdict = await verify(published, None, said.append)
    assert verdict.differences == []
    assert verdict.figures > 300
    assert said[0].startswith("publication 1: ")
    assert list(published.home.glob("verify-*")) == [], "nothing is left behind"

    alter(published, "value = value + 1, status = 'A'")
    (difference,) = (await checked(published, "2025-Q2")).differences
    assert (difference.series, difference.period) == KEY
    assert re.fullmatch(
        r"Q\.ARRIVALS\.UZ\._T\._T\._Z:2025-Q2  published OBS_VALUE=\d+ OBS_STATUS=A  recomputed OBS_VALUE=(\d+) OBS_STATUS=P"
        r"  on indicators\.v1 OBS_VALUE=\1 OBS_STATUS=P",
        str(difference),
    )
    alter(published, "value = value - 1, status = 'P'")

    client = producer(published, "tolqyn-test-stranger")
    await client.start()
    await client.send_and_wait(published.topic(INDICATORS), b'{"OBS_VALUE":1}', ":".join(KEY).encode(), partition=0)
    await client.stop()
    await write(published, Log().add("border-crossings", "later"))  # after the cut, so it is not in it
    (difference,) = (await checked(published)).differences
    assert (difference.series, difference.period, difference.wrong, difference.astray) == (*KEY, False, True)


async def test_verify_knows_what_is_final_and_recomputes_every_release_at_its_own_cut(settings: Settings) -> None:
    await ensure_topics(settings)
    log = irregular()
    for citizenship, category, count in (("TR", "1", 3), ("TR", "2", 9), ("UZ", "1", 11), ("UZ", "2", 8)):
        for n in range(count):
            log.add(
                "work-permits", f"{citizenship}{category}{n}", citizenship=citizenship, category=category, valid_from="2025-02-01"
            )
    await write(settings, log)
    await publish(settings, "2025-Q1", final=True)
    await write(settings, Log().add("work-permits", "more", valid_from="2025-02-01", valid_to="2026-12-31"))
    await publish(settings, "2025-Q1")
    async with ReleaseStore.of(settings) as store:
        snapshot = await store.snapshot()
        hidden = [key for key, o in (await store.release_figures("2025-Q1.F1"))[0].items() if o.status == "Q"]
    assert snapshot is not None
    issued = snapshot.observations["Q.PERMITS_ISSUED._T._T._T._Z", "2025-Q1"]
    assert (issued.status, snapshot.observations["Q.ARRIVALS._T._T._T._Z", "2025-Q1"].status) == ("P", "A")
    assert hidden != []
    assert (await checked(settings)).differences == []
    for name in ("2025-Q1.F1", "2025-Q1.P1"):
        verdict = await verify_release(settings, name, lambda _: None)
        assert verdict.differences == []
        assert verdict.figures > 40

    def change(table: str, what: str, key: tuple[str, str], name: str = "%") -> None:
        with psycopg.connect(settings.database(), autocommit=True) as connection:
            query = f"update {schema_name(settings.prefix)}.{table} set {what} where series = %s and period = %s and name like %s"
            assert connection.execute(query.encode(), [*key, name]).rowcount > 0

    one = issued.series, issued.period
    change("release_figure", "value = value + 5", one, "2025-Q1.F1")
    change("release_figure", "value = 3, status = 'P', confidentiality = 'F'", hidden[0])
    differ = {(d.series, d.period) for d in (await verify_release(settings, "2025-Q1.F1", lambda _: None)).differences}
    assert differ >= {one, hidden[0]}
    assert all(is_inner(key) for key in differ - {one}), "what is hidden beside a cell that is shown protects nothing"
    assert [(d.series, d.period) for d in (await checked(settings)).differences] == [hidden[0]], "it is not what is published"
    with pytest.raises(Failure, match=r"there is no release 2025-Q1\.P7"):
        await verify_release(settings, "2025-Q1.P7", lambda _: None)


async def test_verify_refuses_a_log_that_is_not_the_one_that_was_published_from(published: Settings) -> None:
    with psycopg.connect(published.database(), autocommit=True) as connection:
        schema = schema_name(published.prefix)
        connection.execute(f'update {schema}.position set identity = identity || \'{{"work-permits/1": "other"}}\''.encode())
    with pytest.raises(Failure, match="the log of work-permits/1 is not the one that was published from"):
        await checked(published)


async def test_trace_says_what_a_record_did_and_where_it_counts(published: Settings) -> None:
    async def one(record: str) -> dict[str, Any]:
        (found,) = await trace(published, record)
        return found

    crossing = await one("local/c10")
    assert [v["effect"] for v in crossing["versions"]] == ["superseded", "superseded", "conflict", "superseded", "counts"]
    assert crossing["counts_as"]["on"] == "2025-06-30"
    assert crossing["figures"]["Q.ARRIVALS.UZ.employment._T._Z"] == ["2025-Q2"]
    assert crossing["figures"]["D.ARRIVALS.CIS._T._T._Z"] == ["2025-06-30"], "the newest day of the data"
    assert "BORDER_BALANCE" in crossing["derived"]

    unnumbered = await one("local/u15")
    assert [v["effect"] for v in unnumbered["versions"]] == ["superseded", "superseded", "superseded", "counts", "stale"]
    assert unnumbered["figures"]["Q.ARRIVALS.KG._T._T._Z"] == ["2025-Q2"]

    permit = await one("local/p10")
    assert [v["effect"] for v in permit["versions"]] == ["superseded", "counts", "stale"]
    assert (permit["counts_as"]["from"], permit["counts_as"]["until"]) == ("2025-01-10", "2025-02-01")
    assert permit["figures"]["Q.PERMITS_ISSUED.CN._T._T._Z"] == ["2025-Q1"]
    assert "Q.PERMITS_IN_FORCE.CN._T._T._Z" not in permit["figures"], "at no quarter's end"
    assert "employer" not in json.dumps(permit)
    assert (await one("local/s5"))["counts_as"] is None
    assert "FOREIGN_STUDENTS_GAP" in (await one("local/target"))["derived"]
    assert await trace(published, "local/nobody") == []
    odd = await trace(published, "odd/0")
    assert {(v["effect"], v["reason"]) for found in odd for v in found["versions"]} == {("dead letter", "malformed_json")}

    await write(published, Log().add("border-crossings", "c10", 5, citizenship="CN"))
    later = await one("local/c10")
    assert (later["versions"][-1]["published"], later["versions"][-1]["effect"]) == (False, "counts")
    assert later["counts_as"] == crossing["counts_as"], "what is published is that of the cut"
