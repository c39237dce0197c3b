"""Border crossings as the edge writes them to the log: the same ones for everybody, on every machine.

Event number i is a pure function of i, so any prefix of the sequence is the prefix of any longer one. A record's content is a pure
function of its number and version. Two per cent of the events are repeats, corrections and withdrawals of records that came before.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

Numbers = NDArray[np.uint64]

AGENCY = b"local/"
SUBMISSION_RECORDS = 20_000  # as many as `tolqyn send` puts into one submission: it decides how large the log's batches are
SECOND_FIRST = 1_743_447_600  # 2025-04-01T00:00 in Almaty, which is UTC+5 all that year
DAYS = 91  # the second quarter
# Of a thousand events, how many say something of a record that came before. Their sum is the two per cent.
REPEATS, CORRECTIONS, WITHDRAWALS = 8, 8, 4
CORRECTED, WITHDRAWN = 2, 3  # versions; a record comes as version 1

_CITIZENSHIPS = {
    "UZ": 34, "RU": 22, "KG": 21, "CN": 5, "KZ": 4, "TR": 3, "IN": 3, "TJ": 3, "DE": 2, "AZ": 1, "BY": 1, "US": 1,
}  # fmt: skip
_NEIGHBOURS = {"UZ": 40, "RU": 30, "KG": 20, "CN": 10}
_PURPOSES = {"unspecified": 50, "private": 20, "tourism": 12, "employment": 10, "business": 5, "education": 3}
# Everybody who is counted in a wide world may hold any of these passports.
_WIDE = [
    "AE", "AF", "AM", "AR", "AT", "AU", "BD", "BE", "BG", "BR", "CA", "CH", "CY", "CZ", "DK", "EE", "EG", "ES", "FI", "FR",
    "GB", "GE", "GR", "HR", "HU", "ID", "IE", "IL", "IQ", "IR", "IS", "IT", "JO", "JP", "KR", "KW", "LK", "LT", "LV", "MD",
]  # fmt: skip
_MODES = ("road", "road", "road", "rail", "air")
_CHECKPOINTS = tuple(f"KZ-R{i:02d}" for i in range(40))


class Shape(NamedTuple):
    """What the crossings are like. `wide`: some 2,000 different cells a day instead of 500."""

    wide: bool = False


def mixed(numbers: Numbers, salt: int) -> Numbers:
    """Numbers that look random and are not: the finaliser of splitmix64."""
    with np.errstate(over="ignore"):
        x = numbers + np.uint64(salt) * np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return x ^ (x >> np.uint64(31))


def _table(texts: list[str]) -> pl.Series:
    return pl.Series(texts, dtype=pl.String)


def _weighted(weights: dict[str, int]) -> list[str]:
    return [text for text, weight in weights.items() for _ in range(weight)]


_HEX = _table([f"{i:04x}" for i in range(1 << 16)])
_MILLISECONDS = _table([f".{i:03d}Z" for i in range(1000)])
_CLOCK = _table([f"T{i // 3600:02d}:{i // 60 % 60:02d}:{i % 60:02d}" for i in range(86_400)])
_DAY_FIRST = np.datetime64(SECOND_FIRST // 86_400, "D")
_DATES = _table([str(_DAY_FIRST + i) for i in range(DAYS + 1)])
_THOUSANDS = _table([f"{i:06d}" for i in range(1 << 18)])
_ONES = _table([f"{i:03d}" for i in range(1000)])


def _pick(table: pl.Series, index: Numbers) -> pl.Series:
    return table.gather(pl.Series((index % np.uint64(len(table))).astype(np.uint32)))


class _Texts:
    """The texts that crossings are made of, for one shape."""

    def __init__(self, shape: Shape) -> None:
        citizenships = _weighted(_CITIZENSHIPS) + (_WIDE if shape.wide else [])
        own = [(c, c) for c in citizenships if c not in _WIDE] * 3
        others = [(c, n) for c in citizenships for n in _weighted(_NEIGHBOURS)[:: 2 if shape.wide else 10]]
        pairs = own * (10 if shape.wide else 1) + others
        self.pairs = _table([f'","citizenship":"{c}","counterpart":"{n}","purpose":"' for c, n in pairs])
        self.purposes = _table(_weighted(_PURPOSES))


class Lines(NamedTuple):
    """Some events in their order: keys and values as in the log."""

    keys: list[bytes]
    values: list[bytes]


def _which(first: int, count: int) -> tuple[Numbers, Numbers]:
    """(record numbers, versions) of the events from number `first` on. Event i is record i, unless it speaks of an earlier one."""
    numbers = np.arange(first, first + count, dtype=np.uint64)
    chance = mixed(numbers, 1) % np.uint64(1000)
    edges = np.cumsum([REPEATS, CORRECTIONS, WITHDRAWALS])
    kind = np.searchsorted(edges, chance, side="right")  # 0 repeat, 1 correction, 2 withdrawal, 3 a record of its own
    versions = np.array([1, CORRECTED, WITHDRAWN, 1], np.uint64)[kind]
    earlier = mixed(numbers, 2) % np.maximum(numbers, np.uint64(1))
    return np.where(kind < 3, earlier, numbers), versions


def lines(first: int, count: int, shape: Shape | None = None) -> Lines:
    """`count` events from event number `first` on."""
    texts = _texts(shape or Shape())
    records, versions = _which(first, count)
    # A corrected record has another content: another number to draw it from.
    seed = records + versions * np.uint64(1 << 40)
    second = mixed(seed, 3) % np.uint64(DAYS * 86_400) + np.uint64(SECOND_FIRST % 86_400)
    text = pl.lit
    ids = pl.select(
        pl.concat_str(text("KNB-2025-"), _pick(_THOUSANDS, records // np.uint64(1000)), _pick(_ONES, records))
    ).to_series()
    head = pl.concat_str(text('{"record_id":"'), ids, text('","version":'), _pick(_VERSIONS, versions))
    person = [_pick(_HEX, mixed(records, 4) >> np.uint64(16 * i)) for i in range(4)]
    person += [_pick(_HEX, mixed(records, 5) >> np.uint64(16 * i)) for i in range(4)]
    body = pl.concat_str(
        head, text(',"action":"record","occurred_at":"'),
        _pick(_DATES, second // np.uint64(86_400)), _pick(_CLOCK, second % np.uint64(86_400)), _pick(_MILLISECONDS, mixed(seed, 6)),
        text('","direction":"'), _pick(_table(["arrival", "departure"]), mixed(seed, 7)),
        _pick(texts.pairs, mixed(seed, 8)), _pick(texts.purposes, mixed(seed, 9)),
        text('","mode":"'), _pick(_table(list(_MODES)), mixed(seed, 10)),
        text('","checkpoint":"'), _pick(_table(list(_CHECKPOINTS)), mixed(seed, 11)),
        text('","person":"'), *person, text('","pseudonym_key":"4f1d2c9a"}'),
    )  # fmt: skip
    withdrawals = pl.Series(versions == WITHDRAWN)
    values = pl.select(pl.when(withdrawals).then(pl.concat_str(head, text(',"action":"withdraw"}'))).otherwise(body)).to_series()
    keys = [AGENCY + record_id for record_id in ids.cast(pl.Binary).to_list()]
    return Lines(keys, values.cast(pl.Binary).to_list())


_VERSIONS = _table([str(i) for i in range(WITHDRAWN + 1)])
_TEXTS: dict[Shape, _Texts] = {}


def _texts(shape: Shape) -> _Texts:
    if shape not in _TEXTS:
        _TEXTS[shape] = _Texts(shape)
    return _TEXTS[shape]


def submissions(count: int, shape: Shape | None = None) -> Iterator[Lines]:
    """The first `count` events, a submission at a time."""
    for first in range(0, count, SUBMISSION_RECORDS):
        yield lines(first, min(SUBMISSION_RECORDS, count - first), shape)
