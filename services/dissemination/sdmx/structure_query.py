"""Structure queries of SDMX REST: path and parameters, parsed; which artefacts they select.

    /structure/{artefactType}/{agencyID}/{resourceID}/{version}/{itemID}?detail&references

Pure.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from schemas.sdmx.structures import Artefact, Codelist, ConceptScheme, Dataflow, DataStructure, Structures
from services.dissemination.sdmx.problem import bad
from services.dissemination.sdmx.query import agency_is_ours, names_us, parse_ids, split_parameters, split_path, version_is_ours

TYPES: dict[str, type[Artefact]] = {
    "dataflow": Dataflow, "datastructure": DataStructure, "conceptscheme": ConceptScheme, "codelist": Codelist,
}  # fmt: skip
ITEM_TYPES = ("conceptscheme", "codelist")
# Types of SDMX of which there is nothing here: a query for them is good, and finds nothing.
OTHER_TYPES = (
    "metadatastructure", "categoryscheme", "hierarchy", "hierarchyassociation", "valuelist", "agencyscheme",
    "dataproviderscheme", "metadataproviderscheme", "dataconsumerscheme", "organisationunitscheme", "metadataflow",
    "reportingtaxonomy", "provisionagreement", "metadataprovisionagreement", "structuremap", "representationmap",
    "conceptschememap", "categoryschememap", "organisationschememap", "reportingtaxonomymap", "process", "categorisation",
    "dataconstraint", "metadataconstraint", "transformationscheme", "rulesetscheme", "userdefinedoperatorscheme",
    "customtypescheme", "namepersonalisationscheme", "vtlmappingscheme", "geographiccodelist", "geogridcodelist",
)  # fmt: skip
# Extended code lists and partial schemes do not occur: `raw` and `referencepartial` give what `full` gives.
DETAILS = (
    "full", "allstubs", "referencestubs", "allcompletestubs", "referencecompletestubs", "referencepartial", "raw",
)  # fmt: skip
RELATIONS = ("none", "parents", "parentsandsiblings", "ancestors", "children", "descendants", "all")


@dataclass(frozen=True)
class StructureQuery:
    """A structure query. `ours`: whether agency and version are those of the artefacts here; `items`: empty for all."""

    types: tuple[type[Artefact], ...]
    ours: bool
    resource: str
    items: frozenset[str]
    detail: str
    references: frozenset[str]


def parse_structure_query(raw_path: str, raw_query: str) -> StructureQuery:
    """A structure query from the raw path after `/structure` and the raw query string. Raises Problem."""
    segments = split_path(raw_path, ("artefactType", "agencyID", "resourceID", "version", "itemID"))
    parameters = split_parameters(raw_query)
    for name in parameters:
        if name not in ("detail", "references"):
            raise bad(name, "no such parameter; there are detail, references")
    asked = segments["artefactType"]
    if asked not in ("*", "all", *TYPES, *OTHER_TYPES):
        raise bad("artefactType", f"one of {', '.join(TYPES)}, or *")
    types = tuple(TYPES.values()) if asked in ("*", "all") else (TYPES[asked],) if asked in TYPES else ()
    items = segments["itemID"]
    if items != "*" and asked not in ITEM_TYPES:
        raise bad("itemID", f"for {' and '.join(ITEM_TYPES)} only")
    detail = parameters.get("detail", "full")
    if detail not in DETAILS:
        raise bad("detail", f"one of {', '.join(DETAILS)}")
    references = frozenset(parameters.get("references", "none").split(","))
    if not references <= {*RELATIONS, *TYPES, *OTHER_TYPES}:
        raise bad("references", f"one or more of {', '.join((*RELATIONS, *TYPES))}")
    ids = parse_ids("itemID", items)
    parse_ids("resourceID", segments["resourceID"])
    return StructureQuery(
        types=types,
        ours=agency_is_ours(segments["agencyID"]) and version_is_ours(segments["version"]),
        resource=segments["resourceID"],
        items=frozenset() if "*" in ids else frozenset(ids),
        detail=detail,
        references=references,
    )


def select(query: StructureQuery, known: Structures) -> list[tuple[Artefact, bool]]:
    """The artefacts, and whether each is to be a stub: those asked for first, then those they refer to or are referred from. Empty
    if nothing fits."""
    if not query.ours:
        return []
    found = [one for one in known.all if type(one) in query.types and names_us("resourceID", query.resource, one.id)]
    if query.items:
        found = [part for one in found if (part := _part(one, query.items)) is not None]
    stubs = query.detail in ("allstubs", "allcompletestubs")
    reference_stubs = stubs or query.detail in ("referencestubs", "referencecompletestubs")
    related = _related(found, query.references, known)
    there = {(type(one), one.id) for one in found}
    return [(one, stubs) for one in found] + [(one, reference_stubs) for one in related if (type(one), one.id) not in there]


def _part(artefact: Artefact, items: frozenset[str]) -> Artefact | None:
    """The artefact with these items only; None if it has none of them."""
    assert isinstance(artefact, (Codelist, ConceptScheme))
    part = artefact.only(set(items))
    return part if (part.codes if isinstance(part, Codelist) else part.concepts) else None


def _children(artefacts: Iterable[Artefact], known: Structures) -> list[Artefact]:
    kinds = {type(one) for one in artefacts}
    found: list[Artefact] = [known.structure] if Dataflow in kinds else []
    return found + ([known.concepts, *known.codelists.values()] if DataStructure in kinds else [])


def _parents(artefacts: Iterable[Artefact], known: Structures) -> list[Artefact]:
    kinds = {type(one) for one in artefacts}
    found: list[Artefact] = [known.flow] if DataStructure in kinds else []
    return found + ([known.structure] if kinds & {ConceptScheme, Codelist} else [])


def _related(found: list[Artefact], references: frozenset[str], known: Structures) -> list[Artefact]:
    """Artefacts in the relations that are asked for, or of the types, in a fixed order."""
    children, parents = _children(found, known), _parents(found, known)
    descendants = children + _children(children, known)
    ancestors = parents + _parents(parents, known)
    siblings = parents + _children(parents, known)
    relations = {
        "children": children, "descendants": descendants, "parents": parents, "ancestors": ancestors,
        "parentsandsiblings": siblings, "all": siblings + descendants,
    }  # fmt: skip
    near = [one for relation in references for one in relations.get(relation, [])]
    types = {TYPES[name] for name in references if name in TYPES}
    near += [one for one in descendants + ancestors + siblings if type(one) in types]
    return [one for one in known.all if one in near]
