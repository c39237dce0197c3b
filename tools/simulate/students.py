"""The universities' feed: enrolments that make the stated stocks, former students, and branches of foreign universities."""

import datetime as dt
from fractions import Fraction
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from tools.simulate.irregular import DAY, Disorder, disturb
from tools.simulate.rows import documents, drawn, iso_dates, optional_field, write_rows
from tools.simulate.stocks import UNKNOWN, day_number, memberships, structure
from tools.simulate.targets import StudentTargets

UNIVERSITIES = 95
# Foreigners among whom one in so many studies in a branch.
IN_BRANCHES = 0.06
# Where the parent universities are, in turn.
PARENTS = ("RU", "GB", "US", "TR", "CN", "IN", "DE", "KR", "IT", "MY", "FR")
# A branch that appears only in records that are corrected later: it must never be counted.
PHANTOM_BRANCH = "KZ-B99"
# Those found by the first date began in this or earlier Septembers: weights, the newest first.
YEARS_OF_ENTRY = (34, 26, 19, 12, 9)
STUDIES_YEARS = (1, 2, 3, 4)
# Who is still enrolled may have the day on which studies end on record already.
END_KNOWN = 0.1
END_KNOWN_DAYS = 60
OUTCOMES_IN_SUMMER = {"graduated": 88, "withdrawn": 8, "transferred": 4}
OUTCOMES = {"withdrawn": 70, "transferred": 30}

Days = NDArray[np.int64]


def write_students(path: Path, targets: StudentTargets, irregular: Fraction, rng: np.random.Generator) -> dict[str, int]:
    """Write `student-enrolments.ndjson`; returns its counts. Raises OSError."""
    first = next(iter(targets.stocks))
    enrolled, ended, post, open_at_last = _foreigners(targets, rng)
    former_from, former_to = _former(first, targets.ended_before, rng)
    citizens_from = _septembers(first, targets.citizens_in_branches, rng)
    groups = (len(enrolled), len(former_from), len(citizens_from))
    n = sum(groups)
    places, exact = max(targets.stocks.values()), list(targets.stocks.values())[-1]
    by_post = structure(targets.citizenships, exact, places, rng)
    citizenship = np.concatenate([by_post[post], drawn(targets.citizenships, groups[1], rng), np.repeat("KZ", groups[2])])
    ended_on = np.concatenate([ended, former_to, np.full(groups[2], UNKNOWN)])
    institution, branch_of = _institutions(targets, open_at_last, groups, rng)
    content = pl.DataFrame(
        {
            "citizenship": citizenship,
            "institution": institution,
            "branch_of": branch_of,
            "level": drawn(targets.levels, n, rng),
            "field": drawn(targets.fields, n, rng),
            "enrolled_on": np.concatenate([enrolled, former_from, citizens_from]),
            "ended_on": ended_on,
            "outcome": _outcomes(ended_on, rng),
            "person": documents(n, rng),
        }
    )
    disorder = disturb(content["enrolled_on"].to_numpy() * DAY + rng.integers(0, DAY, n), irregular, rng)
    phantoms = content[disorder.phantom_of].with_columns(person=documents(len(disorder.phantom_of), rng))
    content = pl.concat([content, phantoms, _wrong(content, disorder, rng)])
    year = list(targets.stocks)[-1].year
    size = write_rows(path, f"MSHE-{year}-", disorder.lines, _text(content))
    return {"lines": len(disorder.lines.record), "counted": n, **disorder.counts, "bytes": size}


def _foreigners(targets: StudentTargets, rng: np.random.Generator) -> tuple[Days, Days, Days, NDArray[np.bool_]]:
    """First day, first day no longer enrolled (UNKNOWN: open), post, and whether open at the last date."""
    held = memberships(targets.stocks, Fraction(0), rng)
    n = len(held.post)
    first, *_, last = targets.stocks
    enrolled = np.where(held.start == UNKNOWN, _septembers(first, n, rng), held.start)
    open_at_last = held.end == UNKNOWN
    known = open_at_last & (rng.random(n) < END_KNOWN)
    later = day_number(last) + rng.integers(1, END_KNOWN_DAYS, n)
    return enrolled, np.where(known, later, held.end), held.post, open_at_last


def _last_september(day: dt.date) -> dt.date:
    """The newest 1 September that is not after `day`."""
    return dt.date(day.year - ((day.month, day.day) < (9, 1)), 9, 1)


def _septembers(first: dt.date, n: int, rng: np.random.Generator) -> Days:
    """Days of entry by `first`: a 1 September, or soon after it where there is time."""
    year = _last_september(first).year
    starts = np.array([day_number(dt.date(year - back, 9, 1)) for back in range(len(YEARS_OF_ENTRY))])
    weights = np.array(YEARS_OF_ENTRY) / sum(YEARS_OF_ENTRY)
    day: Days = rng.choice(starts, n, p=weights) + np.where(rng.random(n) < 0.15, rng.integers(0, 30, n), 0)
    return np.minimum(day, day_number(first))


