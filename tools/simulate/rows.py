"""What the two small feeds share: drawing codes, writing dates and optional fields, one text a row."""

from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from tools.simulate.irregular import Lines
from tools.simulate.lines import gather, write_lines
from tools.simulate.stocks import UNKNOWN

LETTERS = np.array(list("ABCEHKMPTX"))


def drawn(weights: Mapping[str, float | Fraction], n: int, rng: np.random.Generator) -> NDArray[np.str_]:
    """`n` codes by chance."""
    shares = np.array([float(weight) for weight in weights.values()])
    return rng.choice(np.array(list(weights)), n, p=shares / shares.sum())


def documents(n: int, rng: np.random.Generator) -> pl.Series:
    """`n` document numbers: a letter and eight digits."""
    letters = pl.Series(rng.choice(LETTERS, n), dtype=pl.String)
    return letters + pl.Series(rng.integers(0, 10**8, n)).cast(pl.String).str.zfill(8)


def iso_dates(*columns: str) -> list[pl.Expr]:
    """Day numbers as YYYY-MM-DD; UNKNOWN becomes null."""
    return [
        pl.when(pl.col(name) != UNKNOWN).then(pl.col(name).cast(pl.Int32).cast(pl.Date).cast(pl.String)).alias(name)
        for name in columns
    ]


def optional_field(name: str) -> pl.Expr:
    """`,"name":"value"`, or nothing where it is null."""
    return pl.format(f',"{name}":"{{}}"', name).fill_null("")


def write_rows(path: Path, prefix: str, lines: Lines, texts: pl.Series) -> int:
    """Write a feed whose contents are `texts`, each the rest of a record after its `version`; returns the bytes."""
    with_end = texts.append(pl.Series(["}"]))
    withdrawal = np.uint32(len(with_end) - 1)
    return write_lines(path, prefix, lines, lambda part: [gather(with_end, np.where(part.withdraws, withdrawal, part.content))])
