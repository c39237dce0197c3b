"""The same work for tally and for what one would take instead of it: `python -m bench.rivals [--quick] [--only NAME,...]`.

Drop repeats, apply corrections and withdrawals, keep counts per day, direction, countries and purpose, keep the state so that it
survives `kill -9`, emit the results. One broker, one sequence of events; who is slow gets a shorter prefix of it. Three runs of
everybody in alternation, so that a slow minute of the machine hits all of them.
"""

import argparse
import os
import shutil
import signal
import statistics
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from bench import limits, streams, tally_run
from bench.broker import running_broker
from bench.contest import Contestant, NewestCounts, Results, Run, make_topic, run, told_in_json
from bench.oracle import Counts, counts_of_prefixes
from bench.pathway_results import Changes
from bench.peers.job import Job
from bench.table import number, printed
from bench.topic import TOPIC, fill, named
from services.shared.runtime.process.settings import Settings
from tools.stack.embedded import jars
from tools.stack.embedded.children import dies_with_parent

ROOT = Path(__file__).parents[1]
RIVALS_PYTHON = Path(".venv-bench/bin/python")
THREADS = 2  # stream threads, workers: as many as the reference machine has cores
RUNS, RUNS_QUICK = 3, 1
RUN_SECONDS_MAX = 180.0  # a run is sized for 30 seconds; a busy machine gets six times that


class Entrant(NamedTuple):
    """Who takes part, with how many records (quick, full): slow ones as many as keep them busy for 30 seconds (quick: 8)."""

    name: str
    title: str
    quick: int
    full: int


TALLY = Entrant("tally", "Tolqyn tally", 1_000_000, 4_000_000)
PEERS = (
    Entrant("pathway", "Pathway", 1_000_000, 4_000_000),
    Entrant("kafka_streams", "Kafka Streams", 600_000, 3_000_000),
    Entrant("quix", "Quix Streams", 300_000, 1_100_000),
    Entrant("plain", "plain loop", 600_000, 2_000_000),
    Entrant("faust", "Faust", 25_000, 100_000),
)
ENTRANTS = (TALLY, *PEERS)


def measure(quick: bool, only: frozenset[str] = frozenset()) -> dict[str, Any]:
    """Run them all. Returns `tally`, `peers` and `limit` as they stand in latest.json."""
    entrants = [e for e in ENTRANTS if not only or e.name in only]
    sizes = sorted({e.quick if quick else e.full for e in entrants})
    with running_broker() as settings, ProcessPoolExecutor(1, initializer=dies_with_parent(signal.SIGKILL)) as pool:
        right = pool.submit(counts_of_prefixes, sizes)
        for size in sizes:
            fill(_topics(settings, size), size)
        oracle = right.result()
        limit = limits.measure(_topics(settings, sizes[-1]), sizes[-1]) if not only else {}
        runs: dict[str, list[Run]] = {e.name: [] for e in entrants}
        for turn in range(RUNS_QUICK if quick else RUNS):
            for entrant in entrants:
                size = entrant.quick if quick else entrant.full
                runs[entrant.name].append(_run(entrant, settings, size, oracle[size], turn))
                _say(entrant, runs[entrant.name][-1])
    found = {name: summary(some) for name, some in runs.items()}
    result = {"tally": found.pop("tally", {}), "peers": found, "limit": limit}
    print(table(result))
    return result


def _topics(settings: Settings, size: int) -> Settings:
    return named(settings, f"bench-{size}.")


def _say(entrant: Entrant, one: Run) -> None:
    print(
        f"{entrant.title}: {number(one.records_per_second)} records/s, {one.seconds:.1f} s, "
        f"{one.cpu_us_per_record:.2f} us of CPU a record, {'exact' if one.exact else 'WRONG'}",
        flush=True,
    )


