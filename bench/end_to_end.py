"""Files to published figures: a whole stack takes one quarter, as agencies would send it, and publishes it.

`measure` starts a stack of its own, sends a quarter's crossings and waits until they are published, then sends the files of all
other feeds side by side, and ends when `tolqyn settle` says that everything is in the published figures. The sender's CPU counts.
"""

import argparse
import json
import resource
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import yaml

from bench import stack
from schemas.feeds import FEEDS
from services.shared.runtime.process.settings import Settings
from tools.simulate.targets_file import BUNDLED

CROSSINGS = "border-crossings"
QUARTER = "2025-Q2"  # 8.57 million crossings at full scale
SCALE_FULL, SCALE_QUICK = "1", "0.1"


def _send(folder: Path, feed: str) -> dict[str, Any]:
    """Send the file of one feed; the receipt. RuntimeError if anything was not accepted."""
    receipt: dict[str, Any] = json.loads(stack.tolqyn("send", "--feed", feed, str(folder / f"{feed}.ndjson")).splitlines()[-1])
    if receipt["accepted"] != receipt["received"]:
        raise RuntimeError(f"{feed}: {receipt}")
    return receipt


def _children_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


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
    with stack.running() as settings:
        folder = settings.home.parent
        _one_quarter(folder / "targets.yaml")
        scale = SCALE_QUICK if quick else SCALE_FULL
        stack.tolqyn("simulate", "--out", str(folder), "--scale", scale, "--targets", str(folder / "targets.yaml"))
        return _timed(settings, folder, quick)


def _timed(settings: Settings, folder: Path, quick: bool) -> dict[str, Any]:
    before = stack.cpu_seconds(settings)
    started, children = time.perf_counter(), _children_seconds()
    receipts = {CROSSINGS: _send(folder, CROSSINGS)}
    stack.tolqyn("settle")
    quarter = time.perf_counter() - started
    others = [feed for feed in FEEDS if feed != CROSSINGS]
    with ThreadPoolExecutor(len(others)) as pool:
        receipts |= zip(others, pool.map(lambda feed: _send(folder, feed), others), strict=True)
    sender = _children_seconds() - children
    stack.tolqyn("settle")
    seconds = time.perf_counter() - started
    records = sum(receipt["received"] for receipt in receipts.values())
    cpu = {"sender": sender} | {name: used - before[name] for name, used in stack.cpu_seconds(settings).items()}
    cpu_us = {name: round(used / records * 1e6, 2) for name, used in cpu.items()}
    result = {
        "records": records,
        "seconds": round(seconds, 2),
        "records_per_second": round(records / seconds),
        "quarter_seconds": None if quick else round(quarter, 1),
        "edge_cpu_us": round(cpu[CROSSINGS] / receipts[CROSSINGS]["received"] * 1e6, 2),
        "cpu_us": cpu_us,
    }
    _print(result)
    return result


def _print(result: dict[str, Any]) -> None:
    print(f"files to published figures: {result['records']:,} records in {result['seconds']} s")
    if result["quarter_seconds"] is not None:
        print(f"{result['quarter_seconds']:>10} s until all crossings of a quarter were published")
    print(f"{result['records_per_second']:>10,} records/s; the edge takes {result['edge_cpu_us']} us of CPU per crossing")
    for name, used in sorted(result["cpu_us"].items(), key=lambda item: -item[1]):
        print(f"{used:>10.2f} us of CPU per record  {name}")
    print(f"{sum(result['cpu_us'].values()):>10.2f} us in all")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the crossings")
    measure(parser.parse_args().quick)
