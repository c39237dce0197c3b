"""Setting aside is bounded and patient: so many letters are open at once, and what a producer gives up is sent again."""

import asyncio
from typing import Any

import pytest
from aiokafka.errors import (
    KafkaError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    NotLeaderForPartitionError,
    OutOfOrderSequenceNumber,
)

from services.shared.runtime.kafka import clients as kafka
from services.shared.runtime.kafka import dead_letters
from services.shared.runtime.kafka.dead_letters import DeadLetters
from services.shared.runtime.process.errors import Unavailable
from services.shared.runtime.process.settings import Settings
from services.shared.statistics.exchange.records import Records

NOBODY = Settings(bootstrap_servers="127.0.0.1:1")
ORIGIN = "events.work-permits.v1/0"


class Broker:
    """Makes producers that acknowledge a letter when the loop next comes to it, and remembers how many letters were open at most.

    `full`: so many calls of `send` find no room. `gives_up`: of the next letters, why. A producer that gave one up is broken.
    """

    def __init__(self) -> None:
        self.open, self.most, self.sent, self.producers = 0, 0, 0, 0
        self.full = 0
        self.gives_up: list[KafkaError] = []
        self.silent = asyncio.Event()
        self.silent.set()
        self.log: list[bytes] = []

    def producer(self, *_: object) -> "Producer":
        self.producers += 1
        return Producer(self)


class Producer:
    def __init__(self, broker: Broker) -> None:
        self._broker, self._broken = broker, False

    async def start(self) -> None:
        pass

    async def stop(self) -> None:
        pass

    async def send(self, _: str, value: bytes, key: bytes, partition: int, headers: object) -> "asyncio.Future[Any]":
        broker = self._broker
        if broker.full:
            broker.full -= 1
            raise KafkaTimeoutError
        broker.open, broker.sent = broker.open + 1, broker.sent + 1
        broker.most = max(broker.most, broker.open)
        return asyncio.ensure_future(self._acknowledge(key))

    async def _acknowledge(self, key: bytes) -> None:
        await self._broker.silent.wait()
        await asyncio.sleep(0)
        self._broker.open -= 1
        if self._broker.gives_up:
            self._broken = True
            raise self._broker.gives_up.pop(0)
        if self._broken:
            raise OutOfOrderSequenceNumber
        self._broker.log.append(key)


class Set:
    """Dead letters on a broker of this test."""

    def __init__(self) -> None:
        self.broker, self.stopping = Broker(), asyncio.Event()
        self.shown = asyncio.Event()
        self.dead = DeadLetters(NOBODY, "work-permits", lambda reason: self.shown.set())

    async def send(self, count: int) -> None:
        records = Records(list(range(count)), [0] * count, [b"k"] * count, [b"v"] * count, [()] * count)
        await self.dead.send(ORIGIN, records, [(place, "version_conflict") for place in range(count)])


def places(count: int) -> set[bytes]:
    return {f"{ORIGIN}/{place}".encode() for place in range(count)}


@pytest.fixture
async def aside(monkeypatch: pytest.MonkeyPatch) -> Set:
    made = Set()
    monkeypatch.setattr(kafka, "producer", made.broker.producer)
    monkeypatch.setattr(dead_letters, "AGAIN_SECONDS", 0.0)
    await made.dead.start(made.stopping)
    return made


async def test_letters_wait_for_each_other_when_too_many_are_open(monkeypatch: pytest.MonkeyPatch, aside: Set) -> None:
    monkeypatch.setattr(dead_letters, "OPEN_MAX", 100)
    await aside.send(950)
    assert (aside.broker.sent, aside.broker.most) == (950, 100)
    assert len(aside.dead._open) == 50
    await aside.dead.flush()
    assert aside.broker.open == 0


async def test_letters_wait_for_each_other_when_they_are_too_large_together(monkeypatch: pytest.MonkeyPatch, aside: Set) -> None:
    await aside.send(1)
    [letter] = aside.dead._open
    monkeypatch.setattr(dead_letters, "OPEN_BYTES_MAX", 10 * letter.size)
    await aside.send(950)
    assert aside.broker.most <= 10


@pytest.mark.parametrize("error", [NotLeaderForPartitionError(), KafkaTimeoutError(), OutOfOrderSequenceNumber()])
async def test_letters_that_a_producer_gives_up_are_safe_when_flush_returns(aside: Set, error: KafkaError) -> None:
    aside.broker.gives_up = [error, error]
    await aside.send(20)
    await asyncio.gather(aside.dead.flush(), aside.dead.flush())
    assert set(aside.broker.log) == places(20)
    assert aside.dead._open == []
    assert aside.broker.producers > 1
    assert aside.shown.is_set()


async def test_a_producer_without_room_for_half_a_minute_is_bad_luck(aside: Set) -> None:
    aside.broker.full = 3
    await aside.send(20)
    await aside.dead.flush()
    assert set(aside.broker.log) == places(20)


async def test_letters_that_wait_for_long_are_shown_and_waited_for(monkeypatch: pytest.MonkeyPatch, aside: Set) -> None:
    monkeypatch.setattr(dead_letters, "ANSWER_SECONDS", 0.01)
    aside.broker.silent.clear()
    await aside.send(20)
    flush = asyncio.ensure_future(aside.dead.flush())
    await aside.shown.wait()
    assert not flush.done()
    aside.broker.silent.set()
    await flush
    assert set(aside.broker.log) == places(20)


async def test_who_is_told_to_stop_does_not_wait_for_letters_that_were_given_up(aside: Set) -> None:
    aside.broker.gives_up = [KafkaTimeoutError()]
    await aside.send(20)
    aside.stopping.set()
    with pytest.raises(Unavailable):
        await aside.dead.flush()
    assert aside.dead._open  # nobody saves a state that would forget them


async def test_what_waiting_would_not_mend_ends_the_service(aside: Set) -> None:
    aside.broker.gives_up = [MessageSizeTooLargeError()]
    await aside.send(20)
    with pytest.raises(MessageSizeTooLargeError):
        await aside.dead.flush()
