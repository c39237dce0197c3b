"""Student enrolments, from universities: one record is one enrolment, a stock while it is open."""

from typing import Annotated, Literal, NotRequired

from pydantic import Field, StringConstraints, with_config

from schemas.feeds.codes import EDUCATION_FIELDS
from schemas.feeds.feed import Feed, Order
from schemas.feeds.fields import RECORD_CONFIG, TEXT, Country, EventDay, OneOf, OtherDay, Person, Record


@with_config(RECORD_CONFIG)
class StudentEnrolment(Record):
    """One enrolment. Open from `enrolled_on`, and no longer on or after `ended_on`."""

    citizenship: Country
    institution: Annotated[
        str,
        StringConstraints(min_length=1, max_length=32, pattern=TEXT),
        Field(description="a string of 1 to 32 characters, no control characters"),
    ]
    branch_of: NotRequired[Country]
    level: Annotated[
        Literal["preparatory", "bachelor", "master", "doctoral", "residency"],
        Field(description="one of preparatory bachelor master doctoral residency"),
    ]
    field: Annotated[str, OneOf(EDUCATION_FIELDS), Field(description='an ISCED-F broad field, "00" to "10"')]
    enrolled_on: EventDay
    ended_on: NotRequired[OtherDay]
    outcome: NotRequired[
        Annotated[Literal["graduated", "withdrawn", "transferred"], Field(description="one of graduated withdrawn transferred")]
    ]
    person: NotRequired[Person]


FEED = Feed(
    name="student-enrolments",
    sent_by="universities",
    record=StudentEnrolment,
    orders=(Order("enrolled_on", "ended_on", strict=True),),
)
