"""The ledger protocol on a real broker: followers see whole sets only, owners repair what is foreign, write only what differs."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition

from services.shared.runtime.kafka import clients as kafka
from services.shared.runtime.kafka import ledger
from services.shared.runtime.kafka.ledger import Adoption, LedgerFollower, LedgerOwner, Position
from services.shared.runtime.kafka.topics import ensure_topics
from services.shared.runtime.process.settings import Settings
from services.shared.statistics.exchange.ledger_set import MARK_KEY, MARK_KIND, Mark

TOPIC, FOLD = "aggregates.quarterly.v1", 1
SECONDS_MAX = 30.0  # all of this takes milliseconds; a machine that does much else gets thirty seconds


@pytest.fixture
async def stack(broker: str, topic_prefix: str, home: Path) -> Settings:
    """Settings of a stack whose topics are there and empty."""
    settings = Settings.from_env({"TOLQYN_HOME": str(home), "TOLQYN_PREFIX": topic_prefix, "KAFKA_BOOTSTRAP_SERVERS": broker})
    await ensure_topics(settings)
    return settings


def at(offset: int) -> Position:
    return Position({"f/0": offset}, offset, {"f/0": "hash"})


@asynccontextmanager
async def owner(settings: Settings, topic: str = TOPIC) -> AsyncIterator[LedgerOwner]:
    """A started owner that keeps its partitions right."""
    stopping = asyncio.Event()
    one = LedgerOwner(settings, topic, FOLD)
    await one.start(stopping)
    keeper = asyncio.ensure_future(one.keep_repaired(stopping))
    try:
        yield one
        assert not keeper.done(), keeper.exception()
    finally:
        stopping.set()
        await keeper
        await one.stop()


class Following:
    """A follower's view: what its adopted changes add up to, and every set on the way there."""

    def __init__(self) -> None:
        self.sets: list[tuple[int, dict[str, bytes]]] = []  # (cut, entries)
        self.entries: dict[str, bytes] = {}

    def take(self, adoptions: list[Adoption]) -> None:
        for adoption in adoptions:
            for key, value in adoption.changes.items():
                if value is None:
                    self.entries.pop(key, None)
                else:
                    self.entries[key] = value
            self.sets.append((adoption.mark.cut["f/0"], dict(self.entries)))

    async def until(self, holds: Callable[["Following"], bool]) -> None:
        async with asyncio.timeout(SECONDS_MAX):
            while not holds(self):  # noqa: ASYNC110 - what is waited for is any condition
                await asyncio.sleep(0.01)


@asynccontextmanager
async def following(settings: Settings, topic: str = TOPIC) -> AsyncIterator[Following]:
    stopping, view = asyncio.Event(), Following()
    follower = LedgerFollower(settings, [topic], FOLD)
    await follower.start(stopping)

    async def follow() -> None:
        async for adoptions in follower.adoptions(stopping):
            view.take(adoptions)

    task = asyncio.ensure_future(follow())
    try:
        yield view
        assert not task.done(), task.exception()
    finally:
        stopping.set()
        await task
        await follower.stop()


@asynccontextmanager
async def stranger(settings: Settings) -> AsyncIterator[AIOKafkaProducer]:
    """Somebody else who writes to the topics: a zombie, or a hand."""
    client = kafka.producer(settings, "stranger")
    await client.start()
    try:
        yield client
    finally:
        await client.stop()


async def held(settings: Settings) -> dict[str, bytes]:
    """What a simple consumer has when it reads the ledger to its end."""
    entries: dict[str, bytes] = {}
    for record in await kafka.read_to_end(settings, TOPIC):
        if record.value is None:
            entries.pop(record.key.decode(), None)
        elif ("kind", MARK_KIND) not in record.headers:
            entries[record.key.decode()] = record.value
    return entries


async def until_held(settings: Settings, expected: dict[str, bytes]) -> None:
    async with asyncio.timeout(SECONDS_MAX):
        while await held(settings) != expected:  # noqa: ASYNC110 - what is waited for is in the broker
            await asyncio.sleep(0.05)


