"""The tally worker: folds the partitions it is given, and hands on their day sheets at cuts.

A cut goes in this order: dead letters acknowledged, state saved, entries acknowledged, mark. A kill between any two steps leaves
something that the next start completes: dead letters have the record's place as their key, the rest is absolute.
"""

import asyncio
import logging
import time
from pathlib import Path

from services.shared.feeds.catalogue import RULES
from services.shared.runtime.kafka.dead_letters import DeadLetters
from services.shared.runtime.kafka.event_log import EventLog, Fetched, opened
from services.shared.runtime.kafka.ledger import LedgerOwner, Position
from services.shared.runtime.process import metrics
from services.shared.runtime.process.errors import ConfigurationError
from services.shared.runtime.process.service import ServiceContext
from services.shared.statistics.exchange.log_time import LogTime
from services.shared.statistics.exchange.records import Records
from services.shared.statistics.folding.index import merge_runs, next_merge
from services.tally.partition import Effect, PartitionFold, record_hash
from services.tally.run_store import LAYOUT, Manifest, RunStore, StateLost
from services.tally.unreadable import NONE_RECENT, UNREADABLE, UNREADABLE_SHARE_MAX, Recent, unreadable_share

FOLD = 3  # version of the rules: sheets of two versions are never added up. Raise it when the same log would give other sheets
CUT_SECONDS_MIN = 0.5  # between two rounds of cuts: what arrives meanwhile goes into one, and is published well within two seconds
CATCH_UP_RECORDS = 20_000  # a partition not further behind is there in a blink; under steady traffic none ever is quite there
CUT_SECONDS_MAX = 5.0  # while catching up, a cut at least this often, so that a kill costs at most this much folding again
FOLD_RECORDS_MIN = 20_000  # records wait for so many others, or for the next round of cuts: a fold costs milliseconds by itself
# At a time, of different partitions: they share two processors with the fetching, and each needs some hundred bytes a record.
FOLDS_MAX = 2
SAVES_MAX = 1  # at a time: merging the runs of four million records takes 400 MB for as long as it takes
# A round of cuts is followed by this many times its own duration of folding: cuts take a quarter of the time at most. But never by
# more than CUT_SECONDS_MAX: a round that met a full disk, or a suspended process, may have taken hours.
CUT_REST = 3.0
SAVE_RETRY_SECONDS = 1.0  # a full disk is bad luck: wait and try again

log = logging.getLogger("tolqyn.tally")


class _Partition:
    """A partition in work: its fold, its state folder, and what the last cut left."""

    def __init__(self, fold: PartitionFold, store: RunStore, files: list[tuple[str, str]], recent: Recent = NONE_RECENT) -> None:
        self.fold, self.store, self.files, self.recent = fold, store, files, recent
        self.waiting: list[Fetched] = []  # read and not yet folded
        self.owned = False  # whether its ledger partition is ours to write
        self.ledger_offset = 0  # where the ledger stood when it was read: it is not taken over before the fold is there
        self.cut_offset = -1
        self.cut_time = time.monotonic()


