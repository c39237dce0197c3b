"""Carries a plan out: strikes, checks that there was work to lose, and measures how long it takes until all counts again."""

import asyncio
import os
import random
import signal
import time
from collections.abc import Awaitable, Callable, Collection
from typing import NamedTuple

from aiokafka.errors import KafkaError

from tests.chaos.real import damage, poison
from tests.chaos.real.proxy import Proxy
from tests.chaos.real.schedule import Phase, Plan, Strike
from tests.chaos.real.stack import EXTRA, GROUP_FEED, PROXIED_SERVICE, SERVERS, Stack
from tests.chaos.real.traffic import Sender
from tests.chaos.real.truth import Cut
from tests.chaos.real.verdict import fingerprint
from tests.chaos.real.watcher import Counted
from tools.stack import processes

WORKERS = (f"tally-{GROUP_FEED}", *EXTRA)
STAGES = ("quarterly-aggregates", "informality-estimates", PROXIED_SERVICE)
UNDONE_SECONDS_MAX = 15.0  # traffic never rests: only a stack that is catching up keeps us waiting
UNDONE_POLL_SECONDS = 0.05
NOTICE_SECONDS_MAX = 25.0  # a full disk is met at the next cut, and these come every few seconds at least
LIMIT_FACTOR = 4  # recovery beyond its limit fails the run; after so many times the limit we stop waiting for it


class Outcome(NamedTuple):
    """One strike: records not yet counted when it struck, seconds until recovery (None: it never came), and what went wrong."""

    fault: str
    target: str
    undone: int
    recovery: float | None
    limit: float
    problem: str


class Missed(Exception):
    """The fault could not be what it was to be, so it proves nothing."""


