"""Every service is told to end while records stream in: each ends in order within ten seconds, and nothing is lost."""

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime

import psutil
import pytest

from services.cli.processes import SERVICES
from tests.end_to_end.conftest import ALMATY, FEEDS, Stack
from tests.end_to_end.test_faults import figures, open_periods, until_back

END_SECONDS_MAX = 10.0  # the promise
WORK_SECONDS = 1.0  # of sending before the signal: everything is under way then


def end_all(stack: Stack) -> tuple[dict[str, int], float]:
    """Tell every service to end, at once; the pids they had, and how long the last one took."""
    pids = {name: pid for name, (pid, _) in stack.services().items() if pid is not None}
    processes = [psutil.Process(pids[service.name]) for service in SERVICES]
    for process in processes:
        os.kill(process.pid, signal.SIGTERM)
    told = time.monotonic()
    _, alive = psutil.wait_procs(processes, END_SECONDS_MAX)
    assert alive == []
    return {service.name: pids[service.name] for service in SERVICES}, time.monotonic() - told


def ends(stack: Stack) -> dict[str, list[str]]:
    """What the supervisor saw of each service's ends, by service."""
    said = (stack.folder / "home" / "logs" / "supervisor.log").read_text("utf-8").splitlines()
    return {service.name: [line for line in said if f'"{service.name} ended' in line] for service in SERVICES}


@pytest.mark.timeout(480)  # with the start of the stack, where this test is the first that needs it
def test_told_to_end_under_load_every_service_ends_in_order_and_no_figure_moves(stack: Stack) -> None:
    before = ends(stack)
    with ThreadPoolExecutor(1) as pool:
        sending = pool.submit(stack.send, stack.events)
        time.sleep(WORK_SECONDS)
        pids, _ = end_all(stack)
        receipts = sending.result()
    until_back(stack, pids)
    for name, lines in ends(stack).items():
        new = lines[len(before[name]) :]
        assert len(new) == 1, name
        assert "ended with code 0" in new[0], name
    stack.tolqyn("settle")
    for feed in FEEDS:
        assert receipts[feed]["accepted"] == stack.receipts[feed]["accepted"], feed
        assert receipts[feed]["rejected"] == receipts[feed]["retry"] == 0, feed
    without = open_periods(date.fromisoformat(stack.day), datetime.now(ALMATY).date())
    assert figures(stack.tolqyn("export"), without) == figures(stack.export, without)
