"""Laws of the ledger protocol over the real EntrySet, Mark and LedgerReader.

A model of one compacted partition: owners that write cut by cut and repair what is foreign, zombies that go on writing, kills
in the middle of a cut, take-overs with and without state, compaction at any moment, readers that start anew at any moment.
Safety: what a reader adopts is the fold of the cut that its mark names. Liveness: once the zombies are gone, a new reader comes
to the newest cut.
"""

import random
from collections.abc import Generator, Iterator
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.shared.statistics.exchange.ledger_set import (
    MARK_KEY,
    MARK_KIND,
    Changes,
    EntrySet,
    LedgerReader,
    Mark,
    entry_digest,
    is_behind,
)

FOLD = 1
EVENTS, STEPS, QUIET_STEPS = 60, 500, 600
SEEDS = 250  # of each run below, about a second; a break of either rule shows within the first twenty


class Record(NamedTuple):
    offset: int
    key: str
    value: bytes | None
    kind: bytes | None
    writer: int


def fold(events: list[int], cut: int) -> dict[str, bytes]:
    """The set of a cut: counts by key; every third key vanishes again when it reaches 3, so sets shrink too."""
    counts: dict[int, int] = {}
    for event in events[:cut]:
        counts[event] = counts.get(event, 0) + 1
        if counts[event] >= 3 and event % 3 == 0:
            del counts[event]
    return {f"k{key}": b"%d" % n for key, n in counts.items()}


