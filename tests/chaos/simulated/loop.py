"""An event loop under one random seed: virtual time, no threads, and processes that can die or stand still at any await.

Handles of one process run in their order, as asyncio promises; which process goes on next is drawn. What belongs to which process
is told by a context variable, which tasks and callbacks inherit.
"""

import asyncio
import contextvars
import heapq
import random
from collections.abc import Callable
from contextvars import Context
from typing import Any, TypeVarTuple

THREAD_SECONDS_MAX = 0.2  # how long work given to a thread may take


Args = TypeVarTuple("Args")


class Killed(BaseException):
    """The process dies here: raised by a write in a thread, and thrown into what a dead process left."""


class Process:
    """A process of the simulation. Dead or paused, none of its code runs."""

    def __init__(self, name: str, epoch: int = 0) -> None:
        self.name, self.epoch = name, epoch  # epoch: the generation of topics that it was started with
        self.dead = False
        self.paused = False
        self.held: list[asyncio.Handle] = []
        self.at_death: list[Callable[[], None]] = []
        self.context = contextvars.copy_context()
        self.context.run(CURRENT.set, self)

    def die(self) -> None:
        """Kill -9."""
        if not self.dead:
            self.dead, self.held = True, []
            for action in self.at_death:
                action()


CURRENT: contextvars.ContextVar[Process | None] = contextvars.ContextVar("process", default=None)
OUTSIDE = contextvars.Context()  # of what happens outside all processes: the broker, the network, the faults


class SeededLoop(asyncio.BaseEventLoop):
    """`rng` decides about everything that is not determined."""

    def __init__(self, rng: random.Random) -> None:
        super().__init__()
        self.rng = rng
        self.now = 0.0
        self._timers = 0  # made so far
        self.tasks: list[asyncio.Task[Any]] = []
        self.set_task_factory(self._make_task)

    def time(self) -> float:
        return self.now

    def call_at(
        self, when: float, callback: Callable[[*Args], object], *args: *Args, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """As asyncio's; its heap compares timers in Python, this one numbers. Timers of the same moment go off in their order."""
        timer = asyncio.TimerHandle(when, callback, args, self, context)
        self._timers += 1
        heapq.heappush(self._scheduled, (when, self._timers, timer))  # type: ignore[attr-defined]
        timer._scheduled = True  # type: ignore[attr-defined]
        return timer

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """Cancelled ones stay in the heap until their time comes."""

    def _write_to_self(self) -> None:
        """Nobody sleeps in a selector that would have to be woken."""

    def _make_task(self, loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> asyncio.Task[Any]:
        task = asyncio.Task(coroutine, loop=loop, **options)
        task._log_destroy_pending = False  # type: ignore[attr-defined]
        self.tasks.append(task)
        return task

    def _run_once(self) -> None:
        ready, scheduled = self._ready, self._scheduled  # type: ignore[attr-defined]
        if not ready:
            assert scheduled, "nothing will ever happen again"
            self.now = max(self.now, scheduled[0][0])
        while scheduled and scheduled[0][0] <= self.now:
            timer = heapq.heappop(scheduled)[2]
            timer._scheduled = False
            ready.append(timer)
        if len(ready) == 1:
            handle = ready.popleft()
            owner = handle._context.get(CURRENT)
        else:
            owner = ready[int(self.rng.random() * len(ready))]._context.get(CURRENT)
            place = next(i for i, h in enumerate(ready) if h._context.get(CURRENT) is owner)
            handle = ready[place]
            del ready[place]
        if handle._cancelled or (owner is not None and owner.dead):
            return
        if owner is not None and owner.paused:
            owner.held.append(handle)
            return
        handle._run()

    def resume(self, process: Process) -> None:
        """Let a paused process go on (SIGCONT)."""
        process.paused = False
        self._ready.extend(process.held)  # type: ignore[attr-defined]
        process.held = []

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:  # type: ignore[override]
        """Work for a thread is done here and at once, at some moment soon; its process may be dead by then."""
        future = self.create_future()

        def work() -> None:
            if future.cancelled():
                return
            try:
                future.set_result(func(*args))
            except Killed:
                process = CURRENT.get()
                assert process is not None
                process.die()
            except Exception as error:  # noqa: BLE001 - as a thread does: whoever waits gets it
                future.set_exception(error)

        self.call_later(self.rng.random() * THREAD_SECONDS_MAX, work)
        return future

    def bury(self) -> None:
        """Unwind whatever is still suspended, so that nothing of it runs later."""
        for task in self.tasks:
            coroutine = task.get_coro()
            for _ in range(20):
                try:
                    coroutine.throw(Killed())
                except BaseException:  # noqa: BLE001 - dead is dead, by whatever it died
                    break
        self.tasks.clear()
        self._ready.clear()  # type: ignore[attr-defined]
        self._scheduled.clear()  # type: ignore[attr-defined]
