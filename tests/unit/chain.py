"""What agencies send in at one end, what is published out at the other: the pure parts of every service in a row, no broker.

The parts are those of production: a submission through the edge, one fold per partition, changed sheets into the aggregates,
estimates and indicators of all that stands. So a record that is sent later is counted as it would be, as a change.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import orjson

from schemas.feeds import FEEDS
from schemas.indicators import units
from services.shared.feeds.catalogue import RULES
from services.shared.ingest.calendar_rules import latest
from services.shared.ingest.columns import Columns
from services.shared.ingest.edge import Edge
from services.shared.ingest.submission import prepare
from services.shared.runtime.kafka.topics import load_topics
from services.shared.runtime.postgres.store import Published, Snapshot
from services.shared.statistics.aggregation.aggregates import Aggregates
from services.shared.statistics.estimation.informality import MEASURES, estimates
from services.shared.statistics.estimation.open_quarter import nowcasts
from services.shared.statistics.exchange.observation import Observation
from services.shared.statistics.exchange.records import Records
from services.shared.statistics.publication.indicators import observations
from services.tally.partition import PartitionFold

AGENCY, SECRET, KEY_ID = "local", b"k" * 32, "0" * 8


@lru_cache
def _columns(feed: str) -> Columns:
    """The edge of a feed."""
    return Columns(Edge(FEEDS[feed], SECRET, KEY_ID))


def milliseconds(moment: str) -> int:
    """The Unix milliseconds of a moment with an offset."""
    return round(datetime.fromisoformat(moment).timestamp() * 1000)


class Chain:
    """A stack without its runtime. `send` may be called again and again; `observations` says what is published then."""

    def __init__(self) -> None:
        self._folds: dict[tuple[str, int], PartitionFold] = {}
        self._aggregates = Aggregates()
        self.entries: dict[str, Any] = {}
        self.log_time = 0

    def send(self, feed: str, lines: Iterable[bytes], at: str, conflicts: int = 0) -> None:
        """One submission, which the broker appends at the moment `at`. Every record must be taken, all but `conflicts` counted."""
        now = milliseconds(at)
        partitions = load_topics()[FEEDS[feed].topic].partitions
        submission = prepare(_columns(feed), AGENCY, list(lines), partitions, latest(now))
        assert submission.refusals == {}
        for partition, events in enumerate(submission.events):
            if events:
                conflicts -= self._fold(feed, partition, [key for key, _ in events], [value for _, value in events], now)
        assert conflicts == 0

    def _fold(self, feed: str, partition: int, keys: list[bytes | None], values: list[bytes | None], now: int) -> int:
        fold = self._folds.setdefault((feed, partition), PartitionFold(RULES[feed]))
        offsets = range(fold.offset, fold.offset + len(keys))
        effect = fold.fold(Records(offsets, [now] * len(keys), keys, values, [(("schema", f"{feed}/1".encode()),)] * len(keys)))
        assert {reason for _, reason in effect.dead} <= {"version_conflict"}
        self.log_time = max(self.log_time, fold.log_time)
        self._aggregates.apply(feed, partition, fold.changed_sheets())
        return len(effect.dead)

    def day_of(self, feed: str, cell: str) -> dict[str, int]:
        """By local day, how much stands in a cell of the sheets."""
        found: dict[str, int] = {}
        for (name, _), fold in self._folds.items():
            for day, sheet in fold.all_sheets().items() if name == feed else ():
                content = orjson.loads(sheet)
                count = dict(zip(content["cells"], content["counts"], strict=True)).get(cell, 0)
                if count:
                    found[day] = found.get(day, 0) + count
        return found

    def snapshot(self, until: str = "") -> Snapshot:
        """All that is published now, or at a later moment at which nothing else has come of what is looked at."""
        now = milliseconds(until) if until else self.log_time
        for key, value in self._aggregates.changes(now).items():
            if value is None:
                self.entries.pop(key, None)
            else:
                self.entries[key] = orjson.loads(value)
        estimated = estimates({k: v for k, v in self.entries.items() if v["measure"] in MEASURES}, now)
        estimated |= nowcasts(self.entries, now)
        found: dict[tuple[str, str], Observation] = observations(self.entries, estimated.values(), units())
        at = datetime.fromtimestamp(now / 1000, UTC)
        references: list[Any] = [
            {k: v for k, v in e.items() if k != "measure"} for e in self.entries.values() if e["measure"] == "reference"
        ]
        cut = {f"{feed}/{partition}": fold.offset for (feed, partition), fold in self._folds.items()}
        return Snapshot(1, at, cut, {key: Published(*o, 1, at) for key, o in found.items()}, references, estimated)

    def values(self, series: str, until: str = "") -> dict[str, float]:
        """What is published of a series, by period; a series is written as `Q.ARRIVALS` for the total."""
        freq, indicator, *rest = series.split(".")
        key = ".".join([freq, indicator, *(rest or ["_T", "_T", "_T", "_Z"])])
        return {p: o.value for (s, p), o in self.snapshot(until).observations.items() if s == key and o.value is not None}
