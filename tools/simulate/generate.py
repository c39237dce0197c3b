"""Writes all feeds of one simulation."""

import json
import os
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from services.shared.runtime.process.errors import Failure, UsageError
from tools.simulate.crossings import write_crossings
from tools.simulate.permits import write_permits
from tools.simulate.persons import write_emigration, write_residence, write_stays
from tools.simulate.students import write_students
from tools.simulate.targets import Targets
from tools.simulate.violations import write_violations

SIMULATION_SCALE = "SIMULATION_SCALE"
MAX_SEED = 2**63 - 1

Counts = dict[str, int]


def simulate(out: Path, targets: Targets, scale: Fraction, seed: int, irregular: Fraction, progress: TextIO) -> dict[str, Counts]:
    """Write one `<feed>.ndjson` a feed into `out`, which is made; returns each feed's counts.

    Crossings, labour emigration and stays are written at `scale` (0 < scale <= 1), all else at full size; the share
    `irregular` (0..1) of each feed's records arrives repeated, corrected, late or to be withdrawn. The same arguments give
    the same bytes; each feed has its own source of chance, so that the scale of one does not move another. `progress`
    gets a line a file.
    Raises UsageError (also TargetsError) for what cannot be asked for, Failure when a file cannot be written.
    """
    if not 0 < scale <= 1:
        raise UsageError(f"--scale must be above 0 and at most 1, not {float(scale):g}")
    if not 0 <= irregular <= 1:
        raise UsageError(f"--irregular must be from 0 to 1, not {float(irregular):g}")
    if not 0 <= seed <= MAX_SEED:
        raise UsageError(f"--seed must be from 0 to {MAX_SEED}, not {seed}")

    def chance(feed: int) -> np.random.Generator:
        return np.random.Generator(np.random.PCG64([seed, feed]))

    writers: dict[str, Callable[[Path], Counts]] = {
        "border-crossings": lambda path: write_crossings(path, targets.crossings, scale, irregular, chance(1)),
        "work-permits": lambda path: write_permits(path, targets.permits, irregular, chance(2)),
        "student-enrolments": lambda path: write_students(path, targets.students, irregular, chance(3)),
        "residence-registrations": lambda path: write_residence(path, targets.residence, irregular, chance(4)),
        "labour-emigration": lambda path: write_emigration(path, targets.emigration, scale, irregular, chance(5)),
        "visitor-stays": lambda path: write_stays(path, targets.stays, scale, irregular, chance(6)),
        "migration-violations": lambda path: write_violations(path, targets.violations, irregular, chance(7)),
        "reference-figures": lambda path: _write_figures(path, targets, scale),
    }
    counts: dict[str, Counts] = {}
    try:
        out.mkdir(parents=True, exist_ok=True)
        for feed, write in writers.items():
            began = time.perf_counter()
            counts[feed] = write(out / f"{feed}.ndjson")
            seconds = time.perf_counter() - began
            print(f"{feed}: {counts[feed]['lines']} records in {seconds:.1f} s", file=progress)
    except OSError as error:
        raise Failure(f"cannot write {error.filename or out}: {error.strerror or error}") from error
    return counts


def _write_figures(path: Path, targets: Targets, scale: Fraction) -> Counts:
    """Write `reference-figures.ndjson`: the targets file's figures, and the scale, so that a bulletin can say it."""
    last = targets.crossings.quarters[-1]
    figures: list[dict[str, Any]] = [{"version": 1, **figure} for figure in targets.figures]
    figures.append(
        {
            "version": 1,
            "record_id": f"TOLQYN-SIMULATION-{last.name}",
            "figure": SIMULATION_SCALE,
            "period": last.name,
            "value": float(scale),
            "unit": "ratio",
            "source": "tolqyn simulate",
            "published_on": last.last_day.isoformat(),
            "note": "These records are simulated: crossings, labour emigration and stays at this fraction of their number, "
            "all else at full size",
        }
    )
    text = "".join(json.dumps(figure, ensure_ascii=False, separators=(",", ":")) + "\n" for figure in figures)
    unfinished = path.with_name(path.name + ".part")
    unfinished.write_text(text, encoding="utf-8")
    os.replace(unfinished, path)
    return {"lines": len(figures), "counted": len(figures), "bytes": path.stat().st_size}
