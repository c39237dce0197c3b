"""SDMX-JSON 2.0 data messages.

Dimensions and coded attributes are written as indexes into the values that the structure names; all else as it is.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import orjson

from schemas.sdmx.structures import (
    AGENCY,
    FLOW_URN,
    MEASURE,
    STRUCTURE_URN,
    TIME,
    Component,
    components,
    structures,
)
from services.dissemination.sdmx.message import DELETE, KEY_IDS, DataSet, Message, key_of
from services.shared.runtime.postgres.store import Published
from services.shared.statistics.publication.sdmx_csv import instant

SCHEMA = "https://raw.githubusercontent.com/sdmx-twg/sdmx-json/master/data-message/tools/schemas/2.0.0/sdmx-json-data-schema.json"
COMPONENTS = {component.id: component for component in components(structures().structure)}
READ: dict[str, Callable[[Published], Any]] = {
    "LOWER": lambda row: row.lower,
    "UPPER": lambda row: row.upper,
    "UNIT_MEASURE": lambda row: row.unit,
    "DECIMALS": lambda row: row.decimals,
    "OBS_STATUS": lambda row: row.status,
    "CONF_STATUS": lambda row: row.confidentiality,
    "AS_OF": lambda row: row.as_of,
    "PUBLISHED_AT": lambda row: instant(row.published_at),
}
DIMENSION_ROLES = {"FREQ": "FREQ", "COUNTERPART_AREA": "COUNTERPART_AREA", "TIME_PERIOD": "TIME_PERIOD"}


class _Values:
    """The values of a component that occur, in the order in which they are first met, and the index of each."""

    def __init__(self, component: str, language: str) -> None:
        self.component = component
        self._codelist = structures().codelist_of(component)
        self._language = language
        self._indexes: dict[Any, int] = {}

    def index(self, value: Any) -> int:
        return self._indexes.setdefault(value, len(self._indexes))

    def written(self) -> list[dict[str, Any]]:
        if self._codelist is not None:
            return [self._named(code, self._codelist.name_of(code)[self._language]) for code in self._indexes]
        if self.component in KEY_IDS:
            return [self._named(value, value) for value in self._indexes]
        return [{"value": value} for value in self._indexes]

    def _named(self, code: str, name: str) -> dict[str, Any]:
        return {"id": code, "name": name, "names": {self._language: name}}


def write(message: Message) -> bytes:
    """The message as JSON."""
    words = message.language
    # Texts of series are listed, since they repeat. Numbers are not: the official schema takes no integer for a listed value.
    texts = [name for name in message.series_attributes if COMPONENTS[name].text_type == "String"]
    coded = [name for name in message.query.attributes if COMPONENTS[name].codelist]
    listed = {name: _Values(name, words) for name in (*KEY_IDS, *texts, *coded)}
    data_sets = [_data_set(message, one, listed) for one in message.data_sets]
    meta = header(SCHEMA, message.identity, message.prepared, [words])
    structure = _structure(message, listed, len(data_sets))
    return orjson.dumps({"meta": meta, "data": {"structures": [structure], "dataSets": data_sets}})


def header(schema: str, identity: str, prepared: datetime, languages: list[str]) -> dict[str, Any]:
    """The `meta` of a message; its first language is that of its names."""
    sender = structures().agency
    return {
        "schema": schema,
        "id": identity,
        "test": False,
        "prepared": instant(prepared),
        "contentLanguages": languages,
        "sender": {"id": AGENCY, "name": sender[languages[0]], "names": dict(sender)},
    }


def _structure(message: Message, listed: dict[str, _Values], data_sets: int) -> dict[str, Any]:
    words, named = message.language, structures()

    def component(name: str) -> dict[str, Any]:
        concept = next(one.names for one in named.concepts.concepts if one.id == name)[words]
        made: dict[str, Any] = {"id": name, "name": concept, "names": {words: concept}}
        if name in listed and listed[name].written():
            made["values"] = listed[name].written()
        return made

    def dimension(name: str) -> dict[str, Any]:
        role = {"roles": [DIMENSION_ROLES[name]]} if name in DIMENSION_ROLES else {}
        return component(name) | {"keyPosition": KEY_IDS.index(name)} | role

    def attribute(name: str) -> dict[str, Any]:
        known = COMPONENTS[name]
        return component(name) | {"isMandatory": known.mandatory, "relationship": _relationship(known)} | _format(known)

    flow = named.flow.names[words]
    measures = [component(name) | {"roles": ["OBS_VALUE"]} | _format(COMPONENTS[name]) for name in message.query.measures]
    return {
        "dataSets": list(range(data_sets)),
        "links": [{"urn": FLOW_URN, "rel": "dataflow"}, {"urn": STRUCTURE_URN, "rel": "datastructure"}],
        "name": flow,
        "names": {words: flow},
        "dimensions": {
            "dataSet": [],
            "series": [dimension(name) for name in message.series_dimensions],
            "observation": [dimension(name) for name in message.observation_dimensions],
        },
        "measures": {"observation": measures},
        "attributes": {
            "dataSet": [],
            "series": [attribute(name) for name in message.series_attributes],
            "observation": [attribute(name) for name in message.observation_attributes],
        },
    }


def _relationship(component: Component) -> dict[str, Any]:
    return {"dimensions": list(component.depends_on)} if component.depends_on else {"observation": {}}


def _format(component: Component) -> dict[str, Any]:
    return {} if component.codelist else {"format": {"dataType": component.text_type}}


def _data_set(message: Message, data_set: DataSet, listed: dict[str, _Values]) -> dict[str, Any]:
    made: dict[str, Any] = {"structure": 0, "action": data_set.action, "links": [{"urn": FLOW_URN, "rel": "dataflow"}]}
    for name, at in (("validFrom", data_set.valid_from), ("validTo", data_set.valid_to)):
        if at is not None:
            made[name] = instant(at)
    series: dict[str, dict[str, Any]] = {}
    flat: dict[str, list[Any]] = {}
    places = _Places(listed)
    of_series, of_observation = message.series_dimensions, message.observation_dimensions
    has_value, names = MEASURE in message.query.measures, message.observation_attributes
    for row in data_set.rows:
        observations = flat
        if of_series:
            place = places.of(row, of_series)
            if place not in series:
                attributes = _attributes(message.series_attributes, row, listed)
                series[place] = ({"attributes": attributes} if attributes else {}) | {"observations": {}}
            observations = series[place]["observations"]
        values = [row.value] if has_value else []
        observations[places.of(row, of_observation)] = [] if data_set.action == DELETE else values + _attributes(names, row, listed)
    return made | ({"series": series} if of_series else {"observations": flat})


class _Places:
    """Where rows stand: the indexes of some of their dimensions, with colons between them. Worked out once for each series."""

    def __init__(self, listed: dict[str, _Values]) -> None:
        self._listed = listed
        self._known: dict[tuple[str, tuple[str, ...]], str] = {}

    def of(self, row: Published, dimensions: tuple[str, ...]) -> str:
        if dimensions == (TIME,):
            return str(self._listed[TIME].index(row.period))
        if TIME in dimensions:
            return self._written(row, dimensions)
        known = self._known.get((row.series, dimensions))
        if known is None:
            known = self._known[row.series, dimensions] = self._written(row, dimensions)
        return known

    def _written(self, row: Published, dimensions: tuple[str, ...]) -> str:
        key = key_of(row)
        return ":".join(str(self._listed[name].index(key[name])) for name in dimensions)


def _attributes(names: Sequence[str], row: Published, listed: dict[str, _Values]) -> list[Any]:
    return [listed[name].index(READ[name](row)) if name in listed else READ[name](row) for name in names]
