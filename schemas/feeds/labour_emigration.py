"""Labour emigration, from the Ministry of Labour: one record is one citizen leaving for work abroad, a flow."""

from typing import Annotated, Literal, NotRequired

from pydantic import Field, with_config

from schemas.feeds.feed import Feed
from schemas.feeds.fields import RECORD_CONFIG, Country, EventDay, Person, Record


@with_config(RECORD_CONFIG)
class LabourEmigration(Record):
    """One departure for work. `organised`: by way of an agency or an agreement between states."""

    departed_on: EventDay
    destination: Country
    channel: Annotated[Literal["organised", "individual"], Field(description="organised or individual")]
    person: NotRequired[Person]


FEED = Feed(name="labour-emigration", sent_by="Ministry of Labour", record=LabourEmigration)
