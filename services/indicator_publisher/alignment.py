"""Aggregates and estimates of the same cut, out of two ledgers that move at their own pace."""

from typing import NamedTuple

from services.shared.runtime.kafka.ledger import Adoption
from services.shared.statistics.exchange.ledger_set import Changes, Mark

# Sets that wait for their counterpart. Estimates follow aggregates within milliseconds; if they are away for long, the older sets
# become one: their own cuts can no longer be published, but later ones can.
WAITING_MAX = 256


class Aligned(NamedTuple):
    """Changes of both sets since the last aligned cut, and the mark of that cut."""

    aggregates: Changes
    estimates: Changes
    mark: Mark


class Alignment:
    """Takes adopted sets of two ledgers in their order, gives them out at the newest cut that both have."""

    def __init__(self, first: str, second: str) -> None:
        self._waiting: dict[str, list[Adoption]] = {first: [], second: []}
        self._first, self._second = first, second
        self._seen: dict[str, Mark | None] = {first: None, second: None}

    def adopt(self, adoption: Adoption) -> None:
        """A set of either ledger."""
        waiting = self._waiting[adoption.topic]
        waiting.append(adoption)
        if len(waiting) > WAITING_MAX:
            oldest, next_one = waiting[0], waiting[1]
            waiting[:2] = [next_one._replace(changes={**oldest.changes, **next_one.changes})]

    def give(self) -> Aligned | None:
        """Changes up to the newest cut that both ledgers have; None while there is no newer one."""
        places = {self._cut(a.mark): i for i, a in enumerate(self._waiting[self._second])}
        standing = self._seen[self._second]
        if standing is not None:
            places.setdefault(self._cut(standing), -1)
        for i in range(len(self._waiting[self._first]) - 1, -1, -1):
            mark = self._waiting[self._first][i].mark
            j = places.get(self._cut(mark))
            if j is not None:
                return Aligned(self._drop(self._first, i), self._drop(self._second, j), mark)
        return None

    def _drop(self, topic: str, last: int) -> Changes:
        """Remove the sets up to `last` and return their changes as one."""
        waiting = self._waiting[topic]
        changes: Changes = {}
        for adoption in waiting[: last + 1]:
            changes |= adoption.changes
            self._seen[topic] = adoption.mark
        self._waiting[topic] = waiting[last + 1 :]
        return changes

    @staticmethod
    def _cut(mark: Mark) -> tuple[int, frozenset[tuple[str, int]]]:
        return mark.log_time, frozenset(mark.cut.items())
