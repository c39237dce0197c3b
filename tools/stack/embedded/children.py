"""Child processes that never outlive their parent, whatever kills it."""

import asyncio
import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from services.shared.runtime.process.errors import Failure

START_SECONDS_MAX = 180.0  # a server needs three seconds; a machine that does ten other things has needed sixty
STOP_SECONDS_MAX = 20.0
POLL_SECONDS = 0.1
LOG_TAIL = 2_000  # characters of the log of a server that does not start

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_LIBC = ctypes.CDLL(None, use_errno=True)


def dies_with_parent(number: signal.Signals) -> Callable[[], None]:
    """A `preexec_fn`: the kernel sends the child this signal when the thread that started it ends, even by SIGKILL.

    Start such a child from a thread that lives as long as it should.
    """
    parent = os.getpid()

    def set_death_signal() -> None:
        if hasattr(_LIBC, "prctl"):  # Linux only; elsewhere `tolqyn down` finds what a killed supervisor left
            _LIBC.prctl(_PR_SET_PDEATHSIG, int(number))
            if os.getppid() != parent:  # it died before we asked
                os._exit(1)

    return set_death_signal


class Server(Protocol):
    """An embedded server that is prepared: what to run, where, and how it is stopped in an orderly way."""

    stop_signal: signal.Signals

    @property
    def home(self) -> Path: ...

    def command(self) -> list[str]: ...


@contextmanager
def running(server: Server, answers: Callable[[], Awaitable[str]], log: Path, user: int | None = None) -> Iterator[None]:
    """Run a prepared server for as long as the block lasts (a test, a benchmark: a stack has its supervisor).

    `answers` gives "" when the server is ready, else why not. Its output goes to `log`; `user` is whose process it is, if not ours.
    Raises Failure if it does not start.
    """
    with log.open("ab") as out:
        process = subprocess.Popen(
            server.command(), stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, cwd=server.home,
            user=user, group=user, start_new_session=True,
            preexec_fn=dies_with_parent(server.stop_signal),  # noqa: PLW1509 - it makes two system calls, no locks
        )  # fmt: skip
    try:
        _wait(process, answers, log)
        yield
    finally:
        process.send_signal(server.stop_signal)
        try:
            process.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise


def _wait(process: "subprocess.Popen[bytes]", answers: Callable[[], Awaitable[str]], log: Path) -> None:
    async def ask() -> str:
        return await answers()

    limit = time.monotonic() + START_SECONDS_MAX
    # A loop of its own, which leaves alone one that the caller keeps.
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        while reason := runner.run(ask()):
            if process.poll() is not None or time.monotonic() > limit:
                raise Failure(f"{process.args!r} does not start: {reason}\n{log.read_text('utf-8')[-LOG_TAIL:]}")
            time.sleep(POLL_SECONDS)
