"""One run: a seed decides what agencies send, which faults strike when, and in which order everything happens.

Safety: whatever a follower adopts, or the publisher publishes, is what the oracle says at its cut. Liveness: once the faults have
stopped, every ledger and the publication come to the log's end within a bounded time.
"""

import asyncio
import logging
import math
import random
import shutil
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, NamedTuple

from aiokafka.errors import KafkaError

from services.indicator_publisher import publisher
from services.indicator_publisher.outlets import report_of, value_of
from services.informality_estimates import stage as estimates
from services.quarterly_aggregates import stage as aggregates
from services.shared.statistics.exchange.ledger_set import MARK_KIND, Cut, EntrySet, LedgerReader, Mark
from services.tally import worker
from tests.chaos.simulated import disk
from tests.chaos.simulated.agency import event, stamp
from tests.chaos.simulated.broker import Broker
from tests.chaos.simulated.clients import Luck
from tests.chaos.simulated.engine import AGGREGATES, ESTIMATES, INDICATORS, LETTERS, QUALITY, Context, Engine
from tests.chaos.simulated.life import Service
from tests.chaos.simulated.loop import CURRENT, OUTSIDE, Process, SeededLoop
from tests.chaos.simulated.oracle import Oracle

FAULT_SECONDS = 12.0
FAULT_GAP_SECONDS = 0.9  # on average
QUIET_SECONDS_MIN = 4.0  # the longest that a delayed batch is under way
QUIET_SECONDS_MAX = 90.0  # several scrubs; a run that has not come to rest by then never will
RESTART_SECONDS_MAX = 2.0
PAUSE_SECONDS_MAX = 8.0
SESSION_SECONDS = 3.0
SUSPEND_SECONDS_MAX = 100.0  # the machine sleeps: clocks jump ahead
ODDS = {
    "send_delayed": 0.03,
    "ack_lost": 0.004,
    "fetch_delayed": 0.05,
    "kill_in_write": 0.02,
    "disk_full": 0.03,
    "database_away": 0.05,
    "release_wanted": 0.4,
}
STATE_ROOT = "/dev/shm" if Path("/dev/shm").is_dir() else None  # memory, where there is such a folder

log = logging.getLogger("tolqyn.simulated")


class Outcome(NamedTuple):
    """`problem`: empty if all went well; `faults`: how many struck; `checks`: adopted sets held against the oracle."""

    seed: int
    problem: str
    faults: int
    checks: int
    seconds_to_rest: float


