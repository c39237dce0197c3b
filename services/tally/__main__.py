"""Tally: folds the event log of one feed (`TOLQYN_FEED`) into day sheets."""

import os

from services.shared.feeds.catalogue import RULES
from services.shared.runtime.process.errors import ConfigurationError
from services.shared.runtime.process.service import ServiceContext, run
from services.tally.worker import TallyWorker

FEED = os.environ.get("TOLQYN_FEED", "")


async def main(context: ServiceContext) -> None:
    if FEED not in RULES:
        raise ConfigurationError(f"TOLQYN_FEED must be one of {', '.join(RULES)}")
    await context.serve()
    # TOLQYN_INSTANCE names this worker among several of the same feed, so that a restart gets the same partitions back at once.
    # TOLQYN_SET_ASIDE_ALL=1: a person has looked, and most of the last records are indeed rubbish.
    sets_aside_all = os.environ.get("TOLQYN_SET_ASIDE_ALL", "") == "1"
    await TallyWorker(context, FEED, os.environ.get("TOLQYN_INSTANCE", ""), sets_aside_all).run()


run(f"tally-{FEED}", main)
