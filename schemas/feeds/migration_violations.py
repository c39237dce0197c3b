"""Migration violations, from the Ministry of Internal Affairs: one record is one offence by one person.

What counts is how many persons were found how often in a year, so `person` is required; all records lie in one partition.
"""

from typing import Annotated, Literal

from pydantic import Field, with_config

from schemas.feeds.feed import Feed
from schemas.feeds.fields import RECORD_CONFIG, Country, EventDay, Person, Record


@with_config(RECORD_CONFIG)
class MigrationViolation(Record):
    """One offence. The same person must be sent under the same document number each time."""

    occurred_on: EventDay
    citizenship: Country
    kind: Annotated[
        Literal["work_without_permit", "work_without_contract", "overstay", "other"],
        Field(description="one of work_without_permit work_without_contract overstay other"),
    ]
    person: Person


FEED = Feed(name="migration-violations", sent_by="Ministry of Internal Affairs", record=MigrationViolation)
