"""A stage hands on what its input says; one that cannot go on ends as a whole: a process that lives on without its follower or its
agent would look well and publish nothing."""

import asyncio
import json
import os
import signal
import subprocess
import sys

from services.shared.runtime.kafka import clients as kafka
from services.shared.runtime.process.service import EXIT_CONFIGURATION
from services.shared.runtime.process.settings import Settings
from services.shared.statistics.exchange.ledger_set import MARK_KEY
from tests.integration.stages import AGGREGATES, ESTIMATES, Stages
from tools.stack.embedded.ports import free_port

END_SECONDS_MAX = 60  # it takes about four: imports, Faust's start, one question to the broker
SURVEY_REFERENCE = "reference|labour_force_survey|2025-Q2"


def _started(settings: Settings) -> "subprocess.Popen[str]":
    env = {
        **os.environ,
        "TOLQYN_HOME": str(settings.home),
        "TOLQYN_PREFIX": settings.prefix,
        "KAFKA_BOOTSTRAP_SERVERS": settings.bootstrap_servers,
        "TOLQYN_STATE_DIR": str(settings.state_dir),
        "TOLQYN_LISTEN_PORT": str(free_port()),
    }
    command = [sys.executable, "-P", "-m", "services.informality_estimates"]
    return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def _ended(process: "subprocess.Popen[str]") -> tuple[int, list[str]]:
    """Exit code and log lines."""
    try:
        _, log = process.communicate(timeout=END_SECONDS_MAX)
    finally:
        process.kill()
    return process.returncode, log.splitlines()


async def _cut_of(settings: Settings) -> int | None:
    """Of the newest mark of the estimates."""
    marks = [r.value for r in await kafka.read_to_end(settings, ESTIMATES) if r.key == MARK_KEY.encode()]
    return int(json.loads(marks[-1])["cut"]["f/0"]) if marks else None


def test_a_stage_whose_input_topics_do_not_exist_ends_with_one_clear_line(settings: Settings) -> None:
    code, lines = _ended(_started(settings))
    assert code == EXIT_CONFIGURATION, lines
    assert f"topic {settings.prefix}aggregates.quarterly.v1 does not exist" in lines[-1]


async def test_a_stage_whose_agent_fails_ends_with_what_failed(settings: Settings, stages: Stages) -> None:
    await stages.write(AGGREGATES, 1, {SURVEY_REFERENCE: b"no JSON"})
    code, lines = await asyncio.to_thread(_ended, _started(settings))
    assert code == 1, lines
    assert "JSONDecodeError" in lines[-1]


async def test_a_stage_hands_on_each_cut_and_ends_in_order_when_told_to(settings: Settings, stages: Stages) -> None:
    process = _started(settings)
    try:
        for cut in (1, 2):
            await stages.write(AGGREGATES, cut, {})
            async with asyncio.timeout(END_SECONDS_MAX):
                while await _cut_of(settings) != cut:
                    assert process.poll() is None, "the stage went home early"
                    await asyncio.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        code, lines = await asyncio.to_thread(_ended, process)
    finally:
        process.kill()
    assert (code, lines) == (0, [])
