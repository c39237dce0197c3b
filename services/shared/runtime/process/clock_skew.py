"""How far two clocks are apart: a process's own, and the one that stamps what the process reads or writes."""

import logging
from datetime import UTC, datetime

from services.shared.statistics.exchange.log_time import APART_MS_MAX

# A clock that a time server keeps is right to milliseconds, and one left alone loses a second a day: at five minutes somebody set
# one of them wrong. Less would turn records away over nothing; more would let a wrong day into the log's time.
SKEW_SECONDS_MAX = APART_MS_MAX / 1000

log = logging.getLogger("tolqyn.clocks")


def skew_seconds(appended: float, sent: float, acknowledged: float) -> float:
    """How far the log's clock is surely ahead (behind: below 0). 0 while the append time lies between the other two.

    Unix seconds; the last two by the own clock. So an acknowledgement that took long proves nothing against a clock.
    """
    first, last = min(sent, acknowledged), max(sent, acknowledged)
    return appended - min(max(appended, first), last)


def printed(seconds: float) -> str:
    """Unix seconds as a line of a log says them."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


class ClockSkew:
    """What the last append time said. `seconds` is None before the first."""

    def __init__(self) -> None:
        self.seconds: float | None = None

    @property
    def apart(self) -> bool:
        """Whether the clocks are too far apart to take anything."""
        return self.seconds is not None and abs(self.seconds) > SKEW_SECONDS_MAX

    def note(self, appended: float, sent: float, acknowledged: float) -> None:
        """Compare the clocks anew (as `skew_seconds`); one line when they part, and one when they agree again."""
        before, self.seconds = self.apart, skew_seconds(appended, sent, acknowledged)
        if self.apart and not before:
            log.warning(
                "this service's clock says %s, the log's %s: they are %.0f s apart, and nothing is taken until they agree",
                printed(acknowledged),
                printed(appended),
                abs(self.seconds),
            )
        elif before and not self.apart:
            log.info("this service's clock and the log's agree again: %s", printed(acknowledged))
