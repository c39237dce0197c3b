"""Reference figures, from any office: one record is one published figure or target, with its source."""

from typing import Annotated, NotRequired

from pydantic import Field, StringConstraints, with_config

from schemas.feeds.feed import Feed
from schemas.feeds.fields import LINES, NUMBER_MAX, RECORD_CONFIG, TEXT, VERSION_MAX, Country, EventDay, Person, Record

PERIOD = r"^(19|20|21)[0-9]{2}(-Q[1-4]|-S[12]|-(0[1-9]|1[0-2])(-(0[1-9]|[12][0-9]|3[01]))?|/[0-9]{2})?$"
FIGURE_BOUNDS = Field(ge=-NUMBER_MAX, le=NUMBER_MAX, allow_inf_nan=False)


def _text(length_max: int, pattern: str = TEXT) -> StringConstraints:
    return StringConstraints(min_length=1, max_length=length_max, pattern=pattern)


@with_config(RECORD_CONFIG)
class ReferenceFigure(Record):
    """One figure as published. The newest of a `figure` is that of the greatest `published_on`, then of the greatest key."""

    figure: Annotated[
        str,
        StringConstraints(min_length=1, max_length=64, pattern=r"^[A-Z0-9_]*$"),
        Field(description="1 to 64 of A-Z 0-9 _, as INFORMAL_SHARE"),
    ]
    period: Annotated[
        str,
        StringConstraints(pattern=PERIOD),
        Field(description="a period of 1900 to 2199, as 2025 2025-S1 2025-Q2 2025-06 2025-06-30 or the academic year 2024/25"),
    ]
    value: Annotated[
        Annotated[int, FIGURE_BOUNDS] | Annotated[float, FIGURE_BOUNDS], Field(description="a number from -10^15 to 10^15")
    ]
    unit: Annotated[str, _text(32), Field(description="a string of 1 to 32 characters, as persons, percent or ratio")]
    source: Annotated[str, _text(256), Field(description="a string of 1 to 256 characters: who printed it, and where")]
    published_on: EventDay
    sample_size: NotRequired[Annotated[int, Field(ge=1, le=VERSION_MAX, description="an integer from 1: how many were asked")]]
    design_effect: NotRequired[
        Annotated[
            float, Field(gt=0, le=1000, allow_inf_nan=False, description="a number above 0, at most 1000: 1 for a simple sample")
        ]
    ]
    counterpart: NotRequired[Country]
    note: NotRequired[Annotated[str, _text(1024, LINES), Field(description="a string of 1 to 1024 characters")]]
    person: NotRequired[Person]


FEED = Feed(name="reference-figures", sent_by="any office", record=ReferenceFigure)
