"""A whole stack under twice the load that it can take: is its memory bounded, and is nothing lost that was acknowledged?

python -m tests.chaos.overload [--minutes 10]

First the sample is sent and counted: a tally's index grows with the number of distinct records, as it should. From then on the same
records are sent again and again, so whatever grows now has no reason to. What the stack can take is measured with as many senders
as ingest has room for; then submissions come at twice that rate, whatever is answered, and whoever is turned away (429, 503, retry)
sends the same again after the time that the answer names.

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

from services.cli import local
from services.cli.processes import CONTRACT_PORTS
from services.shared.ingest.http import IN_FLIGHT_BYTES_MAX, PATH
from services.shared.ingest.unpack import UNPACKED_BYTES_MAX
from services.shared.runtime import kafka
from services.shared.runtime.embedded.kafka import HEAP_MIB
from services.shared.runtime.embedded.ports import is_free
from services.shared.runtime.settings import Settings
from tests.conftest import STACK_PORTS
from tests.end_to_end.conftest import Stack
from tests.end_to_end.test_faults import figures

FEED = "border-crossings"
MINUTES, WARM_MINUTES = 10.0, 2.0  # of the run, and of it until everything has its size
SAMPLE_SECONDS = 5.0
PACE_SECONDS = 30.0  # for measuring what the stack can take
PACE_SENDERS = IN_FLIGHT_BYTES_MAX // UNPACKED_BYTES_MAX  # packed bodies are taken for the largest
LOAD = 2.0  # times what it can take
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
    return float(sum(p.memory_full_info().pss for p in [process, *children])) / MIB


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

    async def possible(self, session: aiohttp.ClientSession, seconds: float) -> float:
        """Submissions taken in a second when there are just as many senders as there is room for."""
        end = time.monotonic() + seconds

        async def sender() -> None:
            while time.monotonic() < end:
                await self.submit(session)

        began, before = time.monotonic(), self.tally.answers["207"]
        await asyncio.gather(*(sender() for _ in range(PACE_SENDERS)))
        return (self.tally.answers["207"] - before) / (time.monotonic() - began)

    async def press(self, session: aiohttp.ClientSession, rate: float, seconds: float) -> None:
        """Submissions at a rate, whatever is answered."""
        began, sent = time.monotonic(), 0
        open_ones: set[asyncio.Task[None]] = set()
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
        await asyncio.gather(*open_ones)

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


def problems_of(tally: Tally, rate: float, seconds: float, grown: list[Growth], stored: int, effects: Counter[str]) -> list[str]:
    """What is wrong; `stored`: records in the log."""
    found = [f"{g.name} grew by {g.rise:.0f} MiB" for g in grown if not g.fine]
    turned_away = tally.answers["429"] + tally.answers["503"]
    if not turned_away or tally.attempts / seconds < 0.9 * LOAD * rate:
        found.append("the load was not twice what the stack can take")
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
        rate = await load.possible(session, PACE_SECONDS)
        print(
            f"{PACE_SENDERS} senders: {rate:.2f} submissions a second; now {LOAD * rate:.2f} a second, {minutes:.0f} minutes",
            flush=True,
        )
        before = load.tally.attempts
        watching = asyncio.ensure_future(watch(pids, samples))
        await load.press(session, LOAD * rate, minutes * 60)
        watching.cancel()
        pressed = load.tally.attempts - before
        await load.finish(session)
    tally = load.tally
    stack.tolqyn("settle", seconds_max=660)
    [ends] = (await kafka.end_offsets(settings, [f"events.{FEED}.v1"])).values()
    effects = await folded(urls[f"tally-{FEED}"])
    grown = [growth(name, taken, WARM_MINUTES * 60) for name, taken in sorted(samples.items())]
    tally.attempts = pressed
    problems = problems_of(tally, rate, minutes * 60, grown, sum(ends), effects)
    if {name: pid for name, (pid, _) in stack.services().items()} != pids:
        problems.append("a process ended")
    if figures(stack.tolqyn("export"), set()) != figures(stack.export, set()):
        problems.append("figures moved")
    print("| process | MiB after two minutes | at the end | line rises by | limit |\n|---|---|---|---|---|")
    for g in grown:
        print(f"| {g.name} | {g.then:.0f} | {g.end:.0f} | {g.rise:+.1f} | {g.limit:.0f} |")
    print(f"sent {pressed} submissions, {tally.held_back} held back; answers {dict(tally.answers)}")
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
