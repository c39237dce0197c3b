"""What a data query is answered with, before it has a format: data sets of rows, and how they are to be laid out."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

from schemas.sdmx.structures import DIMENSIONS, TIME
from services.dissemination.sdmx.query import ALL_DIMENSIONS, SERIES_ATTRIBUTES, DataQuery
from services.shared.runtime.postgres.store import Published

INFORMATION, REPLACE, DELETE = "Information", "Replace", "Delete"
KEY_IDS = (*(dimension.id for dimension in DIMENSIONS), TIME)


class DataSet(NamedTuple):
    """Rows, sorted by series and period, and what they are for. Rows to delete count by their keys only.

    `valid_from`: when these values were published; `valid_to`: when those to be deleted ceased to be."""

    action: str
    rows: Sequence[Published]
    valid_from: datetime | None = None
    valid_to: datetime | None = None


class Message(NamedTuple):
    """Data sets and their layout. `identity` names the message; `prepared` is the time of the publication that it was made from."""

    identity: str
    prepared: datetime
    language: str
    query: DataQuery
    data_sets: Sequence[DataSet]

    @property
    def observation_dimensions(self) -> tuple[str, ...]:
        """The dimensions that stand with an observation."""
        at = self.query.dimension_at_observation
        return KEY_IDS if at == ALL_DIMENSIONS else (at,)

    @property
    def series_dimensions(self) -> tuple[str, ...]:
        return tuple(dimension for dimension in KEY_IDS if dimension not in self.observation_dimensions)

    @property
    def series_attributes(self) -> tuple[str, ...]:
        """Attributes that stand with a series: they depend on nothing that varies within it."""
        within = "INDICATOR" in self.series_dimensions
        return tuple(one for one in self.query.attributes if one in SERIES_ATTRIBUTES and within)

    @property
    def observation_attributes(self) -> tuple[str, ...]:
        return tuple(one for one in self.query.attributes if one not in self.series_attributes)


def key_of(row: Published) -> dict[str, str]:
    """The row's key, dimension by dimension, TIME_PERIOD last."""
    return dict(zip(KEY_IDS, (*row.series.split("."), row.period), strict=True))


def limited(rows: Iterable[Published], query: DataQuery) -> list[Published]:
    """Of rows sorted by series and period: the first and last ones of each series, then the page that is asked for."""
    kept = list(rows)
    if query.first is not None or query.last is not None:
        series: dict[str, list[Published]] = {}
        for row in kept:
            series.setdefault(row.series, []).append(row)
        kept = [row for of in series.values() for row in _ends(of, query.first or 0, query.last or 0)]
    return kept[query.offset : None if query.limit is None else query.offset + query.limit]


def _ends(rows: list[Published], first: int, last: int) -> list[Published]:
    return rows if first + last >= len(rows) else rows[:first] + rows[len(rows) - last :]
