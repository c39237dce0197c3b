"""An event topic as tally reads it, where no broker is needed to see it."""

from services.shared.runtime.kafka.event_log import EventLog
from services.shared.runtime.process.settings import Settings


async def test_the_lag_of_a_partition_that_was_just_taken_away_is_not_known() -> None:
    log = EventLog(Settings(bootstrap_servers="127.0.0.1:1"), "events.work-permits.v1", "g", "", print, print)
    try:
        assert log.lag(0, 5) is None
    finally:
        await log.stop()