def _run(entrant: Entrant, settings: Settings, size: int, right: Counts, turn: int) -> Run:
    topics = _topics(settings, size)
    home = settings.home / f"{entrant.name}-{turn}"
    home.mkdir(mode=0o711)
    if entrant == TALLY:
        results, contestant = tally_run.empty_ledger(topics), tally_run.contestant(topics, home, size)
    else:
        results = f"results-{entrant.name}-{turn}"
        make_topic(settings, results)
        job = Job(settings.broker(), topics.topic(TOPIC), results, str(home / "state"), size, home.name, THREADS)
        contestant = _PEERS[entrant.name](job)
    try:
        return run(contestant, settings, results, size, right, home / "log", RUN_SECONDS_MAX)
    finally:
        shutil.rmtree(home / "state", ignore_errors=True)


def _environment(**more: str) -> dict[str, str]:
    return {**os.environ, "PYTHONUNBUFFERED": "1", "OPENBLAS_NUM_THREADS": "1", **more}


def _python(module: str, python: Path, results: Callable[[], Results] = NewestCounts, **env: str) -> Callable[[Job], Contestant]:
    def contestant(job: Job) -> Contestant:
        return Contestant(
            [str(python), "-P", "-m", f"bench.peers.{module}", job.to_argument()],
            # The rivals' environment does not have Tolqyn: only the repository has the peers.
            _environment(PYTHONPATH=str(ROOT), **env),
            told_in_json,
            results,
        )

    return contestant


def _kafka_streams(job: Job) -> Contestant:
    command = [jars.find_java(), "-Xmx2g", "-XX:+UseParallelGC", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"]
    command += ["-cp", streams.classpath(), streams.PEER, job.bootstrap_servers, job.topic, job.results, job.folder]
    command += [str(job.records), job.group, str(job.threads)]
    return Contestant(command, _environment(), told_in_json, NewestCounts)


_PEERS: dict[str, Callable[[Job], Contestant]] = {
    "faust": _python("faust_app", RIVALS_PYTHON),
    "quix": _python("quix", RIVALS_PYTHON),
    "pathway": _python("pathway_app", RIVALS_PYTHON, Changes, PATHWAY_THREADS=str(THREADS)),
    "plain": _python("plain", Path(sys.executable)),
    "kafka_streams": _kafka_streams,
}


def summary(runs: list[Run]) -> dict[str, Any]:
    """Medians, and the spread from the lowest to the highest run."""
    rates = sorted(one.records_per_second for one in runs)
    return {
        "records_per_second": round(statistics.median(rates)),
        "records_per_second_min": round(rates[0]),
        "records_per_second_max": round(rates[-1]),
        "cpu_us_per_record": round(statistics.median(one.cpu_us_per_record for one in runs), 2),
        "seconds": round(statistics.median(one.seconds for one in runs), 1),
        "records": runs[0].records,
        "memory_mb": round(statistics.median(one.memory_bytes for one in runs) / 1e6),
        "runs": len(runs),
        "exact": all(one.exact for one in runs),
    }


def table(result: dict[str, Any]) -> str:
    """What `measure` found, for a terminal."""
    heads = ("", "records/s", "min - max", "CPU us/record", "memory MB", "records", "exact")
    return printed(heads, [row(entrant, result) for entrant in ENTRANTS if contestant_of(entrant, result)])


def contestant_of(entrant: Entrant, result: dict[str, Any]) -> dict[str, Any]:
    """What was measured of one; empty if nothing was."""
    found: dict[str, Any] = result["tally"] if entrant == TALLY else result["peers"].get(entrant.name, {})
    return found


def row(entrant: Entrant, result: dict[str, Any]) -> tuple[str, ...]:
    """One contestant's line of the table."""
    one = contestant_of(entrant, result)
    spread = f"{number(one['records_per_second_min'])} - {number(one['records_per_second_max'])}"
    return (
        entrant.title, number(one["records_per_second"]), spread, f"{one['cpu_us_per_record']:.2f}", number(one["memory_mb"]),
        f"{one['records']:,}", "yes" if one["exact"] else "NO",
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.rivals", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one run each, on fewer records")
    parser.add_argument("--only", default="", metavar="NAME,...", help="some of: " + ", ".join(e.name for e in ENTRANTS))
    arguments = parser.parse_args()
    measure(arguments.quick, frozenset(filter(None, arguments.only.split(","))))


if __name__ == "__main__":
    main()