class World:
    """Play it once with `play`."""

    def __init__(self, seed: int, notes: list[str] | None = None) -> None:
        self.seed, self.rng, self.notes = seed, random.Random(seed), notes
        self.loop = SeededLoop(self.rng)
        self.feed = self.rng.choice(["border-crossings", "border-crossings", "work-permits", "migration-violations"])
        # All offences of a person must meet: that feed has one partition.
        self.partitions = 1 if self.feed == "migration-violations" else self.rng.choice([1, 2, 2, 3])
        self.tallies = f"tallies.{self.feed}.v1"
        self.ledgers = {self.tallies: self.partitions, AGGREGATES: 1, ESTIMATES: 1, INDICATORS: 1, QUALITY: 1}
        self.folds = {self.tallies: worker.FOLD, AGGREGATES: aggregates.FOLD, ESTIMATES: estimates.FOLD}
        self.folds |= {INDICATORS: publisher.FOLD, QUALITY: publisher.FOLD}
        topics = {**self.ledgers, f"events.{self.feed}.v1": self.partitions, LETTERS: 1}
        self.broker = Broker(self.loop, topics, list(self.ledgers))
        self.luck = Luck(self.broker, ODDS)
        self.oracle = Oracle(self.broker, self.feed)
        self.edge_luck = random.Random(f"the edge's clock {seed}")
        self.stamps_from = self.edge_luck.choice([0.0, 0.0, FAULT_SECONDS / 2, math.inf])  # until then the log is of version 1
        self.folder = Path(tempfile.mkdtemp(prefix="tolqyn-seed-", dir=STATE_ROOT))
        self.state, self.copy = self.folder / "state", self.folder / "copy"
        self.engine = Engine(self.broker, self.luck, self.oracle, self.state, self.feed)
        self.problem = ""
        self.error: BaseException | None = None
        self.faults = 0
        self.asleep = 0.0  # how much of the time the machine was suspended
        self.services: list[Service] = []
        self.quiet = False

    def note(self, text: str) -> None:
        if self.notes is not None:
            self.notes.append(f"{self.loop.now:8.3f} {text}")

    def fail(self, problem: str, error: BaseException | None = None) -> None:
        if not self.problem:
            self.problem, self.error = problem, error

    # --- life and death ---------------------------------------------------------------------------------------------------

    def died(self, service: Service, process: Process) -> None:
        """The kernel and the supervisor act: the session ends some time later, a new process starts."""
        self.note(f"dead {service.role}")
        for group in self.broker.groups.values():
            for member in group.members:
                if member.process is process:
                    self.later(self.rng.random() * SESSION_SECONDS, group.leave, member)
        self.later(self.rng.random() * RESTART_SECONDS_MAX, self._restart, service)

    def later(self, seconds: float, action: Callable[..., Any], *arguments: Any) -> None:
        self.loop.call_later(seconds, action, *arguments, context=OUTSIDE)

    def _restart(self, service: Service) -> None:
        if not service.alive and service.role.startswith("tally") and not self.quiet and self.rng.random() < 0.3:
            self.damage()
        service.start()

    def damage(self) -> None:
        """Harm the state of one partition that no process holds."""
        folders = [folder for folder in sorted(self.state.glob("*/*")) if disk.is_free(folder)]
        if folders:
            folder = self.rng.choice(folders)
            kind = disk.damage(folder, self.copy / folder.relative_to(self.state), self.rng)
            self.note(f"state of {folder.name}: {kind}")

    def add(self, role: str, main: Callable[[Context], Awaitable[None]]) -> None:
        self.services.append(Service(self, role, main))

    def start_all(self) -> None:
        engine = self.engine
        for number in range(self.rng.choice([1, 2, 2, 3])):
            self.add_tally(number)
        self.add("aggregates", engine.aggregates)
        self.add("estimates", engine.estimates)
        self.add("publisher", engine.publisher)

    def add_tally(self, number: int) -> None:
        self.add(f"tally-{number}", lambda context: self.engine.tally(context, f"tally-{number}"))

    # --- faults -------------------------------------------------------------------------------------------------------------

    def strike(self) -> None:
        """One fault."""
        self.faults += 1
        name, fault = self.rng.choice(self._faults())
        self.note(name)
        fault()

    def _faults(self) -> list[tuple[str, Callable[[], None]]]:
        once = (
            [("topics and figures deleted, state kept", self.reborn)] if self.broker.epoch == 1 and self.rng.random() < 0.15 else []
        )
        return [
            *[("kill", self.kill)] * 5,
            *[("terminate", self.terminate)] * 2,
            *[("pause", self.pause)] * 3,
            *[("cut off", self.cut_off)] * 2,
            ("rebalance", self.rebalance),
            ("two at once", self.double),
            ("one worker less or more", self.scale),
            ("clock jump", self.broker.jump_clock),
            ("suspend", self.suspend),
            *[("copy state", lambda: disk.take_copy(self.state, self.copy))] * 2,
            *[("compact", self.broker.compact)] * 5,
            *once,
        ]

    def _living(self) -> list[Service]:
        return [s for s in self.services if s.alive and s.process is not None and not s.process.paused]

    def kill(self) -> None:
        living = self._living()
        if living:
            self._process(self.rng.choice(living)).die()

    @staticmethod
    def _process(service: Service) -> Process:
        assert service.process is not None
        return service.process

    def terminate(self) -> None:
        living = [s for s in self._living() if s.context is not None]
        if living:
            self.rng.choice(living).context.stopping.set()

    def pause(self) -> None:
        """SIGSTOP; past its session the group gives its partitions to others, and it goes on as a zombie until it hears of that."""
        living = self._living()
        if not living:
            return
        process = self._process(self.rng.choice(living))
        process.paused = True
        seconds = self.rng.random() * PAUSE_SECONDS_MAX
        self.note(f"paused {process.name} for {seconds:.1f} s")
        for group in self.broker.groups.values():
            for member in [m for m in group.members if m.process is process and seconds > SESSION_SECONDS]:
                self.later(SESSION_SECONDS, group.leave, member)
                self.later(seconds + self.rng.random() * SESSION_SECONDS, self._rejoin, group, member)
        self.later(seconds, self.loop.resume, process)

    def _rejoin(self, group: Any, member: Any) -> None:
        if not member.process.dead and member not in group.members:
            group.join(member)

    def cut_off(self) -> None:
        """The group does not reach a member: it is a zombie that reads and writes on."""
        members = [m for g in self.broker.groups.values() for m in g.members if not m.process.dead]
        if members:
            member = self.rng.choice(members)
            member.cut_off = True
            self.rebalance()
            self.later(self.rng.random() * PAUSE_SECONDS_MAX, self._reach, member)

    def _reach(self, member: Any) -> None:
        member.cut_off = False
        self.rebalance()

    def rebalance(self) -> None:
        for group in self.broker.groups.values():
            group.rebalance()

    def double(self) -> None:
        """A stage runs twice for a while, as in a careless roll-out."""
        role = self.rng.choice(["aggregates", "estimates", "publisher"])
        self.add(role, getattr(self.engine, role))
        first = next(s for s in self.services if s.role == role and s.wanted)
        self.later(self.rng.random() * PAUSE_SECONDS_MAX, self._retire, first)

    def _retire(self, service: Service) -> None:
        others = [s for s in self.services if s.role == service.role and s.wanted and s is not service]
        if others or (service.role.startswith("tally") and self._tallies() > 1):
            service.wanted = False
            if service.process is not None:
                service.process.die()

    def _tallies(self) -> int:
        return sum(s.wanted and s.role.startswith("tally") for s in self.services)

    def scale(self) -> None:
        if self._tallies() > 1 and self.rng.random() < 0.5:
            self._retire(self.rng.choice([s for s in self.services if s.wanted and s.role.startswith("tally")]))
        else:
            self.add_tally(len(self.services))

    def suspend(self) -> None:
        seconds = self.rng.random() * SUSPEND_SECONDS_MAX
        self.loop.now += seconds
        self.asleep += seconds

    def reborn(self) -> None:
        """A new stack finds the state of an old one."""
        for service in self.services:
            if service.process is not None:
                service.process.die()
        self.broker.wipe()
        self.engine.store.wipe()
        self.oracle.forget()

    # --- the run ------------------------------------------------------------------------------------------------------------

    async def _agency(self) -> None:
        topic = f"events.{self.feed}.v1"
        while self.loop.now < FAULT_SECONDS + self.asleep:
            await asyncio.sleep(self.rng.expovariate(1.5))
            partition = self.rng.randrange(self.partitions)
            for _ in range(self.rng.choice([1, 2, 3, 8])):
                key, value, headers = event(self.feed, partition, self.rng)
                stamps = stamp(self.broker.now_ms, self.edge_luck) if self.loop.now >= self.stamps_from else ()
                self.broker.append(topic, partition, key, value, headers + stamps)

    async def _faulty(self) -> None:
        await asyncio.sleep(self.rng.random() * 3)
        while self.loop.now < FAULT_SECONDS + self.asleep and not self.problem:
            self.strike()
            await asyncio.sleep(self.rng.expovariate(1 / FAULT_GAP_SECONDS))

    async def _calm(self) -> None:
        """The faults stop: everything that shall run runs, once."""
        self.luck.over = self.quiet = True
        for group in self.broker.groups.values():
            for member in list(group.members):
                member.cut_off = False
        seen = set()
        for service in self.services:
            if service.role in seen:
                service.wanted = False
                self._process(service).die()
            elif service.wanted:
                seen.add(service.role)
            if service.process is not None and service.process.paused:
                self.loop.resume(service.process)
        await asyncio.sleep(QUIET_SECONDS_MIN)
        for group in self.broker.groups.values():
            group.rebalance()

    async def _play(self) -> float:
        self.start_all()
        agency = self.loop.create_task(self._agency(), context=OUTSIDE)
        await self._faulty()
        await agency
        await self._calm()
        calm = self.loop.now
        behind = "nothing was looked at"
        while not self.problem and self.loop.now < calm + QUIET_SECONDS_MAX:
            behind = self.behind()
            if not behind:
                break
            await asyncio.sleep(1)
        if behind:
            self.fail(f"not at rest after {QUIET_SECONDS_MAX:.0f} s: {behind}")
        return self.loop.now - calm

    def behind(self) -> str:
        """What is not as the log's end says; empty if all is."""
        end = self.oracle.end()
        for topic, count in self.ledgers.items():
            for partition in range(count):
                name = f"{self.feed}/{partition}"
                wanted = {name: end[name]} if topic == self.tallies else end
                marked = self._marked(topic, partition)
                if marked != wanted:
                    return f"{topic}/{partition} is marked {marked}, the log ends at {wanted}"
                reader, held = LedgerReader(self.folds[topic]), EntrySet()
                for record in self.broker.topics[topic][partition].records:
                    kind = dict(record.headers).get("kind")
                    assert record.key is not None
                    reader.read(record.key.decode(), record.value, kind)
                    if kind != MARK_KIND:
                        held.put(record.key.decode(), record.value)
                if reader.adopted is None or reader.adopted.cut != wanted:
                    return f"{topic}/{partition} is at {reader.adopted and reader.adopted.cut}, the log at {wanted}"
                if reader.pending_entries:
                    return f"{topic}/{partition} has entries of no adopted set"
                if held.values != self._truth(topic, partition):
                    return f"{topic}/{partition} is wrong"
        letters = {record.key for record in self.broker.topics[LETTERS][0].records}
        if letters != {key for n in range(self.partitions) for key in self.oracle.at(n, end[f"{self.feed}/{n}"]).letters}:
            return "dead letters are missing or too many"
        return ""

    def _marked(self, topic: str, partition: int) -> Cut | None:
        """The cut of the newest mark. Until that is the log's end there is no use in reading the whole ledger."""
        for record in reversed(self.broker.topics[topic][partition].records):
            if record.value is not None and dict(record.headers).get("kind") == MARK_KIND:
                return Mark.from_bytes(record.value).cut
        return None

    def _truth(self, topic: str, partition: int) -> dict[str, bytes]:
        end = self.oracle.end()
        if topic == self.tallies:
            return self.oracle.at(partition, end[f"{self.feed}/{partition}"]).sheets
        if topic == INDICATORS:
            snapshot = self.engine.store._snapshot
            return {f"{o.series}:{o.period}": value_of(o) for o in snapshot.observations.values()} if snapshot else {}
        if topic == QUALITY:
            snapshot = self.engine.store._snapshot
            return {period: report_of(report) for period, report in snapshot.qualities.items()} if snapshot else {}
        return self.oracle.aggregates(end) if topic == AGGREGATES else self.oracle.estimates(end)

    def play(self) -> Outcome:
        """The whole run."""
        loop = self.loop
        asyncio.set_event_loop(loop)
        loop.set_exception_handler(self._unhandled)
        try:
            seconds = loop.run_until_complete(loop.create_task(self._play(), context=OUTSIDE))
        finally:
            self._note_where_all_wait()
            for service in self.services:
                service.wanted = False
                if service.process is not None:
                    service.process.die()
            loop.bury()
            loop._ready.clear()  # type: ignore[attr-defined]
            loop._scheduled.clear()  # type: ignore[attr-defined]
            asyncio.set_event_loop(None)
            loop.close()
            shutil.rmtree(self.folder, ignore_errors=True)
        return Outcome(self.seed, self.problem, self.faults, self.engine.checker.checks, seconds)

    def _note_where_all_wait(self) -> None:
        if self.problem and self.notes is not None:
            for task in self.loop.tasks:
                if not task.done():
                    coroutine: Any = task.get_coro()
                    places = []
                    while coroutine is not None and (frame := getattr(coroutine, "cr_frame", None)) is not None:
                        places.append(f"{frame.f_code.co_name}:{frame.f_lineno}")
                        coroutine = coroutine.cr_await
                    self.notes.append("  waits: " + " ".join(places))

    def _unhandled(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        process = CURRENT.get()
        if isinstance(error, Exception) and not isinstance(error, KafkaError) and (process is None or not process.dead):
            self.fail(f"{context['message']}: {error!r}", error)
