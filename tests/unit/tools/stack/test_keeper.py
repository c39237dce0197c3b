"""A kept process comes back, unless it was asked to go."""

import asyncio
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tools.stack import keeper as keepers
from tools.stack.keeper import Keeper, last_line
from tools.stack.processes import Program

SECONDS_MAX = 20.0


def keep(tmp_path: Path, code: str) -> Keeper:
    program = Program("thing", [sys.executable, "-c", code], "http://127.0.0.1:1")
    return Keeper(program, tmp_path / "thing.log", lambda: None)


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(SECONDS_MAX):
        while not condition():  # noqa: ASYNC110 - files and processes have no events
            await asyncio.sleep(0.02)


async def test_a_killed_process_is_started_again(tmp_path: Path) -> None:
    keeper = keep(tmp_path, "import time; time.sleep(600)")
    keeper.start()
    await until(lambda: keeper.entry.pid)
    first = keeper.entry.pid
    assert first is not None
    psutil.Process(first).kill()
    await until(lambda: keeper.entry.pid not in {None, first})
    second = keeper.entry.pid
    await keeper.stop()
    assert second is not None
    assert not psutil.pid_exists(second)
    assert keeper.entry.pid is None
    assert keeper.failures == 1


async def test_a_configuration_error_is_reported_and_not_tried_again_at_once(tmp_path: Path) -> None:
    line = '{"level":"ERROR","logger":"tolqyn","message":"the key is missing"}'
    keeper = keep(tmp_path, f"import sys; sys.stderr.write({line + chr(10)!r}); sys.exit(78)")
    keeper.start()
    await until(lambda: keeper.refused)
    await asyncio.sleep(2 * keepers.RESTART_SECONDS_MIN)  # longer than the pause after a crash
    assert (keeper.problem, keeper.failures, keeper.entry.pid) == ("the key is missing", 1, None)
    await keeper.stop()


async def test_a_process_that_crashes_at_every_start_says_why(tmp_path: Path) -> None:
    keeper = keep(tmp_path, "raise ValueError('out of cheese')")
    keeper.start()
    await until(lambda: keeper.failures >= 2)
    await keeper.stop()
    assert keeper.problem == "ended with code 1: ValueError: out of cheese"


async def test_a_process_that_does_not_listen_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keepers, "STOP_SECONDS_MAX", 0.2)
    keeper = keep(
        tmp_path, "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)"
    )
    keeper.start()
    await until(lambda: (tmp_path / "thing.log").exists() and "deaf" in (tmp_path / "thing.log").read_text())
    pid = keeper.entry.pid
    await keeper.stop()
    assert pid is not None
    assert not psutil.pid_exists(pid)


async def test_a_long_log_is_moved_aside_while_the_process_writes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keepers, "LOG_BYTES_MAX", 10)
    again = "signal.signal(signal.SIGUSR1, lambda *_: print('second', flush=True))"
    code = f"import signal, time; {again}; print('the first line', flush=True)"
    keeper = keep(tmp_path, code + "\nwhile True: time.sleep(0.01)")
    log = tmp_path / "thing.log"
    keeper.start()
    await until(lambda: log.exists() and "first" in log.read_text())
    keeper.bound_log()
    pid = keeper.entry.pid
    assert pid is not None
    psutil.Process(pid).send_signal(signal.SIGUSR1)
    await until(lambda: log.read_text() == "second\n")
    assert (tmp_path / "thing.log.1").read_text() == "the first line\n"
    await keeper.stop()


def test_the_reason_is_the_last_error_and_not_what_was_said_on_the_way_out(tmp_path: Path) -> None:
    log = tmp_path / "x.log"
    log.write_text("")
    assert last_line(log) == "no output"
    log.write_text(
        'Traceback ...\nFileNotFoundError: [Errno 2] No such file\n{"level":"ERROR","logger":"asyncio","message":"Unclosed"}\n'
    )
    assert last_line(log) == "FileNotFoundError: [Errno 2] No such file"
    log.write_text("Error occurred during initialization of VM\nToo small maximum heap\n")
    assert last_line(log) == "Too small maximum heap"