class Campaign:
    """One run against one stack."""

    def __init__(
        self, plan: Plan, stack: Stack, far_sender: Sender, far_proxy: Proxy, counted: Counted, say: Callable[[str], None]
    ) -> None:
        self.plan, self.stack, self.counted, self.say = plan, stack, counted, say
        self.far_sender, self.far_proxy = far_sender, far_proxy  # a sender of border crossings, and what is between it and them
        self.outcomes: list[Outcome] = []
        self.written: set[tuple[str, str]] = set()
        self.refused: set[str] = set()
        self.last_fault = time.monotonic()

    async def run(self) -> None:
        """Phase after phase."""
        for phase in self.plan.phases:
            self.say(f"{phase.name}: {len(phase.strikes)} strikes")
            await self._phase(phase)

    async def _phase(self, phase: Phase) -> None:
        """Side by side, never two with a lane in common; those first whose lane is the longest."""
        pending = list(phase.strikes)
        running: dict[asyncio.Task[None], set[str]] = {}
        while pending or running:
            busy = set().union(*running.values())
            while len(running) < phase.at_once:
                free = [strike for strike in pending if not lanes(strike) & busy]
                if not free:
                    break
                chosen = max(free, key=lambda strike: sum(bool(lanes(strike) & lanes(other)) for other in pending))
                pending.remove(chosen)
                running[asyncio.create_task(self._strike(chosen))] = lanes(chosen)
                busy |= lanes(chosen)
            done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                del running[task]
                task.result()

    async def _strike(self, strike: Strike) -> None:
        await asyncio.sleep(strike.pause)
        limit, undone, recovery, problem = self._limit(strike), 0, None, ""
        try:
            undone = await self._until_undone(feed_of(strike))
            recovery = await self._fault(strike)(strike)
            if recovery > limit and self.plan.judge_recovery:
                problem = f"recovered after {recovery:.1f} s, limit {limit:.0f}"
        except Missed as missed:
            problem = f"INVALID: {missed}"
        except TimeoutError as late:
            problem = f"did not recover: {late}"
        self.last_fault = time.monotonic()
        self.outcomes.append(Outcome(strike.fault, strike.target, undone, recovery, limit, problem))
        took = "" if recovery is None else f"{recovery:5.1f} s"
        self.say(f"  {strike.fault:26} {strike.target:26} {undone:6} not yet counted  {took} {problem}")

    def _limit(self, strike: Strike) -> float:
        limits = self.plan.limits
        if strike.fault.startswith("hang"):
            return limits["hang"]
        if strike.fault in ("zombie", "poison", "disk full"):
            return limits["group"]
        if strike.target in SERVERS:
            return limits["servers"]
        return self._limit_of(strike.target)

    def _fault(self, strike: Strike) -> Callable[[Strike], Awaitable[float]]:
        return {
            "kill": self._kill_server if strike.target in SERVERS else self._kill,
            "zombie": self._zombie,
            "disk full": self._disk_full,
            "hang broker": self._hang_broker,
            "hang database": self._hang_database,
            "hang sender": self._hang_sender,
            "poison": self._poison,
        }.get(strike.fault, self._damage)

    async def _until_undone(self, feed: str | None) -> int:
        """Wait for work that a fault can hurt."""
        limit = time.monotonic() + UNDONE_SECONDS_MAX
        while not (undone := await self.stack.undone(feed)):
            if time.monotonic() > limit:
                raise Missed("the work was already done")
            await asyncio.sleep(UNDONE_POLL_SECONDS)
        return undone

    # The faults. Each returns how long recovery took.

    async def _kill(self, strike: Strike) -> float:
        return await self._recovered(strike.target, self._end(strike.target))

    def _end(self, name: str, seen: int | None = None) -> int:
        """SIGKILL; the pid it had."""
        pid = seen or self.stack.pid(name)
        if pid is None:
            raise Missed(f"{name} does not run")
        os.kill(pid, signal.SIGKILL)
        return pid

    async def _recovered(self, name: str, killed: int) -> float:
        """Until another process of this name is ready and has counted something."""

        async def counts_again() -> bool:
            if self.stack.pid(name) in (None, killed) or await self.stack.not_ready(name):
                return False
            return await self._progress(name)

        return await self.stack.until(counts_again, LIMIT_FACTOR * self._limit_of(name), f"{name} is ready and counts again")

    def _limit_of(self, name: str) -> float:
        return self.plan.limits.get(name, self.plan.limits["services"])

    async def _progress(self, name: str) -> bool:
        """Whether this process has done what it is there for, since it started."""
        if name == "dissemination":
            return bool(await self.stack.page(name, "/"))
        found = await self.stack.metrics(name)
        if name in {feed.name for feed in processes.INGEST}:
            return found.get("tolqyn_ingest_records_total accepted", 0) > 0
        if name.startswith("tally-"):
            return found.get("tolqyn_tally_records_total", 0) > 0 and found.get("tolqyn_tally_cuts_total", 0) > 0
        return found.get("tolqyn_stage_cuts_total", 0) > 0

    async def _ends(self) -> Cut:
        try:
            return await self.stack.ends()
        except KafkaError as error:
            raise Missed(f"the broker is away: {type(error).__name__}") from error

    async def _all_published(self, wanted: Cut, names: Collection[str], seconds_max: float) -> float:
        """Until all of that is published, and these processes are ready."""

        async def so() -> bool:
            return await self.stack.has_published(wanted) and await self._ready(names)

        return await self.stack.until(so, LIMIT_FACTOR * seconds_max, "what was in the log is published, and all are ready again")

    async def _ready(self, names: Collection[str]) -> bool:
        return not any(await asyncio.gather(*(self.stack.not_ready(name) for name in names)))

    async def _all_counted(self, wanted: Cut, names: Collection[str], seconds_max: float) -> float:
        """Until tally has counted all of that, and these processes are ready."""

        async def so() -> bool:
            return self.counted.has(wanted) and await self._ready(names)

        return await self.stack.until(so, LIMIT_FACTOR * seconds_max, f"what was in the log is counted, and {names} are ready")

    async def _kill_server(self, strike: Strike) -> float:
        wanted, began = await self._ends(), time.monotonic()
        killed = self._end(strike.target)

        async def back() -> bool:
            return self.stack.pid(strike.target) not in (None, killed) and not await self.stack.not_ready(strike.target)

        await self.stack.until(back, LIMIT_FACTOR * self._limit(strike), f"{strike.target} is back")
        await self._all_published(wanted, self.stack.services(), self._limit(strike))
        return time.monotonic() - began

    async def _zombie(self, strike: Strike) -> float:
        """One worker pauses until the group takes it for dead, another is killed meanwhile; then the first goes on, late."""
        rng = random.Random(strike.draw)
        paused = self.stack.pid(strike.target)
        if paused is None:
            raise Missed(f"{strike.target} does not run")
        other = rng.choice([name for name in WORKERS if name != strike.target])
        os.kill(paused, signal.SIGSTOP)
        try:
            moment = rng.uniform(0, strike.seconds)
            await asyncio.sleep(moment)
            killed = self._end(other)
            await asyncio.sleep(strike.seconds - moment)
        finally:
            os.kill(paused, signal.SIGCONT)
        began, wanted = time.monotonic(), await self._ends()
        await self._recovered(other, killed)
        await self._all_counted(wanted, WORKERS, self._limit(strike))
        return time.monotonic() - began

    async def _damage(self, strike: Strike) -> float:
        """A worker's state is altered while it does not run: it is stopped, and then killed."""
        name, rng = strike.target, random.Random(strike.draw)
        folder = self.stack.state_folder(name) / GROUP_FEED
        pid = self.stack.pid(name)
        if pid is None:
            raise Missed(f"{name} does not run")
        os.kill(pid, signal.SIGSTOP)
        try:
            how: dict[str, Callable[[], int]] = {
                "delete state": lambda: damage.delete(folder),
                "truncate run": lambda: damage.truncate(damage.runs(folder), rng),
                "truncate manifest": lambda: damage.truncate(damage.manifests(folder), rng),
                "flip a bit of a run": lambda: damage.flip(damage.runs(folder), rng),
                "flip a bit of the manifest": lambda: damage.flip(damage.manifests(folder), rng),
            }
            altered = how[strike.fault]()
        finally:
            self._end(name, pid)
        took = await self._recovered(name, pid)
        if not altered:
            raise Missed("there was no state to alter")
        noticed = (await self.stack.metrics(name)).get("tolqyn_tally_state_discarded_total", 0)
        if strike.fault != "delete state" and not noticed:
            raise Missed("the worker did not read what was altered")
        return took

    async def _disk_full(self, strike: Strike) -> float:
        """A worker whose disk is full waits, says so, and goes on when there is room again."""
        name, disk, pid = strike.target, self.stack.small_disk, self.stack.pid(strike.target)
        if pid is None:
            raise Missed(f"{name} does not run")
        before = None
        if disk is not None:
            damage.fill(disk)
        else:
            self.say("  no small disk (not root, or no mount allowed): instead of a full one, a limit of 0 bytes on files")
            before = damage.forbid_files(pid)
        try:

            async def waits() -> bool:
                return "cannot save state" in await self.stack.not_ready(name)

            await self.stack.until(waits, NOTICE_SECONDS_MAX, f"{name} says that it cannot save its state")
            if (await self.stack.metrics(name)).get("tolqyn_ready", 1.0):
                raise Missed("the metric says ready, while the disk is full")
            await asyncio.sleep(strike.seconds)
        finally:
            if disk is not None:
                damage.free(disk)
            elif before is not None:
                damage.allow_files(pid, before)
        if self.stack.pid(name) != pid:
            raise Missed("it ended instead of waiting")
        return await self._all_counted(await self._ends(), WORKERS, self._limit(strike))

    async def _hang_broker(self, strike: Strike) -> float:
        return await self._hang(strike, self.stack.broker_proxy)

    async def _hang_database(self, strike: Strike) -> float:
        return await self._hang(strike, self.stack.database_proxy)

    async def _hang(self, strike: Strike, proxy: Proxy) -> float:
        """What is under way vanishes, and the connections stay open: only the client's own limits on waiting help."""
        before = proxy.swallowed_bytes
        proxy.swallow()
        await asyncio.sleep(strike.seconds)
        proxy.let_through()
        if proxy.swallowed_bytes == before:
            raise Missed("nothing was sent that could have vanished")
        wanted = await self._ends()
        # Not all services: others are being killed meanwhile.
        return await self._all_published(wanted, {strike.target, PROXIED_SERVICE}, self._limit(strike))

    async def _hang_sender(self, strike: Strike) -> float:
        """Records or the answer vanish, and at last the connection is cut: the sender sends again what it has no answer for."""
        sender, proxy, before = self.far_sender, self.far_proxy, self.far_proxy.swallowed_bytes
        proxy.swallow()
        await asyncio.sleep(strike.seconds)
        if proxy.swallowed_bytes == before:
            raise Missed("nothing was sent that could have vanished")
        known = len(sender.acknowledged)
        proxy.let_through()
        proxy.reset_struck()

        async def goes_on() -> bool:
            return len(sender.acknowledged) > known

        return await self.stack.until(goes_on, LIMIT_FACTOR * self._limit(strike), "the sender gets answers again")

    async def _poison(self, strike: Strike) -> float:
        some = poison.poisons(strike.target, strike.draw)
        self.written |= {(strike.target, fingerprint(one.key, one.value)) for one in some}
        rng = random.Random(strike.draw)
        ends, refused = await poison.write(self.stack.settings.broker(), strike.target, some, rng)
        self.refused |= {one.name for one in refused}
        return await self._all_counted(ends, (f"tally-{strike.target}",), self._limit(strike))


def lanes(strike: Strike) -> set[str]:
    """What a strike must have for itself."""
    if strike.fault == "hang sender":
        return {"far sender"}
    if strike.fault == "poison":
        return {"poison", "group"} if strike.target == GROUP_FEED else {"poison"}
    wanted = {strike.target}
    if strike.target in WORKERS:
        wanted.add("group")
    if strike.target in STAGES or strike.fault == "hang broker":  # while one is away, nothing comes to the others
        wanted.add("stages")
    return wanted


def feed_of(strike: Strike) -> str | None:
    """The feed whose records a strike can hurt; None: any."""
    name = strike.target.removeprefix("tally-")
    if strike.target in WORKERS:
        return GROUP_FEED
    return name if name in {feed.name for feed in processes.INGEST} else None
