"""Availability queries of SDMX REST: which codes a data query would find, or could still be narrowed to.

    /availability/{context}/{agencyID}/{resourceID}/{version}/{key}/{componentId}?c[...]&updatedAfter&references&mode

Pure.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from schemas.sdmx.structures import DIMENSIONS, TIME, Artefact, Availability, Structures
from services.dissemination.sdmx.filters import POSITIONS, parse_instant
from services.dissemination.sdmx.periods import span
from services.dissemination.sdmx.problem import bad
from services.dissemination.sdmx.query import (
    Selection,
    names_the_flow,
    parse_ids,
    parse_keys,
    split_parameters,
    split_path,
    take_filters,
)
from services.shared.runtime.postgres.store import Published

MODES = ("exact", "available")
REFERENCES = ("none", "all", "dataflow", "datastructure", "conceptscheme", "codelist")
NO_REFERENCES = ("valuelist", "dataproviderscheme")  # good to ask for; there are none
PARAMETERS = ("updatedAfter", "asOf", "references", "mode")
COMPONENTS = (*POSITIONS, TIME)


@dataclass(frozen=True)
class AvailabilityQuery:
    """An availability query. `components`: the dimensions to tell of."""

    there: bool
    selection: Selection
    components: tuple[str, ...]
    updated_after: datetime | None
    as_of: datetime | None
    mode: str
    references: frozenset[str]


def parse_availability_query(raw_path: str, raw_query: str) -> AvailabilityQuery:
    """An availability query from the raw path after `/availability` and the raw query string. Raises Problem."""
    segments = split_path(raw_path, ("context", "agencyID", "resourceID", "version", "key", "componentId"))
    parameters = split_parameters(raw_query)
    filters = take_filters(parameters, PARAMETERS)
    asked = parse_ids("componentId", segments["componentId"])
    if not all(one == "*" or one in COMPONENTS for one in asked):
        raise bad("componentId", f"one or more of {', '.join(COMPONENTS)}, or *")
    mode = parameters.get("mode", "exact")
    if mode not in MODES:
        raise bad("mode", f"one of {', '.join(MODES)}")
    references = frozenset(parameters.get("references", "none").split(","))
    if not references <= {*REFERENCES, *NO_REFERENCES}:
        raise bad("references", f"one or more of {', '.join(REFERENCES)}")
    moments = {name: parse_instant(name, parameters[name]) for name in ("updatedAfter", "asOf") if name in parameters}
    return AvailabilityQuery(
        there=names_the_flow(segments),
        selection=Selection(parse_keys(segments["key"]), filters),
        components=tuple(one for one in COMPONENTS if "*" in asked or one in asked),
        updated_after=moments.get("updatedAfter"),
        as_of=moments.get("asOf"),
        mode=mode,
        references=references,
    )


def find(query: AvailabilityQuery, rows: Iterable[Published], known: Structures) -> Availability | None:
    """What there is of the rows; None if nothing fits the query.

    `exact`: the codes that the data query finds. `available`: for each dimension the codes that it would find if nothing were
    asked of that dimension: those that can be chosen. Counts are those of the data query in either mode.
    """
    rows = [row for row in rows if query.updated_after is None or row.published_at > query.updated_after]
    found = query.selection.of(rows)
    if not found:
        return None
    codes = {}
    for name in query.components:
        if name != TIME:
            within = found if query.mode == "exact" else _without(query.selection, name).of(rows)
            codes[name] = tuple(sorted({row.series.split(".")[POSITIONS[name]] for row in within}))
    days = None
    if TIME in query.components:
        within = found if query.mode == "exact" else _without(query.selection, TIME).of(rows)
        spans = [span(period) for period in {row.period for row in within}]
        days = min(first for first, _ in spans).isoformat(), max(last for _, last in spans).isoformat()
    return Availability("AVAILABILITY", known.availability, codes, days, len({row.series for row in found}), len(found))


def _without(selection: Selection, component: str) -> Selection:
    """The selection with nothing asked of a component."""
    keys = selection.keys
    if component in POSITIONS:
        at = POSITIONS[component]
        keys = tuple((*key[:at], None, *key[at + 1 :]) for key in keys)
    return replace(selection, keys=keys, filters=tuple(f for f in selection.filters if f.component != component))


def referred(query: AvailabilityQuery, found: Availability, known: Structures) -> Sequence[Artefact]:
    """The artefacts that the answer refers to and the query asks for; of code lists and concepts only what is used."""
    everything = "all" in query.references
    made: list[Artefact] = []
    if everything or "dataflow" in query.references:
        made.append(known.flow)
    if everything or "datastructure" in query.references:
        made.append(known.structure)
    if everything or "conceptscheme" in query.references:
        made.append(known.concepts.only(set(query.components)))
    if everything or "codelist" in query.references:
        coded = [one for one in DIMENSIONS if one.id in found.codes]
        lists = [known.codelists[one.codelist].only(set(found.codes[one.id])) for one in coded]
        made += [one for one in lists if one.codes]
    return made
