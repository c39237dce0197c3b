"""Data queries of SDMX REST: path and parameters, parsed; what they select.

    /data/{context}/{agencyID}/{resourceID}/{version}/{key}?c[...]=...&updatedAfter&asOf&includeHistory&...

Pure. What may be left out at the end of the path is a wildcard.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import unquote

from schemas.sdmx.structures import AGENCY, ATTRIBUTES, DIMENSIONS, FLOW, MEASURE, STRUCTURE, TIME, VERSION
from services.dissemination.sdmx.filters import POSITIONS, VALUES, Filter, parse_filter, parse_instant
from services.dissemination.sdmx.problem import bad
from services.dissemination.sdmx.versions import matches, parse_version
from services.shared.runtime.http.problem import Problem
from services.shared.runtime.postgres.store import Published

ALL_DIMENSIONS = "AllDimensions"
CONTEXTS = ("dataflow", "datastructure", "provisionagreement")
ATTRIBUTE_IDS = tuple(attribute.id for attribute in ATTRIBUTES)
SERIES_ATTRIBUTES = tuple(attribute.id for attribute in ATTRIBUTES if attribute.depends_on)
ATTRIBUTE_SETS: dict[str, tuple[str, ...]] = {
    "dsd": ATTRIBUTE_IDS, "all": ATTRIBUTE_IDS, "none": (), "msd": (), "dataset": (), "series": SERIES_ATTRIBUTES,
    "obs": tuple(a for a in ATTRIBUTE_IDS if a not in SERIES_ATTRIBUTES),
}  # fmt: skip
# Each key is held against each series, each term of a filter against each observation: so an answer takes seconds, not minutes.
KEYS_MAX = 100
TERMS_MAX = 400  # every country in one filter, and then some
COUNT_MAX = 10**9  # of observations asked for: beyond any answer, and short enough to be a number
_ID = re.compile(r"[A-Za-z0-9_@$-]+")
_AGENCY = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*")
_COMPONENT = re.compile(r"c\[(?P<id>[^\]]*)\]")
NOT_OFFERED = {"sort": "answers are sorted by series and period", "reportingYearStartDay": "reporting years are calendar years"}

Key = tuple[str | None, ...]  # one value of each dimension; None: any


@dataclass(frozen=True)
class Selection:
    """Which observations: those of any of the keys that every filter fits."""

    keys: tuple[Key, ...]
    filters: tuple[Filter, ...]

    @property
    def of_keys(self) -> tuple[Filter, ...]:
        """The filters that look at an observation's key only, which is all that is left of one that was taken back."""
        return tuple(f for f in self.filters if f.component not in VALUES)

    def fits_series(self, codes: list[str]) -> bool:
        """Whether a series is selected, by its six codes."""
        return any(all(asked in (None, code) for asked, code in zip(key, codes, strict=True)) for key in self.keys) and all(
            f.fits(codes[POSITIONS[f.component]]) for f in self.filters if f.component in POSITIONS
        )

    def fits_period(self, period: str) -> bool:
        return all(f.fits(period) for f in self.filters if f.component == TIME)

    def fits_values(self, row: Published) -> bool:
        return all(f.fits(VALUES[f.component](row)) for f in self.filters if f.component in VALUES)

    def of(self, rows: Iterable[Published]) -> list[Published]:
        """The selected rows, sorted by series and period."""
        series: dict[str, bool] = {}
        periods: dict[str, bool] = {}
        found = []
        for row in rows:
            if row.series not in series:
                series[row.series] = self.fits_series(row.series.split("."))
            if not series[row.series]:
                continue
            if row.period not in periods:
                periods[row.period] = self.fits_period(row.period)
            if periods[row.period] and self.fits_values(row):
                found.append(row)
        return sorted(found, key=lambda row: (row.series, row.period))


@dataclass(frozen=True)
class DataQuery:
    """A data query. `there`: whether the path names the dataflow, or its data structure, that is published here."""

    there: bool
    selection: Selection
    updated_after: datetime | None
    as_of: datetime | None
    include_history: bool
    first: int | None
    last: int | None
    offset: int
    limit: int | None
    dimension_at_observation: str
    attributes: tuple[str, ...]
    measures: tuple[str, ...]


