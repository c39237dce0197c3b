"""Every service receives SIGTERM while records stream in: each ends in order within ten seconds, and nothing is lost."""

import os
import re
import signal
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime

import psutil
import pytest

from schemas.feeds import FEEDS
from tests.end_to_end.conftest import ALMATY, Stack
from tests.end_to_end.test_faults import figures, open_periods, until_back
from tools.stack.processes import SERVICES

END_SECONDS_MAX = 10.0  # the promise
UNDER_WAY_SECONDS_MAX = 60.0  # until the first of the records sent are accepted: a second or two
_ACCEPTED = re.compile(r'^tolqyn_ingest_records_total\{feed="border-crossings",status="accepted"\} (\S+)$', re.MULTILINE)


def accepted(stack: Stack) -> float:
    """Border crossings that their ingest service has called accepted."""
    with urllib.request.urlopen(f"http://127.0.0.1:{stack.port + 1}/metrics", timeout=END_SECONDS_MAX) as answer:
        return sum(map(float, _ACCEPTED.findall(answer.read().decode())))


def until_under_way(stack: Stack, before: float) -> None:
    limit = time.monotonic() + UNDER_WAY_SECONDS_MAX
    while accepted(stack) == before:
        assert time.monotonic() < limit, "no crossing was accepted"
        time.sleep(0.02)


def end_all(pids: dict[str, int]) -> None:
    """Tell every service to end, at once. Each is gone in time."""
    processes = [psutil.Process(pids[service.name]) for service in SERVICES]
    for process in processes:
        os.kill(process.pid, signal.SIGTERM)
    _, alive = psutil.wait_procs(processes, END_SECONDS_MAX)
    assert alive == []


def ends(stack: Stack) -> dict[str, list[str]]:
    """What the supervisor saw of each service's ends, by service."""
    said = (stack.folder / "home" / "logs" / "supervisor.log").read_text("utf-8").splitlines()
    return {service.name: [line for line in said if f'"{service.name} ended' in line] for service in SERVICES}


@pytest.mark.timeout(480)  # with the start of the stack, where this test is the first that needs it
def test_told_to_end_under_load_every_service_ends_in_order_and_no_figure_moves(stack: Stack) -> None:
    before, sent_before = ends(stack), accepted(stack)
    running = stack.services()
    pids = {service.name: pid for service in SERVICES if (pid := running[service.name][0]) is not None}
    with ThreadPoolExecutor(1) as pool:
        sending = pool.submit(stack.send, stack.events)
        until_under_way(stack, sent_before)
        assert not sending.done(), "everything was sent before the services were told"
        end_all(pids)
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
