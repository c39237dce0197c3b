"""Feeds of plain flows of persons: changes of permanent residence, labour emigration, and stays of guests and patients."""

from collections.abc import Callable, Mapping
from fractions import Fraction
from pathlib import Path

import numpy as np
import polars as pl

from tools.simulate.apportion import apportion
from tools.simulate.irregular import DAY, disturb
from tools.simulate.reading import TargetsError
from tools.simulate.rows import documents, drawn, iso_dates, write_rows
from tools.simulate.stocks import day_number
from tools.simulate.targets import EmigrationTargets, Period, ResidenceTargets, StayTargets, Totals

WRONG_DAYS_MOST = 20

Text = Callable[[pl.DataFrame], pl.Series]
Counts = dict[str, int]


def write_residence(path: Path, targets: ResidenceTargets, irregular: Fraction, rng: np.random.Generator) -> Counts:
    """Write `residence-registrations.ndjson`; returns its counts. Raises TargetsError, OSError."""
    parts = []
    for direction, totals in (("arrival", targets.arrivals), ("departure", targets.departures)):
        for period, total in totals.items():
            # Who comes is counted by citizenship, who leaves by destination; the other of the two is mostly the same country.
            areas = _structured(targets.citizenships if direction == "arrival" else targets.destinations, total)
            own = drawn(targets.citizenships if direction == "departure" else targets.destinations, total, rng)
            other = np.where(rng.random(total) < 0.8, areas, own)
            citizenship, counterpart = (areas, other) if direction == "arrival" else (other, areas)
            parts.append(
                pl.DataFrame(
                    {
                        "day": _days(period, total, rng),
                        "direction": [direction] * total,
                        "citizenship": citizenship,
                        "counterpart": np.where(counterpart == "KZ", "XX", counterpart),
                        "purpose": rng.permutation(_structured(targets.purposes, total)),
                    }
                )
            )
    content = pl.concat(parts)
    return _write(path, "BNS", content, irregular, rng, "citizenship", _residence_text)


def write_emigration(
    path: Path, targets: EmigrationTargets, scale: Fraction, irregular: Fraction, rng: np.random.Generator
) -> Counts:
    """Write `labour-emigration.ndjson` at `scale`; returns its counts. Raises TargetsError, OSError."""
    parts = []
    for period, total in _scaled(targets.totals, scale).items():
        organised = rng.random(total) < float(targets.organised)
        columns = {
            "day": _days(period, total, rng),
            "destination": _structured(targets.destinations, total),
            "channel": np.where(organised, "organised", "individual"),
        }
        parts.append(pl.DataFrame(columns))
    return _write(path, "MLSP-E", pl.concat(parts), irregular, rng, "destination", _emigration_text)


def write_stays(path: Path, targets: StayTargets, scale: Fraction, irregular: Fraction, rng: np.random.Generator) -> Counts:
    """Write `visitor-stays.ndjson` at `scale`; returns its counts. Raises TargetsError, OSError."""
    parts = []
    for period, total in _scaled(targets.guests, scale).items():
        parts.append(_stays(period, _structured(targets.citizenships, total), "guest", rng))
    for period, by_country in targets.medical.items():
        # Each country's number is scaled by itself: what is to be compared is the same country in another year.
        numbers = [round(n * scale) for n in by_country.values()]
        parts.append(_stays(period, np.repeat(np.array(list(by_country)), numbers), "medical", rng))
    return _write(path, "STAY", pl.concat(parts), irregular, rng, "citizenship", _stay_text)


def _stays(
    period: Period, citizenship: np.ndarray[tuple[int], np.dtype[np.str_]], kind: str, rng: np.random.Generator
) -> pl.DataFrame:
    n = len(citizenship)
    return pl.DataFrame({"day": _days(period, n, rng), "citizenship": pl.Series(citizenship, dtype=pl.String), "kind": [kind] * n})


def _scaled(totals: Totals, scale: Fraction) -> dict[Period, int]:
    return {period: round(total * scale) for period, total in totals.items()}


def _structured(weights: Mapping[str, Fraction], n: int) -> np.ndarray[tuple[int], np.dtype[np.str_]]:
    """`n` codes in proportion to their weights as nearly as can be."""
    return np.repeat(np.array(list(weights)), apportion(n, list(weights.values())))


def _days(period: Period, n: int, rng: np.random.Generator) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Days within the period; its first and its last are always among them: that is where counting goes wrong."""
    days = day_number(period.first_day) + rng.integers(0, period.days, n)
    days[:1], days[1:2] = day_number(period.first_day), day_number(period.first_day) + period.days - 1
    return days


def _write(
    path: Path, prefix: str, content: pl.DataFrame, irregular: Fraction, rng: np.random.Generator, area: str, text: Text
) -> Counts:
    """`content` has `day` and the fields that `text` writes; what is first sent wrong has another `area` or another day."""
    n = content.height
    if n == 0:
        raise TargetsError(f"nothing is left of {path.stem} at this scale")
    content = content.with_columns(person=documents(n, rng))
    disorder = disturb(content["day"].to_numpy() * DAY + rng.integers(0, DAY, n), irregular, rng)
    phantoms = content[disorder.phantom_of].with_columns(person=documents(len(disorder.phantom_of), rng))
    wrong = content[disorder.wrong_of]
    codes = sorted(content[area].unique())
    following = dict(zip(codes, [*codes[1:], "XX"], strict=True))
    mistake = pl.Series(rng.integers(0, 2, len(wrong)))
    earlier = pl.Series(rng.integers(1, WRONG_DAYS_MOST + 1, len(wrong)))
    wrong = wrong.with_columns(
        pl.when(mistake == 0).then(pl.col(area).replace_strict(following)).otherwise(area).alias(area),
        day=pl.when(mistake == 1).then(pl.col("day") - earlier).otherwise("day"),
    )
    content = pl.concat([content, phantoms, wrong]).with_columns(iso_dates("day"))
    size = write_rows(path, f"{prefix}-", disorder.lines, text(content))
    return {"lines": len(disorder.lines.record), "counted": n, **disorder.counts, "bytes": size}


def _residence_text(content: pl.DataFrame) -> pl.Series:
    return content.select(
        text=pl.format(
            ',"occurred_on":"{}","direction":"{}","citizenship":"{}","counterpart":"{}","purpose":"{}","person":"{}"}}',
            "day", "direction", "citizenship", "counterpart", "purpose", "person",
        )
    )["text"]  # fmt: skip


def _emigration_text(content: pl.DataFrame) -> pl.Series:
    text = pl.format(
        ',"departed_on":"{}","destination":"{}","channel":"{}","person":"{}"}}', "day", "destination", "channel", "person"
    )
    return content.select(text=text)["text"]


def _stay_text(content: pl.DataFrame) -> pl.Series:
    text = pl.format(',"arrived_on":"{}","citizenship":"{}","kind":"{}","person":"{}"}}', "day", "citizenship", "kind", "person")
    return content.select(text=text)["text"]