def split_parameters(raw_query: str) -> dict[str, str]:
    """Parameters of a raw query string. Unlike in a form, `+` is a plus. Raises Problem for one that comes twice."""
    found: dict[str, str] = {}
    for part in filter(None, raw_query.split("&")):
        name, _, value = part.partition("=")
        name = unquote(name)
        if name in found:
            raise bad(name, "once only")
        found[name] = unquote(value)
    return found


def split_path(raw_path: str, names: tuple[str, ...]) -> dict[str, str]:
    """Segments of what follows the resource's name, by name; `*` for those left out. Raises Problem for more than there are."""
    segments = [unquote(segment) for segment in raw_path.strip("/").split("/")] if raw_path.strip("/") else []
    if len(segments) > len(names):
        raise bad("path", f"at most /{'/'.join('{' + name + '}' for name in names)}")
    if "" in segments:
        raise bad("path", "a segment is not empty; * stands for any")
    return dict(zip(names, segments + ["*"] * (len(names) - len(segments)), strict=True))


def parse_ids(parameter: str, asked: str, pattern: re.Pattern[str] = _ID) -> list[str]:
    """A list of ids. Raises Problem for what cannot be an id."""
    ids = asked.split(",")
    if not all(one == "*" or pattern.fullmatch(one) for one in ids):
        raise bad(parameter, "ids with commas between them, or *")
    return ids


def names_us(parameter: str, asked: str, ours: str) -> bool:
    """Whether a list of ids has ours. Raises Problem for what cannot be an id."""
    ids = parse_ids(parameter, asked)
    return "*" in ids or ours in ids


def agency_is_ours(asked: str) -> bool:
    """Whether a list of agencies has ours. Raises Problem."""
    ids = parse_ids("agencyID", asked, _AGENCY)
    return "*" in ids or AGENCY in ids


def version_is_ours(asked: str) -> bool:
    """Whether a list of version queries has the one version that there is. Raises Problem."""
    parsed = [parse_version(one) for one in asked.split(",")]
    if any(one is None for one in parsed):
        raise bad("version", "such as 1.0, or *, + or ~")
    return any(one is not None and matches(one, VERSION) for one in parsed)


def names_the_flow(segments: Mapping[str, str]) -> bool:
    """Whether context, agency, resource and version of a path are those of the published figures. Raises Problem."""
    contexts = segments["context"].split(",")
    if not all(one == "*" or one in CONTEXTS for one in contexts):
        raise bad("context", f"one of {', '.join(CONTEXTS)}, or *")
    ours = [
        names_us("resourceID", segments["resourceID"], resource)
        for context, resource in (("dataflow", FLOW), ("datastructure", STRUCTURE))
        if "*" in contexts or context in contexts
    ]
    agency, version = agency_is_ours(segments["agencyID"]), version_is_ours(segments["version"])
    return any(ours) and agency and version


def parse_keys(text: str) -> tuple[Key, ...]:
    """The keys of a path: one or more with commas between them, dimensions left out at the end are wildcards. Raises Problem."""
    keys = text.split(",")
    if len(keys) > KEYS_MAX:
        raise bad("key", f"at most {KEYS_MAX} keys; several values of a dimension go into c[...]")
    return tuple(_key(key) for key in keys)


def _key(text: str) -> Key:
    codes = text.split(".")
    if len(codes) > len(DIMENSIONS):
        raise bad("key", f"at most {len(DIMENSIONS)} dimensions: {'.'.join(d.id for d in DIMENSIONS)}")
    for code in codes:
        if code != "*" and not _ID.fullmatch(code):
            raise bad("key", "in each place a code or *; several values go into c[...], several keys have commas between")
    return tuple(None if code == "*" else code for code in codes) + (None,) * (len(DIMENSIONS) - len(codes))


