"""The nowcast of an open quarter (docs/methods/nowcast.md), written out from its page for verify only.

Quarters are numbers: four times the year, plus 0 to 3. Days are ordinals of `datetime.date`.
"""

from collections.abc import Iterator
from datetime import date
from math import ceil, exp, log
from typing import Any

import numpy as np

from tools.verify.estimators import Estimate

LONGEST, YEAR, STEP, TRIALS, TRIALS_FEWEST, LEAST = 60, 364, 21, 39, 19, 0.2
SILENT = {"CITIZENS_IN", "CITIZENS_OUT"}  # flows without a nowcast, which make their feed's history all the same

Known = np.ndarray[tuple[int, int], np.dtype[np.int64]]
Cells = list[tuple[str, date, int, int]]  # flow, day, how many days later, net records


def nowcasts(cells: Cells, today: date) -> Iterator[Estimate]:
    """Of all flows of one feed, for the open quarter and the one before."""
    cells = [cell for cell in cells if cell[3]]
    began = min((day.toordinal() + late for _, day, late, _ in cells if late < LONGEST), default=None)
    if began is None or began > today.toordinal():
        return
    for flow in sorted({flow for flow, *_ in cells} - SILENT):
        counts = np.zeros((today.toordinal() - began + 1, LONGEST + 1), np.int64)
        for name, day, late, n in cells:
            if name == flow and began <= day.toordinal() <= today.toordinal():
                counts[day.toordinal() - began, late] += n
        known = counts.cumsum(axis=1)
        quarter = today.year * 4 + (today.month - 1) // 3
        for number in (quarter - 1, quarter):
            found = _quarter(known, _start(number) - began, _start(number + 1) - _start(number))
            if found is not None:
                yield Estimate("Q", flow, "NOWCAST", f"{number // 4}-Q{number % 4 + 1}", *found)


def _start(quarter: int) -> int:
    return date(quarter // 4, quarter % 4 * 3 + 1, 1).toordinal()


def _quarter(known: Known, first: int, days: int) -> tuple[float, float, float] | None:
    """(value, its 95 % limits) of `days` days from row `first` on, on the last row's day. `known[i, d]`: of day i, d days later."""
    now = len(known) - 1
    age = now - first
    if first < 0 or not 0 <= age < days + LONGEST or _said(known, now, first, days, 0) is None:
        return None
    for years in (2, 1, 0):
        errors = sorted(_errors(known, days, age, years))
        if len(errors) >= TRIALS_FEWEST:
            value = _said(known, now, first, days, years)
            assert value is not None
            error = errors[min(ceil(0.95 * (len(errors) + 1)) + 1, len(errors)) - 1]
            so_far = sum(_of_day(known, now, day) for day in range(first, min(first + days, now + 1)))
            return value, min(value, max(float(so_far), value * exp(-error))), value * exp(error)
    return None


def _errors(known: Known, days: int, age: int, years: int) -> Iterator[float]:
    """How far the method was off, at the same age of earlier spans."""
    newest = len(known) - 1 - days - LONGEST
    for trial in range(TRIALS):
        first = newest - trial * STEP
        if first < years * YEAR:
            return
        said, came = _said(known, first + age, first, days, years), int(known[first : first + days, LONGEST].sum())
        if said and came:
            yield abs(log(came / said))


def _of_day(known: Known, now: int, day: int) -> int:
    """Records of a day that were known on the day `now`."""
    return int(known[day, min(now - day, LONGEST)])


def _said(known: Known, now: int, first: int, days: int, years: int) -> float | None:
    """What the method says on the day `now`, with so many earlier years."""
    shares = _shares(known, now)
    ahead = next(age for age, share in enumerate(shares) if share >= LEAST)  # too young to be told
    seen = min(days, now - first + 1 - ahead)
    if seen <= 0:
        return None
    total: Any = 0.0
    for day in range(first, first + seen):
        total += _of_day(known, now, day) / max(shares[min(now - day, LONGEST)], LEAST)
    if not total:
        return None
    start = rest = 0
    for back in (YEAR * year for year in range(1, years + 1)):
        start += int(known[first - back : first - back + seen, LONGEST].sum())
        rest += int(known[first - back + seen : first - back + days, LONGEST].sum())
    return float(total) * (1 + rest / start if start else days / seen)


def _shares(known: Known, now: int) -> list[float]:
    """By age: the share of a day's records that are known then, by the chain ladder over a year."""
    oldest, shares = max(0, now - YEAR + 1), [1.0]
    for late in range(LONGEST, 0, -1):
        rows = known[oldest : now - late + 1]
        after = int(rows[:, late].sum()) if now - late >= oldest else 0
        shares.append(shares[-1] * (int(rows[:, late - 1].sum()) / after if after > 0 else 1.0))
    return shares[::-1]
