"""The catalogue of indicators: units, decimals and what the source article prints, read from schemas/indicators.csv.

`article_value` holds statements separated by "; ", each `[about] [CODE] VALUE [to STEP] [@PERIOD]`: CODE is an area, a purpose or
a method (none: the total), STEP the unit to which the article rounds (none: 1), PERIOD the statement's own period if it is not
`article_period`. `article_leading` names countries in the article's order; `article_note` says what must
be known to read its figures.
"""

import csv
import io
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

_STATEMENT = re.compile(
    r"(?P<about>about )?(?:(?P<code>[A-Z_a-z]+) )?(?P<value>-?\d+(?:\.\d+)?)(?: to (?P<step>\d+(?:\.\d+)?))?(?: @(?P<period>\S+))?"
)


@dataclass(frozen=True)
class Statement:
    """One figure as the article prints it: `value`, rounded to a multiple of `step`."""

    code: str
    value: float
    step: float
    about: bool
    period: str
    source: str


@dataclass(frozen=True)
class Indicator:
    """One row of the catalogue."""

    name: str
    unit: str
    decimals: int
    definition: str
    statements: tuple[Statement, ...]
    leading: tuple[str, ...]
    period: str
    source: str
    note: str


def parse_statements(text: str, period: str, source: str) -> tuple[Statement, ...]:
    """Statements of one `article_value`. Raises ValueError for text outside the grammar."""
    statements = []
    for item in filter(None, text.split("; ")):
        match = _STATEMENT.fullmatch(item)
        if match is None:
            raise ValueError(f"not a statement: {item!r}")
        statements.append(
            Statement(
                code=match["code"] or "",
                value=float(match["value"]),
                step=float(match["step"] or 1),
                about=match["about"] is not None,
                period=match["period"] or period,
                source=source,
            )
        )
    return tuple(statements)


def parse_catalogue(text: str) -> dict[str, Indicator]:
    """Indicators by name, in the file's order."""
    rows = csv.DictReader(io.StringIO(text))
    return {
        row["indicator"]: Indicator(
            name=row["indicator"],
            unit=row["unit"],
            decimals=int(row["decimals"]),
            definition=row["definition"],
            statements=parse_statements(row["article_value"], row["article_period"], row["article_source"]),
            leading=tuple(row["article_leading"].split()),
            period=row["article_period"],
            source=row["article_source"],
            note=row["article_note"],
        )
        for row in rows
    }


@lru_cache(maxsize=1)
def catalogue() -> Mapping[str, Indicator]:
    """The catalogue that this distribution carries; read once."""
    return parse_catalogue((files("schemas") / "indicators.csv").read_text("utf-8"))


@lru_cache(maxsize=1)
def units() -> Mapping[str, tuple[str, int]]:
    """(unit, decimals) of every indicator."""
    return {name: (indicator.unit, indicator.decimals) for name, indicator in catalogue().items()}
