"""Gathers what the verdict needs, once everything has settled: the raw log, dead letters, publications."""

import asyncio
import csv
import io
import json
import random
from collections import Counter

import psycopg

from services.shared.runtime.kafka.clients import read_to_end
from services.shared.runtime.kafka.replay import replay
from services.shared.runtime.kafka.topics import load_topics
from services.shared.runtime.process.settings import Settings
from tests.chaos.real.stack import Stack
from tests.chaos.real.traffic import Sender, sent
from tests.chaos.real.truth import Cut, Log, Record, covered
from tests.chaos.real.verdict import Evidence, Letter, Publication, Sent, Values
from tests.chaos.real.watcher import Watcher
from tools.stack import processes

COMMAND_SECONDS_MAX = 120.0
EXPORTS_AT_ONCE = 2  # as many as this machine has cores, at least
DIMENSIONS = ("FREQ", "INDICATOR", "COUNTERPART_AREA", "PURPOSE", "CATEGORY", "METHOD")


async def gather(
    stack: Stack, senders: list[Sender], written: set[tuple[str, str]], watcher: Watcher, count: int, rng: random.Random
) -> Evidence:
    """`count`: how many publications of the table, and how many of the topic, to recompute."""
    log = await read_log(stack.settings)
    acknowledged: Counter[Sent] = Counter()
    attempted: set[Sent] = set()
    for sender in senders:
        acknowledged += sent(sender.feed, sender.acknowledged)
        attempted |= sent(sender.feed, sender.attempted).keys()
    async with await psycopg.AsyncConnection.connect(stack.settings.database_url) as connection:
        rows = await (await connection.execute("select number, cut from tolqyn.publication order by number")).fetchall()
    chosen = sorted(rng.sample(rows, min(count, len(rows))))
    gate = asyncio.Semaphore(EXPORTS_AT_ONCE)

    async def one(number: int, cut: Cut) -> Publication:
        async with gate:
            return await exported(stack, number, cut)

    published = await asyncio.gather(*(one(number, cut) for number, cut in chosen))
    order = watcher.order
    places = set(rng.sample(range(len(order)), min(count, len(order))))
    seen = watcher.publications(places | {len(order) - 1})
    last = [await exported(stack, None, await stack.published()), seen[-1]]
    publications = [p._replace(cut=known(p.cut, log)) for p in [*published, *seen]]
    letters = await read_letters(stack.settings)
    return Evidence(log, acknowledged, attempted, written, letters, publications, order, last)


def known(cut: Cut, log: Log) -> Cut:
    """A cut without feeds that have no records here."""
    assert not any(end for name, end in cut.items() if name not in log), "a feed has records that no sender of ours sent"
    return {name: end for name, end in cut.items() if name in log}


async def read_log(settings: Settings) -> Log:
    """All records of all feeds that the truth knows."""
    log: Log = {}
    for feed in (one.name for one in processes.INGEST):
        topic = f"events.{feed}.v1"
        for partition in range(load_topics()[topic].partitions):
            records = log[f"{feed}/{partition}"] = []
            async for columns in replay(settings, topic, partition):
                records += [Record(*row) for row in zip(*columns, strict=True)]
    return log


async def read_letters(settings: Settings) -> list[Letter]:
    letters = []
    for record in await read_to_end(settings, "dead-letters.v1"):
        topic, partition, offset = record.key.decode().rsplit("/", 2)
        feed = topic.removeprefix("events.").removesuffix(".v1")
        headers = dict(record.headers)
        letters.append(
            Letter((f"{feed}/{partition}", int(offset)), headers["reason"].decode(), record.value, "left-out" in headers)
        )
    return letters


async def exported(stack: Stack, number: int | None, cut: Cut) -> Publication:
    """What `tolqyn export` says, of a publication or now."""
    as_of = () if number is None else ("--as-of", str(number))
    done = await stack.command("export", *as_of, seconds_max=COMMAND_SECONDS_MAX)
    assert done.returncode == 0, done.stderr
    figures: Values = {}
    newest = 0
    for row in csv.DictReader(io.StringIO(done.stdout)):
        series = ".".join(row[name] for name in DIMENSIONS)
        newest = max(newest, int(row["AS_OF"]))
        if covered(series):
            figures[series, row["TIME_PERIOD"]] = json.loads(row["OBS_VALUE"]) if row["OBS_VALUE"] else None
    return Publication("PostgreSQL", newest if number is None else number, cut, figures)
