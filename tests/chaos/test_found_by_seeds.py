"""What simulated faults found in the engine, as tests that no longer need luck."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from schemas.indicators import units
from services.indicator_publisher.publisher import Publisher
from services.indicator_publisher.releases import Releases
from services.shared.runtime.kafka.dead_letters import DeadLetters, _Open
from services.shared.runtime.postgres.release_store import Frozen, ReleaseStore, Waiting
from services.shared.runtime.postgres.store import Outcome, Publication, Snapshot, Standing
from services.shared.runtime.process.release_dates import release_calendar
from services.shared.runtime.process.service import ServiceContext
from services.shared.runtime.process.settings import Settings
from services.shared.statistics.exchange.ledger_set import MARK_KEY, MARK_KIND, EntrySet, LedgerReader, Mark
from services.shared.statistics.publication.inner_cells import release_cells
from services.shared.statistics.publication.release import Confidential, Named
from services.tally.run_store import LAYOUT, Manifest
from services.tally.worker import FOLD, TallyWorker

NOBODY = Settings(bootstrap_servers="127.0.0.1:1", database_url="postgresql://127.0.0.1:1/nobody")


def mark(cut: int, entries: dict[str, bytes]) -> bytes:
    held = EntrySet()
    for key, value in entries.items():
        held.put(key, value)
    return Mark({"f/0": cut}, cut, 1, len(entries), held.digest(), {}).to_bytes()


async def test_a_flush_waits_for_letters_that_another_flush_waits_for_already() -> None:
    """Partitions cut at the same time: the second one saved its state before its letters were safe (seed 109)."""
    dead = DeadLetters(NOBODY, "border-crossings", lambda _: None)
    letter = _Open(b"events.border-crossings.v1/0/1", b"", [])
    letter.answer = asyncio.get_running_loop().create_future()
    dead._open.append(letter)
    first, second = asyncio.ensure_future(dead.flush()), asyncio.ensure_future(dead.flush())
    for _ in range(5):
        await asyncio.sleep(0)
    assert not first.done()
    assert not second.done()
    letter.answer.set_result(None)
    await asyncio.gather(first, second)
    assert dead._open == []


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


async def test_a_saved_fold_of_nothing_is_taken_up() -> None:
    """A worker that lost its partition while taking it over saves nothing at offset 0; the next one asked for the record before
    it, at offset -1, and died of that at every start (seed 1)."""
    worker = TallyWorker(ServiceContext("tally", NOBODY), "border-crossings", "")
    await worker._check_identity(0, Manifest(LAYOUT, FOLD, 0, 0, False, "", -1, [""], [], [0, 0]), 0)


async def test_a_publisher_does_not_write_another_s_figures_under_its_own_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another one published between our reading of the figures and of where they stand (seed 31721)."""
    publisher = Publisher(ServiceContext("publisher", NOBODY))
    store, now = publisher._store, datetime(2025, 7, 1, tzinfo=UTC)
    read = [Snapshot(number, now, {"f/0": number}, {}, [], {}) for number in (1, 2)]
    owned: list[Standing] = []

    async def nothing(*_: object) -> None:
        pass

    async def snapshot() -> Snapshot:
        return read.pop(0)

    async def standing() -> Standing:
        return Standing(2, now, {"f/0": 2}, 0, {}, 1)

    async def own(known: Snapshot, where: Standing) -> None:
        assert known.publication == where.publication
        owned.append(where)

    for name in ("__aenter__", "__aexit__"):
        monkeypatch.setattr(type(store), name, nothing)
    monkeypatch.setattr(store, "create", nothing)
    monkeypatch.setattr(store, "snapshot", snapshot)
    monkeypatch.setattr(store, "standing", standing)
    monkeypatch.setattr(publisher._releases, "load", nothing)
    monkeypatch.setattr(publisher._outlets, "own", own)
    await publisher._connect()
    assert len(owned) == 1


async def test_a_release_keeps_its_instant_though_the_clock_is_put_back_while_it_goes_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """It was due by the clock, and then published with an earlier moment: as of that it had been visible (seed 1945000100)."""
    due = datetime(2025, 8, 14, 4, tzinfo=UTC)
    clock = [due + timedelta(seconds=1), due - timedelta(hours=1)]
    named = Named("2025-Q2", False, 1)
    known, standing = Snapshot(1, due, {}, {}, [], {}), Standing(1, due, {}, 0, {}, 1)
    store, moments = ReleaseStore.of(NOBODY), []

    async def waiting(now: datetime) -> Waiting:
        return Waiting([], [str(named)] if due <= now else [])

    async def frozen(_: str) -> Frozen:
        return Frozen(named, due, 1, {}, {})

    async def released_values(_: list[str]) -> dict[str, Any]:
        return {}

    async def release(_: Frozen, new: Publication, known: Snapshot, now: datetime) -> Outcome:
        moments.append(now)
        return Outcome(standing, known, {})

    async def database_clock() -> datetime:
        return due + timedelta(seconds=1)

    told_of = {"waiting": waiting, "frozen": frozen, "released_values": released_values, "release": release}
    for name, put in {**told_of, "clock": database_clock}.items():
        monkeypatch.setattr(store, name, put)
    told: Confidential = {"period": "2025-Q2", "counts": {}, "hidden": {}, "groups": {}}
    releases = Releases(
        store, release_calendar(NOBODY), {}, lambda *_: ({}, told), lambda: clock.pop(0) if len(clock) > 1 else clock[0]
    )
    assert await releases.publish(known, standing, lambda annex: annex) is not None
    assert moments == [due + timedelta(seconds=1)]


def test_a_release_that_the_solver_thought_impossible_hides_its_small_cells() -> None:
    """Simplified first by HiGHS, a programme of ten unknowns had no answer, though to move nothing is one; the publisher died of it
    at every try (seed 45457)."""
    counts = {
        "permits_in_force": {("KZ", "1"): 1, ("KZ", "seasonal"): 1, ("UZ", "1"): 2},
        "permits_issued": {("KZ", "1"): 2, ("KZ", "seasonal"): 2, ("TJ", "1"): 1, ("TJ", "seasonal"): 2, ("UZ", "1"): 2},
    }
    entries: list[Any] = [
        {"measure": measure, "period": "2025-Q2", "citizenship": country, "category": category, "value": n}
        for measure, cells in counts.items()
        for (country, category), n in cells.items()
    ]
    cells, _ = release_cells(entries, "2025-Q2", [], units())
    small = {
        (f"Q.{measure.upper()}.{country}._T.{category}._Z", "2025-Q2")
        for measure, known in counts.items()
        for country, category in known
    }
    assert small <= cells.keys()
    assert all(cells[key].value is None for key in small)