def parse_data_query(raw_path: str, raw_query: str) -> DataQuery:
    """A data query from the raw path after `/data` and the raw query string. Raises Problem."""
    segments = split_path(raw_path, ("context", "agencyID", "resourceID", "version", "key"))
    parameters = split_parameters(raw_query)
    read: dict[str, Any] = {name: _READERS[name](value) for name, value in parameters.items() if name in _READERS}
    filters = take_filters(parameters, _READERS)
    updated_after, as_of = read.get("updatedAfter"), read.get("asOf")
    if updated_after is not None and as_of is not None and updated_after > as_of:
        raise bad("updatedAfter", "not later than asOf")
    return DataQuery(
        there=names_the_flow(segments),
        selection=Selection(parse_keys(segments["key"]), filters),
        updated_after=updated_after,
        as_of=as_of,
        include_history=read.get("includeHistory", False),
        first=read.get("firstNObservations"),
        last=read.get("lastNObservations"),
        offset=read.get("offset", 0),
        limit=read.get("limit"),
        dimension_at_observation=read.get("dimensionAtObservation", TIME),
        attributes=read.get("attributes", ATTRIBUTE_IDS),
        measures=read.get("measures", (MEASURE,)),
    )


def take_filters(parameters: Mapping[str, str], others: Iterable[str]) -> tuple[Filter, ...]:
    """The `c` filters among the parameters. Raises Problem for a parameter that is none, and not one of the others."""
    filters = []
    for name, value in parameters.items():
        if match := _COMPONENT.fullmatch(name):
            filters.append(parse_filter(match["id"], value))
        elif name in NOT_OFFERED:
            raise Problem(501, f"{name}: not offered, {NOT_OFFERED[name]}")
        elif name not in others:
            raise bad(name, f"no such parameter; there are c[...], {', '.join(others)}")
    if sum(len(tests) for f in filters for tests in f.alternatives) > TERMS_MAX:
        raise bad("c[...]", f"at most {TERMS_MAX} values in all")
    return tuple(filters)


def _count(name: str, least: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not (text.isascii() and text.isdigit() and len(text) <= len(str(COUNT_MAX)) and least <= int(text) <= COUNT_MAX):
            raise bad(name, f"an integer from {least} to {COUNT_MAX}")
        return int(text)

    return read


def _instant(name: str) -> Callable[[str], datetime]:
    return lambda text: parse_instant(name, text)


def _flag(text: str) -> bool:
    if text not in ("true", "false"):
        raise bad("includeHistory", "true or false")
    return text == "true"


def _dimension(text: str) -> str:
    known = (TIME, ALL_DIMENSIONS, *POSITIONS)
    if text not in known:
        raise bad("dimensionAtObservation", f"one of {', '.join(known)}")
    return text


def _attributes(text: str) -> tuple[str, ...]:
    asked: set[str] = set()
    for one in text.split(","):
        if one not in ATTRIBUTE_SETS and one not in ATTRIBUTE_IDS:
            raise bad("attributes", f"one or more of {', '.join((*ATTRIBUTE_SETS, *ATTRIBUTE_IDS))}")
        asked |= set(ATTRIBUTE_SETS.get(one, (one,)))
    return tuple(one for one in ATTRIBUTE_IDS if one in asked)


def _measures(text: str) -> tuple[str, ...]:
    asked = text.split(",")
    if not all(one in ("all", "none", MEASURE) for one in asked):
        raise bad("measures", f"one or more of all, none, {MEASURE}")
    return (MEASURE,) if "all" in asked or MEASURE in asked else ()


_READERS: dict[str, Callable[[str], Any]] = {
    "updatedAfter": _instant("updatedAfter"),
    "asOf": _instant("asOf"),
    "includeHistory": _flag,
    "firstNObservations": _count("firstNObservations", 1),
    "lastNObservations": _count("lastNObservations", 1),
    "offset": _count("offset", 0),
    "limit": _count("limit", 1),
    "dimensionAtObservation": _dimension,
    "attributes": _attributes,
    "measures": _measures,
}
