"""Citizens leaving for work abroad: a flow by destination."""

from schemas.feeds.labour_emigration import FEED
from services.shared.feeds.feed import Effects, FeedRules, Flow, Late, Measure
from services.shared.feeds.reading import columns, is_country, on_day

RULES = FeedRules(
    contract=FEED,
    columns=columns(FEED.record, "departed_on", "destination"),
    spans=on_day("departed_on", "destination"),
    valid_cell=is_country,
    flows=(Flow("labour_emigration", "LABOUR_EMIGRATION", "persons"),),
    measures=(Measure("labour_emigration", ("destination",)),),
    effects=lambda cell: Effects(flows=(("labour_emigration", cell),)),
    late=Late(30, "agencies report on those who left once a month"),
    headlines=("LABOUR_EMIGRATION",),
)
