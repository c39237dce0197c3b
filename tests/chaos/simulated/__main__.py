"""Play seeds.

python -m tests.chaos.simulated SEED             one seed, with what happened
python -m tests.chaos.simulated --count N        N seeds from today's start (or --start S); stops at the first that fails
python -m tests.chaos.simulated --advance N      N seeds from where the last such run ended (kept in .tolqyn-seeds)
"""

import argparse
import gc
import logging
import os
import sys
import time
import traceback
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

os.environ.setdefault("POLARS_MAX_THREADS", "1")  # before polars is imported: one core, no idle threads

SEEDS_PER_DAY = 1_000_000  # no day's seeds meet another's
ADVANCED = Path(".tolqyn-seeds")  # how far `--advance` has come on this checkout; not in git
PROGRESS_EVERY = 1000
SEEDS_PER_ROW = 25  # handed to a process at a time: a second
SEEDS_PER_COLLECTION = 20  # garbage of so many runs is a few megabytes


def todays_start() -> int:
    """Other seeds each day."""
    return (datetime.now(UTC).toordinal() - 738_000) * SEEDS_PER_DAY


class Played(NamedTuple):
    """What came of some seeds in a row; `problem` is that of the first that failed, the last one played."""

    last: int
    problem: str
    faults: int
    checks: int
    slowest: float


def play_row(seeds: range) -> Played:
    """Play seeds one after the other, until one fails."""
    from tests.chaos.simulated.world import World

    gc.disable()  # collected between runs: a collection within one may run a dead process's finalizers
    if not gc.get_freeze_count():
        gc.freeze()  # what was imported stays: no use in walking through it again and again
    faults, checks, slowest = 0, 0, 0.0
    for seed in seeds:
        outcome = World(seed).play()
        faults, checks, slowest = faults + outcome.faults, checks + outcome.checks, max(slowest, outcome.seconds_to_rest)
        if outcome.problem:
            return Played(seed, outcome.problem, faults, checks, slowest)
        if seed % SEEDS_PER_COLLECTION == 0:
            gc.collect()
    return Played(seeds[-1], "", faults, checks, slowest)


def play_many(start: int, count: int) -> int:
    """On all cores. Exit code: 0 if all seeds went well."""
    print(f"simulated faults: {count} seeds from {start}", flush=True)
    began, faults, checks, slowest = time.monotonic(), 0, 0, 0.0
    rows = [range(first, min(first + SEEDS_PER_ROW, start + count)) for first in range(start, start + count, SEEDS_PER_ROW)]
    logged = start
    with ProcessPoolExecutor(len(os.sched_getaffinity(0)), get_context("fork")) as pool:
        for played in pool.map(play_row, rows):  # in order: of several seeds that fail the lowest is named
            if played.problem:
                print(f"seed {played.last}: {played.problem}\nreplay: python -m tests.chaos.simulated {played.last}", flush=True)
                pool.shutdown(cancel_futures=True)
                return 1
            faults, checks, slowest = faults + played.faults, checks + played.checks, max(slowest, played.slowest)
            if played.last + 1 - logged >= PROGRESS_EVERY:
                logged = played.last + 1
                print(f"  {logged - start} seeds, {time.monotonic() - began:.0f} s", flush=True)
    took = time.monotonic() - began
    print(
        f"{count} seeds from {start}: all right; {faults} faults, {checks} adopted sets checked, "
        f"at most {slowest:.0f} s (simulated) to rest; {took:.0f} s"
    )
    return 0


def play_one(seed: int) -> int:
    """With the story."""
    from tests.chaos.simulated.world import World

    notes: list[str] = []
    world = World(seed, notes)
    outcome = world.play()
    print("\n".join(notes))
    if world.error is not None:
        traceback.print_exception(world.error)
    print(outcome)
    return 1 if outcome.problem else 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.simulated")
    parser.add_argument("seed", type=int, nargs="?")
    parser.add_argument("--start", type=int)
    parser.add_argument("--count", type=int)
    parser.add_argument("--advance", type=int)
    given = parser.parse_args()
    logging.getLogger("tolqyn").setLevel(logging.CRITICAL)
    if given.seed is not None:
        logging.basicConfig(level=logging.WARNING)
        return play_one(given.seed)
    if given.advance is not None:
        start = int(ADVANCED.read_text()) if ADVANCED.exists() else 0
        code = play_many(start, given.advance)
        if code == 0:
            ADVANCED.write_text(str(start + given.advance))
        return code
    return play_many(todays_start() if given.start is None else given.start, given.count or 1000)


if __name__ == "__main__":
    if os.environ.get("PYTHONHASHSEED") != "0":  # the order of sets is part of what a seed decides
        os.environ["PYTHONHASHSEED"] = "0"
        os.execv(sys.executable, [sys.executable, "-P", "-m", "tests.chaos.simulated", *sys.argv[1:]])
    sys.exit(main())
