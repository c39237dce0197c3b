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
    by quarter and feed, how late records came and what became of them: services/shared/statistics/reporting.py.
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
