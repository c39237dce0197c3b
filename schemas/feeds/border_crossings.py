"""Border crossings, from the Border Service: one record is one crossing, a flow on its local day."""

from typing import Annotated, Literal, NotRequired

from pydantic import Field, StringConstraints, with_config

from schemas.feeds.feed import Feed
from schemas.feeds.fields import RECORD_CONFIG, Country, Direction, EventTime, Person, Purpose, Record


@with_config(RECORD_CONFIG)
class BorderCrossing(Record):
    """One crossing of the state border. `counterpart` is the country come from, or left for."""

    occurred_at: EventTime
    direction: Direction
    citizenship: Country
    counterpart: Country
    purpose: Purpose
    mode: Annotated[Literal["road", "rail", "air", "sea"], Field(description="one of road rail air sea")]
    checkpoint: Annotated[
        str,
        StringConstraints(min_length=1, max_length=16, pattern=r"^[A-Z0-9-]*$"),
        Field(description="1 to 16 of A-Z 0-9 -"),
    ]
    person: NotRequired[Person]


FEED = Feed(name="border-crossings", sent_by="Border Service of the KNB", record=BorderCrossing)
