"""The real services as simulated processes: wired to the memory broker, each adopted set held against the oracle."""

import asyncio
import types
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from services.indicator_publisher import publisher
from services.informality_estimates.stage import AGGREGATES_FOLD, EstimatesStage
from services.informality_estimates.stage import FOLD as ESTIMATES_FOLD
from services.quarterly_aggregates.stage import FOLD as AGGREGATES_STAGE_FOLD
from services.quarterly_aggregates.stage import TALLY_FOLD, AggregatesStage
from services.shared.feeds.feed import FeedRules
from services.shared.runtime.kafka import clients as kafka
from services.shared.runtime.kafka import dead_letters, event_log, ledger, stage
from services.shared.runtime.kafka.ledger import Adoption
from services.shared.runtime.process.settings import Settings
from services.shared.statistics.exchange.ledger_set import Cut, LedgerReader, is_behind
from services.shared.statistics.exchange.records import Records
from services.shared.statistics.folding import index
from services.shared.statistics.folding.contribution import CELLS_MAX
from services.shared.statistics.publication import disclosure, inner_cells
from services.tally import decode, partition, worker
from tests.chaos.simulated import disk
from tests.chaos.simulated.broker import Broker, Record
from tests.chaos.simulated.clients import Factories, Luck
from tests.chaos.simulated.database import MemoryStore, Wrong, differences
from tests.chaos.simulated.loop import SeededLoop
from tests.chaos.simulated.oracle import Oracle

AGGREGATES, ESTIMATES = "aggregates.quarterly.v1", "estimates.informality.v1"
INDICATORS, QUALITY = "indicators.v1", "quality.v1"
LETTERS = "dead-letters.v1"
PUBLISHER_DAYS_AHEAD = 200  # to a week in which the calendar has nothing
_FIELDS = ("OBS_VALUE", "LOWER", "UPPER", "OBS_STATUS")  # of an entry of `indicators.v1`


class Context:
    """As services are given it."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.stopping = asyncio.Event()
        self.ready = False

    def set_ready(self) -> None:
        self.ready = True

    def set_not_ready(self, reason: str) -> None:
        self.ready = False


class Checker:
    """Holds every set that a follower adopts against the oracle at the set's own cut."""

    def __init__(self, broker: Broker, oracle: Oracle, feed: str, store: MemoryStore) -> None:
        self._broker, self._oracle, self._feed, self._store = broker, oracle, feed, store
        self.checks = 0
        self._published: dict[str, bytes | None] = {}
        broker.on_append = self.watch

    def watch(self, record: Record) -> None:
        """A reader of `indicators.v1`, which sees it as it is written."""
        if record.topic != INDICATORS:
            return
        if record.offset == 0:
            self._reader, self._published = LedgerReader(publisher.FOLD), {}
        assert record.key is not None
        changes = self._reader.read(record.key.decode(), record.value, dict(record.headers).get("kind"))
        if changes is None:
            return
        self.checks += 1
        self._published.update(changes)
        assert self._reader.adopted is not None
        cut = self._reader.adopted.cut
        held = {key: tuple(orjson.loads(value)[f] for f in _FIELDS) for key, value in self._published.items() if value is not None}
        said = self._store.said(self._reader.adopted)
        if held not in said:
            raise Wrong(f"{INDICATORS} at {cut}: {differences(held, said[-1]) if said else 'it was never published'}")

    def follow(self) -> Callable[[list[Adoption]], None]:
        """A check for one follower, which sums its changes up."""
        sets: dict[tuple[str, int], dict[str, bytes]] = defaultdict(dict)
        cuts: dict[tuple[str, int], Cut] = {}

        def check(adoptions: list[Adoption]) -> None:
            for adoption in adoptions:
                held = sets[adoption.topic, adoption.partition]
                for key, value in adoption.changes.items():
                    if value is None:
                        held.pop(key, None)
                    else:
                        held[key] = value
                place, cut = (adoption.topic, adoption.partition), adoption.mark.cut
                if is_behind(cut, cuts.get(place, {})):
                    raise Wrong(f"{place} went back from {cuts[place]} to {cut}")
                cuts[place] = cut
                self.check(adoption, held)

        return check

    def check(self, adoption: Adoption, held: dict[str, bytes]) -> None:
        self.checks += 1
        mark, oracle = adoption.mark, self._oracle
        ends = oracle.end()
        if any(offset > ends[name] for name, offset in mark.cut.items()):
            raise Wrong(f"{adoption.topic}: the cut {mark.cut} is beyond the log's end {ends}")
        if not adoption.topic.startswith("tallies.") and mark.cut.keys() != ends.keys():
            raise Wrong(f"{adoption.topic}: the cut {mark.cut} is not one of all partitions")
        if adoption.topic.startswith("tallies."):
            truth = oracle.at(adoption.partition, mark.cut[f"{self._feed}/{adoption.partition}"])
            wanted, letters = truth.sheets, truth.letters
            missing = letters - {r.key for r in self._broker.topics[LETTERS][0].records}
            if missing:
                raise Wrong(f"{adoption.topic}: handed on before its dead letters were safe: {sorted(missing)}")
        else:
            wanted = oracle.aggregates(mark.cut) if adoption.topic == AGGREGATES else oracle.estimates(mark.cut)
        if held != wanted:
            raise Wrong(f"{adoption.topic}/{adoption.partition} at {mark.cut}: {differences(held, wanted)}")
        if mark.log_time != oracle.log_time(mark.cut):
            raise Wrong(f"{adoption.topic}/{adoption.partition} at {mark.cut}: the log's time is another")


