"""Work permits: a stock of those in force, and the flow of those issued."""

import numpy as np
import polars as pl

from schemas.feeds.fields import codes
from schemas.feeds.work_permits import FEED
from services.shared.feeds.feed import Effects, FeedRules, Flow, Keys, Kind, Late, Measure, Spans
from services.shared.feeds.reading import NO_DAY, columns, days, is_country, text

_CATEGORIES = frozenset(codes(FEED.record, "category"))


def _spans(frame: pl.DataFrame, _: Keys) -> Spans:
    first, valid_to, revoked = (days(frame, field) for field in ("valid_from", "valid_to", "revoked_on"))
    # In force on valid_from <= day <= valid_to and before revoked_on; revoked before it began, it is issued and never in force.
    last = np.maximum(np.where(revoked == NO_DAY, valid_to + 1, np.minimum(revoked, valid_to + 1)), first)
    readable = (valid_to >= first) & ((revoked != NO_DAY) | frame["revoked_on"].is_null().to_numpy())
    return Spans(text(frame, "citizenship", "category"), np.where(readable, first, NO_DAY), last)


def _valid(cell: str) -> bool:
    citizenship, _, category = cell.partition("|")
    return is_country(citizenship) and category in _CATEGORIES


RULES = FeedRules(
    contract=FEED,
    columns=columns(FEED.record, "citizenship", "category", "valid_from", "valid_to", "revoked_on"),
    spans=_spans,
    valid_cell=_valid,
    flows=(Flow("permits_issued", "PERMITS_ISSUED", "permits"),),
    measures=(
        Measure("permits_issued", ("citizenship", "category")),
        Measure("permits_in_force", ("citizenship", "category"), Kind.STOCK),
    ),
    effects=lambda cell: Effects(flows=(("permits_issued", cell),), stocks=((("permits_in_force", cell), 1),)),
    late=Late(7, "a permit is entered in the week in which it begins"),
    headlines=("PERMITS_IN_FORCE",),
)
