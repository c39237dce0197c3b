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
from datetime import UTC, datetime
from pathlib import Path

os.environ.setdefault("POLARS_MAX_THREADS", "1")  # before polars is imported: one core, no idle threads

SEEDS_PER_DAY = 1_000_000  # no day's seeds meet another's
ADVANCED = Path(".tolqyn-seeds")  # how far `--advance` has come on this checkout; not in git
PROGRESS_EVERY = 1000


def todays_start() -> int:
    """Other seeds each day."""
    return (datetime.now(UTC).toordinal() - 738_000) * SEEDS_PER_DAY


def play_many(start: int, count: int) -> int:
    """Exit code: 0 if all seeds went well."""
    from tests.chaos.simulated.world import World

    print(f"simulated faults: {count} seeds from {start}", flush=True)
    began, faults, checks, slowest = time.monotonic(), 0, 0, 0.0
    gc.disable()  # collected between runs: a collection within one may run a dead process's finalizers
    for seed in range(start, start + count):
        outcome = World(seed).play()
        if outcome.problem:
            print(f"seed {seed}: {outcome.problem}\nreplay: python -m tests.chaos.simulated {seed}", flush=True)
            return 1
        faults, checks, slowest = faults + outcome.faults, checks + outcome.checks, max(slowest, outcome.seconds_to_rest)
        if seed % 20 == 0:
            gc.collect()
        if (seed - start + 1) % PROGRESS_EVERY == 0:
            print(f"  {seed - start + 1} seeds, {time.monotonic() - began:.0f} s", flush=True)
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
        os.execv(sys.executable, [sys.executable, "-m", "tests.chaos.simulated", *sys.argv[1:]])
    sys.exit(main())
