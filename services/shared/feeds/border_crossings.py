"""Crossings of the border: a flow of foreigners and one of citizens, in and out, by the local day."""

import polars as pl

from schemas.feeds.border_crossings import FEED
from services.shared.feeds.feed import Effects, FeedRules, Flow, Keys, Kind, Late, Measure, Series, Spans
from services.shared.feeds.movements import FIELDS, valid_movement
from services.shared.feeds.reading import columns, moments, never, text
from services.shared.statistics.exchange.observation import TOTAL
from services.shared.statistics.terms.areas import HOME, groups_of


def _spans(frame: pl.DataFrame, _: Keys) -> Spans:
    return Spans(text(frame, *FIELDS), moments(frame["occurred_at"]), never(frame))


def _flow(cell: str) -> str:
    """Of foreigners, or of citizens: in or out."""
    direction, citizenship, _ = cell.split("|", 2)
    if citizenship == HOME:
        return "citizens_in" if direction == "arrival" else "citizens_out"
    return "arrivals" if direction == "arrival" else "departures"


def _effects(cell: str) -> Effects:
    direction, citizenship, counterpart, purpose = cell.split("|")
    measure, arrives = _flow(cell), direction == "arrival"
    if citizenship == HOME:
        return Effects(flows=((measure, counterpart),))
    area = citizenship if arrives else counterpart
    balance: tuple[tuple[Series, int], ...] = ()
    if purpose == "employment":
        balance = ((("employment_balance", citizenship), 1 if arrives else -1), (("employment_crossings", citizenship), 1))
    rolling = tuple((f"{measure}_rolling", a) for a in (TOTAL, *groups_of(area)))
    return Effects(((measure, f"{area}|{purpose}"),), rolling, balance)


RULES = FeedRules(
    contract=FEED,
    columns=columns(FEED.record, "occurred_at", *FIELDS),
    spans=_spans,
    valid_cell=valid_movement(FEED.record),
    flows=(
        Flow("arrivals", "ARRIVALS", "crossings"),
        Flow("departures", "DEPARTURES", "crossings"),
        Flow("citizens_in"),
        Flow("citizens_out"),
    ),
    flow_of=_flow,
    measures=(
        Measure("arrivals", ("citizenship", "purpose")),
        Measure("departures", ("destination", "purpose")),
        Measure("citizens_in", ("counterpart",)),
        Measure("citizens_out", ("destination",)),
        Measure("arrivals_rolling", ("area",), Kind.ROLLING),
        Measure("departures_rolling", ("area",), Kind.ROLLING),
        Measure("employment_balance", ("citizenship",), Kind.STOCK),
        Measure("employment_crossings", ("citizenship",), Kind.STOCK),
    ),
    effects=_effects,
    late=Late(1, "checkpoints send within the day; a night's batch may come the next morning"),
    headlines=("ARRIVALS", "DEPARTURES"),
)