async def test_a_follower_sees_whole_sets_only_and_in_order(stack: Settings) -> None:
    sets = [{"a": b"1"}, {"a": b"1", "b": b"2"}, {"b": b"3", "c": b"4"}, {}]
    async with following(stack) as view, owner(stack) as one:
        await one.own(0, sets[0], at(1))
        for i in range(1, len(sets)):
            changes = {key: sets[i].get(key) for key in sets[i - 1].keys() | sets[i].keys()}
            await one.write(0, changes, at(i + 1))
        await view.until(lambda v: v.sets[-1:] == [(4, {})])
        assert view.sets == [(i + 1, entries) for i, entries in enumerate(sets)]


async def test_entries_without_their_mark_reach_nobody(stack: Settings) -> None:
    """A writer that dies between its entries and its mark leaves followers where they were, old and new ones."""
    whole = {"a": b"1", "b": b"1"}
    async with owner(stack) as one:
        await one.own(0, whole, at(1))
    async with following(stack) as old, stranger(stack) as dying:
        await old.until(lambda v: v.entries == whole)
        await dying.send_and_wait(stack.topic(TOPIC), b"2", b"a", partition=0)
        async with following(stack) as fresh:
            await fresh.until(lambda v: len(v.sets) == 1)
            assert fresh.sets == old.sets == [(1, whole)], "the set before the half-written one was whole"
        async with owner(stack) as next_one:
            await next_one.own(0, {"a": b"2", "b": b"2"}, at(2))
            await old.until(lambda v: len(v.sets) == 2)
        assert old.sets == [(1, whole), (2, {"a": b"2", "b": b"2"})]


async def test_what_a_stranger_writes_is_written_over_and_misleads_no_follower(stack: Settings) -> None:
    right = {"a": b"1", "b": b"2"}
    async with owner(stack) as one, following(stack) as view, stranger(stack) as zombie:
        await one.own(0, right, at(5))
        name = stack.topic(TOPIC)
        lies = Mark({"f/0": 4}, 4, FOLD, 1, "0" * 32, {})
        await zombie.send_and_wait(name, b"600", b"a", partition=0)
        await zombie.send_and_wait(name, None, b"b", partition=0)
        await zombie.send_and_wait(name, b"new", b"z", partition=0)
        await zombie.send_and_wait(name, lies.to_bytes(), MARK_KEY.encode(), partition=0, headers=[("kind", MARK_KIND)])
        await until_held(stack, right)
        async with following(stack) as fresh:
            await fresh.until(lambda v: v.entries == right)
            assert fresh.sets[-1] == (5, right)
        assert all(adopted == (5, right) for adopted in view.sets)


async def test_a_foreign_change_that_the_tail_never_saw_is_found_by_reading_the_whole_ledger(
    stack: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger, "SCRUB_SECONDS", 0.3)
    right = {"a": b"1", "b": b"2"}
    async with owner(stack) as one, stranger(stack) as zombie:
        await one.own(0, right, at(1))
        # With the owner's own name on it the tail passes it by, as if it had been compacted away before.
        unseen = [("writer", one._writer)]
        await zombie.send_and_wait(stack.topic(TOPIC), None, b"a", partition=0, headers=unseen)
        await until_held(stack, right)


async def test_taking_over_writes_only_what_differs_and_tombstones_what_is_gone(stack: Settings) -> None:
    async with owner(stack) as one:
        await one.own(0, {"a": b"1", "b": b"2", "c": b"3"}, at(1))
    before = len(await kafka.read_to_end(stack, TOPIC))
    async with owner(stack) as next_one:
        assert await next_one.own(0, {"a": b"1", "b": b"20", "d": b"4"}, at(2)) is None
    written = (await kafka.read_to_end(stack, TOPIC))[before:]
    assert {r.key: r.value for r in written[:-1]} == {b"b": b"20", b"c": None, b"d": b"4"}
    assert len(written) == 4
    assert written[-1].key == MARK_KEY.encode(), "the mark comes last"
    assert Mark.from_bytes(written[-1].value).entries == 3


