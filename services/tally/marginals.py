"""Beside the counts of a day: how late its records came, and how many were corrected, withdrawn or contradicted.

*Marginal cells* are cells of the sheets like others, with texts that begin with `~`, which no cell of a feed does:

- `~delay|<flow>|<0..60>`: net records of the day that arrived so many local days later, by the append time. A record that counts is
  +1 on the day on which it came; when it is replaced or withdrawn, that is -1 on the day on which the replacement came. The sum
  over all delays is the day's count now, the sum up to a delay is what was known then. Nothing is stored per record.
- `~corrected|<flow>`, `~withdrawn|<flow>`: records of the day that were replaced by another content, or withdrawn, each time.
- `~conflict|<flow>`: records set aside for saying otherwise than the first of the same version; on their own day, or on the first
  one's if they are withdrawals.
"""

import numpy as np

from services.shared.feeds.feed import FeedRules
from services.shared.statistics.folding.contribution import (
    NOTHING,
    ZERO,
    Counts,
    Integers,
    Packed,
    first_days_and_cells,
    merge,
    slot_cells,
    slot_days,
    slot_ends,
    starting,
)
from services.shared.statistics.folding.fold import Resolved
from services.shared.statistics.folding.sheet import CONFLICT, CORRECTED, DELAY, DELAY_DAYS, MARGINAL, WITHDRAWN
from services.tally.decode import Cells

_FATES = (CORRECTED, WITHDRAWN, CONFLICT)
_NO_FLOW = -1


class Marginals:
    """The marginal cells of one partition. Their numbers are those of `cells`, given when they are first needed."""

    def __init__(self, rules: FeedRules, cells: Cells) -> None:
        self._rules, self._cells = rules, cells
        self._flows = rules.flow_names
        self._flow_numbers = np.empty(0, np.int64)  # by cell
        self._numbers = np.zeros((len(self._flows), DELAY_DAYS + 1 + len(_FATES)), np.int64)  # of the cells; 0: none yet

    def of(self, arrived: int, net: Counts, contributions: Packed, resolved: Resolved) -> Counts:
        """What records change that all arrived on one local day: `net` is what they change in the cells themselves."""
        if not self._flows:
            return ZERO
        return merge(self._delays(arrived, net), *self._fates(contributions, resolved))

    def _delays(self, arrived: int, net: Counts) -> Counts:
        starts = ~slot_ends(net.slots)
        slots = net.slots[starts]
        flows = len(self._flows)
        by_flow = merge(Counts(slot_days(slots) * flows + self._flow(slot_cells(slots)), net.counts[starts]))
        days, flow = by_flow.slots // flows, by_flow.slots % flows
        return Counts(starting(days, self._number(flow, np.clip(arrived - days, 0, DELAY_DAYS))), by_flow.counts)

    def _fates(self, contributions: Packed, resolved: Resolved) -> list[Counts]:
        before = resolved.before
        replaced = resolved.counted & (before != NOTHING) & (contributions != before)
        found = []
        if replaced.any():
            gone = contributions[replaced] == NOTHING
            found.append(self._fate(before[replaced], gone.astype(np.int64)))
        if resolved.conflict.any():
            said = contributions[resolved.conflict]
            said = np.where(said == NOTHING, before[resolved.conflict], said)
            found.append(self._fate(said, np.full(len(said), _FATES.index(CONFLICT))))
        return found

    def _fate(self, contributions: Packed, fate: Integers) -> Counts:
        days, cells = first_days_and_cells(contributions)
        slots = starting(days, self._number(self._flow(cells), DELAY_DAYS + 1 + fate))
        return Counts(slots, np.ones(len(slots), np.int64))

    def _flow(self, cells: Integers) -> Integers:
        texts, known = self._cells.texts, len(self._flow_numbers)
        if known < len(texts):
            new = [
                self._flows.index(self._rules.flow(text)) if text and not text.startswith(MARGINAL) else _NO_FLOW
                for text in texts[known:]
            ]
            self._flow_numbers = np.append(self._flow_numbers, np.array(new, np.int64))
        return self._flow_numbers[cells]

    def _number(self, flows: Integers, columns: Integers) -> Integers:
        """Numbers of marginal cells; columns 0..DELAY_DAYS are delays, those after them fates."""
        found = self._numbers[flows, columns]
        if (found == 0).any():
            for flow, column in {*zip(flows[found == 0].tolist(), columns[found == 0].tolist(), strict=True)}:
                name = self._flows[flow]
                fate = column - DELAY_DAYS - 1
                text = f"{_FATES[fate]}|{name}" if fate >= 0 else f"{DELAY}|{name}|{column}"
                self._numbers[flow, column] = self._cells.own(text)
            found = self._numbers[flows, columns]
        return found