class CheckedStage:
    """A stage whose inputs are checked as it takes them."""

    def __init__(self, wrapped: stage.Stage, check: Callable[[list[Adoption]], None]) -> None:
        self._stage, self._check = wrapped, check

    def adopt(self, adoptions: list[Adoption]) -> None:
        self._check(adoptions)
        self._stage.adopt(adoptions)

    def give(self) -> Any:
        return self._stage.give()


class BareLedgers(stage.StageLedgers):
    """A stage's ledgers without the Faust app around them: the same follower, the same handing on, the same owner."""

    async def run_bare(self, checked: CheckedStage) -> None:
        stopping = self._context.stopping
        await self._owner.start(stopping)
        keeper = asyncio.ensure_future(self._owner.keep_repaired(stopping))
        try:
            await self._follower.start(stopping)
            async for adoptions in self._follower.adoptions(stopping):
                await self._hand_on(checked, adoptions)
                if keeper.done():
                    keeper.result()
        finally:
            keeper.cancel()
            await self._follower.stop()
            await self._owner.stop()


class _Time:
    """In place of the module `time`."""

    def __init__(self, loop: SeededLoop) -> None:
        self.monotonic = loop.time


class Engine:
    """Makes the services' main coroutines. One at a time: it puts the simulated world in the place of the real one."""

    def __init__(self, broker: Broker, luck: Luck, oracle: Oracle, state: Path, feed: str) -> None:
        self._broker, self._feed = broker, feed
        # Of the publisher, which may release what is over by its own clock: all quarters of the run.
        self._clock = lambda: datetime.fromtimestamp(broker.clock_ms / 1000, UTC) + timedelta(days=PUBLISHER_DAYS_AHEAD)
        self.store = MemoryStore(luck, oracle, broker.rng, self._clock)
        self.checker = Checker(broker, oracle, feed, self.store)
        self._settings = Settings(bootstrap_servers="memory", database_url="memory", state_dir=state)
        self._replace(broker, luck)

    def _replace(self, broker: Broker, luck: Luck) -> None:
        rng = broker.rng
        factories, clock = Factories(broker, luck), _Time(broker.loop)
        put: Callable[..., None] = setattr
        for module in (kafka, ledger, event_log, dead_letters):
            for name in ("producer", "consumer", "require"):
                if hasattr(module, name):
                    put(module, name, getattr(factories, name))
        for module in (worker, ledger, stage, publisher):
            put(module, "time", clock)
        put(event_log, "whole_batches", types.SimpleNamespace(install=lambda _: False))
        put(worker, "RunStore", disk.UnluckyStore)
        put(inner_cells, "protect", protect_once)
        put(publisher, "ReleaseStore", types.SimpleNamespace(of=lambda _: self.store))
        disk.LUCK[:] = [luck]
        # Small numbers, so that what takes hours at scale happens within seconds.
        put(ledger, "POLL_MS", rng.choice([500, 1500]))
        put(event_log, "POLL_MS", rng.choice([300, 800]))
        put(ledger, "SCRUB_SECONDS", rng.choice([2.0, 5.0, 15.0]))
        put(partition, "decode", decode.decode if rng.random() < 0.05 else decode_once)
        put(ledger, "REREAD_SECONDS", rng.choice([3.0, 10.0]))
        put(worker, "FOLD_RECORDS_MIN", rng.choice([1, 4, 15]))
        put(worker, "CUT_SECONDS_MAX", rng.choice([0.6, 2.0]))
        put(index, "TIER_RUNS_MAX", rng.choice([2, 3, 8]))

    def tally(self, context: Context, instance: str) -> Awaitable[None]:
        return worker.TallyWorker(context, self._feed, instance).run()  # type: ignore[arg-type]

    def aggregates(self, context: Context) -> Awaitable[None]:
        topic = f"tallies.{self._feed}.v1"
        bare = AggregatesStage([(topic, number) for number in range(self._broker.counts[topic])])
        ledgers = BareLedgers(context, "aggregates", [topic], TALLY_FOLD, AGGREGATES, AGGREGATES_STAGE_FOLD)  # type: ignore[arg-type]
        return ledgers.run_bare(CheckedStage(bare, self.checker.follow()))

    def estimates(self, context: Context) -> Awaitable[None]:
        ledgers = BareLedgers(context, "estimates", [AGGREGATES], AGGREGATES_FOLD, ESTIMATES, ESTIMATES_FOLD)  # type: ignore[arg-type]
        return ledgers.run_bare(CheckedStage(EstimatesStage(), self.checker.follow()))

    def publisher(self, context: Context) -> Awaitable[None]:
        service = publisher.Publisher(context, self._clock)  # type: ignore[arg-type]
        check, adopt = self.checker.follow(), service._alignment.adopt

        def adopt_checked(adoption: Adoption) -> None:
            check([adoption])
            adopt(adoption)

        service._alignment.adopt = adopt_checked  # type: ignore[method-assign]
        return service.run()

    def settings(self) -> Settings:
        return self._settings


