"""The SDMX structures of the published figures: dataflow, data structure, concepts, code lists.

Codes come from the contracts: indicators from schemas/indicators.csv, countries, purposes and categories from the feeds; the short
lists (frequencies, methods, statuses) stand in schemas/sdmx/names.yaml. Names come from there and from Unicode CLDR, in three
languages.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.resources import files
from typing import NamedTuple

import yaml
from babel import Locale

from schemas.feeds.border_crossings import BorderCrossing
from schemas.feeds.codes import COUNTRIES
from schemas.feeds.fields import codes
from schemas.feeds.student_enrolments import StudentEnrolment
from schemas.feeds.work_permits import WorkPermit
from schemas.indicators import catalogue

LANGUAGES = ("en", "ru", "kk")
AGENCY, VERSION = "TOLQYN", "1.0"
FLOW, STRUCTURE, CONCEPTS = "KZ_MIG", "KZ_MIG", "CS_KZ_MIG"
GROUPS = ("CIS", "EAEU", "FAR_ABROAD")
TIME = "TIME_PERIOD"
MEASURE = "OBS_VALUE"

Names = Mapping[str, str]  # by language


class UnnamedCode(Exception):
    """A code of the contracts that nobody has named in every language; says where to do it."""


class Code(NamedTuple):
    """One item of a code list."""

    id: str
    names: Names
    description: str = ""


@dataclass(frozen=True)
class Artefact:
    """Something that is maintained: what SDMX names by agency, id and version."""

    id: str
    names: Names


@dataclass(frozen=True)
class Codelist(Artefact):
    """A code list; `partial` if it holds only some of its codes."""

    codes: tuple[Code, ...]
    partial: bool = False

    def name_of(self, code: str) -> Names:
        """The names of a code; the code itself where the list does not have it."""
        return next((item.names for item in self.codes if item.id == code), dict.fromkeys(LANGUAGES, code))

    def only(self, codes: set[str]) -> "Codelist":
        """The part of the list that these codes are."""
        kept = tuple(code for code in self.codes if code.id in codes)
        return replace(self, codes=kept, partial=self.partial or len(kept) < len(self.codes))


@dataclass(frozen=True)
class ConceptScheme(Artefact):
    """The concepts that components take their meaning from."""

    concepts: tuple[Code, ...]
    partial: bool = False

    def only(self, concepts: set[str]) -> "ConceptScheme":
        kept = tuple(concept for concept in self.concepts if concept.id in concepts)
        return replace(self, concepts=kept, partial=self.partial or len(kept) < len(self.concepts))


class Component(NamedTuple):
    """A dimension, the measure or an attribute. `codelist` is empty for what is not coded: then `text_type` is SDMX's name of
    its type. `depends_on`: the dimensions that an attribute varies with; none: with every observation."""

    id: str
    codelist: str = ""
    text_type: str = "String"
    mandatory: bool = True
    depends_on: tuple[str, ...] = ()


@dataclass(frozen=True)
class DataStructure(Artefact):
    """Dimensions in the order of the key, then TIME_PERIOD; one measure; attributes in the order of the CSV's columns."""

    dimensions: tuple[Component, ...]
    time: Component
    measure: Component
    attributes: tuple[Component, ...]


@dataclass(frozen=True)
class Dataflow(Artefact):
    """The published figures."""


@dataclass(frozen=True)
class Availability(Artefact):
    """What there is of the figures: the codes of each dimension that occur, the first and last day that periods speak of, how much
    there is."""

    codes: Mapping[str, tuple[str, ...]]
    days: tuple[str, str] | None
    series: int
    observations: int


class Structures(NamedTuple):
    """All artefacts there are."""

    flow: Dataflow
    structure: DataStructure
    concepts: ConceptScheme
    codelists: Mapping[str, Codelist]
    availability: Names  # what a statement of availability is called
    agency: Names

    @property
    def all(self) -> tuple[Artefact, ...]:
        return (self.flow, self.structure, self.concepts, *self.codelists.values())

    def codelist_of(self, component: str) -> Codelist | None:
        """The code list of a component; None if it is not coded, or not there."""
        found = next((c for c in components(self.structure) if c.id == component), None)
        return self.codelists[found.codelist] if found is not None and found.codelist else None


