"""Changes of permanent residence: a flow into the country by citizenship, and out of it by destination."""

from schemas.feeds.residence_registrations import FEED
from services.shared.feeds.feed import Effects, FeedRules, Flow, Late, Measure
from services.shared.feeds.movements import FIELDS, valid_movement
from services.shared.feeds.reading import columns, on_day


def _flow(cell: str) -> str:
    return "residence_arrivals" if cell.startswith("arrival|") else "residence_departures"


def _effects(cell: str) -> Effects:
    direction, citizenship, counterpart, purpose = cell.split("|")
    dimensions = f"{citizenship}|{purpose}" if direction == "arrival" else counterpart
    return Effects(flows=((_flow(cell), dimensions),))


RULES = FeedRules(
    contract=FEED,
    columns=columns(FEED.record, "occurred_on", *FIELDS),
    spans=on_day("occurred_on", *FIELDS),
    valid_cell=valid_movement(FEED.record),
    flows=(
        Flow("residence_arrivals", "RESIDENCE_ARRIVALS", "persons"),
        Flow("residence_departures", "RESIDENCE_DEPARTURES", "persons"),
    ),
    flow_of=_flow,
    measures=(Measure("residence_arrivals", ("citizenship", "purpose")), Measure("residence_departures", ("destination",))),
    effects=_effects,
    late=Late(10, "who moves registers within ten days"),
    headlines=("RESIDENCE_ARRIVALS", "RESIDENCE_DEPARTURES"),
)
