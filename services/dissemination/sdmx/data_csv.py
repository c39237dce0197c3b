"""SDMX-CSV 2.0 data messages: the rows of `tolqyn export`, with what a query adds to them or leaves out."""

import csv
import io
from collections.abc import Iterator
from typing import Any

from schemas.sdmx.structures import MEASURE, structures
from services.dissemination.sdmx.message import DELETE, KEY_IDS, DataSet, Message
from services.shared.runtime.postgres.store import Published
from services.shared.statistics.publication.sdmx_csv import COLUMNS, STRUCTURE_ID, fields, instant

ACTIONS = {"Information": "I", "Replace": "R", "Delete": "D"}


def write(message: Message, labels: str = "id", keys: str = "none") -> bytes:
    """The message as CSV. `labels` and `keys` are those of SDMX-CSV; a history has a column more: since when, or until when."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    names = _Names(message.language, labels)
    added = [name for name in ("series", "obs") if keys in (name, "both")]
    columns = [name for name in COLUMNS if name in KEY_IDS or name in (*message.query.measures, *message.query.attributes)]
    history = ["VALID_FROM", "VALID_TO"] if message.query.include_history else []
    key_columns = [f"{name.upper()}_KEY" for name in added]
    head = [*_identity(["STRUCTURE_ID"], "STRUCTURE_NAME", labels), "ACTION", *key_columns]
    writer.writerow(["STRUCTURE", *head, *(text for name in columns for text in names.of_component(name)), *history])
    identity = names.of_flow()
    for data_set in message.data_sets:
        start = ["dataflow", *identity, ACTIONS[data_set.action]]
        validity = ["" if at is None else instant(at) for at in (data_set.valid_from, data_set.valid_to)] if history else []
        for row in data_set.rows:
            row_keys = [_series_key(message, row) if name == "series" else f"{row.series}.{row.period}" for name in added]
            writer.writerow([*start, *row_keys, *_cells(data_set, row, columns, names), *validity])
    return out.getvalue().encode()


def _identity(plain: list[str], name: str, labels: str) -> list[str]:
    return [*plain, name] if labels == "name" else plain


def _series_key(message: Message, row: Published) -> str:
    codes = dict(zip(KEY_IDS, (*row.series.split("."), row.period), strict=True))
    return ".".join(codes[name] for name in message.series_dimensions)


def _cells(data_set: DataSet, row: Published, columns: list[str], names: "_Names") -> Iterator[Any]:
    values = dict(zip(COLUMNS, fields(row), strict=True))
    for name in columns:
        # What is to be deleted is named by its key alone: a value there would mean that only this value goes.
        value = None if data_set.action == DELETE and name not in KEY_IDS else values[name]
        yield from names.of_value(name, "" if value is None else value)


class _Names:
    """Writes components and values with their names as `labels` says: not at all, in a column of their own, or behind the id."""

    def __init__(self, language: str, labels: str) -> None:
        self._language, self._labels = language, labels
        self._known: dict[tuple[str, Any], str] = {}

    def of_flow(self) -> list[str]:
        return self._written(STRUCTURE_ID, structures().flow.names[self._language])

    def of_component(self, component: str) -> list[str]:
        name = next(one.names for one in structures().concepts.concepts if one.id == component)
        return self._written(component, name[self._language])

    def of_value(self, component: str, value: Any) -> list[Any]:
        if self._labels == "id" or component == MEASURE:
            return [value, ""] if self._labels == "name" else [value]
        if (component, value) not in self._known:
            codelist = structures().codelist_of(component)
            self._known[component, value] = codelist.name_of(value)[self._language] if codelist is not None and value else ""
        return self._written(value, self._known[component, value])

    def _written(self, value: Any, name: str) -> list[Any]:
        if self._labels == "name":
            return [value, name]
        return [f"{value}: {name}"] if self._labels == "both" and name else [value]
