"""One run: stack up, traffic on, strikes, settle, verdict, stack down."""

import asyncio
import json
import random
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from tests.chaos.real import evidence
from tests.chaos.real.campaign import Campaign, Outcome
from tests.chaos.real.proxy import Proxy
from tests.chaos.real.schedule import Plan, plan
from tests.chaos.real.stack import EXTRA, GROUP_FEED, Stack
from tests.chaos.real.traffic import Agency, Sender, stop_all
from tests.chaos.real.verdict import Verdict, pronounce
from tests.chaos.real.watcher import Counted, Watcher
from tools.stack import local, processes
from tools.stack.embedded.ports import LOOPBACK

SETTLE_SECONDS_MAX = 120.0  # after the last fault
SENDERS_SECONDS_MAX = 60.0  # what is under way is answered, or sent again, within this
SIMULATE_SCALE = "0.001"  # of crossings: sixteen thousand, as many as of the other feeds
COMMAND_SECONDS_MAX = 180.0
WARM_SECONDS_MAX = 60.0  # until the first records are published
LINE_SHOWN = 300
_EXCEPTION = re.compile(r"[\w.]*(Error|Exception|Exit|Failure|Unavailable)(: |$)")  # the last line of a traceback


class Run(NamedTuple):
    """What came of it. `problems`: everything that makes the run a failure."""

    seed: int
    kind: str
    outcomes: list[Outcome]
    verdict: Verdict | None
    problems: list[str]
    notes: list[str]
    settle_seconds: float
    seconds: float


async def run(kind: str, seed: int, port: int, say: Callable[[str], None]) -> Run:
    """Play the schedule `kind` with everything drawn from `seed`. The stack's folder is kept if something went wrong."""
    stack, began = Stack(port), time.monotonic()
    say(f"real faults: {kind} schedule, seed {seed}")
    problems = ["the run itself failed"]
    try:
        await stack.start()
        say(f"stack ready after {time.monotonic() - began:.0f} s: {stack.folder}")
        result = await _play(stack, kind, seed, say)
        problems = result.problems
        return result._replace(seconds=time.monotonic() - began)
    finally:
        await stack.stop(keep=bool(problems))
        if problems:
            say(f"kept: {stack.folder}")


async def _play(stack: Stack, kind: str, seed: int, say: Callable[[str], None]) -> Run:
    events = stack.folder / "events"
    done = await stack.command("simulate", "--out", str(events), "--scale", SIMULATE_SCALE, seconds_max=COMMAND_SECONDS_MAX)
    assert done.returncode == 0, done.stderr
    chosen = plan(kind, seed, [name for name in stack.services() if name not in EXTRA], [f"tally-{GROUP_FEED}", *EXTRA])
    far_proxy = Proxy(lambda: _port_of(stack, GROUP_FEED))
    await far_proxy.start()
    senders = _senders(stack, chosen, events, far_proxy)
    watcher = Watcher(stack.settings.bootstrap_servers)
    counted = Counted(stack.settings.bootstrap_servers, [feed.name for feed in processes.INGEST])
    await watcher.start()
    await counted.start()
    try:
        for sender in senders:
            sender.start()
        campaign = Campaign(chosen, stack, senders[-1], far_proxy, counted, say)
        some = {f"{feed.name}/0": 1 for feed in processes.INGEST}
        await stack.until(lambda: stack.has_published(some), WARM_SECONDS_MAX, "the first records are published")
        await campaign.run()
        problems = [f"{o.fault} of {o.target}: {o.problem}" for o in campaign.outcomes if o.problem]
        problems += await stop_all(senders, SENDERS_SECONDS_MAX)
        settled = await stack.command("settle", "--timeout", str(SETTLE_SECONDS_MAX), seconds_max=SETTLE_SECONDS_MAX + 60)
        settle_seconds = time.monotonic() - campaign.last_fault
        if settled.returncode != 0 or settle_seconds > SETTLE_SECONDS_MAX:
            problems.append(f"stuck: {settled.stderr.strip() or f'settled {settle_seconds:.0f} s after the last fault'}")
        reasons = {name: await stack.not_ready(name) for name in stack.entries()}
        problems += [f"stuck: {name} is not ready: {reason}" for name, reason in reasons.items() if reason]
        say(f"settled {settle_seconds:.1f} s after the last fault; holding everything against the log")

        seen = await evidence.gather(
            stack, senders, campaign.written, watcher, chosen.publications, random.Random(f"sample/{seed}")
        )
    finally:
        await watcher.stop()
        await counted.stop()
        await far_proxy.stop()
    verdict = await asyncio.to_thread(pronounce, seen)
    problems += [f"{finding.word}: {finding.what}" for finding in verdict.findings]
    verified = await stack.command("verify", seconds_max=COMMAND_SECONDS_MAX)
    if verified.returncode != 0:
        problems.append(
            f"`tolqyn verify` exits {verified.returncode}: {verified.stdout.strip()[:2000]} {verified.stderr.strip()[-500:]}"
        )
    notes = [f"refused by the broker itself: {name}" for name in sorted(campaign.refused)]
    notes += [f"ended by itself: {line}" for line in ended_by_itself(stack.settings.home / "logs")]
    return Run(seed, kind, campaign.outcomes, verdict, problems, notes, settle_seconds, 0.0)


def _senders(stack: Stack, chosen: Plan, events: Path, far_proxy: Proxy) -> list[Sender]:
    """One for each feed, and last one more for border crossings, far away: through a proxy."""
    senders = []
    feeds = [feed.name for feed in processes.INGEST]
    for number, feed in enumerate([*feeds, GROUP_FEED]):
        far = number == len(feeds)
        agency = Agency(feed, events / f"{feed}.ndjson", f"traffic/{chosen.seed}/{number}", "f" if far else "n")
        url = f"http://{LOOPBACK}:{far_proxy.port}" if far else f"http://{LOOPBACK}:{_port_of(stack, feed)}"
        senders.append(Sender(agency, url, _key(stack, feed), chosen.rate(feed) / (4 if far else 1)))
    return senders


def _port_of(stack: Stack, feed: str) -> int:
    return int(stack.entries()[feed].url.rpartition(":")[2])


def _key(stack: Stack, feed: str) -> str:
    key: str = json.loads(local.keys_file(stack.settings).read_text("utf-8"))[feed]
    return key


def ended_by_itself(logs: Path) -> list[str]:
    """Processes that ended with a traceback or an error of their own, and the line that says why."""
    lines = [(log.stem, line) for log in sorted(logs.glob("*.log")) for line in log.read_text("utf-8", "replace").splitlines()]
    return [f"{name}: {line[:LINE_SHOWN]}" for name, line in lines if _EXCEPTION.match(line)]
