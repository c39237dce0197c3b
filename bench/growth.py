"""How tally does as its index grows: rate, memory and restart by records indexed, wide data, several workers, and stage by stage.

The index is made as the rows of millions of records would lie in it (the same runs, the same files, keys drawn at random), then the
worker folds a topic on top of it. Fifty million records need not go through a broker for that; what is timed does.
"""

import argparse
import os
import re
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from bench import stages
from bench.broker import running_broker
from bench.clock import ProcessClock
from bench.events import Shape
from bench.table import number, printed
from bench.tally_run import empty_ledger
from bench.topic import FEED, TOPIC, fill, named
from services.shared.runtime.kafka.topics import load_topics
from services.shared.runtime.process.errors import Failure
from services.shared.runtime.process.settings import Settings
from services.shared.statistics.exchange.log_time import NOTHING_YET
from services.shared.statistics.folding.contribution import NEVER, ZERO, pack
from services.shared.statistics.folding.index import Run, filter_of, next_merge
from services.tally.run_store import LAYOUT, Manifest, RunStore
from services.tally.worker import FOLD
from tools.stack import processes
from tools.stack.embedded.ports import free_port

INDEXED, INDEXED_QUICK = (1_000_000, 5_000_000, 20_000_000, 50_000_000), (1_000_000, 20_000_000)
INDEXED_RESTART = 20_000_000  # a year of border crossings; the target is set at this size
TOPIC_RECORDS, TOPIC_RECORDS_QUICK = 3_000_000, 1_000_000
WORKERS, WORKERS_QUICK = (1, 2, 4), (1, 2)
SAVED_ROWS = 50_000  # of one partition between two cuts while tally catches up, as seen in its metrics
POLL_SECONDS = 0.1
RUN_SECONDS_MAX = 200.0
_RECORDS = re.compile(r"^tolqyn_tally_records_total\{.*\} (\S+)$", re.MULTILINE)


def measure(quick: bool) -> dict[str, Any]:
    """Prints tables; `growth` (one entry per size, with `indexed`), `shapes`, `workers` and `stages` for the results."""
    count = TOPIC_RECORDS_QUICK if quick else TOPIC_RECORDS
    with running_broker() as settings:
        narrow, wide = named(settings, "narrow-"), named(settings, "wide-")
        fill(narrow, count)
        growth = [_grown(narrow, count, indexed) for indexed in (INDEXED_QUICK if quick else INDEXED)]
        _print("records indexed before", [(number(one["indexed"]), one) for one in growth])
        workers = [_timed(narrow, count, 0, workers) for workers in (WORKERS_QUICK if quick else WORKERS)]
        _print("workers", [(str(one["workers"]), one) for one in workers])
        shapes = [{"shape": "narrow", **workers[0]}]
        if not quick:
            fill(wide, count, Shape(wide=True))
            shapes.append({"shape": "wide", **_timed(wide, count, 0, 1)})
            _print("cells", [(one["shape"], one) for one in shapes])
        by_stage = stages.measured(narrow, count)
        print(stages.table(by_stage) + "\n")
    return {"growth": growth, "shapes": shapes, "workers": workers, "stages": by_stage}


def _print(head: str, rows: list[tuple[str, dict[str, Any]]]) -> None:
    heads = (head, "records/s", "CPU us/record", "memory MB", "ready after kill -9, s")
    cells = [
        (
            name, number(one["records_per_second"]), number(one["cpu_us_per_record"]), number(one["memory_mb"]),
            number(one["restart_seconds"]) if one.get("restart_seconds") is not None else "-",
        )
        for name, one in rows
    ]  # fmt: skip
    print(printed(heads, cells) + "\n", flush=True)


def _grown(settings: Settings, count: int, indexed: int) -> dict[str, Any]:
    return {"indexed": indexed, **_timed(settings, count, indexed, 1)}


def _timed(settings: Settings, count: int, indexed: int, workers: int) -> dict[str, Any]:
    """Fold the whole topic with so many workers on top of an index of so many records."""
    empty_ledger(settings)  # a worker that finds a ledger ahead of it writes no sheets before it has caught up
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tolqyn-growth-")))
        if indexed:
            index(home / "state" / FEED, indexed)
        running = [stack.enter_context(_worker(settings, home, number)) for number in range(workers)]
        clocks = [stack.enter_context(ProcessClock(one.process.pid)) for one in running]
        for one in running:
            one.wait_until_folding()
        started, before = time.time(), sum(one.folded() for one in running)
        done = _until_folded(running, count)
        wall, folded = done - started, count - before
        result = {
            "workers": workers, "records": folded, "seconds": round(wall, 2), "records_per_second": folded / wall,
            "cpu_us_per_record": sum(clock.cpu_seconds(started, done) for clock in clocks) / folded * 1e6,
            "memory_mb": sum(clock.memory_bytes_max for clock in clocks) / 1e6, "restart_seconds": None,
        }  # fmt: skip
        if indexed == INDEXED_RESTART:
            result["restart_seconds"] = running[0].killed_and_ready_again()
    return result


