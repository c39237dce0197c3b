"""The values on the topics that the services write: JSON objects, as consumers may rely on them (contract, section 4).

The services write and read them by these types, so a field that is not here is a type error. Event values are not here: they follow
from the feeds (`schemas.generate`).
"""

from typing import Annotated, Literal, NotRequired, final

from pydantic import ConfigDict, Field, WithJsonSchema, with_config
from typing_extensions import TypedDict, TypeIs

_CLOSED = ConfigDict(extra="forbid", strict=True)
_DIMENSIONED = ConfigDict(extra="allow", strict=True)

Number = int | float


@with_config(_CLOSED)
class Sheet(TypedDict):
    """tallies.<feed>.v1: the absolute counts of one partition on one local day, as columns of equal length.

    A cell is the values of the feed's dimensions joined with `|`; for reference figures it is the record itself as JSON. Cells that
    begin with `~` tell how late the day's records came and what became of them (docs/ledger.md); their counts may be negative.
    """

    day: Annotated[str, Field(description="local day, YYYY-MM-DD", json_schema_extra={"format": "date"})]
    cells: Annotated[list[str], Field(description="in ascending order; a cell of zeros is absent")]
    counts: Annotated[list[int], Field(description="how many begin on the day (stocks) or happen on it (flows)")]
    ended: NotRequired[Annotated[list[int], Field(description="stocks only: how many end on the day; absent if none does")]]


@with_config(_DIMENSIONED)
class Aggregate(TypedDict):
    """aggregates.quarterly.v1: one absolute count; the measure's dimensions stand beside it under their own names, as strings.

    The measure `reference` is no count but a reference figure that stands, with all its fields. `reporting` and `corrections` say,
    by quarter and feed, how late records came and what became of them: services/shared/statistics/aggregation/reporting.py.
    """

    measure: str
    period: Annotated[str, Field(description="2025-Q2, or 2025-06-30 for the 91 days that end with it; a reference figure's own")]
    value: Number


# What `Aggregate` promises to consumers in general, measure by measure, as the services know it.
Dimension = Literal["citizenship", "destination", "counterpart", "purpose", "category", "level", "area"]


class CountEntry(TypedDict):
    """How many, of a measure; which dimensions it has is the measure's."""

    measure: str
    period: str
    value: int
    citizenship: NotRequired[str]
    destination: NotRequired[str]
    counterpart: NotRequired[str]
    purpose: NotRequired[str]
    category: NotRequired[str]
    level: NotRequired[str]
    area: NotRequired[str]


class StatedFigure(TypedDict):
    """A figure that an office published, with all that it said of it (schemas/feeds/reference_figures.py)."""

    figure: str
    period: str
    value: Number
    unit: str
    source: str
    published_on: str
    sample_size: NotRequired[int]
    design_effect: NotRequired[float]
    counterpart: NotRequired[str]
    note: NotRequired[str]


class KeptFigure(StatedFigure):
    """The same with its key in the log, `<agency>/<record>`."""

    key: str


class ReferenceEntry(KeptFigure):
    """The same among the aggregates."""

    measure: Literal["reference"]


class ViolationsEntry(TypedDict):
    """Persons found at work without papers in a year, by how often."""

    measure: Literal["violations"]
    period: str
    area: str
    value: int
    frequencies: dict[str, int]


class ReportingEntry(TypedDict):
    """How late the records of a feed came: rows of each flow's table."""

    measure: Literal["reporting"]
    period: str
    feed: str
    value: int
    flows: dict[str, list[list[int]]]


class CorrectionsEntry(TypedDict):
    """What became of the records of a feed."""

    measure: Literal["corrections"]
    period: str
    feed: str
    value: int
    corrected: int
    withdrawn: int
    conflicts: int
    records: int


Entry = CountEntry | ReferenceEntry | ViolationsEntry | ReportingEntry | CorrectionsEntry


def is_reference(entry: Entry) -> TypeIs[ReferenceEntry]:
    """Whether an aggregate is a figure that an office published."""
    return entry["measure"] == "reference"


def is_violations(entry: Entry) -> TypeIs[ViolationsEntry]:
    """Whether an aggregate says how many persons were found how often."""
    return entry["measure"] == "violations"


def is_reporting(entry: Entry) -> TypeIs[ReportingEntry]:
    """Whether an aggregate says how late records came."""
    return entry["measure"] == "reporting"


def is_corrections(entry: Entry) -> TypeIs[CorrectionsEntry]:
    """Whether an aggregate says what became of records."""
    return entry["measure"] == "corrections"


def is_count(entry: Entry) -> TypeIs[CountEntry]:
    """Whether an aggregate is a number of what its measure counts."""
    return entry["measure"] not in ("reference", "violations", "reporting", "corrections")


@with_config(_CLOSED)
class Assumption(TypedDict):
    """What an estimate takes for granted, and how much that can be trusted."""

    text: str
    rating: str


class Inputs(TypedDict, total=False):
    """What went into an estimate; which of these is the method's (docs/methods). Of figures: what was published, as it was sent."""

    survey: StatedFigure
    stock: StatedFigure
    employment_balance: float
    permits_in_force: float
    crossings_counted: float
    persons_found: int
    frequencies: dict[str, int]
    feed: str
    history_from: str
    known: int
    completeness: float
    feed_completeness: float
    lower_80: float
    upper_80: float


_Inputs = Annotated[Inputs, WithJsonSchema({"additionalProperties": True, "title": "Inputs", "type": "object"})]


