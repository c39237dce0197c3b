"""Results as Pathway emits them: rows that come (diff 1) and go (diff -1), with the time of the change."""

import json

from aiokafka import ConsumerRecord

from bench.oracle import Counts


class Changes:
    """A row stands if it came more often than it went."""

    def __init__(self) -> None:
        self._rows: dict[tuple[str, int], int] = {}

    def take(self, record: ConsumerRecord) -> None:
        said = json.loads(record.value)
        row = said["cell"], said["n"]
        self._rows[row] = self._rows.get(row, 0) + said["diff"]

    def counts(self) -> Counts:
        return {cell: n for (cell, n), standing in self._rows.items() if standing > 0}
