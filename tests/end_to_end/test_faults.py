"""Everything sent again, shuffled, while every process of the stack is killed once: the figures do not move."""

import csv
import io
import os
import random
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime

from schemas.feeds import FEEDS
from tests.end_to_end.conftest import ALMATY, Stack

BACK_SECONDS_MAX = 90.0  # a service is back within five seconds, the broker within ten
KILL_PAUSE_SECONDS = 0.4  # between two kills, so that they meet the stack in different moments
MOVING = ("AS_OF", "PUBLISHED_AT")  # columns that may differ between two publications of the same figures


def shuffled(stack: Stack) -> None:
    """Write the sample's lines in another order, into the folder `again`."""
    folder = stack.folder / "again"
    folder.mkdir()
    for number, feed in enumerate(FEEDS):
        lines = (stack.events / f"{feed}.ndjson").read_bytes().splitlines(keepends=True)
        random.Random(number).shuffle(lines)
        (folder / f"{feed}.ndjson").write_bytes(b"".join(lines))


def kill_all(stack: Stack) -> dict[str, int]:
    """Kill every process once, in an order that is always the same; the pids they had."""
    pids = {name: pid for name, (pid, _) in stack.services().items() if pid is not None}
    names = sorted(pids)
    random.Random(1).shuffle(names)
    for name in names:
        os.kill(pids[name], signal.SIGKILL)
        time.sleep(KILL_PAUSE_SECONDS)
    return pids


def until_back(stack: Stack, killed: dict[str, int]) -> None:
    limit = time.monotonic() + BACK_SECONDS_MAX
    while True:
        now = stack.services()
        missing = [n for n, pid in killed.items() if now[n][0] in (None, pid) or not now[n][1]]
        if not missing:
            return
        assert time.monotonic() < limit, f"not back: {missing}"
        time.sleep(0.2)


def figures(export: str, without: set[str]) -> list[dict[str, str]]:
    """The rows without the columns that may move, and without some periods."""
    rows = [row for row in csv.DictReader(io.StringIO(export)) if row["TIME_PERIOD"] not in without]
    return [{name: cell for name, cell in row.items() if name not in MOVING} for row in rows]


def open_periods(*days: date) -> set[str]:
    """If midnight came in between: the quarters and years whose stocks are those of the newest past day."""
    if len(set(days)) == 1:
        return set()
    return {f"{day.year}-Q{(day.month + 2) // 3}" for day in days} | {str(day.year) for day in days}


def test_sent_again_shuffled_with_every_process_killed_once_the_export_is_the_same(stack: Stack) -> None:
    shuffled(stack)
    with ThreadPoolExecutor(1) as pool:
        sending = pool.submit(stack.send, stack.folder / "again")
        killed = kill_all(stack)
        assert {"kafka", "postgresql", "indicator-publisher", "tally-border-crossings"} <= killed.keys()
        receipts = sending.result()
    until_back(stack, killed)
    stack.tolqyn("settle")
    for feed in FEEDS:
        assert receipts[feed]["accepted"] == stack.receipts[feed]["accepted"], feed
        assert receipts[feed]["rejected"] == receipts[feed]["retry"] == 0, feed
    export = stack.tolqyn("export")
    without = open_periods(date.fromisoformat(stack.day), datetime.now(ALMATY).date())
    assert figures(export, without) == figures(stack.export, without)


def test_what_was_published_first_can_still_be_asked_for(stack: Stack) -> None:
    first = max(int(row["AS_OF"]) for row in csv.DictReader(io.StringIO(stack.export)))
    assert stack.tolqyn("export", "--as-of", str(first)) == stack.export
