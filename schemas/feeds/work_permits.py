"""Work permits, from the Ministry of Labour and the akimats: one record is one permit, a stock while it is in force."""

from typing import Annotated, Literal, NotRequired

from pydantic import Field, with_config

from schemas.feeds.codes import REGIONS, SECTORS
from schemas.feeds.feed import Feed, Order
from schemas.feeds.fields import RECORD_CONFIG, Country, EventDay, OneOf, OtherDay, Person, Record


@with_config(RECORD_CONFIG)
class WorkPermit(Record):
    """One permit. In force from `valid_from` to `valid_to`, both included, and never on or after `revoked_on`."""

    citizenship: Country
    category: Annotated[
        Literal["1", "2", "3", "4", "seasonal", "transfer"],
        Field(description='one of "1" "2" "3" "4" "seasonal" "transfer"'),
    ]
    region: Annotated[str, OneOf(REGIONS), Field(description="an ISO 3166-2 code of Kazakhstan, as KZ-75")]
    sector: Annotated[str, OneOf(SECTORS), Field(description="one letter A to U, an ISIC section")]
    valid_from: EventDay
    valid_to: OtherDay
    revoked_on: NotRequired[OtherDay]
    employer: Person
    person: NotRequired[Person]


FEED = Feed(
    name="work-permits",
    sent_by="Ministry of Labour, akimats",
    record=WorkPermit,
    orders=(Order("valid_from", "valid_to", strict=False),),
)