class Ledger:
    """A compacted partition."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.end = 0

    def append(self, key: str, value: bytes | None, writer: int, kind: bytes | None = None) -> None:
        self.records.append(Record(self.end, key, value, kind, writer))
        self.end += 1

    def compact(self, rng: random.Random) -> None:
        """Older than a random point only the last record of a key stays; its tombstones may go altogether."""
        last = {record.key: record.offset for record in self.records}
        clean, drop = rng.randrange(self.end + 1), rng.random() < 0.3
        self.records = [
            r for r in self.records if r.offset >= clean or (last[r.key] == r.offset and not (drop and r.value is None))
        ]

    def held(self) -> tuple[EntrySet, int]:
        """(entries, cut of the last mark) as somebody who reads to the end has them."""
        entries, cut = EntrySet(), 0
        for record in self.records:
            if record.kind != MARK_KIND:
                entries.put(record.key, record.value)
            elif record.value is not None:
                cut = Mark.from_bytes(record.value).cut["f/0"]
        return entries, cut


class Model:
    """One run. `repairing`: whether owners repair what is foreign."""

    def __init__(self, seed: int, repairing: bool = True) -> None:
        self.rng = random.Random(seed)
        self.events = [self.rng.randrange(8) for _ in range(EVENTS)]
        self.ledger, self.repairing = Ledger(), repairing
        self.owner = 0
        self.writers = {0: self.writer(0)}

    def mark(self, writer: int, cut: int, entries: EntrySet) -> bytes:
        mark = Mark({"f/0": cut}, cut, FOLD, len(entries.values), entries.digest(), {"f/0": ""}).to_bytes()
        self.ledger.append(MARK_KEY, mark, writer, MARK_KIND)
        return mark

    def send(self, writer: int, changes: Changes) -> Iterator[None]:
        for key, value in changes.items():
            yield
            self.ledger.append(key, value, writer)
        yield

    def writer(self, number: int) -> Iterator[None]:
        """Takes over, then writes cuts and repairs; each `yield` is a moment at which anything may happen, a kill too."""
        yield
        mine, newest = self.ledger.held()
        tail = self.ledger.end
        cut = max(newest, self.rng.randrange(EVENTS + 1))  # one that stands behind the ledger folds until it does not
        changes = mine.differences(fold(self.events, cut))
        suspects: set[str] = set()
        while True:
            for key, value in changes.items():
                mine.put(key, value)
            again = {key: mine.values.get(key) for key in suspects}
            suspects.clear()
            yield from self.send(number, {**again, **changes})
            marked = self.mark(number, cut, mine)
            while True:
                yield
                if self.repairing and self.owner == number:
                    tail, marked = yield from self.repair(number, cut, mine, tail, marked, suspects)
                if self.owner != number and self.rng.random() < 0.1:
                    return  # it learnt that it lost the partition
                if cut < EVENTS and self.rng.random() < 0.5:
                    break
            cut = min(EVENTS, cut + self.rng.randrange(1, 8))
            changes = mine.differences(fold(self.events, cut))

    def repair(
        self, number: int, cut: int, mine: EntrySet, tail: int, marked: bytes, suspects: set[str]
    ) -> Generator[None, None, tuple[int, bytes]]:
        """Write over what is wrong since `tail`, unless somebody is ahead; returns the new tail and the last mark."""
        foreign = [r for r in self.ledger.records if r.offset >= tail and r.writer != number]
        tail = self.ledger.end
        marks = [r.value for r in foreign if r.kind == MARK_KIND and r.value is not None and r.value != marked]
        written = {r.key: r.value for r in foreign if r.kind != MARK_KIND}
        wrong = {key for key, value in written.items() if mine.values.get(key) != value}
        if any(Mark.from_bytes(mark).cut["f/0"] > cut for mark in marks):
            suspects |= wrong
            return tail, marked
        if self.rng.random() < 0.1:  # a foreign tombstone may be compacted away before the tail comes to it
            wrong |= self.ledger.held()[0].differences(mine.values).keys()
        if wrong or marks:
            yield from self.send(number, {key: mine.values.get(key) for key in wrong})
            marked = self.mark(number, cut, mine)
        return tail, marked

    def step_writer(self, number: int) -> None:
        if next(self.writers[number], self) is self:
            del self.writers[number]

    def change_owner(self) -> None:
        """A new owner; the old one is killed, or goes on as a zombie."""
        if self.rng.random() < 0.5:
            self.writers.pop(self.owner, None)
        self.start_owner()

    def start_owner(self) -> None:
        self.owner += 1
        self.writers[self.owner] = self.writer(self.owner)


class Reader:
    """Reads the partition from its beginning; `adopted` is the set that the adopted changes add up to."""

    def __init__(self, model: Model, protocol: LedgerReader) -> None:
        self.model, self.protocol, self.next = model, protocol, 0
        self.entries: dict[str, bytes] = {}
        self.cut = -1

    def catch_up(self) -> None:
        for record in list(self.model.ledger.records):
            if record.offset < self.next:
                continue
            self.next = record.offset + 1
            changes = self.protocol.read(record.key, record.value, record.kind)
            if changes is not None:
                self.adopt(changes)

    def adopt(self, changes: Changes) -> None:
        for key, value in changes.items():
            if value is None:
                self.entries.pop(key, None)
            else:
                self.entries[key] = value
        assert self.protocol.adopted is not None
        cut = self.protocol.adopted.cut["f/0"]
        assert cut >= self.cut, "a reader never goes back"
        assert self.entries == fold(self.model.events, cut), f"what was adopted is not the fold of {cut}"
        self.cut = cut


def play(model: Model, protocol: type[LedgerReader] = LedgerReader) -> int:
    """A whole run; the cut that a new reader adopts at its end. AssertionError if a reader was misled."""
    rng, reader = model.rng, Reader(model, protocol(FOLD))
    for _ in range(STEPS):
        chance = rng.random()
        if chance < 0.7:
            model.step_writer(rng.choice(list(model.writers)))
        elif chance < 0.76:
            model.ledger.compact(rng)
        elif chance < 0.8:
            model.change_owner()
        elif chance < 0.84:
            reader = Reader(model, protocol(FOLD))
        else:
            reader.catch_up()
        if model.owner not in model.writers:
            model.start_owner()
    model.writers = {model.owner: model.writers[model.owner]}
    for _ in range(QUIET_STEPS):
        model.step_writer(model.owner)
    reader.catch_up()
    last = Reader(model, protocol(FOLD))
    last.catch_up()
    return last.cut


@pytest.mark.parametrize("block", range(4))
def test_no_reader_is_ever_misled_and_none_is_left_behind(block: int) -> None:
    for seed in range(block * SEEDS, (block + 1) * SEEDS):
        assert play(Model(seed)) == EVENTS, f"seed {seed}"


class Trusting(LedgerReader):
    """Adopts at every mark, whatever it holds: what the digest is there to prevent."""

    def _adopt(self) -> Changes | None:
        mark = self._last_mark
        if mark is None or mark is self.adopted or (self.adopted is not None and is_behind(mark.cut, self.adopted.cut)):
            return None
        self.adopted = mark
        changes, self._unadopted = self._unadopted, {}
        return changes


def test_the_model_finds_out_a_reader_that_does_not_ask_for_the_digest() -> None:
    misled = 0
    for seed in range(20):
        try:
            play(Model(seed), Trusting)
        except AssertionError:
            misled += 1
    assert misled > 0


def test_the_model_finds_out_owners_that_do_not_repair() -> None:
    assert any(play(Model(seed, repairing=False)) != EVENTS for seed in range(SEEDS))


# --- the rules one by one ----------------------------------------------------------------------------------------------------


def mark_of(entries: dict[str, bytes], cut: int, fold_version: int = FOLD) -> bytes:
    held = EntrySet()
    for key, value in entries.items():
        held.put(key, value)
    return Mark({"f/0": cut}, cut, fold_version, len(entries), held.digest(), {}).to_bytes()


def test_a_set_is_adopted_whole_and_only_when_its_mark_comes() -> None:
    reader = LedgerReader(FOLD)
    assert reader.read("a", b"1", None) is None
    assert reader.read("b", b"2", None) is None
    assert reader.pending_entries == 2
    assert reader.read(MARK_KEY, mark_of({"a": b"1", "b": b"2"}, 7), MARK_KIND) == {"a": b"1", "b": b"2"}
    assert reader.adopted is not None
    assert reader.adopted.cut == {"f/0": 7}
    assert reader.pending_entries == 0


def test_entries_that_come_after_their_mark_complete_the_set() -> None:
    """A compacted topic can show the mark before an entry that was written again later."""
    reader = LedgerReader(FOLD)
    assert reader.read(MARK_KEY, mark_of({"a": b"1"}, 7), MARK_KIND) is None
    assert reader.read("a", b"1", None) == {"a": b"1"}


def test_a_mark_of_another_fold_version_or_behind_is_not_adopted() -> None:
    reader = LedgerReader(FOLD)
    reader.read("a", b"1", None)
    assert reader.read(MARK_KEY, mark_of({"a": b"1"}, 7, FOLD + 1), MARK_KIND) is None
    assert reader.read(MARK_KEY, mark_of({"a": b"1"}, 7), MARK_KIND) is not None
    assert reader.read(MARK_KEY, mark_of({"a": b"1"}, 6), MARK_KIND) is None
    assert reader.adopted is not None
    assert reader.adopted.cut == {"f/0": 7}


def test_an_empty_set_and_a_cut_that_only_moved_are_adopted_too() -> None:
    reader = LedgerReader(FOLD)
    assert reader.read(MARK_KEY, mark_of({}, 0), MARK_KIND) == {}
    assert reader.read(MARK_KEY, mark_of({}, 5), MARK_KIND) == {}


def test_a_zombie_s_entry_delays_a_reader_until_it_is_repaired() -> None:
    reader = LedgerReader(FOLD)
    reader.read("a", b"600", None)
    reader.read(MARK_KEY, mark_of({"a": b"600"}, 6), MARK_KIND)
    reader.read("a", b"1000", None)
    reader.read("a", b"600", None)  # the zombie's
    assert reader.read(MARK_KEY, mark_of({"a": b"1000"}, 10), MARK_KIND) is None
    assert reader.read("a", b"1000", None) == {"a": b"1000"}


entries = st.dictionaries(st.text(max_size=3), st.binary(max_size=3), max_size=6)


@given(entries, entries, st.randoms(use_true_random=False))
def test_the_digest_depends_on_the_set_alone(one: dict[str, bytes], other: dict[str, bytes], rng: random.Random) -> None:
    """Whatever was written on the way, in whatever order."""
    moved, fresh = EntrySet(), EntrySet()
    for key, value in one.items():
        moved.put(key, value)
    for key, change in moved.differences(other).items():
        moved.put(key, change)
    items = list(other.items())
    rng.shuffle(items)
    for key, value in items:
        fresh.put(key, value)
    assert moved.values == fresh.values == other
    assert moved.digest() == fresh.digest()
    assert moved.differences(other) == {}
    if one != other:
        third = EntrySet()
        for key, value in one.items():
            third.put(key, value)
        assert third.digest() != fresh.digest()


def test_the_digest_tells_apart_where_a_key_ends_and_its_value_begins() -> None:
    assert entry_digest("ab", b"c") != entry_digest("a", b"bc")


def test_a_mark_comes_back_from_its_bytes() -> None:
    mark = Mark({"f/0": 3}, 5, FOLD, 2, "ab", {"f/0": "hash"}, publication=9)
    assert Mark.from_bytes(mark.to_bytes()) == mark
    assert b"publication" not in mark._replace(publication=None).to_bytes()


@pytest.mark.parametrize(
    ("cut", "other", "behind"),
    [
        ({"a": 1}, {"a": 1}, False),
        ({"a": 1}, {"a": 2}, True),
        ({"a": 2, "b": 0}, {"a": 1, "b": 1}, True),
        ({"a": 2}, {"b": 0}, True),
        ({"a": 2, "b": 0}, {"b": 0}, False),
        ({}, {}, False),
    ],
)
def test_a_cut_is_behind_if_any_component_is_lower(cut: dict[str, int], other: dict[str, int], behind: bool) -> None:
    assert is_behind(cut, other) is behind