DIMENSIONS = (
    Component("FREQ", "CL_FREQ"),
    Component("INDICATOR", "CL_INDICATOR"),
    Component("COUNTERPART_AREA", "CL_AREA"),
    Component("PURPOSE", "CL_PURPOSE"),
    Component("CATEGORY", "CL_CATEGORY"),
    Component("METHOD", "CL_METHOD"),
)
TIME_DIMENSION = Component(TIME, text_type="ObservationalTimePeriod")
VALUE = Component(MEASURE, text_type="Double", mandatory=False)  # a suppressed observation has none
ATTRIBUTES = (
    Component("LOWER", text_type="Double", mandatory=False),
    Component("UPPER", text_type="Double", mandatory=False),
    Component("UNIT_MEASURE", depends_on=("INDICATOR",)),
    Component("DECIMALS", text_type="Integer", depends_on=("INDICATOR",)),
    Component("OBS_STATUS", "CL_OBS_STATUS"),
    Component("CONF_STATUS", "CL_CONF_STATUS"),
    Component("AS_OF", text_type="Long"),
    Component("PUBLISHED_AT", text_type="DateTime"),
)


def components(structure: DataStructure) -> tuple[Component, ...]:
    """All components in the order of the CSV's columns."""
    return (*structure.dimensions, structure.time, structure.measure, *structure.attributes)


def urn(package: str, kind: str, identity: str, item: str = "") -> str:
    """The SDMX urn of an artefact of ours, or of an item of it."""
    return f"urn:sdmx:org.sdmx.infomodel.{package}.{kind}={AGENCY}:{identity}({VERSION})" + (f".{item}" if item else "")


FLOW_URN = urn("datastructure", "Dataflow", FLOW)
STRUCTURE_URN = urn("datastructure", "DataStructure", STRUCTURE)
KINDS: dict[type[Artefact], tuple[str, str]] = {
    Dataflow: ("datastructure", "Dataflow"),
    DataStructure: ("datastructure", "DataStructure"),
    ConceptScheme: ("conceptscheme", "ConceptScheme"),
    Codelist: ("codelist", "Codelist"),
    Availability: ("registry", "DataConstraint"),
}


def urn_of(artefact: Artefact) -> str:
    """The urn of an artefact."""
    return urn(*KINDS[type(artefact)], artefact.id)


def concept_urn(component: str) -> str:
    """The urn of the concept that a component takes its meaning from."""
    return urn("conceptscheme", "Concept", CONCEPTS, component)


def codelist_urn(codelist: str) -> str:
    """The urn of a code list."""
    return urn("codelist", "Codelist", codelist)


def _codes() -> dict[str, tuple[str, ...]]:
    """The codes of the long lists, in order, from the contracts."""
    return {
        "CL_INDICATOR": tuple(catalogue()),
        "CL_AREA": ("_T", *GROUPS, *COUNTRIES),
        "CL_PURPOSE": ("_T", *codes(BorderCrossing, "purpose")),
        "CL_CATEGORY": ("_T", *codes(WorkPermit, "category"), *codes(StudentEnrolment, "level")),
    }


def _named(codelist: str, code: str, worded: Mapping[str, Names]) -> Names:
    """The names of a code. Raises UnnamedCode."""
    names = worded.get(code, {})
    if missing := [language for language in LANGUAGES if not names.get(language)]:
        if codelist == "CL_AREA":
            return _country(code)
        raise UnnamedCode(
            f"schemas/sdmx/names.yaml: codelists.{codelist}.codes.{code} has no name in {', '.join(missing)}: add it there"
        )
    return names


def _country(code: str) -> Names:
    return {language: Locale.parse("en_GB" if language == "en" else language).territories.get(code, code) for language in LANGUAGES}


@lru_cache(maxsize=1)
def structures() -> Structures:
    """The structures that this distribution publishes; made once."""
    names = yaml.safe_load((files("schemas") / "sdmx" / "names.yaml").read_text("utf-8"))
    found = _codes()
    lists = {}
    for identity, known in names["codelists"].items():
        worded: dict[str, Names] = known["codes"]
        described = {name: entry.definition for name, entry in catalogue().items()} if identity == "CL_INDICATOR" else {}
        items = tuple(
            Code(code, _named(identity, code, worded), described.get(code, "")) for code in found.get(identity, tuple(worded))
        )
        lists[identity] = Codelist(identity, known["name"], items)
    concepts = tuple(Code(identity, worded) for identity, worded in names["concepts"].items())
    return Structures(
        flow=Dataflow(FLOW, names["artefacts"][FLOW]),
        structure=DataStructure(STRUCTURE, names["artefacts"][STRUCTURE], DIMENSIONS, TIME_DIMENSION, VALUE, ATTRIBUTES),
        concepts=ConceptScheme(CONCEPTS, names["artefacts"][CONCEPTS], concepts),
        codelists=lists,
        availability=names["artefacts"]["AVAILABILITY"],
        agency=names["artefacts"][AGENCY],
    )
