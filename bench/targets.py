"""What the figures are held against, on 2 cores with the broker on the same machine."""

from collections.abc import Callable
from typing import Any, NamedTuple

Result = dict[str, Any]

INDEXED_GROWN, INDEXED_FEW, INDEXED_USUAL = 50_000_000, 1_000_000, 20_000_000


class Target(NamedTuple):
    """`measured` takes the figure out of a result and raises KeyError where it was not measured; `limit` is a bound, `at_least` or
    at most."""

    text: str
    limit: float
    at_least: bool
    measured: Callable[[Result], float]

    def holds(self, result: Result) -> bool | None:
        """Whether a result reaches it; None if it was not measured."""
        try:
            found = self.measured(result)
        except KeyError:
            return None
        return found >= self.limit if self.at_least else found <= self.limit


def _times(peer: str) -> Callable[[Result], float]:
    def times(result: Result) -> float:
        mine: float = result["tally"]["records_per_second"]
        return mine / float(result["peers"][peer]["records_per_second"])

    return times


def _next_best(result: Result) -> float:
    return min(_times(peer)(result) for peer in result["peers"])


def _at(*path: str) -> Callable[[Result], float]:
    def figure(result: Result) -> float:
        found: Any = result
        for name in path:
            found = found[name]
        if found is None:
            raise KeyError(path)
        return float(found)

    return figure


def _grown(name: str, indexed: int) -> Callable[[Result], float]:
    def figure(result: Result) -> float:
        for one in result["growth"]:
            if one.get("indexed") == indexed and one.get(name) is not None:
                return float(one[name])
        raise KeyError(name)

    return figure


def _kept_rate(result: Result) -> float:
    rate = "records_per_second"
    return 100 * _grown(rate, INDEXED_GROWN)(result) / _grown(rate, INDEXED_FEW)(result)


TARGETS = (
    Target("tally, records/s in one process", 400_000, True, _at("tally", "records_per_second")),
    Target("tally, microseconds of CPU a record", 3.5, False, _at("tally", "cpu_us_per_record")),
    Target("tally against Kafka Streams, times", 5, True, _times("kafka_streams")),
    Target("tally against Quix Streams, times", 5, True, _times("quix")),
    Target("tally against Pathway, times", 2, True, _times("pathway")),
    Target("tally against Faust, times", 120, True, _times("faust")),
    Target("tally against the best of the others, times (the higher aim)", 3, True, _next_best),
    Target("files to published figures, records/s", 110_000, True, _at("end_to_end", "records_per_second")),
    Target("a whole quarter published, seconds", 80, False, _at("end_to_end", "quarter_seconds")),
    Target("the edge, microseconds of CPU a record", 6.5, False, _at("end_to_end", "edge_cpu_us")),
    Target("rate at 50 million indexed records, per cent of that at 1 million", 65, True, _kept_rate),
    Target("tally's memory at 20 million, MB", 1536, False, _grown("memory_mb", INDEXED_USUAL)),
    Target("ready again after kill -9 at 20 million, seconds", 10, False, _grown("restart_seconds", INDEXED_USUAL)),
    Target("a correction at 20 million in indicators.v1, p99 of seconds", 2, False, _at("live", "correction_seconds", "p99")),
    Target("live traffic published after its ack, p99 of seconds", 2, False, _at("live", "live_seconds", "p99")),
)
