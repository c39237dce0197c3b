"""Real faults, and the verdict.

python -m tests.chaos.real [--seed N] [--schedule full|short]   one run; exit code 1 if anything is wrong
python -m tests.chaos.real --write-table                        the last run's table into docs/guarantees.md
"""

import argparse
import asyncio
import logging
import random
import signal
import sys
from collections.abc import Coroutine
from typing import Any

from tests.chaos.real import report
from tests.chaos.real.run import Run, run
from tools.stack.embedded.ports import is_free

PORTS = (10_000, 19_000)  # below the range from which stacks take the ports of their other processes
PORTS_OF_A_STACK = 9


def choose_port() -> int:
    """A TOLQYN_PORT from which on all that a stack gives to its users are free."""
    while True:
        port = random.randrange(*PORTS, PORTS_OF_A_STACK)
        if all(is_free(port + i) for i in range(PORTS_OF_A_STACK)):
            return port


async def _until_told(work: "Coroutine[Any, Any, Run]") -> Run:
    """Ended by a signal, everything is stopped and removed as usual."""
    task = asyncio.ensure_future(work)
    for number in (signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    return await task


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.real")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--schedule", choices=("full", "short"), default="full")
    parser.add_argument("--write-table", action="store_true")
    given = parser.parse_args()
    if given.write_table:
        report.write_table()
        return 0
    logging.basicConfig(level=logging.ERROR)
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # a broker that is away is what we are here for
    seed = random.SystemRandom().randrange(1_000_000) if given.seed is None else given.seed
    done = asyncio.run(_until_told(run(given.schedule, seed, choose_port(), lambda text: print(text, flush=True))))
    result = report.summary(done)
    report.keep(result)
    report.show(result)
    return 0 if result["passed"] else 1


if __name__ == "__main__":
    sys.exit(main())
