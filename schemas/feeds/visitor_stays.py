"""Visitor stays, from hosts (eQonaq) and clinics: one record is one stay, a flow on the day of arrival."""

from typing import Annotated, Literal, NotRequired

from pydantic import Field, with_config

from schemas.feeds.feed import Feed
from schemas.feeds.fields import RECORD_CONFIG, Country, EventDay, Person, Record


@with_config(RECORD_CONFIG)
class VisitorStay(Record):
    """One stay: as a guest, or for medical treatment."""

    arrived_on: EventDay
    citizenship: Country
    kind: Annotated[Literal["guest", "medical"], Field(description="guest or medical")]
    person: NotRequired[Person]


FEED = Feed(name="visitor-stays", sent_by="hosts (eQonaq), clinics", record=VisitorStay)
