"""The Ministry of Labour's feed: permits that make the stated stocks, with those in between and those never in force."""

from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from tools.simulate.irregular import DAY, Disorder, disturb
from tools.simulate.rows import documents, drawn, iso_dates, optional_field, write_rows
from tools.simulate.stocks import UNKNOWN, day_number, memberships, structure
from tools.simulate.targets import PermitTargets

# Regions by ISO 3166-2 and sections by ISIC: weights of foreign workers.
REGIONS = {
    "KZ-75": 27, "KZ-71": 21, "KZ-23": 16, "KZ-79": 6, "KZ-19": 6, "KZ-47": 5, "KZ-35": 4, "KZ-15": 3, "KZ-55": 3,
    "KZ-63": 3, "KZ-27": 3, "KZ-61": 2, "KZ-31": 2, "KZ-43": 2, "KZ-39": 1, "KZ-11": 1, "KZ-10": 1, "KZ-59": 1,
    "KZ-33": 1, "KZ-62": 1,
}  # fmt: skip
SECTORS = {"F": 34, "C": 15, "A": 13, "B": 11, "M": 8, "G": 5, "I": 4, "H": 3, "P": 3, "N": 2, "J": 1, "S": 1}
EMPLOYERS = 2400
# A permit lasts three years at most; those of the first date were given in the year before it.
LONGEST_DAYS = 3 * 365
FIRST_GIVEN_DAYS = 364
STILL_VALID_DAYS = 700
# Of those that ended: how many were revoked and not simply run out.
REVOKED = 0.12

Days = NDArray[np.int64]


def write_permits(path: Path, targets: PermitTargets, irregular: Fraction, rng: np.random.Generator) -> dict[str, int]:
    """Write `work-permits.ndjson`; returns its counts. Raises OSError."""
    valid_from, off, post = _spans(targets, rng)
    valid_to, revoked_on = _ends(valid_from, off, rng)
    valid_from, valid_to, revoked_on = _with_never_in_force(targets, valid_from, valid_to, revoked_on, rng)
    n = len(valid_from)
    places, exact = max(targets.stocks.values()), list(targets.stocks.values())[-1]
    # A post keeps its citizenship and category whoever holds it, so the structure holds exactly at the last date.
    holder = np.concatenate([post, rng.integers(0, places, n - len(post))])
    content = pl.DataFrame(
        {
            "citizenship": structure(targets.citizenships, exact, places, rng)[holder],
            "category": structure(targets.categories, exact, places, rng)[holder],
            "region": drawn(REGIONS, n, rng),
            "sector": drawn(SECTORS, n, rng),
            "valid_from": valid_from,
            "valid_to": valid_to,
            "revoked_on": revoked_on,
            "person": documents(n, rng),
            "employer": _employers(n, rng),
        }
    )
    disorder = disturb(valid_from * DAY + rng.integers(0, DAY, n), irregular, rng)
    phantoms = content[disorder.phantom_of].with_columns(person=documents(len(disorder.phantom_of), rng))
    content = pl.concat([content, phantoms, _wrong(content, disorder, targets.citizenships, rng)])
    year = list(targets.stocks)[-1].year
    size = write_rows(path, f"MLSP-{year}-", disorder.lines, _text(content))
    return {"lines": len(disorder.lines.record), "counted": n, **disorder.counts, "bytes": size}


def _spans(targets: PermitTargets, rng: np.random.Generator) -> tuple[Days, Days, Days]:
    """First day, first day no longer in force, and post of every permit that is in force on some day."""
    dates = np.array([day_number(day) for day in targets.stocks])
    places = max(targets.stocks.values())
    held = memberships(targets.stocks, targets.turnover, rng)
    valid_from = np.where(held.start == UNKNOWN, dates[0] - rng.integers(0, FIRST_GIVEN_DAYS, len(held.post)), held.start)
    later = dates[-1] + 1 + rng.integers(0, STILL_VALID_DAYS, len(held.post))
    off = np.where(held.end == UNKNOWN, np.minimum(later, valid_from + LONGEST_DAYS), held.end)
    # In between: they begin after one date and are over by the next.
    extra = targets.between_dates + targets.one_day
    interval = rng.integers(1, len(dates), extra)
    begin = rng.integers(dates[interval - 1] + 1, dates[interval])
    over = rng.integers(begin + 1, dates[interval] + 1)
    over[targets.between_dates :] = begin[targets.between_dates :] + 1
    post = np.concatenate([held.post, rng.integers(0, places, extra)])
    return np.concatenate([valid_from, begin]), np.concatenate([off, over]), post


