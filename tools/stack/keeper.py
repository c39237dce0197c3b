"""Keeps one child process running: starts it, restarts it when it dies, stops it."""

import asyncio
import contextlib
import json
import logging
import os
import re
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from services.shared.runtime.process.service import EXIT_CONFIGURATION
from tools.stack.embedded.children import dies_with_parent
from tools.stack.local import Entry
from tools.stack.processes import Program

RESTART_SECONDS_MIN = 0.2  # one crash is no reason to be away for long
RESTART_SECONDS_MAX = 5.0  # a crash at every start must not take the machine
REFUSED_SECONDS = 30.0  # a configuration error heals only by a person's hand
STEADY_SECONDS = 10.0  # who ran this long has started well: its next restart is quick again
STOP_SECONDS_MAX = 12.0  # a service drains for at most 10 s (runtime.process.service); PostgreSQL and Kafka take one
LOG_BYTES_MAX = 16 << 20  # two files a process: half a gigabyte for the stack at the very worst
LOG_END_BYTES = 16 << 10  # a traceback is in there
EXCEPTION = re.compile(r"[\w.]*(Error|Exception|Exit)(: |$)")  # the last line of a traceback

log = logging.getLogger("tolqyn.supervisor")


class Keeper:
    """One child of the supervisor. `changed` is called whenever its pid or problem changes."""

    def __init__(self, program: Program, log_path: Path, changed: Callable[[], None]) -> None:
        self.program = program
        self.problem = ""  # why it does not run; "" while it runs
        self.failures = 0  # ends in a row, none of them after steady running
        self.refused = False  # its last end was a configuration error
        self._log_path = log_path
        self._changed = changed
        self._process: asyncio.subprocess.Process | None = None
        self._created = 0.0
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def entry(self) -> Entry:
        """What the status file says of it."""
        runs = self._process is not None and self._process.returncode is None
        pid = self._process.pid if self._process is not None and runs else None
        return Entry(
            self.program.name, self.program.url, pid, self._created if runs else 0.0, int(self.program.stop_signal), self.problem
        )

    def start(self) -> None:
        """Begin to keep it running. The log of an earlier run becomes `<name>.log.1`."""
        if self._log_path.exists():
            self._log_path.replace(self._log_path.with_suffix(".log.1"))
        self._task = asyncio.create_task(self._keep(), name=self.program.name)

    async def stop(self) -> None:
        """Stop it in order; kill it if it takes too long. It is not restarted."""
        self._stopping.set()
        if self._task is None:
            return
        self._signal(self.program.stop_signal)
        done, _ = await asyncio.wait({self._task}, timeout=STOP_SECONDS_MAX)
        if not done and self._process is not None and self._process.returncode is None:
            log.warning("%s did not stop within %.0f s: killed", self.program.name, STOP_SECONDS_MAX)
            self._signal(signal.SIGKILL)
        await self._task

    def bound_log(self) -> None:
        """Move a log that has grown too long aside. The child keeps appending to the same, then empty, file."""
        if self._log_path.exists() and self._log_path.stat().st_size > LOG_BYTES_MAX:
            shutil.copyfile(self._log_path, self._log_path.with_suffix(".log.1"))
            os.truncate(self._log_path, 0)

    async def _keep(self) -> None:
        name, delay = self.program.name, RESTART_SECONDS_MIN
        while not self._stopping.is_set():
            began = time.monotonic()
            process = await self._run()
            code = await process.wait()
            if self._stopping.is_set():
                break
            if time.monotonic() - began > STEADY_SECONDS:
                self.failures, delay = 0, RESTART_SECONDS_MIN
            self.failures += 1
            self.refused = code == EXIT_CONFIGURATION
            how = f"killed by signal {-code}" if code < 0 else f"ended with code {code}"
            self.problem = last_line(self._log_path) if self.refused else f"{how}: {last_line(self._log_path)}"
            pause = REFUSED_SECONDS if self.refused else delay
            log.warning("%s %s; starting it again in %.1f s", name, how, pause)
            self._changed()
            delay = min(2 * delay, RESTART_SECONDS_MAX)
            try:
                await asyncio.wait_for(self._stopping.wait(), pause)
            except TimeoutError:
                continue
        self._changed()

    async def _run(self) -> asyncio.subprocess.Process:
        program = self.program
        with self._log_path.open("ab") as output:
            self._process = await asyncio.create_subprocess_exec(
                *program.command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**os.environ, **program.env},
                user=program.user,
                group=program.user,
                start_new_session=True,  # Ctrl-C in the terminal is for `tolqyn up`, which stops us in order
                preexec_fn=dies_with_parent(program.death_signal),
            )
        try:
            self._created = psutil.Process(self._process.pid).create_time()
        except psutil.Error:  # gone already: `wait` says how
            self._created = 0.0
        self.problem = ""
        self._changed()
        if self._stopping.is_set():  # asked to stop while it was being started
            self._signal(program.stop_signal)
        return self._process

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.returncode is None:
            # Not Process.send_signal: it polls first, and takes the exit code away from asyncio, which waits for it.
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._process.pid, number)


def last_line(path: Path) -> str:
    """Why a process ended, from the end of its log: the last error of its own, else its last line, else "no output"."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - LOG_END_BYTES))
        lines = file.read().decode("utf-8", "replace").strip().splitlines()
    for line in reversed(lines):
        if EXCEPTION.match(line):
            return line
        try:
            said = json.loads(line)
        except ValueError:
            continue
        if isinstance(said, dict) and said.get("level") in {"ERROR", "CRITICAL"} and said.get("logger") != "asyncio":
            return str(said["message"]).splitlines()[0]
    return lines[-1] if lines else "no output"