class TallyWorker:
    """Folds one feed. `run` returns when the service stops.

    `sets_aside_all`: also when most records are unreadable, which otherwise stops the worker with a ConfigurationError.
    """

    def __init__(self, context: ServiceContext, feed: str, instance: str, sets_aside_all: bool = False) -> None:
        self._context, self._feed, self._rules = context, feed, RULES[feed]
        self._sets_aside_all = sets_aside_all
        settings = context.settings
        self._events = f"events.{feed}.v1"
        self._log = EventLog(settings, self._events, f"tally-{feed}", instance, self._assigned, self._revoked)
        self._ledger = LedgerOwner(settings, f"tallies.{feed}.v1", FOLD)
        self._dead = DeadLetters(settings, feed, context.set_not_ready)
        self._parts: dict[int, _Partition] = {}
        self._folds, self._saves = asyncio.Semaphore(FOLDS_MAX), asyncio.Semaphore(SAVES_MAX)
        self._next_cuts = 0.0  # monotonic time before which no cut is made
        # What the group last said is noted here, and acted upon between two batches.
        self._came: set[int] = set()
        self._gone: set[int] = set()

    async def run(self) -> None:
        stopping = self._context.stopping
        await self._ledger.start(stopping)
        await self._dead.start(stopping)
        keeper = asyncio.ensure_future(self._ledger.keep_repaired(stopping))
        try:
            await self._log.start(stopping)
            while not stopping.is_set():
                await self._step()
                if keeper.done():
                    keeper.result()
            for number, part in self._parts.items():
                if part.owned:
                    await self._cut(number, part)
        finally:
            keeper.cancel()
            await self._log.stop()
            await self._ledger.stop()
            await self._dead.stop()
            for part in self._parts.values():
                part.store.close()

    async def _step(self) -> None:
        batches = await self._log.poll()
        await self._change_hands()
        due = []
        for number, fetched in batches.items():
            part = self._parts.get(number)
            # Else it was revoked or reassigned while the batch was fetched.
            if part is not None and fetched[0].first_offset >= part.fold.offset:
                part.waiting += fetched
                if sum(one.many for one in part.waiting) >= FOLD_RECORDS_MIN:
                    due.append((number, part))
        await asyncio.gather(*(self._fold(number, part) for number, part in due))
        if time.monotonic() < self._next_cuts:
            return
        started = time.monotonic()
        await asyncio.gather(*(self._fold(number, part) for number, part in self._parts.items()))
        due = [(number, part) for number, part in self._parts.items() if self._cut_due(number, part)]
        if not due:
            return  # after a silence, the first record that comes is handed on at once
        await asyncio.gather(*(self._cut(number, part) for number, part in due))
        ended = time.monotonic()
        self._next_cuts = max(started + CUT_SECONDS_MIN, ended + min(CUT_REST * (ended - started), CUT_SECONDS_MAX))

    async def _fold(self, number: int, part: _Partition) -> None:
        if not part.waiting:
            return
        fetched, part.waiting = part.waiting, []
        async with self._folds:
            folded = await asyncio.to_thread(_open_and_fold, part.fold, fetched)
        if folded is None:
            return
        records, effect = folded
        self._refuse_unreadable(part, len(records.offsets), [reason for _, reason in effect.dead])
        await self._dead.send(f"{self._context.settings.topic(self._events)}/{number}", records, effect.dead)
        counts = {"counted": effect.counted, "duplicate": effect.duplicate, "stale": effect.stale}
        for name, n in counts.items():
            metrics.TALLY_RECORDS.labels(self._feed, name).inc(n)
        for _, reason in effect.dead:
            metrics.TALLY_RECORDS.labels(self._feed, "conflict" if reason == "version_conflict" else "unreadable").inc()

    def _refuse_unreadable(self, part: _Partition, records: int, reasons: list[str]) -> None:
        """Stop before a batch's dead letters are sent and its offset is saved, if this build does not understand its log."""
        if self._sets_aside_all:
            part.recent = NONE_RECENT  # and a later start without that begins anew
            return
        part.recent = part.recent.after(records, reasons)
        share = unreadable_share(p.recent for p in self._parts.values())
        metrics.TALLY_UNREADABLE_SHARE.labels(self._feed).set(share)
        if share > UNREADABLE_SHARE_MAX:
            why = ", ".join(sorted(UNREADABLE.intersection(reasons)))
            raise ConfigurationError(
                f"{share:.0%} of the last records of {self._events} cannot be read ({why}): this is not the build for this log. "
                "Nothing of the last batch was counted or set aside"
            )

    def _cut_due(self, number: int, part: _Partition) -> bool:
        lag = self._log.lag(number, part.fold.offset)
        if lag is not None:
            metrics.TALLY_LAG.labels(self._feed, str(number)).set(lag)
        if part.fold.offset == part.cut_offset:
            return False
        if not part.owned and part.fold.offset >= part.ledger_offset:
            return True
        caught_up = lag is not None and lag <= CATCH_UP_RECORDS
        return caught_up or time.monotonic() - part.cut_time > CUT_SECONDS_MAX

    async def _cut(self, number: int, part: _Partition) -> None:
        if part.fold.offset == part.cut_offset:
            return
        started = time.monotonic()
        await self._dead.flush()
        await self._save(part)
        changes = await asyncio.to_thread(part.fold.changed_sheets)
        if part.owned:
            await self._ledger.write(number, changes, self._position(number, part.fold))
        elif part.fold.offset >= part.ledger_offset:
            await self._take_over(number, part)
        part.cut_offset, part.cut_time = part.fold.offset, time.monotonic()
        metrics.TALLY_CUTS.labels(self._feed).inc()
        metrics.TALLY_CUT_SECONDS.labels(self._feed).observe(part.cut_time - started)

    def _position(self, number: int, fold: PartitionFold) -> Position:
        name = f"{self._feed}/{number}"
        return Position({name: fold.offset}, fold.log_time, {name: fold.record_hash})

    async def _save(self, part: _Partition) -> None:
        while True:
            try:
                async with self._saves:
                    await asyncio.to_thread(_save_state, part)
                break
            except OSError as error:
                self._context.set_not_ready(f"cannot save state: {error.strerror}")
                log.error("cannot save state in %s: %s", part.store.folder, error.strerror)
                await asyncio.sleep(SAVE_RETRY_SECONDS)
        self._context.set_ready()

    def _assigned(self, partitions: list[int]) -> None:
        self._came |= set(partitions)

    def _revoked(self, partitions: list[int]) -> None:
        self._ledger.release(partitions)  # at once: from now on another may write
        self._came -= set(partitions)
        self._gone |= set(partitions)

    async def _change_hands(self) -> None:
        """Close what was revoked, open what was assigned."""
        gone, self._gone = self._gone, set()
        self._ledger.release(list(gone))  # once more: it may have been taken over while the group took it away
        for number in gone & self._parts.keys():
            self._parts.pop(number).store.close()
        came, self._came = sorted(self._came), set()
        if not came:
            return
        parts = await asyncio.gather(*(self._open(number) for number in came))
        for number, part in zip(came, parts, strict=True):
            self._parts[number] = part
        await asyncio.gather(*(self._take_over(number, part) for number, part in zip(came, parts, strict=True)))
        for number in set(came) - self._gone:
            self._log.seek(number, self._parts[number].fold.offset)
        self._context.set_ready()
        log.info("%s: folding partitions %s", self._feed, sorted(self._parts))

    async def _take_over(self, number: int, part: _Partition) -> None:
        """Make the partition's ledger ours, if the fold has come as far as the ledger and nobody took the partition away again."""
        if number in self._gone:
            return
        sheets = await asyncio.to_thread(part.fold.all_sheets)
        ahead = await self._ledger.own(number, sheets, self._position(number, part.fold))
        if ahead is None:
            part.owned, part.cut_offset = True, part.fold.offset
            return
        name = f"{self._feed}/{number}"
        part.ledger_offset = ahead.cut[name]
        # Offsets of an event topic have no gaps (nobody writes transactions to it), so the record before the cut is at cut - 1.
        record = await self._log.record_at(number, part.ledger_offset - 1)
        if record is None or record_hash(record, 0) != ahead.identity[name]:
            raise ConfigurationError(f"the log {self._events}/{number} is not the one that its day sheets were made of")
        log.info("%s/%d: folding up to offset %d before taking its ledger over", self._feed, number, part.ledger_offset)

    async def _open(self, number: int) -> _Partition:
        """The partition's saved state if it is of this log, else an empty fold."""
        first, end = await self._log.bounds(number)
        if first > 0:
            raise ConfigurationError(
                f"{self._events}/{number} starts at offset {first}: the log has lost its beginning, and with it the figures"
            )
        folder = self._context.settings.state_dir / self._feed / str(number)
        store = _open_store(folder)
        try:
            loaded = await asyncio.to_thread(store.load)
            if loaded is not None:
                manifest, runs = loaded
                await self._check_identity(number, manifest, end)
                fold = PartitionFold(self._rules, manifest.cells, runs)
                fold.offset, fold.last_offset = manifest.offset, manifest.last_offset
                fold.time, fold.record_hash = LogTime(manifest.log_time, manifest.stamped), manifest.record_hash
                return _Partition(fold, store, manifest.runs, Recent(*manifest.recent))
        except StateLost as lost:
            log.warning("%s/%d: %s; folding the log again", self._events, number, lost)
            metrics.TALLY_STATE_DISCARDED.labels(self._feed).inc()
            store.discard()
        return _Partition(PartitionFold(self._rules), store, [])

    async def _check_identity(self, number: int, manifest: Manifest, end: int) -> None:
        if manifest.fold != FOLD:
            raise StateLost("the state was folded by other rules")
        if manifest.offset == 0:
            return  # nothing was folded: that is true of every log
        if manifest.offset > end:
            raise StateLost("the log is shorter than what was folded")
        record = await self._log.record_at(number, manifest.last_offset)
        if record is None or record_hash(record, 0) != manifest.record_hash:
            raise StateLost("the log is not the one that was folded")