def _ends(valid_from: Days, off: Days, rng: np.random.Generator) -> tuple[Days, Days]:
    """Last day of validity and day of revocation (UNKNOWN: none), so that the first day no longer in force is `off`."""
    revoked = (rng.random(len(off)) < REVOKED) & (off > valid_from + 1)
    longer = np.minimum(off + rng.integers(0, 300, len(off)), valid_from + LONGEST_DAYS)
    return np.where(revoked, np.maximum(longer, off), off - 1), np.where(revoked, off, UNKNOWN)


def _with_never_in_force(
    targets: PermitTargets, valid_from: Days, valid_to: Days, revoked_on: Days, rng: np.random.Generator
) -> tuple[Days, Days, Days]:
    """Adds permits revoked before their first day, or on it: they are issued, but in force on no day."""
    n = targets.never_in_force
    first, *_, last = (day_number(day) for day in targets.stocks)
    begin = rng.integers(first + 1, last + 1, n)
    revoked = begin - rng.integers(0, 30, n)
    revoked[: n // 3] = begin[: n // 3]
    return (
        np.concatenate([valid_from, begin]),
        np.concatenate([valid_to, begin + 364]),
        np.concatenate([revoked_on, revoked]),
    )


def _employers(n: int, rng: np.random.Generator) -> NDArray[np.str_]:
    """Business identification numbers: twelve digits, few employers with many permits."""
    numbers = np.array([f"0501400{i * 41:05d}" for i in range(EMPLOYERS)])
    return numbers[(EMPLOYERS * rng.random(n) ** 3).astype(np.int64)]


def _wrong(
    content: pl.DataFrame, disorder: Disorder, citizenships: Mapping[str, Fraction], rng: np.random.Generator
) -> pl.DataFrame:
    """Permits as first reported: a third each with another citizenship, first day, or category and no revocation."""
    wrong = content[disorder.wrong_of]
    n = len(wrong)
    other_days = wrong["valid_from"].to_numpy() - rng.integers(1, 200, n)
    mistake = pl.Series(rng.integers(0, 3, n))
    codes = sorted(citizenships)
    following = dict(zip(codes, [*codes[1:], "KG"], strict=True))
    category = {"1": "2", "2": "3", "3": "4", "4": "seasonal", "seasonal": "transfer", "transfer": "1"}
    return wrong.with_columns(
        citizenship=pl.when(mistake == 0).then(pl.col("citizenship").replace_strict(following)).otherwise("citizenship"),
        valid_from=pl.when(mistake == 1).then(pl.Series(other_days)).otherwise("valid_from"),
        category=pl.when(mistake == 2).then(pl.col("category").replace_strict(category)).otherwise("category"),
        revoked_on=pl.when(mistake == 2).then(UNKNOWN).otherwise("revoked_on"),
    )


def _text(content: pl.DataFrame) -> pl.Series:
    dated = content.with_columns(iso_dates("valid_from", "valid_to", "revoked_on"))
    return dated.select(
        text=pl.format(
            ',"citizenship":"{}","category":"{}","region":"{}","sector":"{}","valid_from":"{}","valid_to":"{}"{}'
            ',"person":"{}","employer":"{}"}}',
            "citizenship", "category", "region", "sector", "valid_from", "valid_to", optional_field("revoked_on"),
            "person", "employer",
        )
    )["text"]  # fmt: skip