def index(folder: Path, records: int) -> None:
    """State folders of all partitions that have seen nothing of the log and know `records` others, in runs as saving makes them."""
    partitions = load_topics()[TOPIC].partitions
    rng = np.random.default_rng(1)
    for partition in range(partitions):
        store = RunStore(folder / str(partition))
        store.open()
        sizes: list[int] = []
        for _ in range(records // partitions // SAVED_ROWS):
            sizes.append(SAVED_ROWS)
            start = next_merge(sizes)
            if start is not None:
                sizes[start:] = [sum(sizes[start:])]
        sizes.append(records // partitions - sum(sizes))
        files = [store.add(_run(rng, size)) for size in sizes if size]
        store.commit(Manifest(LAYOUT, FOLD, 0, *NOTHING_YET, "", -1, ["", "arrival|UZ|UZ|employment"], files, [0, 0]))
        store.close()


def _run(rng: np.random.Generator, rows: int) -> Run:
    high = np.sort(rng.integers(0, 1 << 64, rows, np.uint64))
    low = rng.integers(0, 1 << 64, rows, np.uint64)
    days = rng.integers(9000, 9091, rows)
    contributions = pack(np.ones(rows, np.int64), days, np.full(rows, NEVER))
    return Run(high, low, np.ones(rows, np.int64), contributions, ZERO, filter_of(high))


class _Worker:
    """A tally process as the local stack starts it."""

    def __init__(self, settings: Settings, home: Path, number: int) -> None:
        self._port, self._log = free_port(), home / f"{number}.log"
        service = next(one for one in processes.SERVICES if one.env.get("TOLQYN_FEED") == FEED)
        own = Settings.from_env(
            {
                "TOLQYN_HOME": str(home), "TOLQYN_STATE_DIR": str(home / "state"), "TOLQYN_PREFIX": settings.prefix,
                "KAFKA_BOOTSTRAP_SERVERS": settings.broker(),
            }
        )  # fmt: skip
        program = processes.service_program(service, own, self._port)
        self._command, self._env = program.command, os.environ | program.env | {"TOLQYN_INSTANCE": f"growth-{number}"}
        self.start()

    def start(self) -> None:
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(self._command, env=self._env, stdout=log, stderr=log)

    def folded(self) -> int:
        return int(sum(map(float, _RECORDS.findall(self._answer("/metrics")))))

    def wait_until_folding(self) -> None:
        self._wait(lambda: "folding partitions" in self._log.read_text("utf-8"))

    def killed_and_ready_again(self) -> float:
        """Seconds from the start after a kill until it says that it is ready."""
        self.process.kill()
        self.process.wait()
        started = time.monotonic()
        self.start()
        self._wait(lambda: bool(self._answer("/health/ready")))
        return time.monotonic() - started

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()

    def _answer(self, path: str) -> str:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._port}{path}", timeout=RUN_SECONDS_MAX) as answer:
                return str(answer.read().decode())
        except urllib.error.URLError:
            return ""  # not there yet, or not ready

    def _wait(self, condition: Callable[[], bool]) -> None:
        limit = time.monotonic() + RUN_SECONDS_MAX
        while not condition():
            if self.process.poll() is not None or time.monotonic() > limit:
                raise Failure(f"tally does not come so far:\n{self._log.read_text('utf-8')[-2000:]}")
            time.sleep(POLL_SECONDS)


@contextmanager
def _worker(settings: Settings, home: Path, number: int) -> Iterator[_Worker]:
    worker = _Worker(settings, home, number)
    try:
        yield worker
    finally:
        worker.stop()


def _until_folded(workers: list[_Worker], count: int) -> float:
    """The time at which all records are in."""
    limit = time.monotonic() + RUN_SECONDS_MAX
    while sum(one.folded() for one in workers) < count:
        if time.monotonic() > limit:
            raise Failure("tally does not come to the end of the topic")
        time.sleep(POLL_SECONDS)
    return time.time()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.growth", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one minute instead of five")
    measure(parser.parse_args().quick)


if __name__ == "__main__":
    main()
