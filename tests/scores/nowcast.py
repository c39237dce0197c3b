"""Scores the nowcast on simulated past triangles: `python -m tests.scores.nowcast` prints the figures of docs/methods/nowcast.md.

Each history is five years of days with seasons, weekdays, a wandering level, uneven days, delays that drift, and agencies that send
nothing for some days and then all at once. Asked at several ages of the last quarter, and compared with what it came to.
"""

from typing import NamedTuple

import numpy as np

from services.shared.statistics.estimation.nowcast import Nowcast, Triangle, nowcast
from services.shared.statistics.folding.sheet import DELAY_DAYS
from services.shared.statistics.terms import calendar

HISTORIES = 200  # of a full run: coverage is known to about 3 points
AGES = (30, 60, 90, 105)  # days since the quarter began; it has 90 to 92
FIRST_QUARTER = calendar.parse_quarter("2020-Q1")
QUARTERS = 20  # the last one is asked for
DAILY = 400  # records a day: border crossings at one hundredth


class Score(NamedTuple):
    """Of one age: shares covered by the intervals, and mean absolute errors in percent."""

    age: int
    covered_80: float
    covered_95: float
    nowcast: float
    last_year_scaled: float
    pro_rata: float


def simulated(random: np.random.Generator, quarters: int) -> Triangle:
    """A complete triangle of that many quarters, and of the delays after them."""
    first = calendar.first_day(FIRST_QUARTER)
    days = calendar.last_day(FIRST_QUARTER + quarters - 1) - first + 1 + DELAY_DAYS
    day = np.arange(days)
    season = 1 + 0.25 * np.sin(2 * np.pi * (day - random.uniform(0, 365)) / 365.25)
    weekday = np.array([1.0, 0.95, 0.95, 1.0, 1.15, 1.1, 0.85])[day % 7]
    level = np.exp(np.cumsum(random.normal(0.0001, 0.004, days)))
    uneven = random.gamma(100, 1 / 100, days)
    counts = random.poisson(DAILY * season * weekday * level * uneven)
    delays = np.arange(DELAY_DAYS + 1)
    late = np.clip(0.05 * np.exp(np.cumsum(random.normal(0, 0.01, days))), 0.01, 0.2)[:, np.newaxis]
    quick, slow = 0.6**delays, 0.95**delays
    triangle = random.multinomial(counts, (1 - late) * quick / quick.sum() + late * slow / slow.sum())
    begins = 0
    while (begins := begins + int(random.exponential(45)) + 1) < days - 10:
        _outage(random, triangle, begins)
    return Triangle(first, triangle)


def _outage(random: np.random.Generator, triangle: np.ndarray[tuple[int, int], np.dtype[np.int64]], begins: int) -> None:
    """One agency sends nothing for some days, then all."""
    length, share = int(random.integers(2, 9)), random.uniform(0.1, 0.3)
    for i in range(max(0, begins - DELAY_DAYS), begins + length):
        held = np.arange(DELAY_DAYS + 1) + i
        during = (held >= begins) & (held < begins + length)
        taken = random.binomial(triangle[i] * during, share)
        triangle[i] -= taken
        triangle[i, min(DELAY_DAYS, begins + length - i)] += taken.sum()


def scores(histories: int, seed: int = 20250630) -> list[Score]:
    """One score per age, over that many histories."""
    random = np.random.default_rng(seed)
    quarter = FIRST_QUARTER + QUARTERS - 1
    first, last = calendar.first_day(quarter), calendar.last_day(quarter)
    year_before = calendar.first_day(quarter - 4), calendar.last_day(quarter - 4)
    rows: dict[int, list[tuple[float, ...]]] = {age: [] for age in AGES}
    for _ in range(histories):
        whole = simulated(random, QUARTERS)

        def total(span: tuple[int, int], triangle: Triangle) -> int:
            return int(triangle.counts[span[0] - triangle.first_day : span[1] - triangle.first_day + 1].sum())

        final, final_before = total((first, last), whole), total(year_before, whole)
        for age in AGES:
            now = whole.at(first + age)
            found = nowcast(now, quarter)
            assert isinstance(found, Nowcast)
            then = whole.at(year_before[0] + age)
            scaled = final_before * found.known / total(year_before, then)
            pro_rata = found.known * (last - first + 1) / min(age + 1, last - first + 1)
            covered = [interval.lower <= final <= interval.upper for interval in (found.interval_80, found.interval_95)]
            errors = [100 * abs(said / final - 1) for said in (found.value, scaled, pro_rata)]
            rows[age].append((100.0 * covered[0], 100.0 * covered[1], *errors))
    return [Score(age, *(float(mean) for mean in np.mean(rows[age], axis=0))) for age in AGES]


def row(score: Score) -> str:
    """A score as the page prints it."""
    return "| {} | {:.1f} | {:.1f} | {:.2f} | {:.2f} | {:.2f} |".format(*score)


if __name__ == "__main__":
    for score in scores(HISTORIES):
        print(row(score))
