"""Stays of guests and patients: two flows by the day of arrival."""

from schemas.feeds.fields import codes
from schemas.feeds.visitor_stays import FEED
from services.shared.feeds.feed import Effects, FeedRules, Flow, Late, Measure
from services.shared.feeds.reading import columns, is_country, on_day

_KINDS = frozenset(codes(FEED.record, "kind"))


def _valid(cell: str) -> bool:
    citizenship, _, kind = cell.partition("|")
    return is_country(citizenship) and kind in _KINDS


def _flow(cell: str) -> str:
    return "guests" if cell.endswith("|guest") else "medical"


def _effects(cell: str) -> Effects:
    citizenship, _ = cell.split("|")
    return Effects(flows=((_flow(cell), citizenship),))


RULES = FeedRules(
    contract=FEED,
    columns=columns(FEED.record, "arrived_on", "citizenship", "kind"),
    spans=on_day("arrived_on", "citizenship", "kind"),
    valid_cell=_valid,
    flows=(Flow("guests", "FOREIGN_GUESTS", "stays"), Flow("medical", "MEDICAL_VISITORS", "stays")),
    flow_of=_flow,
    measures=(Measure("guests", ("citizenship",)), Measure("medical", ("citizenship",))),
    effects=_effects,
    late=Late(5, "hosts report a guest within three working days"),
    headlines=("FOREIGN_GUESTS", "MEDICAL_VISITORS"),
)
