"""SDMX-ML 3.0 structure messages."""

from collections.abc import Callable, Iterable
from datetime import datetime
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from schemas.sdmx.structure_json import METRICS
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
    urn_of,
)
from services.shared.statistics.publication.sdmx_csv import instant

NAMESPACES = {
    "mes": "http://www.sdmx.org/resources/sdmxml/schemas/v3_0/message",
    "str": "http://www.sdmx.org/resources/sdmxml/schemas/v3_0/structure",
    "com": "http://www.sdmx.org/resources/sdmxml/schemas/v3_0/common",
}
LANG = "{http://www.w3.org/XML/1998/namespace}lang"
for _prefix, _namespace in NAMESPACES.items():
    ElementTree.register_namespace(_prefix, _namespace)


def tag(name: str) -> str:
    """`str:Code` as ElementTree names it."""
    prefix, _, local = name.partition(":")
    return f"{{{NAMESPACES[prefix]}}}{local}"


def _add(parent: Element, name: str, text: str = "", **attributes: str) -> Element:
    made = SubElement(parent, tag(name), attributes)
    made.text = text or None
    return made


def write(artefacts: Iterable[tuple[Artefact, bool]], identity: str, prepared: datetime) -> bytes:
    """A message with the artefacts, each whole or (True) as a stub, which is its identity and name."""
    root = Element(tag("mes:Structure"))
    header = _add(root, "mes:Header")
    _add(header, "mes:ID", identity)
    _add(header, "mes:Test", "false")
    _add(header, "mes:Prepared", instant(prepared))
    _add(header, "mes:Sender", id=AGENCY)
    content = _add(root, "mes:Structures")
    known = list(artefacts)
    for kind, (collection, element, fill) in _WRITERS.items():
        of_kind = [one for one in known if type(one[0]) is kind]
        if not of_kind:
            continue
        parent = _add(content, collection)
        for artefact, is_stub in of_kind:
            made = _add(parent, element, id=artefact.id, agencyID=AGENCY, version=VERSION, urn=urn_of(artefact))
            if isinstance(artefact, Availability):
                _metrics(made, artefact)
            _names(made, artefact.names)
            if not is_stub:
                fill(made, artefact)
    text: bytes = ElementTree.tostring(root, encoding="UTF-8", xml_declaration=True)
    return text


def _names(parent: Element, names: Names, element: str = "com:Name") -> None:
    for language, name in names.items():
        _add(parent, element, name).set(LANG, language)


def _flow(made: Element, _: Artefact) -> None:
    _add(made, "str:Structure", STRUCTURE_URN)


def _items(made: Element, element: str, partial: bool, items: Iterable[Code]) -> None:
    if partial:
        made.set("isPartial", "true")
    for item in items:
        one = _add(made, element, id=item.id)
        _names(one, item.names)
        if item.description:
            _names(one, {"en": item.description}, "com:Description")


def _codelist(made: Element, artefact: Artefact) -> None:
    assert isinstance(artefact, Codelist)
    _items(made, "str:Code", artefact.partial, artefact.codes)


def _concepts(made: Element, artefact: Artefact) -> None:
    assert isinstance(artefact, ConceptScheme)
    _items(made, "str:Concept", artefact.partial, artefact.concepts)


def _structure(made: Element, artefact: Artefact) -> None:
    assert isinstance(artefact, DataStructure)
    components = _add(made, "str:DataStructureComponents")
    dimensions = _add(components, "str:DimensionList", id="DimensionDescriptor")
    for position, dimension in enumerate(artefact.dimensions, 1):
        _component(_add(dimensions, "str:Dimension", id=dimension.id, position=str(position)), dimension)
    _component(_add(dimensions, "str:TimeDimension", id=artefact.time.id), artefact.time)
    attributes = _add(components, "str:AttributeList", id="AttributeDescriptor")
    for attribute in artefact.attributes:
        one = _component(_add(attributes, "str:Attribute", id=attribute.id, usage=_usage(attribute)), attribute)
        relationship = _add(one, "str:AttributeRelationship")
        for dimension_id in attribute.depends_on:
            _add(relationship, "str:Dimension", dimension_id)
        if not attribute.depends_on:
            _add(relationship, "str:Observation")
    measures = _add(components, "str:MeasureList", id="MeasureDescriptor")
    _component(_add(measures, "str:Measure", id=artefact.measure.id, usage=_usage(artefact.measure)), artefact.measure)


def _usage(component: Component) -> str:
    return "mandatory" if component.mandatory else "optional"


def _component(made: Element, component: Component) -> Element:
    _add(made, "str:ConceptIdentity", concept_urn(component.id))
    representation = _add(made, "str:LocalRepresentation")
    if component.codelist:
        _add(representation, "str:Enumeration", codelist_urn(component.codelist))
    else:
        _add(representation, "str:TextFormat", textType=component.text_type)
    return made


def _metrics(made: Element, artefact: Availability) -> None:
    made.set("role", "Actual")
    annotations = _add(made, "com:Annotations")
    for name, count in (("series_count", artefact.series), ("obs_count", artefact.observations)):
        annotation = _add(annotations, "com:Annotation", id=name)
        _add(annotation, "com:AnnotationTitle", str(count))
        _add(annotation, "com:AnnotationType", METRICS)


def _availability(made: Element, artefact: Artefact) -> None:
    assert isinstance(artefact, Availability)
    _add(_add(made, "str:ConstraintAttachment"), "str:Dataflow", FLOW_URN)
    region = _add(made, "str:CubeRegion", include="true")
    for dimension, codes in artefact.codes.items():
        values = _add(region, "str:KeyValue", id=dimension, include="true")
        for code in codes:
            _add(values, "str:Value", code)
    if artefact.days is not None:
        within = _add(_add(region, "str:KeyValue", id="TIME_PERIOD", include="true"), "str:TimeRange")
        _add(within, "str:StartPeriod", artefact.days[0], isInclusive="true")
        _add(within, "str:EndPeriod", artefact.days[1], isInclusive="true")


# In the order of the schema: it prescribes one.
_WRITERS: dict[type[Artefact], tuple[str, str, Callable[[Element, Artefact], None]]] = {
    Codelist: ("str:Codelists", "str:Codelist", _codelist),
    ConceptScheme: ("str:ConceptSchemes", "str:ConceptScheme", _concepts),
    Availability: ("str:DataConstraints", "str:DataConstraint", _availability),
    Dataflow: ("str:Dataflows", "str:Dataflow", _flow),
    DataStructure: ("str:DataStructures", "str:DataStructure", _structure),
}
