"""The border service's feed: the planned crossings with days, times, checkpoints and document numbers."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from fractions import Fraction
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from tools.simulate.apportion import apportion
from tools.simulate.irregular import DAY, Disorder, Lines, disturb
from tools.simulate.lines import gather, table, write_lines
from tools.simulate.plan import Block, plan_crossings
from tools.simulate.targets import PURPOSES, CrossingTargets, Quarter

# Monday to Sunday, and hours 0 to 23: weights of the traffic.
WEEKDAYS = (96, 88, 90, 97, 112, 118, 107)
HOURS = (14, 11, 9, 9, 12, 18, 28, 38, 47, 54, 58, 60, 58, 57, 58, 60, 61, 58, 53, 47, 40, 33, 26, 19)
# Code, mode, the neighbour that it leads to (none: an airport), weight among the checkpoints of the same kind.
CHECKPOINTS = (
    ("KZ-A01", "air", "", 55), ("KZ-A02", "air", "", 30), ("KZ-A03", "air", "", 9), ("KZ-A04", "air", "", 6),
    ("KZ-R11", "road", "UZ", 48), ("KZ-R12", "road", "UZ", 27), ("KZ-R13", "road", "UZ", 13), ("KZ-T14", "rail", "UZ", 12),
    ("KZ-R21", "road", "KG", 55), ("KZ-R22", "road", "KG", 38), ("KZ-T23", "rail", "KG", 7),
    ("KZ-R31", "road", "RU", 30), ("KZ-R32", "road", "RU", 28), ("KZ-R33", "road", "RU", 20), ("KZ-T34", "rail", "RU", 22),
    ("KZ-R41", "road", "CN", 70), ("KZ-T42", "rail", "CN", 30),
    ("KZ-R51", "road", "TM", 70), ("KZ-T52", "rail", "TM", 30),
    ("KZ-S61", "sea", "AZ", 70), ("KZ-S62", "sea", "AZ", 30),
)  # fmt: skip
# Of 100 who travel to or from a neighbour, and of 100 others (who fly, or pass through one of these neighbours).
BY_LAND = 88
FLYING = 72
TRANSIT_NEIGHBOURS = ("RU", "UZ", "KG")
# Rail and sea posts report whole seconds; the others milliseconds.
WHOLE_SECOND_MODES = ("rail", "sea")
NO_MILLISECONDS = 1000
# Sizes of the tables that weighted draws are made from: the byte or the two bytes of a random number choose the entry.
SLOTS_8, SLOTS_16 = 256, 65_536
# A document number is two letters and eight digits, made of two halves.
HALF_NUMBER = 10_000
WRONG_DAY_MOST = 9


@dataclass
class Content:
    """What crossings say, one entry each: `combination` packs direction, citizenship, counterpart and purpose."""

    combination: NDArray[np.uint32]
    day: NDArray[np.uint16]  # from the first quarter's first day
    second: NDArray[np.uint32]  # of the local day
    millisecond: NDArray[np.uint16]  # NO_MILLISECONDS: not reported
    checkpoint: NDArray[np.uint8]
    person: NDArray[np.uint32]

    def rows(self, index: NDArray[np.integer]) -> "Content":
        """A copy of these rows."""
        return Content(*(getattr(self, field.name)[index].copy() for field in fields(self)))

    def __add__(self, other: "Content") -> "Content":
        return Content(*(np.concatenate([getattr(self, f.name), getattr(other, f.name)]) for f in fields(self)))


class Codes:
    """Countries as numbers, and what a crossing is about as one number (`combination`)."""

    def __init__(self, blocks: Sequence[Block]) -> None:
        used = {"KZ"} | {block.citizenship for block in blocks} | {code for b in blocks for code in b.counterparts}
        self.countries = sorted(used)
        self.number = {code: i for i, code in enumerate(self.countries)}
        self.shape = (2, len(self.countries), len(self.countries), len(PURPOSES))

    def pack(
        self,
        direction: NDArray[np.integer] | int,
        citizenship: NDArray[np.integer] | int,
        counterpart: NDArray[np.integer],
        purpose: NDArray[np.integer],
    ) -> NDArray[np.uint32]:
        """Numbers, or arrays of them, into combinations."""
        packed = counterpart.astype(np.uint32)
        packed += (np.asarray(direction, np.uint32) * self.shape[1] + np.asarray(citizenship, np.uint32)) * self.shape[2]
        packed *= np.uint32(self.shape[3])
        packed += purpose.astype(np.uint32)
        return packed

    def texts(self) -> pl.Series:
        """What each combination looks like in a record. Departures leave an unspecified purpose out."""
        return table(
            f'"direction":"{direction}","citizenship":"{citizenship}","counterpart":"{counterpart}"'
            + ("" if (direction, purpose) == ("departure", "unspecified") else f',"purpose":"{purpose}"')
            for direction in ("arrival", "departure")
            for citizenship in self.countries
            for counterpart in self.countries
            for purpose in PURPOSES
        )


def write_crossings(
    path: Path, targets: CrossingTargets, scale: Fraction, irregular: Fraction, rng: np.random.Generator
) -> dict[str, int]:
    """Write `border-crossings.ndjson`; returns its counts. Raises TargetsError, OSError."""
    blocks = plan_crossings(targets, scale)
    codes = Codes(blocks)
    days = sum(quarter.days for quarter in targets.quarters)
    content = _true_content(blocks, codes, targets.quarters, rng)
    moments = content.day.astype(np.int64) * DAY + content.second
    disorder = disturb(moments, irregular, rng)
    content = content + _phantoms(content, disorder, rng) + _wrong(content, disorder, codes, days, rng)
    year = targets.quarters[0].first_day.year
    size = write_lines(path, f"KNB-{year}-", disorder.lines, _Body(content, codes, targets.quarters))
    return {"lines": len(disorder.lines.record), "counted": len(moments), **disorder.counts, "bytes": size}


def _true_content(blocks: Sequence[Block], codes: Codes, quarters: Sequence[Quarter], rng: np.random.Generator) -> Content:
    parts = []
    for quarter in quarters:
        for direction in (0, 1):
            here = [b for b in blocks if b.quarter == quarter and b.direction == direction]
            offset = (quarter.first_day - quarters[0].first_day).days
            parts.append(_one_direction(here, codes, quarter, offset, rng))
    return Content(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(Content)))


def _one_direction(blocks: Sequence[Block], codes: Codes, quarter: Quarter, offset: int, rng: np.random.Generator) -> Content:
    combinations, counterparts = [], []
    for block in blocks:
        countries = np.array([codes.number[code] for code in block.counterparts], np.uint8)
        counterpart = np.repeat(countries, list(block.counterparts.values()))
        purpose = np.repeat(np.arange(len(PURPOSES), dtype=np.uint8), block.purposes)
        rng.shuffle(purpose)
        combinations.append(codes.pack(block.direction, codes.number[block.citizenship], counterpart, purpose))
        counterparts.append(counterpart)
    counterpart = np.concatenate(counterparts)
    n = len(counterpart)
    checkpoint = _checkpoint_slots(codes)[counterpart, rng.integers(0, SLOTS_8, n, np.uint8)]
    day = _slots(_day_weights(quarter), SLOTS_16)[rng.integers(0, SLOTS_16, n, np.uint16)]
    hour = _slots([Fraction(weight) for weight in HOURS], SLOTS_16)[rng.integers(0, SLOTS_16, n, np.uint16)]
    within = rng.integers(0, 3_600_000, n, np.uint32)
    second = hour.astype(np.uint32) * 3600 + within // 1000
    millisecond = (within % 1000).astype(np.uint16)
    # A quarter's very first and very last millisecond are always there: that is where counting goes wrong.
    airport = next(i for i, (_, mode, _, _) in enumerate(CHECKPOINTS) if mode == "air")
    for row, moment in ((0, (0, 0, 0)), (-1, (quarter.days - 1, DAY - 1, 999))):
        checkpoint[row] = airport
        day[row], second[row], millisecond[row] = moment
    whole = np.array([mode in WHOLE_SECOND_MODES for _, mode, _, _ in CHECKPOINTS])
    millisecond[whole[checkpoint]] = NO_MILLISECONDS
    person = rng.integers(0, HALF_NUMBER**2, n, np.uint32)
    return Content(np.concatenate(combinations), day + np.uint16(offset), second, millisecond, checkpoint, person)


def _slots(weights: Sequence[Fraction], size: int) -> NDArray[np.uint16]:
    """A table of `size` entries in which each number appears in proportion to its weight."""
    return np.repeat(np.arange(len(weights), dtype=np.uint16), apportion(size, weights))


def _day_weights(quarter: Quarter) -> list[Fraction]:
    first = quarter.first_day.weekday()
    return [Fraction(WEEKDAYS[(first + day) % 7]) for day in range(quarter.days)]


def _checkpoint_slots(codes: Codes) -> NDArray[np.uint8]:
    """For each country, the checkpoints that people from or to it use."""
    neighbours = {neighbour for _, _, neighbour, _ in CHECKPOINTS if neighbour}
    rows = []
    for country in codes.countries:
        ways = {"": 100 - BY_LAND, country: BY_LAND} if country in neighbours else {"": FLYING}
        if country not in neighbours:
            ways |= {via: (100 - FLYING) // len(TRANSIT_NEIGHBOURS) for via in TRANSIT_NEIGHBOURS}
        weights = [Fraction(ways.get(neighbour, 0) * weight) for _, _, neighbour, weight in CHECKPOINTS]
        rows.append(_slots(weights, SLOTS_8))
    return np.array(rows, np.uint8)


def _phantoms(content: Content, disorder: Disorder, rng: np.random.Generator) -> Content:
    """Crossings that never were: like true ones, of other persons."""
    phantoms = content.rows(disorder.phantom_of)
    phantoms.person = rng.integers(0, HALF_NUMBER**2, len(phantoms.person), np.uint32)
    return phantoms


def _wrong(content: Content, disorder: Disorder, codes: Codes, days: int, rng: np.random.Generator) -> Content:
    """Crossings as first reported: a third each with another citizenship, direction or day."""
    wrong = content.rows(disorder.wrong_of)
    n = len(wrong.day)
    direction, citizenship, counterpart, purpose = np.unravel_index(wrong.combination, codes.shape)
    mistake = rng.integers(0, 3, n)
    countries = len(codes.countries)
    other = (citizenship + rng.integers(1, countries, n)) % countries
    wrong.combination = codes.pack(
        np.where(mistake == 0, 1 - direction, direction),
        np.where(mistake == 1, other, citizenship),
        counterpart,
        purpose,
    )
    shift = rng.integers(1, WRONG_DAY_MOST + 1, n) * rng.choice((-1, 1), n)
    moved = wrong.day + shift
    moved = np.where((moved < 0) | (moved >= days), wrong.day - shift, moved)
    wrong.day = np.where(mistake == 2, moved, wrong.day).astype(np.uint16)
    return wrong


class _Body:
    """Turns lines into columns of text. The last entry of each table is what a withdrawal has in its place."""

    def __init__(self, content: Content, codes: Codes, quarters: Sequence[Quarter]) -> None:
        self.content = content
        first = np.datetime64(quarters[0].first_day, "D")
        dates = [str(first + day) for day in range(sum(quarter.days for quarter in quarters))]
        letters = "ABCEHKMPTX"
        self.tables = {
            "day": _with_blank(f',"occurred_at":"{date}T' for date in dates),
            "second": _with_blank(f"{s // 3600:02d}:{s // 60 % 60:02d}:{s % 60:02d}" for s in range(DAY)),
            "millisecond": _with_blank([f'.{ms:03d}+05:00",' for ms in range(NO_MILLISECONDS)] + ['+05:00",']),
            "combination": _with_blank(codes.texts()),
            "checkpoint": _with_blank(f',"mode":"{mode}","checkpoint":"{code}","person":"' for code, mode, _, _ in CHECKPOINTS),
        }
        self.person_high = _with_blank(f"{letters[i // 10 % 10]}{letters[i % 10]}{i:04d}" for i in range(HALF_NUMBER))
        self.person_low = _with_blank((f'{i:04d}"}}' for i in range(HALF_NUMBER)), blank="}")

    def __call__(self, lines: Lines) -> list[pl.Series]:
        def column(entries: pl.Series, values: NDArray[np.unsignedinteger]) -> pl.Series:
            return gather(entries, np.where(lines.withdraws, np.uint32(len(entries) - 1), values))

        person = self.content.person[lines.content]
        return [
            *(column(entries, getattr(self.content, name)[lines.content]) for name, entries in self.tables.items()),
            column(self.person_high, person // HALF_NUMBER),
            column(self.person_low, person % HALF_NUMBER),
        ]


def _with_blank(texts: Iterable[str], blank: str = "") -> pl.Series:
    return table([*texts, blank])