def _former(first: dt.date, n: int, rng: np.random.Generator) -> tuple[Days, Days]:
    """Enrolments over by `first`: they ended in a summer that is before the newest September."""
    year = _last_september(first).year
    ended_year = year - rng.integers(0, 2, n)
    began_year = ended_year - rng.choice(STUDIES_YEARS, n)
    began = np.array([day_number(dt.date(y, 9, 1)) for y in range(year - 1 - max(STUDIES_YEARS), year + 1)])
    summer = np.array([day_number(dt.date(y, 6, 25)) for y in (year - 1, year)])
    start = began[began_year - (year - 1 - max(STUDIES_YEARS))]
    return start, summer[ended_year - (year - 1)] + rng.integers(0, 25, n)


def _institutions(
    targets: StudentTargets, open_at_last: NDArray[np.bool_], groups: tuple[int, int, int], rng: np.random.Generator
) -> tuple[NDArray[np.str_], pl.Series]:
    """Institution and, for branches, the parent's country; every branch to be open has one open enrolment at least."""
    foreigners, former, citizens = groups
    branch = np.full(sum(groups), UNKNOWN)
    if targets.branches_open:
        chosen = rng.random(foreigners) < IN_BRANCHES
        branch[:foreigners][chosen] = rng.integers(0, targets.branches_open, int(chosen.sum()))
        branch[foreigners + former :] = rng.integers(0, targets.branches_open, citizens)
        sure = rng.permutation(np.flatnonzero(open_at_last))[: targets.branches_open]
        branch[sure] = np.arange(targets.branches_open)
    closed = foreigners + rng.permutation(former)[: targets.branches_closed]
    branch[closed] = targets.branches_open + np.arange(targets.branches_closed)
    codes = np.array([f"KZ-B{i + 1:02d}" for i in range(targets.branches_open + targets.branches_closed)] or [""])
    homes = np.array([f"KZ-U{i + 1:03d}" for i in range(UNIVERSITIES)])
    # Few universities have most of the foreigners.
    home = homes[(UNIVERSITIES * rng.random(len(branch)) ** 2).astype(np.int64)]
    institution = np.where(branch == UNKNOWN, home, codes[np.maximum(branch, 0)])
    parents = pl.Series(np.array(PARENTS)[branch % len(PARENTS)])
    return institution, parents.set(pl.Series(branch == UNKNOWN), None)


def _outcomes(ended_on: Days, rng: np.random.Generator) -> pl.Series:
    """How ended enrolments ended: mostly by graduation in June and July."""
    n = len(ended_on)
    month = ended_on.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64) % 12 + 1
    summer = (month == 6) | (month == 7)
    outcome = pl.Series(np.where(summer, drawn(OUTCOMES_IN_SUMMER, n, rng), drawn(OUTCOMES, n, rng)))
    return outcome.set(pl.Series(ended_on == UNKNOWN), None)


def _wrong(content: pl.DataFrame, disorder: Disorder, rng: np.random.Generator) -> pl.DataFrame:
    """Enrolments as first reported: a third each of another citizenship (or KZ), a year early, or in no real branch."""
    wrong = content[disorder.wrong_of]
    mistake = pl.Series(rng.integers(0, 3, len(wrong)))
    foreign = pl.when(pl.col("citizenship") == "KZ").then(pl.lit("RU")).otherwise(pl.lit("KZ"))
    return wrong.with_columns(
        citizenship=pl.when(mistake == 0).then(foreign).otherwise("citizenship"),
        enrolled_on=pl.col("enrolled_on") - pl.when(mistake == 1).then(365).otherwise(0),
        institution=pl.when(mistake == 2).then(pl.lit(PHANTOM_BRANCH)).otherwise("institution"),
        branch_of=pl.when(mistake == 2).then(pl.lit(PARENTS[0])).otherwise("branch_of"),
        ended_on=pl.when(mistake == 2).then(UNKNOWN).otherwise("ended_on"),
        outcome=pl.when(mistake == 2).then(None).otherwise("outcome"),
    )


def _text(content: pl.DataFrame) -> pl.Series:
    return content.with_columns(iso_dates("enrolled_on", "ended_on")).select(
        text=pl.format(
            ',"citizenship":"{}","institution":"{}"{},"level":"{}","field":"{}","enrolled_on":"{}"{}{},"person":"{}"}}',
            "citizenship", "institution", optional_field("branch_of"), "level", "field", "enrolled_on",
            optional_field("ended_on"), optional_field("outcome"), "person",
        )
    )["text"]  # fmt: skip