def _open_store(folder: Path) -> RunStore:
    """The partition's state folder; if another process holds it, one beside it, with whatever an earlier process left there."""
    spare = 0
    while True:
        store = RunStore(folder if spare == 0 else folder.with_name(f"{folder.name}.{spare}"))
        try:
            store.open()
            return store
        except BlockingIOError:
            spare += 1


def _open_and_fold(fold: PartitionFold, fetched: list[Fetched]) -> tuple[Records, Effect] | None:
    records = opened(fetched)
    return None if records is None else (records, fold.fold(records))


def _save_state(part: _Partition) -> None:
    """Write the fresh run and the manifest that names it; merge tiers when they are full."""
    fold, files = part.fold, list(part.files)
    saved = list(fold.saved)
    fresh = fold.fresh_run()
    if fresh is not None:
        files.append(part.store.add(fresh))
        saved.append(part.store.mapped(files[-1][0]))
    start = next_merge([len(run.high) for run in saved])
    if start is not None:
        merged = part.store.add(merge_runs(saved[start:]))
        saved[start:], files[start:] = [part.store.mapped(merged[0])], [merged]
    part.store.commit(
        Manifest(
            LAYOUT,
            FOLD,
            fold.offset,
            *fold.time,
            fold.record_hash,
            fold.last_offset,
            fold.cells.texts,
            files,
            [*part.recent],
        )
    )
    # Only now: if anything above failed, the state is as before and the next try does all of it again.
    fold.saved, fold.fresh, part.files = saved, [], files
