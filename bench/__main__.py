"""`make bench`: every measurement in one run, on one broker; which targets hold; what README shows of it.

`python -m bench [--quick]`. A quick run goes to `quick.json` and changes nothing that README shows. Exit code 0: the run was valid.
"""

import argparse
import datetime
import json
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from bench import end_to_end, growth, live, report, rivals
from bench.broker import running_broker
from bench.table import number, printed

QUICK = report.RESULTS / "quick.json"


def machine() -> dict[str, Any]:
    """What this ran on; nothing that names it."""
    names = [line for line in Path("/proc/cpuinfo").read_text("ascii").splitlines() if line.startswith("model name")]
    return {
        "cores": os.cpu_count(),
        "cpu": names[0].partition(":")[2].strip() if names else "unknown",
        "memory_gb": round(psutil.virtual_memory().total / 1e9),
        "system": platform.system() + " " + platform.release().split("-")[0],
        "python": platform.python_version(),
    }


# Each part's name, title, and what it adds to the result. The first two share the broker; the others start a stack of their own.
Part = tuple[str, Callable[[bool], dict[str, Any]]]
PARTS: dict[str, Part] = {
    "rivals": ("The same work for all", rivals.measure),
    "growth": ("Growth", growth.measure),
    "end_to_end": ("From files to published figures", lambda quick: {"end_to_end": end_to_end.measure(quick)}),
    "live": ("Live", lambda quick: {"live": live.measure(quick)}),
}
ON_ONE_BROKER = ("rivals", "growth")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="five minutes instead of twenty-five")
    parser.add_argument("--again", choices=PARTS, nargs="+", help="measure these anew; latest.json keeps the rest and says so")
    arguments = parser.parse_args()
    quick, again = arguments.quick, arguments.again
    if quick and again:
        parser.error("--again replaces parts of a full run")
    started = time.monotonic()
    result: dict[str, Any] = {}

    def measure(names: list[str]) -> None:
        for name in names:
            title, part = PARTS[name]
            print(f"\n[{time.monotonic() - started:4.0f} s] {title}\n", flush=True)
            result.update(part(quick))

    wanted = [name for name in PARTS if not again or name in again]
    with running_broker():
        measure([name for name in wanted if name in ON_ONE_BROKER])
    measure([name for name in wanted if name not in ON_ONE_BROKER])
    if again:
        result = json.loads(report.LATEST.read_text("utf-8")) | result
        result["again"] = {**result.get("again", {}), **dict.fromkeys(wanted, datetime.date.today().isoformat())}
    else:
        result |= {"machine": machine(), "date": datetime.date.today().isoformat(), "seconds": round(time.monotonic() - started)}
    path = QUICK if quick else report.LATEST
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(result, indent=1) + "\n", "utf-8")
    if quick:
        print("\nThe targets are for the sizes of a full run: so few records show the first seconds of everybody.")
    else:
        print(f"\n[{time.monotonic() - started:4.0f} s] Targets\n")
        rows = [tuple(cell.replace("**", "") for cell in row) for row in report.target_rows(result)]
        print(printed(("", "target", "measured", "holds"), rows))
        report.write(result)
    print(f"\n{number(result['tally']['records_per_second'])} records/s in tally; all figures in {path.relative_to(report.ROOT)}")


if __name__ == "__main__":
    main()