@final
@with_config(_CLOSED)
class PresentEstimate(TypedDict):
    """estimates.informality.v1: an estimate with its interval, what went into it, and what it assumes."""

    indicator: str
    method: str
    period: str
    value: Number
    lower: Number | None
    upper: Number | None
    unit: str
    area: NotRequired[Annotated[str, Field(description="a group of citizenships; absent: all")]]
    inputs: _Inputs
    assumptions: list[Assumption]


@final
@with_config(_CLOSED)
class AbsentEstimate(TypedDict):
    """estimates.informality.v1: why there is no estimate."""

    indicator: str
    method: str
    period: str
    area: NotRequired[str]
    absent: Literal[True]
    reason: str
    inputs: NotRequired[Annotated[_Inputs, Field(description="what is known all the same")]]


Estimate = PresentEstimate | AbsentEstimate


ObsStatus = Literal["P", "A", "E", "F", "Q"]
ConfStatus = Literal["F", "A", "D"]


@with_config(_CLOSED)
class Indicator(TypedDict):
    """indicators.v1: one published observation; the series and the period are the key (contract, section 5)."""

    OBS_VALUE: Annotated[Number | None, Field(description="full precision; null if suppressed")]
    LOWER: Number | None
    UPPER: Number | None
    UNIT_MEASURE: str
    DECIMALS: int
    OBS_STATUS: Annotated[ObsStatus, Field(description="provisional, final, estimate, target or forecast, suppressed")]
    CONF_STATUS: Annotated[ConfStatus, Field(description="free, small cell, secondary")]
    AS_OF: Annotated[int, Field(ge=1, description="the publication at which the observation last changed")]
    PUBLISHED_AT: Annotated[str, Field(json_schema_extra={"format": "date-time"})]


Doubt = Literal["incomplete", "late", "corrected", "withdrawn", "conflicts", "revised"]


@final
@with_config(_CLOSED)
class Missing(TypedDict):
    """Why something is not there."""

    absent: Literal[True]
    reason: str


@final
@with_config(_CLOSED)
class Completeness(TypedDict):
    """Records known, in percent of those that the days passed so far will have had."""

    value: Number


@final
@with_config(_CLOSED)
class Revision(TypedDict):
    """How far a feed's headline figures are from those first released."""

    figures: Annotated[int, Field(ge=1, description="how many are compared")]
    mean_absolute: Annotated[Number, Field(description="in their unit")]
    percent: Annotated[Number | None, Field(description="of what they are now; null if that is 0")]


@final
@with_config(_CLOSED)
class FeedQuality(TypedDict):
    """One feed's line. Delays are local days; 60 stands for 60 and more."""

    feed: str
    records: Annotated[int, Field(description="of the quarter's days, that count now")]
    completeness: Completeness | Missing
    median_days: Annotated[int, Field(description="after which half of the records were known")]
    p95_days: Annotated[int, Field(description="after which 95 % of the records were known")]
    late_after_days: int
    late: Annotated[Number, Field(description="percent of records that were known later than that")]
    corrected: int
    withdrawn: int
    conflicts: int
    revision: Revision | Missing
    doubts: Annotated[
        list[Doubt],
        Field(description="what is not good, by the limits of docs/methods/quality.md"),
    ]


@final
@with_config(_CLOSED)
class NoFeedQuality(TypedDict):
    """Why a feed has no line."""

    feed: str
    absent: Literal[True]
    reason: str


@final
@with_config(_CLOSED)
class Mirror(TypedDict):
    """A partner country's figure beside that of here."""

    figure: str
    partner: str
    period: str
    theirs: Number
    source: str
    ours: Number
    asymmetry: Annotated[Number, Field(description="100 * (ours - theirs) / their mean")]


@final
@with_config(_CLOSED)
class NoMirror(TypedDict):
    """Why there is nothing to compare it with."""

    figure: str
    partner: str
    period: str
    theirs: Number
    source: str
    absent: Literal[True]
    reason: str


@with_config(_CLOSED)
class Finding(TypedDict):
    """Something that does not fit."""

    rule: Literal["share_range", "negative", "sum", "interval"]
    subject: Annotated[str, Field(description="a figure's code, or a series key")]
    period: str
    difference: Annotated[Number, Field(description="how far it is off, in the figure's unit")]
    text: str


@with_config(_CLOSED)
class Findings(TypedDict):
    """What does not fit among some figures."""

    figures: Annotated[int, Field(description="how many were looked at")]
    findings: int
    listed: Annotated[list[Finding], Field(description="the first 50")]


@with_config(_CLOSED)
class Quality(TypedDict):
    """quality.v1: the quality report of a quarter (docs/methods/quality.md)."""

    period: str
    simulated: Annotated[bool, Field(description="the events are simulated: delays are those of the sending")]
    feeds: list[FeedQuality | NoFeedQuality]
    mirrors: Annotated[list[Mirror | NoMirror | Missing], Field(description="or the one reason why there are none")]
    published: Annotated[Findings, Field(description="in figures that offices published for the quarter")]
    computed: Annotated[Findings, Field(description="in figures computed here, of the quarter and its year")]


@with_config(_CLOSED)
class Rejection(TypedDict):
    """rejections.v1: what was refused of one submission. Numbers only."""

    submission: str
    agency: str
    feed: str
    received: int
    rejected: int
    codes: Annotated[dict[str, int], Field(description="records by refusal code")]
    received_at: Annotated[str, Field(json_schema_extra={"format": "date-time"})]
    key_id: NotRequired[Annotated[str, Field(description="which API key of the agency")]]
