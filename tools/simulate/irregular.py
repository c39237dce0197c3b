"""The disorder of real deliveries: which lines a feed's file has, of which version, in which order.

Knows nothing of what a record says. A feed with `n` true records (those that the figures count) keeps its contents in
a table of three parts, in this order:

    n true ones | phantoms, withdrawn again | wrong contents of those corrected

and asks here for the lines to write over them. All the figures see, once each record's highest version counts and
what was withdrawn is gone, are the n true contents.
"""

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from tools.simulate.apportion import apportion

DAY = 86_400

# Of every 100 irregular records.
KINDS = {"duplicates": Fraction(40), "corrections": Fraction(30), "late": Fraction(20), "withdrawals": Fraction(10)}
# An agency's system passes a record on within two hours.
USUAL_LAG_SECONDS = 2 * 3600
# A late record is one that a closed month would have missed.
LATE_DAYS = (5, 75)
CORRECTED_AFTER_DAYS = (1, 30)
DUPLICATE_AFTER_DAYS = (0, 45)
# How often the later version overtakes the earlier one on its way.
OVERTAKING = 0.15
# How many of the corrected records were withdrawn first and then sent anew.
REINSTATED = 0.1


@dataclass(frozen=True)
class Lines:
    """One entry per line of the file, in the file's order; a withdrawal's `content` is of no meaning."""

    record: NDArray[np.uint32]
    content: NDArray[np.uint32]
    version: NDArray[np.uint8]
    withdraws: NDArray[np.bool_]


@dataclass(frozen=True)
class Disorder:
    """What `disturb` drew: the rows of true records that phantoms and wrong contents are to be copies of, and counts."""

    phantom_of: NDArray[np.int64]
    wrong_of: NDArray[np.int64]
    counts: dict[str, int]
    lines: Lines


def disturb(moments: NDArray[np.int64], share: Fraction, rng: np.random.Generator) -> Disorder:
    """Lines for true records that occurred at `moments` (seconds), `share` (0..1) of them irregular.

    Record numbers follow the moments; phantoms take part in the numbering as copies of their originals.
    """
    n = len(moments)
    counts = dict(zip(KINDS, apportion(round(share * n), list(KINDS.values())), strict=True))
    affected = rng.choice(n, counts["duplicates"] + counts["corrections"] + counts["late"], replace=False)
    duplicated, corrected, late = np.split(affected, np.cumsum([counts["duplicates"], counts["corrections"]]))
    phantom_of = rng.integers(0, n, counts["withdrawals"])
    moments = np.concatenate([moments, moments[phantom_of]])

    sent = moments + rng.integers(0, USUAL_LAG_SECONDS, len(moments))
    sent[late] += _days(rng, LATE_DAYS, len(late))
    version = np.ones(len(moments), np.uint8)
    reinstated = corrected[: round(len(corrected) * REINSTATED)]
    version[corrected] = 2
    version[reinstated] = 3

    wrong_sent, sent[corrected] = _two_versions(sent[corrected], rng)
    phantoms = np.arange(n, len(moments))
    sent[phantoms], gone_sent = _two_versions(sent[phantoms], rng)
    again_sent = sent[duplicated] + _days(rng, DUPLICATE_AFTER_DAYS, len(duplicated))
    between = (sent[reinstated] + wrong_sent[: len(reinstated)]) // 2

    # Six sorts of lines: every record once, wrong contents, repeats, withdrawals of phantoms and of those reinstated.
    rows = np.arange(len(moments))
    wrong_rows = len(moments) + np.arange(len(corrected))
    record = np.concatenate([rows, corrected, duplicated, phantoms, reinstated])
    content = np.concatenate([rows, wrong_rows, duplicated, phantoms, reinstated])
    versions = np.concatenate([version, _all(1, corrected), _all(1, duplicated), _all(2, phantoms), _all(2, reinstated)])
    withdraws = np.zeros(len(record), np.bool_)
    withdraws[len(record) - len(phantoms) - len(reinstated) :] = True
    order = _ranking(np.concatenate([sent, wrong_sent, again_sent, gone_sent, between]))
    numbers = np.empty(len(moments), np.uint32)
    numbers[_ranking(moments)] = rows
    lines = Lines(
        record=numbers[record[order]],
        content=content[order].astype(np.uint32),
        version=versions[order],
        withdraws=withdraws[order],
    )
    return Disorder(phantom_of, corrected, counts, lines)


def _two_versions(sent: NDArray[np.int64], rng: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """When the lower and the higher version arrive: mostly in this order."""
    later = sent + _days(rng, CORRECTED_AFTER_DAYS, len(sent))
    overtaking = rng.random(len(sent)) < OVERTAKING
    return np.where(overtaking, later, sent), np.where(overtaking, sent, later)


def _days(rng: np.random.Generator, days: tuple[int, int], size: int) -> NDArray[np.int64]:
    """Random spans in seconds; never 0, so that what comes later is written later."""
    return rng.integers(days[0] * DAY + 1, days[1] * DAY, size)


def _all(version: int, like: NDArray[np.int64]) -> NDArray[np.uint8]:
    return np.full(len(like), version, np.uint8)


def _ranking(moments: NDArray[np.int64]) -> NDArray[np.uint32]:
    """Rows in the order of their moments, equal ones in their own order.

    The row number is packed below the moment: a plain sort of distinct integers is some times faster than a stable
    argsort, and gives the same on every machine.
    """
    packed: NDArray[np.uint64] = (moments - moments.min()).astype(np.uint64)
    packed <<= np.uint64(32)
    packed |= np.arange(len(moments), dtype=np.uint64)
    packed.sort()
    packed &= np.uint64(0xFFFFFFFF)
    return packed.astype(np.uint32)