async def test_writing_what_stands_there_already_writes_the_mark_alone(stack: Settings) -> None:
    async with owner(stack) as one:
        await one.own(0, {"a": b"1"}, at(1))
        before = len(await kafka.read_to_end(stack, TOPIC))
        await one.write(0, {"a": b"1", "never": None}, at(2))
        written = (await kafka.read_to_end(stack, TOPIC))[before:]
    assert [r.key for r in written] == [MARK_KEY.encode()]
    assert Mark.from_bytes(written[0].value).cut == {"f/0": 2}


async def test_who_stands_behind_the_ledger_does_not_take_it_over(stack: Settings) -> None:
    async with owner(stack) as one:
        await one.own(0, {"a": b"9"}, at(9))
    before = len(await kafka.read_to_end(stack, TOPIC))
    async with owner(stack) as behind:
        ahead = await behind.own(0, {"a": b"3"}, at(3))
        assert ahead is not None
        assert ahead.cut == {"f/0": 9}
        await behind.write(0, {"a": b"4"}, at(4))
    assert len(await kafka.read_to_end(stack, TOPIC)) == before
    async with owner(stack) as level:
        assert await level.own(0, {"a": b"9"}, at(9)) is None


async def test_two_writers_of_the_same_fold_do_not_correct_each_other(stack: Settings) -> None:
    """One of them is behind for a moment: then it leaves the other's entries alone until its own next cut."""
    tp = TopicPartition(stack.topic(TOPIC), 0)
    async with owner(stack) as one, owner(stack) as other, following(stack) as view:
        for two in (one, other):
            await two.own(0, {"a": b"1"}, at(1))
        await one.write(0, {"a": b"2"}, at(2))
        await other.write(0, {"a": b"2"}, at(2))
        await view.until(lambda v: v.sets[-1:] == [(2, {"a": b"2"})])

        async def quiet() -> bool:
            """Whether both have read all that there is, and answered nothing to it."""
            end = (await one._tail.end_offsets([tp]))[tp]
            if any(two._owned[0].tail_offset < end for two in (one, other)):
                return False
            async with one._owned[0].lock, other._owned[0].lock:  # who is answering holds it
                return bool((await one._tail.end_offsets([tp]))[tp] == end)

        async with asyncio.timeout(SECONDS_MAX):
            while not await quiet():  # noqa: ASYNC110 - what is waited for is in the broker
                await asyncio.sleep(0.02)
        assert view.sets[-1] == (2, {"a": b"2"})


async def test_letting_go_of_what_is_not_owned_leaves_the_tail_as_it_is(stack: Settings) -> None:
    """A worker lets go of what the group took away with every batch: nearly always nothing."""
    async with owner(stack) as one:
        await one.own(0, {"a": b"1"}, at(1))
        assignment = one._tail._subscription.subscription.assignment
        one.release([])
        one.release([1])
        assert one._tail._subscription.subscription.assignment is assignment
        one.release([0])
        await one.own(0, {"a": b"1"}, at(2))
        assert one._tail._subscription.subscription.assignment is not assignment, "the test looks at the wrong place"


async def test_who_lost_a_partition_writes_no_more(stack: Settings) -> None:
    async with owner(stack) as one, stranger(stack) as other:
        await one.own(0, {"a": b"1"}, at(1))
        one.release([0])
        await one.write(0, {"a": b"2"}, at(2))
        await other.send_and_wait(stack.topic(TOPIC), b"theirs", b"a", partition=0)
        async with owner(stack) as next_one, following(stack) as view:
            await next_one.own(0, {"a": b"theirs"}, at(3))
            await view.until(lambda v: v.sets[-1:] == [(3, {"a": b"theirs"})])
            assert (2, {"a": b"2"}) not in view.sets
