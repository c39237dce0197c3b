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


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="five minutes instead of twenty-five")
    quick = parser.parse_args().quick
    started = time.monotonic()
    result: dict[str, Any] = {}

    def part(title: str, measure: Callable[[], dict[str, Any]]) -> None:
        print(f"\n[{time.monotonic() - started:4.0f} s] {title}\n", flush=True)
        result.update(measure())

    with running_broker():
        part("The same work for all", lambda: rivals.measure(quick))
        part("Growth", lambda: growth.measure(quick))
    # These start a whole stack of their own.
    part("From files to published figures", lambda: {"end_to_end": end_to_end.measure(quick)})
    part("Live", lambda: {"live": live.measure(quick)})
    result |= {"machine": machine(), "date": datetime.date.today().isoformat(), "seconds": round(time.monotonic() - started)}
    path = QUICK if quick else report.LATEST
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(result, indent=1) + "\n", "utf-8")
    print(f"\n[{time.monotonic() - started:4.0f} s] Targets\n")
    rows = [tuple(cell.replace("**", "") for cell in row) for row in report.target_rows(result)]
    print(printed(("", "target", "measured", "holds"), rows))
    if not quick:
        report.write(result)
    print(f"\n{number(result['tally']['records_per_second'])} records/s in tally; all figures in {path.relative_to(report.ROOT)}")


if __name__ == "__main__":
    main()
