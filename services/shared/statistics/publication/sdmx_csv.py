"""Observations as SDMX-CSV 2.0 and as JSON: one row per key, sorted, the same bytes for the same figures."""

import csv
import io
from collections.abc import Iterable
from datetime import datetime
from functools import lru_cache
from typing import Any, Protocol

import orjson

from services.shared.statistics.exchange.observation import DIMENSIONS, Figure

STRUCTURE_ID = "TOLQYN:KZ_MIG(1.0)"
ATTRIBUTES = (
    "OBS_VALUE", "LOWER", "UPPER", "UNIT_MEASURE", "DECIMALS", "OBS_STATUS", "CONF_STATUS", "AS_OF", "PUBLISHED_AT",
)  # fmt: skip
COLUMNS = (*DIMENSIONS, "TIME_PERIOD", *ATTRIBUTES)


class Row(Figure, Protocol):
    """A published observation."""

    @property
    def unit(self) -> str: ...
    @property
    def decimals(self) -> int: ...
    @property
    def status(self) -> str: ...
    @property
    def confidentiality(self) -> str: ...
    @property
    def as_of(self) -> int: ...
    @property
    def published_at(self) -> Any: ...


@lru_cache(maxsize=1024)  # many rows of few publications
def instant(moment: datetime) -> str:
    """A moment of UTC to the millisecond, as every format writes it."""
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def fields(row: Row) -> list[Any]:
    """The values of COLUMNS; None for what is absent."""
    return [
        *row.series.split("."), row.period, row.value, row.lower, row.upper, row.unit, row.decimals, row.status,
        row.confidentiality, row.as_of, instant(row.published_at),
    ]  # fmt: skip


def _sorted(rows: Iterable[Row]) -> list[Row]:
    return sorted(rows, key=lambda row: (row.series, row.period))


def to_csv(rows: Iterable[Row]) -> str:
    """SDMX-CSV 2.0; an absent value is an empty cell."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["STRUCTURE", "STRUCTURE_ID", "ACTION", *COLUMNS])
    for row in _sorted(rows):
        writer.writerow(["dataflow", STRUCTURE_ID, "I", *("" if field is None else field for field in fields(row))])
    return out.getvalue()


def to_json(rows: Iterable[Row]) -> str:
    """A JSON array of objects with the names of the CSV's columns."""
    objects = [dict(zip(COLUMNS, fields(row), strict=True)) for row in _sorted(rows)]
    return orjson.dumps(objects, option=orjson.OPT_INDENT_2).decode() + "\n"
