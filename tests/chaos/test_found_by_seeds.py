"""What simulated faults found in the engine, as tests that no longer need luck."""

import asyncio

from services.shared.runtime.dead_letters import DeadLetters
from services.shared.runtime.settings import Settings
from services.shared.statistics.ledger_set import MARK_KEY, MARK_KIND, EntrySet, LedgerReader, Mark


def mark(cut: int, entries: dict[str, bytes]) -> bytes:
    held = EntrySet()
    for key, value in entries.items():
        held.put(key, value)
    return Mark({"f/0": cut}, cut, 1, len(entries), held.digest(), {}).to_bytes()


async def test_a_flush_waits_for_letters_that_another_flush_waits_for_already() -> None:
    """Partitions cut at the same time: the second one saved its state before its letters were safe (seed 109)."""
    dead = DeadLetters(Settings(bootstrap_servers="127.0.0.1:1"), "border-crossings")
    letter: asyncio.Future[object] = asyncio.get_running_loop().create_future()
    dead._acks.append(letter)
    first, second = asyncio.ensure_future(dead.flush()), asyncio.ensure_future(dead.flush())
    for _ in range(5):
        await asyncio.sleep(0)
    assert not first.done()
    assert not second.done()
    letter.set_result(None)
    await asyncio.gather(first, second)
    assert dead._acks == []


def test_a_reader_that_missed_a_tombstone_comes_right_by_reading_from_the_beginning() -> None:
    """The tombstone was compacted away before a slow follower came to it: its set never matched again (seed 419)."""
    reader = LedgerReader(1)
    reader.read("a", b"1", None)
    reader.read("b", b"1", None)
    assert reader.read(MARK_KEY, mark(1, {"a": b"1", "b": b"1"}), MARK_KIND) is not None
    assert reader.settled
    assert reader.read(MARK_KEY, mark(2, {"a": b"1"}), MARK_KIND) is None  # "b" was removed, and nothing says so any more
    assert not reader.settled
    reader.start_anew()
    assert reader.read("a", b"1", None) is None
    assert reader.read(MARK_KEY, mark(2, {"a": b"1"}), MARK_KIND) == {"a": b"1", "b": None}
    assert reader.settled


def test_a_reader_that_starts_anew_never_goes_back() -> None:
    reader = LedgerReader(1)
    reader.read("a", b"2", None)
    reader.read(MARK_KEY, mark(2, {"a": b"2"}), MARK_KIND)
    reader.start_anew()
    reader.read("a", b"1", None)
    assert reader.read(MARK_KEY, mark(1, {"a": b"1"}), MARK_KIND) is None
    assert reader.adopted is not None
    assert reader.adopted.cut == {"f/0": 2}