_PROTECTED: dict[bytes, dict[str, str]] = {}
_PROTECTED_MAX = 20_000  # a few megabytes


def protect_once(table: disclosure.Table, earlier: Sequence[disclosure.Released]) -> dict[str, str]:
    """As `protect`, which is pure, but each question is asked once: the publisher and the database that checks it have the same.

    A seventh of a run's time goes there otherwise.
    """
    asked = blake2b(repr((table, earlier)).encode(), digest_size=16).digest()
    if asked not in _PROTECTED:
        if len(_PROTECTED) >= _PROTECTED_MAX:
            _PROTECTED.clear()
        _PROTECTED[asked] = disclosure.protect(table, earlier)
    return dict(_PROTECTED[asked])


_KNOWN: dict[tuple[Any, ...], tuple[int, int, int, str, int, str]] = {}


def decode_once(rules: FeedRules, cells: decode.Cells, records: Records) -> decode.Decoded:
    """As tally's `decode`, which is asked about each record only once, alone: its contract is that neighbours do not matter.

    Most of a run's time goes there otherwise. One run in twenty uses the real one on the real batches.
    """
    rows, unreadable = [], []
    for place in range(len(records.offsets)):
        record = Records(*([column[place]] for column in records))  # type: ignore[arg-type]
        known = (rules.feed, *record.keys, *record.values, dict(record.headers[0])["schema"])
        if known not in _KNOWN:
            _KNOWN[known] = _decode_alone(rules, record)
        *row, text, contribution, reason = _KNOWN[known]
        if reason:
            unreadable.append((place, reason))
        else:
            rows.append((place, *row, (contribution | cells.number(text)) if text else 0))
    columns = list(zip(*rows, strict=True)) or [(), (), (), (), ()]
    kinds = (np.int64, np.uint64, np.uint64, np.int64, np.uint64)
    arrays: list[Any] = [np.array(c, kind) for c, kind in zip(columns, kinds, strict=True)]
    return decode.Decoded(*arrays, unreadable)  # type: ignore[call-arg]


def _decode_alone(rules: FeedRules, record: Records) -> tuple[int, int, int, str, int, str]:
    """(key's halves, version, cell text, contribution without its cell, what is wrong)."""
    cells = decode.Cells(rules, [])
    found = decode.decode(rules, cells, record)
    if found.unreadable:
        return 0, 0, 0, "", 0, found.unreadable[0][1]
    contribution = int(found.contributions[0])
    cell = contribution & (CELLS_MAX - 1)
    return int(found.high[0]), int(found.low[0]), int(found.versions[0]), cells.texts[cell], contribution - cell, ""
