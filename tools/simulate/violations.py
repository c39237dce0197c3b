"""The police's feed: persons who were found at work without papers so often as stated, and offences of other kinds."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from tools.simulate.irregular import DAY, disturb
from tools.simulate.rows import LETTERS, drawn, iso_dates, write_rows
from tools.simulate.stocks import day_number
from tools.simulate.targets import Period, ViolationTargets

# Of those found at work: how many had no permit; the others had no contract.
WITHOUT_PERMIT = 0.7
# Of the offences of other kinds: how many are by persons who were found at work as well.
OF_THE_SAME = 0.3
NUMBERS = 10**8


def write_violations(path: Path, targets: ViolationTargets, irregular: Fraction, rng: np.random.Generator) -> dict[str, int]:
    """Write `migration-violations.ndjson`; returns its counts. Raises OSError."""
    persons = [sum(by_times.values()) for by_times in targets.frequencies.values()]
    strangers = sum(targets.others.values())
    # All different: two persons with one document number would be one who was found more often.
    documents = _documents(sum(persons) + strangers, rng)
    citizenships = drawn(targets.citizenships, len(documents), rng)
    parts, first = [], 0
    for (period, by_times), n in zip(targets.frequencies.items(), persons, strict=True):
        person = first + np.repeat(np.arange(n), np.repeat(list(by_times), list(by_times.values())))
        kind = np.where(rng.random(len(person)) < WITHOUT_PERMIT, "work_without_permit", "work_without_contract")
        parts.append(_offences(period, person, kind, rng))
        first += n
    periods = list(targets.frequencies)
    for other, n in targets.others.items():
        same = rng.random(n) < OF_THE_SAME
        person = np.where(same, rng.integers(0, max(first, 1), n), first + np.arange(n))
        first += n
        for period, some in zip(periods, np.array_split(person, len(periods)), strict=True):
            parts.append(_offences(period, some, np.repeat(np.array([other]), len(some)), rng))
    content = pl.concat(parts)
    content = content.with_columns(
        person=documents.gather(content["who"]), citizenship=pl.Series(citizenships).gather(content["who"])
    )
    return _write(path, content, documents, irregular, rng)


def _documents(n: int, rng: np.random.Generator) -> pl.Series:
    """`n` different document numbers."""
    numbers = rng.choice(len(LETTERS) * NUMBERS, n, replace=False)
    return pl.Series(LETTERS[numbers // NUMBERS], dtype=pl.String) + pl.Series(numbers % NUMBERS).cast(pl.String).str.zfill(8)


def _offences(period: Period, person: NDArray[np.int64], kind: NDArray[np.str_], rng: np.random.Generator) -> pl.DataFrame:
    n = len(person)
    day = day_number(period.first_day) + rng.integers(0, period.days, n)
    day[:1], day[1:2] = day_number(period.first_day), day_number(period.first_day) + period.days - 1
    return pl.DataFrame({"day": day, "kind": pl.Series(kind, dtype=pl.String), "who": person})


def _write(
    path: Path, content: pl.DataFrame, documents: pl.Series, irregular: Fraction, rng: np.random.Generator
) -> dict[str, int]:
    n = content.height
    disorder = disturb(content["day"].to_numpy() * DAY + rng.integers(0, DAY, n), irregular, rng)
    phantoms, wrong = content[disorder.phantom_of], content[disorder.wrong_of]
    # A third each: of another person, in another year, of another kind. All of them move somebody from one frequency to another.
    mistake = pl.Series(rng.integers(0, 3, len(wrong)))
    others = documents.gather(rng.integers(0, len(documents), len(wrong)))
    wrong = wrong.with_columns(
        person=pl.when(mistake == 0).then(others).otherwise("person"),
        day=pl.when(mistake == 1).then(pl.col("day") - 365).otherwise("day"),
        kind=pl.when(mistake == 2).then(pl.lit("other")).otherwise("kind"),
    )
    content = pl.concat([content, phantoms, wrong]).with_columns(iso_dates("day"))
    text = pl.format(',"occurred_on":"{}","citizenship":"{}","kind":"{}","person":"{}"}}', "day", "citizenship", "kind", "person")
    size = write_rows(path, "MVD-", disorder.lines, content.select(text=text)["text"])
    return {"lines": len(disorder.lines.record), "counted": n, **disorder.counts, "bytes": size}
