"""Files to published figures: a whole stack takes one quarter, as agencies would send it, and publishes it.

`measure` starts a stack of its own, sends the files of four feeds side by side, and ends when `tolqyn settle` says that everything
is in the published figures. The sender's own CPU counts.
"""

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import yaml

from services.shared.runtime.embedded.ports import FREE_FIRST, FREE_LAST, is_free
from services.simulate.targets_file import BUNDLED

FEEDS = ("border-crossings", "work-permits", "student-enrolments", "reference-figures")
QUARTER = "2025-Q2"  # 8.57 million crossings at full scale
SCALE_FULL, SCALE_QUICK = "1", "0.1"
PORTS = 16  # a stack's ports follow one another: one for each service, and some to spare
COMMAND_SECONDS_MAX = 600


@dataclass(frozen=True)
class _Stack:
    """A stack of its own in a temporary folder."""

    folder: Path
    port: int

    def command(self, *arguments: str) -> "subprocess.Popen[str]":
        """Start `tolqyn` with these arguments."""
        ignored = ("KAFKA_BOOTSTRAP_SERVERS", "DATABASE_URL")
        environment = {name: value for name, value in os.environ.items() if name not in ignored and not name.startswith("TOLQYN_")}
        environment |= {"TOLQYN_HOME": str(self.folder / "home"), "TOLQYN_PORT": str(self.port)}
        return subprocess.Popen(
            [sys.executable, "-m", "services.cli", *arguments],
            env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def tolqyn(self, *arguments: str) -> str:
        """Run `tolqyn` to its end; its standard output. RuntimeError if it fails."""
        process = self.command(*arguments)
        out, problems = process.communicate(timeout=COMMAND_SECONDS_MAX)
        if process.returncode != 0:
            raise RuntimeError(f"tolqyn {' '.join(arguments)}: exit {process.returncode}\n{out}\n{problems}")
        return out

    def send(self, feed: str) -> dict[str, Any]:
        """Send the file of one feed; the receipt."""
        receipt: dict[str, Any] = json.loads(
            self.tolqyn("send", "--feed", feed, str(self.folder / f"{feed}.ndjson")).splitlines()[-1]
        )
        if receipt["accepted"] != receipt["received"]:
            raise RuntimeError(f"{feed}: {receipt}")
        return receipt

    def cpu_seconds(self) -> dict[str, float]:
        """CPU seconds that each service has used since it started, its children's included."""
        services = json.loads(self.tolqyn("status", "--json"))["services"]
        return {service["name"]: _cpu_seconds(psutil.Process(service["pid"])) for service in services}


def _cpu_seconds(process: psutil.Process) -> float:
    """User and system time of a process, and of all below it, also of those that have ended."""
    total = 0.0
    for one in [process, *process.children(recursive=True)]:
        times = one.cpu_times()
        total += times.user + times.system + times.children_user + times.children_system
    return total


def _children_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _free_ports() -> int:
    """The first of some free ports in a row."""
    for first in range(FREE_FIRST, FREE_LAST, PORTS):
        if all(is_free(port) for port in range(first, first + PORTS)):
            return first
    raise RuntimeError("no free ports for a stack")


def _one_quarter(path: Path) -> None:
    """Targets of one quarter only: what is bundled, without the quarter before."""
    document = yaml.safe_load(BUNDLED.read_text("utf-8"))
    for by_quarter in document["border_crossings"].values():
        if isinstance(by_quarter, dict) and QUARTER in by_quarter:
            flow = by_quarter[QUARTER]
            by_quarter.clear()
            by_quarter[QUARTER] = {k: v for k, v in flow.items() if k != "change_percent"} if isinstance(flow, dict) else flow
    path.write_text(yaml.safe_dump(document, allow_unicode=True), "utf-8")


def measure(quick: bool) -> dict[str, Any]:
    """Run once; prints a table. `edge_cpu_us` and `cpu_us` are microseconds of CPU per record sent, of one and of each process.

    `quarter_seconds` is None on a quick run, which sends a tenth of the crossings.
    """
    folder = Path(tempfile.mkdtemp(prefix="tolqyn-bench-"))
    folder.chmod(0o755)  # as root, PostgreSQL runs as another user, who must get through
    stack = _Stack(folder, _free_ports())
    try:
        _one_quarter(folder / "targets.yaml")
        scale = SCALE_QUICK if quick else SCALE_FULL
        stack.tolqyn("simulate", "--out", str(folder), "--scale", scale, "--targets", str(folder / "targets.yaml"))
        stack.tolqyn("up", "--detach")
        return _timed(stack, quick)
    finally:
        stack.tolqyn("down")
        shutil.rmtree(folder)


def _timed(stack: _Stack, quick: bool) -> dict[str, Any]:
    before = stack.cpu_seconds()
    started, children = time.perf_counter(), _children_seconds()
    with ThreadPoolExecutor(len(FEEDS)) as pool:
        receipts = list(pool.map(stack.send, FEEDS))
    sent, sender = time.perf_counter() - started, _children_seconds() - children
    stack.tolqyn("settle")
    seconds = time.perf_counter() - started
    records = sum(receipt["received"] for receipt in receipts)
    cpu = {"sender": sender} | {name: used - before[name] for name, used in stack.cpu_seconds().items()}
    cpu_us = {name: round(used / records * 1e6, 2) for name, used in cpu.items()}
    result = {
        "records": records,
        "seconds": round(seconds, 2),
        "sent_seconds": round(sent, 2),
        "records_per_second": round(records / seconds),
        "quarter_seconds": None if quick else round(seconds, 1),
        "edge_cpu_us": round(cpu["border-crossings"] / receipts[0]["received"] * 1e6, 2),
        "cpu_us": cpu_us,
    }
    _print(result)
    return result


def _print(result: dict[str, Any]) -> None:
    seconds = f"{result['seconds']} s ({result['sent_seconds']} s of it sending)"
    print(f"files to published figures: {result['records']:,} records in {seconds}")
    print(f"{result['records_per_second']:>10,} records/s; the edge takes {result['edge_cpu_us']} us of CPU per crossing")
    for name, used in sorted(result["cpu_us"].items(), key=lambda item: -item[1]):
        print(f"{used:>10.2f} us of CPU per record  {name}")
    print(f"{sum(result['cpu_us'].values()):>10.2f} us in all")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the crossings")
    measure(parser.parse_args().quick)
