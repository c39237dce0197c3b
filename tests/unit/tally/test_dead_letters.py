"""Setting aside is bounded: however many records a batch has to set aside, only so many letters are open at once."""

import asyncio
from typing import Any

import pytest

from services.shared.runtime import dead_letters
from services.shared.runtime.dead_letters import DeadLetters
from services.shared.runtime.settings import Settings
from services.shared.statistics.records import Records


class SlowBroker:
    """Acknowledges a letter when the loop next comes to it; remembers how many were open at most."""

    def __init__(self) -> None:
        self.open, self.most, self.sent = 0, 0, 0

    async def send(self, *_: object, **__: object) -> "asyncio.Future[Any]":
        self.open, self.sent = self.open + 1, self.sent + 1
        self.most = max(self.most, self.open)
        return asyncio.ensure_future(self._acknowledge())

    async def _acknowledge(self) -> None:
        await asyncio.sleep(0)
        self.open -= 1


async def test_letters_wait_for_each_other_when_too_many_are_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dead_letters, "OPEN_MAX", 100)
    dead, broker = DeadLetters(Settings(bootstrap_servers="127.0.0.1:1"), "work-permits"), SlowBroker()
    monkeypatch.setattr(dead, "_producer", broker)
    count = 950
    records = Records(list(range(count)), [0] * count, [b"k"] * count, [b"v"] * count, [()] * count)
    await dead.send("events.work-permits.v1/0", records, [(place, "version_conflict") for place in range(count)])
    assert (broker.sent, broker.most) == (count, 100)
    assert len(dead._acks) == 50
    await dead.flush()
    assert broker.open == 0
