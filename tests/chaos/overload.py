"""A whole stack under twice the load that it can take: is its memory bounded, and is nothing lost that was acknowledged?

python -m tests.chaos.overload [--minutes 10]

First the sample is sent and counted: a tally's index grows with the number of distinct records, as it should. From then on the same
records are sent again and again, so whatever grows now has no reason to. What the stack can take shows only while it is pressed: so
submissions come at a rate that is raised until twice as many come as are taken, and raised again whenever more is taken than ever
before, whatever is answered. Whoever is turned away (429, 503, retry) sends the same again after the time that the answer names.

Exit 1 if a process grows after the first two minutes, if a figure moved, if records were lost, or if the load was not twice.
"""

import argparse
import asyncio
import gzip
import json
import random
import shutil
import sys
import tempfile
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import aiohttp
import numpy as np
import psutil

from services.shared.ingest.http import PATH
from services.shared.runtime.kafka import clients as kafka
from services.shared.runtime.process.settings import Settings
from tests.conftest import STACK_PORTS
from tests.end_to_end.conftest import Stack
from tests.end_to_end.test_faults import figures
from tools.stack import local
from tools.stack.embedded.kafka import HEAP_MIB
from tools.stack.embedded.ports import is_free
from tools.stack.processes import CONTRACT_PORTS

FEED = "border-crossings"
MINUTES, WARM_MINUTES = 10.0, 2.0  # of the run, and of it until everything has its size
SAMPLE_SECONDS = 5.0
LOAD = 2.0  # times what it can take
PACE_SECONDS = 10.0  # over which it is measured what is taken: a dozen submissions or more
# Offered are so many times what was taken in the best of these. More than LOAD: at the start of a window that is better than all
# before it too little is offered, and where submissions wait for each other some come late.
PRESSURE = 1.25 * LOAD
RATE_MIN = 1.0  # submissions a second, to begin with
RAISE_SECONDS_MAX = 120.0  # until it is twice: at least doubled every time
SUBMISSION_RECORDS = 20_000
WAITING_MAX = 400  # submissions under way or waiting to be sent again; a sender's own memory is bounded too
REST_SECONDS_MAX = 120.0  # until the last submission that was turned away is taken
# A process's memory is that of the worst moment it has seen, and worse ones come ever more rarely: at so many submissions at once a
# tenth of its size. What keeps 4 bytes of every record, or 80 KiB of every submission, grows by more than that in eight minutes.
GROWTH_MIB_MIN, GROWTH_SHARE = 24.0, 0.1
BROKER_MIB_MAX = HEAP_MIB + 512  # a Java heap fills up to its limit before it is collected: the limit is what is checked
MIB = 1 << 20


@dataclass
class Tally:
    """What the senders were answered."""

    attempts: int = 0
    accepted: int = 0  # records
    unsure: int = 0  # records that were answered `retry`, or whose answer never came: they may be in the log
    answers: Counter[str] = field(default_factory=Counter)
    unasked: int = 0  # refusals without Retry-After
    held_back: int = 0  # not sent, because the senders were full

    @property
    def taken(self) -> int:
        """Submissions that were let in."""
        return self.answers["207"]

    @property
    def offered(self) -> int:
        """Submissions that were let in or turned away. One whose answer never came is no load that the stack bore."""
        return self.taken + self.answers["429"] + self.answers["503"]


class Pressed(NamedTuple):
    """Submissions of the minutes that count: let in or turned away, and let in."""

    offered: int
    taken: int

    @property
    def load(self) -> float:
        """How many times what was taken was offered; 0 if nothing was taken at all."""
        return self.offered / self.taken if self.taken else 0.0


class Growth(NamedTuple):
    """Of one process after the warm-up, in MiB: its size then and at the end; by how much the line through all samples rises."""

    name: str
    then: float
    end: float
    rise: float
    limit: float

    @property
    def fine(self) -> bool:
        return self.rise <= self.limit


def growth(name: str, samples: list[tuple[float, float]], warm_seconds: float) -> Growth:
    """`samples`: (seconds, MiB). A minute's mean at both ends, least squares in between; of the broker its greatest size."""
    seconds, sizes = np.array([s for s in samples if s[0] >= warm_seconds]).T
    then, end = float(sizes[seconds < seconds[0] + 60].mean()), float(sizes[seconds > seconds[-1] - 60].mean())
    if name == "kafka":
        return Growth(name, then, end, float(sizes.max()), BROKER_MIB_MAX)
    rise = float(np.polyfit(seconds, sizes, 1)[0] * (seconds[-1] - seconds[0]))
    return Growth(name, then, end, rise, max(GROWTH_MIB_MIN, GROWTH_SHARE * then))


def mib(pid: int) -> float:
    """Resident memory of a process and its children; what they share is counted once."""
    process = psutil.Process(pid)
    children = process.children(recursive=True)
    if not children:
        return float(process.memory_info().rss) / MIB
    return sum(map(_own_mib, [process, *children]))


def _own_mib(process: psutil.Process) -> float:
    try:
        return float(process.memory_full_info().pss) / MIB
    except psutil.NoSuchProcess:
        return 0.0  # PostgreSQL has a process for each connection: one ended since it was listed


