"""A short dose of real faults: every service killed once, the broker once, a zombie, a torn file, poison in the log.

The run and the verdict are those of `make chaos`; how long recovery took is not judged here.
"""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from tests.chaos.real.run import run


@pytest.mark.timeout(600)  # takes under two minutes; it waits for recovery, however slow the machine is
async def test_killed_torn_paused_and_poisoned_a_stack_loses_nothing_and_publishes_nothing_untrue(
    stack_port: Callable[[], int],
) -> None:
    done = await run("short", datetime.now(UTC).toordinal(), stack_port(), print)  # other moments each day
    assert done.problems == []
    assert done.verdict is not None
    assert done.verdict.publications >= 20
    assert {"kafka", "indicator-publisher", "tally-border-crossings"} <= {one.target for one in done.outcomes}
    assert min(one.undone for one in done.outcomes) > 0
