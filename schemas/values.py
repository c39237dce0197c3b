"""The values on the topics that the services write: JSON objects, as consumers may rely on them (contract, section 4).

Event values are not here: they follow from the feeds (`schemas.generate`).
"""

from typing import Annotated, Any, Literal, NotRequired

from pydantic import ConfigDict, Field, with_config
from typing_extensions import TypedDict

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


@with_config(_CLOSED)
class Assumption(TypedDict):
    """What an estimate takes for granted, and how much that can be trusted."""

    text: str
    rating: str


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
    inputs: dict[str, Any]
    assumptions: list[Assumption]


@with_config(_CLOSED)
class AbsentEstimate(TypedDict):
    """estimates.informality.v1: why there is no estimate."""

    indicator: str
    method: str
    period: str
    area: NotRequired[str]
    absent: Literal[True]
    reason: str
    inputs: NotRequired[Annotated[dict[str, Any], Field(description="what is known all the same")]]


Estimate = PresentEstimate | AbsentEstimate


@with_config(_CLOSED)
class Indicator(TypedDict):
    """indicators.v1: one published observation; the series and the period are the key (contract, section 5)."""

    OBS_VALUE: Annotated[Number | None, Field(description="full precision; null if suppressed")]
    LOWER: Number | None
    UPPER: Number | None
    UNIT_MEASURE: str
    DECIMALS: int
    OBS_STATUS: Annotated[
        Literal["P", "A", "E", "F", "Q"], Field(description="provisional, final, estimate, target or forecast, suppressed")
    ]
    CONF_STATUS: Annotated[Literal["F", "A", "D"], Field(description="free, small cell, secondary")]
    AS_OF: Annotated[int, Field(ge=1, description="the publication at which the observation last changed")]
    PUBLISHED_AT: Annotated[str, Field(json_schema_extra={"format": "date-time"})]


@with_config(_CLOSED)
class Missing(TypedDict):
    """Why something is not there."""

    absent: Literal[True]
    reason: str


@with_config(_CLOSED)
class Completeness(TypedDict):
    """Records known, in percent of those that the days passed so far will have had."""

    value: Number


@with_config(_CLOSED)
class Revision(TypedDict):
    """How far a feed's headline figures are from those first released."""

    figures: Annotated[int, Field(ge=1, description="how many are compared")]
    mean_absolute: Annotated[Number, Field(description="in their unit")]
    percent: Annotated[Number | None, Field(description="of what they are now; null if that is 0")]


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
        list[Literal["incomplete", "late", "corrected", "withdrawn", "conflicts", "revised"]],
        Field(description="what is not good, by the limits of docs/methods/quality.md"),
    ]


@with_config(_CLOSED)
class NoFeedQuality(TypedDict):
    """Why a feed has no line."""

    feed: str
    absent: Literal[True]
    reason: str


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