class Load:
    """Submissions of the same records, over and over."""

    def __init__(self, url: str, key: str, bodies: list[tuple[bytes, int]]) -> None:
        self._url, self._bodies, self._next = url + PATH, bodies, 0
        self._headers = {
            "Authorization": f"Bearer {key}",
            "Content-Type": "application/x-ndjson",
            "Content-Encoding": "gzip",
        }
        self.again: deque[int] = deque()
        self.waiting = 0  # turned away, and not due yet
        self.tally = Tally()
        self.most = 0.0  # submissions taken in a second, in the best PACE_SECONDS so far

    def _choose(self) -> int:
        if self.again:
            return self.again.popleft()
        self._next = (self._next + 1) % len(self._bodies)
        return self._next

    async def submit(self, session: aiohttp.ClientSession) -> None:
        """One submission; if it is turned away, it is due again after the time that the answer names."""
        number, tally = self._choose(), self.tally
        body, records = self._bodies[number]
        tally.attempts += 1
        wait = 1.0
        try:
            async with session.post(self._url, data=body, headers=self._headers) as response:
                answer = await response.json(content_type=None)
                tally.answers[str(response.status)] += 1
                if response.status == 207:
                    tally.accepted += answer["accepted"]
                    tally.unsure += answer["retry"]
                    assert answer["rejected"] == 0
                    if not answer["retry"]:
                        return
                elif "Retry-After" in response.headers:
                    wait = float(response.headers["Retry-After"])
                else:
                    tally.unasked += 1
        except (aiohttp.ClientError, TimeoutError):
            tally.answers["no answer"] += 1
            tally.unsure += records
        self.waiting += 1
        await asyncio.sleep(wait)
        self.waiting -= 1
        self.again.append(number)

    async def raise_rate(self, session: aiohttp.ClientSession) -> None:
        """Offer more and more, until LOAD times as much comes as is taken."""
        async with asyncio.timeout(RAISE_SECONDS_MAX):
            while True:
                offered, taken = self.tally.offered, self.tally.taken
                await self.press(session, PACE_SECONDS)
                if self.tally.offered - offered >= LOAD * (self.tally.taken - taken) > 0:
                    return

    async def press(self, session: aiohttp.ClientSession, seconds: float) -> None:
        """Submissions at PRESSURE times the most that was ever taken, whatever is answered."""
        end = time.monotonic() + seconds
        open_ones: set[asyncio.Task[None]] = set()
        while time.monotonic() < end:
            began, taken = time.monotonic(), self.tally.taken
            rate = max(RATE_MIN, PRESSURE * self.most)
            await self._press_steadily(session, open_ones, rate, min(PACE_SECONDS, end - began))
            self.most = max(self.most, (self.tally.taken - taken) / (time.monotonic() - began))
        await asyncio.gather(*open_ones)

    async def _press_steadily(
        self, session: aiohttp.ClientSession, open_ones: set[asyncio.Task[None]], rate: float, seconds: float
    ) -> None:
        began, sent = time.monotonic(), 0
        while (now := time.monotonic() - began) < seconds:
            for _ in range(int(now * rate) - sent):
                sent += 1
                if len(open_ones) >= WAITING_MAX:
                    self.tally.held_back += 1
                    continue
                task = asyncio.ensure_future(self.submit(session))
                open_ones.add(task)
                task.add_done_callback(open_ones.discard)
            await asyncio.sleep(1 / rate / 2)

    async def finish(self, session: aiohttp.ClientSession) -> None:
        """Whatever was turned away is sent until it is taken."""
        async with asyncio.timeout(REST_SECONDS_MAX):
            while self.again:
                await self.submit(session)


def stack_port() -> int:
    """A port from which on all that a stack gives to its users are free."""
    while True:
        port = random.randrange(*STACK_PORTS, CONTRACT_PORTS)
        if all(is_free(port + i) for i in range(CONTRACT_PORTS)):
            return port


async def watch(pids: dict[str, int], samples: dict[str, list[tuple[float, float]]]) -> None:
    began = time.monotonic()
    while True:
        for name, pid in pids.items():
            samples.setdefault(name, []).append((time.monotonic() - began, await asyncio.to_thread(mib, pid)))
        await asyncio.sleep(SAMPLE_SECONDS)


def packed(path: Path) -> list[tuple[bytes, int]]:
    """The file's records as packed submissions."""
    lines = path.read_bytes().splitlines(keepends=True)
    parts = [lines[i : i + SUBMISSION_RECORDS] for i in range(0, len(lines), SUBMISSION_RECORDS)]
    return [(gzip.compress(b"".join(part), 1), len(part)) for part in parts]


async def folded(url: str) -> Counter[str]:
    """What a tally did with its records, by effect."""
    async with aiohttp.ClientSession() as session, session.get(url + "/metrics") as response:
        lines = (await response.text()).splitlines()
    prefix = "tolqyn_tally_records_total{effect="
    return Counter({line.split('"')[1]: int(float(line.rsplit(" ", 1)[1])) for line in lines if line.startswith(prefix)})


