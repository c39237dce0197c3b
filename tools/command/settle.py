"""`tolqyn settle`: wait until everything that is in the log now is in the published figures."""

import argparse
import asyncio

from services.indicator_publisher.outlets import INDICATORS, QUALITY
from services.indicator_publisher.publisher import FOLD
from services.shared.runtime.kafka.clients import end_offsets
from services.shared.runtime.kafka.ledger import LedgerFollower
from services.shared.runtime.kafka.topics import load_topics
from services.shared.runtime.postgres.store import Store
from services.shared.runtime.process.errors import Failure, Unavailable
from services.shared.runtime.process.settings import Settings
from services.shared.statistics.exchange.ledger_set import Cut, is_behind
from tools.stack import local

TIMEOUT_SECONDS = 600.0  # a whole quarter at full scale takes about two minutes on two cores
POLL_SECONDS = 0.1


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the command."""
    parser = subparsers.add_parser("settle", help="wait until all that was sent is in the published figures")
    parser.add_argument("--timeout", type=float, default=TIMEOUT_SECONDS, metavar="S", help="give up after S seconds (default 600)")
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    publication = asyncio.run(settle(local.settings(), args.timeout))
    print(f"settled: publication {publication} has all that was in the log")
    return 0


async def settle(settings: Settings, timeout: float) -> int:
    """The number of a publication that has everything in the log at the time of the call, in PostgreSQL and on the topics.

    Raises Failure, saying what was waited for, when `timeout` seconds are over.
    """
    topics = [name for name in load_topics() if name.startswith("events.")]
    ends = await end_offsets(settings, topics)
    wanted: Cut = {
        f"{topic.removeprefix('events.').removesuffix('.v1')}/{partition}": end
        for topic, offsets in ends.items()
        for partition, end in enumerate(offsets)
    }
    waiting_for = "PostgreSQL"
    try:
        async with asyncio.timeout(timeout):
            await _in_database(settings, wanted)
            waiting_for = f"{INDICATORS} or {QUALITY}"
            return await _on_topics(settings, wanted)
    except TimeoutError:
        raise Failure(f"not settled after {timeout:.0f} s: {waiting_for} is not at the end of the log yet") from None


async def _in_database(settings: Settings, wanted: Cut) -> None:
    while True:
        try:
            async with Store.of(settings) as store:
                while True:
                    standing = await store.standing()
                    if standing is not None and not is_behind(standing.cut, wanted):
                        return
                    await asyncio.sleep(POLL_SECONDS)
        except Unavailable:
            await asyncio.sleep(POLL_SECONDS)  # it may come back before the time is over


async def _on_topics(settings: Settings, wanted: Cut) -> int:
    never = asyncio.Event()
    behind, publication = {INDICATORS, QUALITY}, 0
    follower = LedgerFollower(settings, [*behind], FOLD)
    await follower.start(never)
    try:
        async for adoptions in follower.adoptions(never):
            for topic, _, mark, _ in adoptions:
                if not is_behind(mark.cut, wanted):
                    assert mark.publication is not None
                    behind.discard(topic)
                    publication = max(publication, mark.publication)
            if not behind:
                return publication
    finally:
        await follower.stop()
    raise AssertionError("a follower ends only when it is told to")
