"""SDMX-JSON 2.0 structure messages."""

from collections.abc import Callable, Iterable
from typing import Any

from schemas.sdmx.structures import (
    AGENCY,
    FLOW_URN,
    STRUCTURE_URN,
    VERSION,
    Artefact,
    Availability,
    Code,
    Codelist,
    Component,
    ConceptScheme,
    Dataflow,
    DataStructure,
    Names,
    codelist_urn,
    concept_urn,
    structures,
    urn_of,
)

Json = dict[str, Any]
SCHEMA = "https://raw.githubusercontent.com/sdmx-twg/sdmx-json/master/structure-message/tools/schemas/2.0.0/sdmx-json-structure-schema.json"
METRICS = "sdmx_metrics"  # the type of annotations that say how much there is


def contents(artefacts: Iterable[tuple[Artefact, bool]], language: str) -> dict[str, list[Json]]:
    """The `data` of a message: each artefact, whole or (True) as a stub, which is its identity and name. `name` is in the language,
    `names` are in all."""
    found: dict[str, list[Json]] = {}
    for artefact, is_stub in artefacts:
        collection, write = _WRITERS[type(artefact)]
        made = {
            "id": artefact.id,
            "agencyID": AGENCY,
            "version": VERSION,
            **_named(artefact.names, language),
            "links": [{"rel": "self", "urn": urn_of(artefact)}],
        }
        found.setdefault(collection, []).append(made if is_stub else made | write(artefact, language))
    return found


def everything() -> Json:
    """All structures, for the generated file: without a header, which would have to say when it was sent."""
    return {"data": contents(((artefact, False) for artefact in structures().all), "en")}


def _named(names: Names, language: str) -> Json:
    return {"name": names[language], "names": dict(names)}


def _flow(_: Artefact, __: str) -> Json:
    return {"structure": STRUCTURE_URN}


def _items(collection: str, partial: bool, items: Iterable[Code], language: str) -> Json:
    described = [
        {"id": item.id, **_named(item.names, language)} | ({"descriptions": {"en": item.description}} if item.description else {})
        for item in items
    ]
    return ({"isPartial": True} if partial else {}) | {collection: described}


def _codelist(artefact: Artefact, language: str) -> Json:
    assert isinstance(artefact, Codelist)
    return _items("codes", artefact.partial, artefact.codes, language)


def _concepts(artefact: Artefact, language: str) -> Json:
    assert isinstance(artefact, ConceptScheme)
    return _items("concepts", artefact.partial, artefact.concepts, language)


def _structure(artefact: Artefact, _: str) -> Json:
    assert isinstance(artefact, DataStructure)
    dimensions = [
        {"id": one.id, "position": position, "conceptIdentity": concept_urn(one.id), "localRepresentation": _representation(one)}
        for position, one in enumerate(artefact.dimensions)
    ]
    time = {
        "id": artefact.time.id,
        "conceptIdentity": concept_urn(artefact.time.id),
        "localRepresentation": {"format": {"dataType": artefact.time.text_type}},
    }
    attributes = [_component(one) | {"attributeRelationship": _relationship(one)} for one in artefact.attributes]
    return {
        "dataStructureComponents": {
            "dimensionList": {"id": "DimensionDescriptor", "dimensions": dimensions, "timeDimension": time},
            "measureList": {"id": "MeasureDescriptor", "measures": [_component(artefact.measure)]},
            "attributeList": {"id": "AttributeDescriptor", "attributes": attributes},
        }
    }


def _component(component: Component) -> Json:
    return {
        "id": component.id,
        "conceptIdentity": concept_urn(component.id),
        "localRepresentation": _representation(component),
        "usage": "mandatory" if component.mandatory else "optional",
    }


def _relationship(component: Component) -> Json:
    return {"dimensions": list(component.depends_on)} if component.depends_on else {"observation": {}}


def _representation(component: Component) -> Json:
    if component.codelist:
        return {"enumeration": codelist_urn(component.codelist)}
    return {"format": {"dataType": component.text_type}}


def _availability(artefact: Artefact, _: str) -> Json:
    assert isinstance(artefact, Availability)
    values: list[Json] = []
    for dimension, codes in artefact.codes.items():
        values.append({"id": dimension, "include": True, "values": [{"value": code} for code in codes]})
    if artefact.days is not None:
        first, last = ({"period": day, "isInclusive": True} for day in artefact.days)
        values.append({"id": "TIME_PERIOD", "include": True, "timeRange": {"startPeriod": first, "endPeriod": last}})
    counts = {"series_count": artefact.series, "obs_count": artefact.observations}
    return {
        "annotations": [{"id": name, "title": str(count), "type": METRICS} for name, count in counts.items()],
        "role": "Actual",
        "constraintAttachment": {"dataflows": [FLOW_URN]},
        "cubeRegions": [{"include": True, "keyValues": values}],
    }


_WRITERS: dict[type[Artefact], tuple[str, Callable[[Artefact, str], Json]]] = {
    Dataflow: ("dataflows", _flow),
    DataStructure: ("dataStructures", _structure),
    ConceptScheme: ("conceptSchemes", _concepts),
    Codelist: ("codelists", _codelist),
    Availability: ("dataConstraints", _availability),
}
