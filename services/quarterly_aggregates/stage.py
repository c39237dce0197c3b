"""Sheets in, aggregates out: holds the newest whole set of every tally partition and what they add up to."""

from services.shared.runtime.kafka.ledger import Adoption, Position
from services.shared.statistics.aggregation.aggregates import Aggregates
from services.shared.statistics.exchange.ledger_set import Changes, Cut, Mark

FOLD = 3  # version of the rules by which sheets become aggregates
TALLY_FOLD = 3  # version of the sheets that these rules add up: never a sum over two


class AggregatesStage:
    """`partitions`: (tally topic, partition) of everything that must have been adopted before there is a cut at all."""

    def __init__(self, partitions: list[tuple[str, int]]) -> None:
        self._marks: dict[tuple[str, int], Mark | None] = dict.fromkeys(partitions)
        self._aggregates = Aggregates()

    def adopt(self, adoptions: list[Adoption]) -> None:
        for adoption in adoptions:
            self._marks[adoption.topic, adoption.partition] = adoption.mark
            feed = adoption.topic.removeprefix("tallies.").removesuffix(".v1")
            self._aggregates.apply(feed, adoption.partition, adoption.changes)

    def give(self) -> tuple[Changes, Position] | None:
        marks = [mark for mark in self._marks.values() if mark is not None]
        if len(marks) < len(self._marks):
            return None
        cut: Cut = {}
        identity: dict[str, str] = {}
        for mark in marks:
            cut |= mark.cut
            identity |= mark.identity
        log_time = max(mark.log_time for mark in marks)
        return self._aggregates.changes(log_time), Position(cut, log_time, identity)
