"""Enrolments of students: a stock of foreigners by level, and of the branches of foreign universities that anyone studies at."""

import numpy as np
import polars as pl

from schemas.feeds.fields import codes
from schemas.feeds.student_enrolments import FEED
from services.shared.feeds.feed import Effects, FeedRules, Flow, Keys, Kind, Late, Measure, Series, Spans
from services.shared.feeds.reading import NO_DAY, columns, days, is_country
from services.shared.statistics.folding.contribution import NEVER
from services.shared.statistics.terms.areas import HOME

_LEVELS = frozenset(codes(FEED.record, "level"))
_COUNTRY = "^[A-Z]{2}$"
_INSTITUTION = r"^[^\x00-\x1f\x7f]{1,32}$"


def _spans(frame: pl.DataFrame, _: Keys) -> Spans:
    first, ended = days(frame, "enrolled_on"), days(frame, "ended_on")
    last = np.maximum(np.where(ended == NO_DAY, NEVER, ended), first)
    readable = (ended > first) | frame["ended_on"].is_null().to_numpy()
    # The institution counts only where it is a branch: a figure depends on it only there. What is no branch of a country, or a
    # branch without a proper name, is null and so is the cell.
    is_branch = pl.col("branch_of").str.contains(_COUNTRY) & pl.col("institution").str.contains(_INSTITUTION)
    branch = pl.when(pl.col("branch_of").is_null()).then(pl.lit("")).when(is_branch).then(pl.col("institution"))
    cells = frame.select(pl.concat_str(["citizenship", "level", branch], separator="|").alias("cell"))["cell"]
    return Spans(cells, np.where(readable, first, NO_DAY), last)


def _valid(cell: str) -> bool:
    citizenship, _, rest = cell.partition("|")
    return is_country(citizenship) and rest.partition("|")[0] in _LEVELS


def _effects(cell: str) -> Effects:
    citizenship, level, branch = cell.split("|", 2)
    stocks: list[tuple[Series, int]] = []
    if citizenship != HOME:
        stocks.append((("students", f"{citizenship}|{level}"), 1))
    if branch:
        stocks.append((("institution", branch), 1))
    return Effects(stocks=tuple(stocks))


RULES = FeedRules(
    contract=FEED,
    columns=columns(FEED.record, "citizenship", "level", "institution", "branch_of", "enrolled_on", "ended_on"),
    spans=_spans,
    valid_cell=_valid,
    flows=(Flow("enrolments"),),
    measures=(
        Measure("students", ("citizenship", "level"), Kind.STOCK),
        Measure("institution", ("institution",), Kind.STOCK, published=False),
        Measure("branches", (), Kind.MEMBERS, of="institution"),
    ),
    effects=_effects,
    late=Late(30, "universities enter their orders of enrolment once a month"),
    headlines=("FOREIGN_STUDENTS",),
)
