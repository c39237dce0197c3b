"""Aggregates in, estimates out: recomputes the estimates of a cut from the few aggregates that they need."""

import orjson

from schemas.values import Entry
from services.shared.runtime.kafka.ledger import Adoption, Position
from services.shared.statistics.aggregation.reporting import MEASURE as REPORTING
from services.shared.statistics.estimation.informality import MEASURES, estimates
from services.shared.statistics.estimation.open_quarter import Nowcasts
from services.shared.statistics.exchange.ledger_set import Changes, Mark

FOLD = 3  # version of the estimators
AGGREGATES_FOLD = 3  # version of the aggregates that they understand


class EstimatesStage:
    """Holds the aggregates that estimates are made from."""

    def __init__(self) -> None:
        self._entries: dict[str, Entry] = {}
        self._nowcasts = Nowcasts()
        self._mark: Mark | None = None
        self._given: set[str] = set()

    def adopt(self, adoptions: list[Adoption]) -> None:
        for adoption in adoptions:
            self._mark = adoption.mark
            for key, value in adoption.changes.items():
                measure = key.partition("|")[0]
                if measure == REPORTING:
                    self._nowcasts.put(key, None if value is None else orjson.loads(value))
                elif measure in MEASURES and value is None:
                    self._entries.pop(key, None)
                elif measure in MEASURES and value is not None:
                    self._entries[key] = orjson.loads(value)

    def give(self) -> tuple[Changes, Position] | None:
        mark = self._mark
        if mark is None:
            return None
        made = estimates(self._entries, mark.log_time) | self._nowcasts.estimates(mark.log_time)
        found = {key: orjson.dumps(value, option=orjson.OPT_SORT_KEYS) for key, value in made.items()}
        changes: Changes = {**dict.fromkeys(self._given - found.keys()), **found}
        self._given = set(found)
        return changes, Position(mark.cut, mark.log_time, mark.identity)
