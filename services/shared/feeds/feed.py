"""What there is to say of a feed so that its records are counted: one `FeedRules` in one module for each feed.

What a record may be is the contract's, in schemas/feeds: code lists and patterns are derived from there. How figures are made is
the business of the statistics, which ask these rules and name no feed.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Literal, NamedTuple, Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray

from schemas.feeds import Feed
from schemas.values import Dimension
from services.shared.statistics.exchange.ledger_set import Changes
from services.shared.statistics.folding.contribution import FIRST_DAY_MAX, Counts, Integers
from services.shared.statistics.folding.sheet import DELAY_DAYS, day_sheets

Series = tuple[str, str]  # (measure, dimensions joined by "|")
Keys = Sequence[bytes | None]  # of the records, as in the log


class Spans(NamedTuple):
    """Per record: the cell's text (null: the record lacks a field), its first day and the day on which it ends."""

    cells: pl.Series
    first: Integers
    last: Integers


class Flow(NamedTuple):
    """What is counted by the day on which it happened or began. A record belongs to one flow of its feed, by its cell.

    `indicator`, `unit`: under what name, and in what, the flow's nowcast is published; empty: it has none.
    """

    name: str
    indicator: str = ""
    unit: str = ""


class Kind(Enum):
    """How units in cells become an aggregate."""

    FLOW = "those of a quarter's days"
    STOCK = "what is open at a quarter's end"
    ROLLING = "those of the 91 days to a day"
    MEMBERS = "how many stocks of the measure `of` are above 0 at a quarter's end"


class Measure(NamedTuple):
    """An aggregate that a feed gives, and the names of its dimensions. Without `published` it only serves a MEMBERS measure."""

    name: str
    dimensions: tuple[Dimension | Literal["institution"], ...]  # the latter is of one that is not published
    kind: Kind = Kind.FLOW
    of: str = ""
    published: bool = True


class Effects(NamedTuple):
    """What one unit in a cell adds to: flows by quarter, rolling sums and stocks by day (with a sign)."""

    flows: tuple[Series, ...] = ()
    rolling: tuple[Series, ...] = ()
    stocks: tuple[tuple[Series, int], ...] = ()


class Late(NamedTuple):
    """After how many days a record is late, and why then."""

    days: int
    reason: str


class Accumulator(Protocol):
    """Sums up the sheets of a feed whose figures are not sums over cells by quarter."""

    def add(self, day: int, cell: str, change: int) -> None:
        """Take a difference in one cell of the sheet of `day`."""

    def changes(self) -> Changes:
        """Entries that changed since the last call."""


@dataclass(frozen=True)
class FeedRules:
    """How one feed counts.

    `columns`: fields that the fold reads, with their types. `spans`: from those columns and the records' keys to contributions; a
    cell's text joins its fields with `|`, and what does not apply is empty. `valid_cell`: whether a cell's text is one that the
    contract allows (asked once per distinct text). `sheets`: from days whose counts changed, all counts and the cells' texts to
    the sheets that are handed on.

    `flows`, `flow_of`: the flows, and to which of them a cell belongs. `measures`, `effects`: the aggregates, and what one unit in
    a cell adds to them; or `accumulator`, for figures that are no such sums. `late`: when a record is late; None: it has no day on
    which it could be. `headlines`: the indicators that readers quote; their revision is the feed's. `counted_by_person`: of its
    records nothing can be said one by one.
    """

    contract: Feed
    columns: dict[str, type[pl.DataType]]
    spans: Callable[[pl.DataFrame, Keys], Spans]
    valid_cell: Callable[[str], bool]
    sheets: Callable[[list[int], Counts, list[str]], Changes] = day_sheets
    flows: tuple[Flow, ...] = ()
    flow_of: Callable[[str], str] | None = None
    measures: tuple[Measure, ...] = ()
    effects: Callable[[str], Effects] | None = None
    accumulator: Callable[[], Accumulator] | None = None
    late: Late | None = None
    headlines: tuple[str, ...] = ()
    counted_by_person: bool = False
    feed: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "feed", self.contract.name)
        assert (self.effects is None) != (self.accumulator is None), "a feed is added up in one way"
        assert bool(self.flows) == (self.late is not None) == bool(self.headlines), "lateness and revisions are those of flows"
        assert self.late is None or self.late.days < DELAY_DAYS, "later than that is not told apart"

    @property
    def flow_names(self) -> tuple[str, ...]:
        return tuple(flow.name for flow in self.flows)

    def flow(self, cell: str) -> str:
        """The flow that records in this cell belong to."""
        return self.flow_of(cell) if self.flow_of is not None else self.flows[0].name


def countable(spans: Spans) -> NDArray[np.bool_]:
    """Which records have all that counting needs (cell texts are checked apart, once per distinct text)."""
    fine = spans.cells.is_not_null().to_numpy() & (spans.first >= 0) & (spans.first <= FIRST_DAY_MAX)
    return fine & (spans.last >= spans.first)