def problems_of(tally: Tally, pressed: Pressed, grown: list[Growth], stored: int, effects: Counter[str]) -> list[str]:
    """What is wrong; `stored`: records in the log."""
    found = [f"{g.name} grew by {g.rise:.0f} MiB" for g in grown if not g.fine]
    if pressed.load < LOAD:
        found.append(f"the load was {pressed.load:.2f} times what was taken, not {LOAD:.0f}")
    if tally.unasked:
        found.append(f"{tally.unasked} submissions were turned away without Retry-After")
    if not tally.accepted <= stored <= tally.accepted + tally.unsure:
        found.append(f"{tally.accepted} records accepted, {tally.unsure} not sure, but {stored} in the log")
    if sum(effects.values()) != stored:
        found.append(f"{stored} records in the log, {sum(effects.values())} folded")
    return found


async def run(stack: Stack, minutes: float) -> int:
    home = stack.folder / "home"
    settings = Settings.from_env({"TOLQYN_HOME": str(home), "TOLQYN_PORT": str(stack.port)})
    status = local.read_status(settings)
    assert status is not None
    urls = {entry.name: entry.url for entry in status.services}
    settings = Settings.from_env({"TOLQYN_HOME": str(home), "KAFKA_BOOTSTRAP_SERVERS": status.bootstrap_servers})
    pids = {entry.name: entry.pid for entry in status.services if entry.pid is not None}
    key = json.loads(Path(status.keys).read_text("utf-8"))[FEED]
    load = Load(urls[FEED], key, packed(stack.events / f"{FEED}.ndjson"))
    load.tally.accepted = stack.receipts[FEED]["accepted"]
    samples: dict[str, list[tuple[float, float]]] = {}
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=120), connector=aiohttp.TCPConnector(limit=0)) as session:
        await load.raise_rate(session)
        print(f"{load.most:.2f} submissions a second taken at best so far; now {minutes:.0f} minutes", flush=True)
        before = Pressed(load.tally.offered, load.tally.taken)
        watching = asyncio.ensure_future(watch(pids, samples))
        began = time.monotonic()
        await load.press(session, minutes * 60)
        seconds = time.monotonic() - began
        if watching.done():
            watching.result()  # it does not end by itself: this raises what it met
        watching.cancel()
        pressed = Pressed(load.tally.offered - before.offered, load.tally.taken - before.taken)
        await load.finish(session)
    tally = load.tally
    stack.tolqyn("settle", seconds_max=660)
    [ends] = (await kafka.end_offsets(settings, [f"events.{FEED}.v1"])).values()
    effects = await folded(urls[f"tally-{FEED}"])
    grown = [growth(name, taken, WARM_MINUTES * 60) for name, taken in sorted(samples.items())]
    problems = problems_of(tally, pressed, grown, sum(ends), effects)
    if {name: pid for name, (pid, _) in stack.services().items()} != pids:
        problems.append("a process ended")
    if figures(stack.tolqyn("export"), set()) != figures(stack.export, set()):
        problems.append("figures moved")
    print("| process | MiB after two minutes | at the end | line rises by | limit |\n|---|---|---|---|---|")
    for g in grown:
        print(f"| {g.name} | {g.then:.0f} | {g.end:.0f} | {g.rise:+.1f} | {g.limit:.0f} |")
    print(
        f"{seconds:.0f} s, submissions of {SUBMISSION_RECORDS} records: "
        f"offered {pressed.offered}, {pressed.offered / seconds:.2f} a second; "
        f"taken {pressed.taken}, {pressed.taken / seconds:.2f} a second, {load.most:.2f} in the best {PACE_SECONDS:.0f} s; "
        f"{pressed.load:.2f} times as many offered as taken"
    )
    print(f"{tally.attempts} sent in all, {tally.held_back} held back; answers {dict(tally.answers)}")
    print(f"records: {tally.accepted} accepted, {tally.unsure} not sure, {sum(ends)} in the log; folded {dict(effects)}")
    print("\n".join(problems) or "all right")
    return 1 if problems else 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.overload")
    parser.add_argument("--minutes", type=float, default=MINUTES)
    minutes = parser.parse_args().minutes
    if minutes < WARM_MINUTES + 2:
        parser.error(f"at least {WARM_MINUTES + 2:.0f} minutes: what grows is seen after the first {WARM_MINUTES:.0f}")
    folder = Path(tempfile.mkdtemp(prefix="tolqyn-overload-"))
    folder.chmod(0o755)  # as root, PostgreSQL runs as another user, who must get through
    stack = Stack(folder, stack_port())
    try:
        stack.tolqyn("up", "--detach")
        stack.tolqyn("simulate", "--out", str(stack.events))
        stack.receipts = stack.send(stack.events)
        stack.tolqyn("settle")
        stack.export = stack.tolqyn("export")
        return asyncio.run(run(stack, minutes))
    finally:
        stack.tolqyn("down")
        shutil.rmtree(folder)


if __name__ == "__main__":
    sys.exit(main())
