"""Residence registrations, from the Bureau of National Statistics: one record is one change of permanent residence, a flow."""

from typing import NotRequired

from pydantic import with_config

from schemas.feeds.feed import Feed
from schemas.feeds.fields import RECORD_CONFIG, Country, Direction, EventDay, Person, Purpose, Record


@with_config(RECORD_CONFIG)
class ResidenceRegistration(Record):
    """One statistical slip. `counterpart` is the country moved from, or to; `purpose` why."""

    occurred_on: EventDay
    direction: Direction
    citizenship: Country
    counterpart: Country
    purpose: Purpose
    person: NotRequired[Person]


FEED = Feed(name="residence-registrations", sent_by="Bureau of National Statistics", record=ResidenceRegistration)
