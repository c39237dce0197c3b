"""Observations as SDMX-CSV 2.0 and as JSON: one row per key, sorted, the same bytes for the same figures."""

import csv
import io
from collections.abc import Iterable
from typing import Any, Protocol

import orjson

from services.shared.statistics.observation import DIMENSIONS, Figure

STRUCTURE_ID = "TOLQYN:KZ_MIG(1.0)"
ATTRIBUTES = (
    "OBS_VALUE", "LOWER", "UPPER", "UNIT_MEASURE", "DECIMALS", "OBS_STATUS", "CONF_STATUS", "AS_OF", "PUBLISHED_AT",
)  # fmt: skip


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


def _fields(row: Row) -> list[Any]:
    published_at = row.published_at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return [
        *row.series.split("."), row.period, row.value, row.lower, row.upper, row.unit, row.decimals, row.status,
        row.confidentiality, row.as_of, published_at,
    ]  # fmt: skip


def _sorted(rows: Iterable[Row]) -> list[Row]:
    return sorted(rows, key=lambda row: (row.series, row.period))


def to_csv(rows: Iterable[Row]) -> str:
    """SDMX-CSV 2.0; an absent value is an empty cell."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["STRUCTURE", "STRUCTURE_ID", "ACTION", *DIMENSIONS, "TIME_PERIOD", *ATTRIBUTES])
    for row in _sorted(rows):
        writer.writerow(["dataflow", STRUCTURE_ID, "I", *("" if field is None else field for field in _fields(row))])
    return out.getvalue()


def to_json(rows: Iterable[Row]) -> str:
    """A JSON array of objects with the names of the CSV's columns."""
    names = [*DIMENSIONS, "TIME_PERIOD", *ATTRIBUTES]
    objects = [dict(zip(names, _fields(row), strict=True)) for row in _sorted(rows)]
    return orjson.dumps(objects, option=orjson.OPT_INDENT_2).decode() + "\n"
