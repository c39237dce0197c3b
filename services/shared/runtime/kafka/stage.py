"""A stage between ledgers: sets of the input ledgers come in, one set of the output ledger goes out.

What is computed is the stage's, and the Faust app that runs it is the service's (`services/quarterly_aggregates/app.py`); here is
how sets are read and written. The ledgers hold everything: they are read from the beginning at every start, and nothing is written
before they have been read to their end. At-least-once, and repeats are harmless: values are absolute.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from services.shared.runtime.kafka.ledger import Adoption, LedgerFollower, LedgerOwner, Position, rest_after
from services.shared.runtime.process import metrics
from services.shared.runtime.process.service import ServiceContext
from services.shared.runtime.process.settings import Settings
from services.shared.statistics.exchange.ledger_set import Changes

CUTS_WAITING_MAX = 1  # while the agent is busy the follower waits, and later cuts become one
STOP_SECONDS_MAX = 5.0  # Faust's own stop takes about a second; the process may not hang on it
SESSION_SECONDS = 10.0  # as in tally: a worker that is silent this long is taken for dead (60 by default)

log = logging.getLogger("tolqyn.stage")


class Stage(Protocol):
    """The pure part of a stage."""

    def adopt(self, adoptions: list[Adoption]) -> None:
        """Adopted sets of the input ledgers."""

    def give(self) -> tuple[Changes, Position] | None:
        """What changed in the output since the last call and where it stands; None while inputs are missing. Not called twice
        for the same input."""


class App(Protocol):
    """What hosts a stage: it calls `follow` when it has started, and `hand_on` with what `follow` puts."""

    async def start(self) -> object: ...

    async def stop(self) -> object: ...


def app_options(settings: Settings, name: str) -> dict[str, Any]:
    """How a Faust app is set up that finds everything in the ledgers; makes the folder that Faust wants."""
    datadir = settings.state_dir / "faust" / name
    datadir.mkdir(parents=True, exist_ok=True)  # there is nothing to put in it
    return {
        "broker": [f"kafka://{server}" for server in settings.broker().split(",")],
        "store": "memory://",
        "web_enabled": False,  # the operations endpoints of every service are the same: service.py
        "origin": None,
        "autodiscover": False,
        "topic_replication_factor": 1,
        "datadir": datadir,
        # Faust joins a group even if it only has channels, and waits for it. A killed member would hold the next one up until
        # its session ends; one of the same name takes its place at once. There is one process of a stage: the stage's name.
        "consumer_group_instance_id": name,
        "broker_session_timeout": SESSION_SECONDS,
        "broker_rebalance_timeout": SESSION_SECONDS,
        "broker_heartbeat_interval": SESSION_SECONDS / 3,
    }


class StageLedgers:
    """The ledgers of one stage: `inputs` (all partitions) and partition 0 of `output`. Make it in a running event loop."""

    def __init__(
        self, context: ServiceContext, name: str, inputs: list[str], input_fold: int, output: str, output_fold: int
    ) -> None:
        self._context, self._name = context, name
        self._owner = LedgerOwner(context.settings, output, output_fold)
        self._owned = False
        self._whole: dict[str, bytes] = {}  # the whole output, until the ledger is ours; then the owner holds it
        self._follower = LedgerFollower(context.settings, inputs, input_fold)
        self._failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def run(self, app: App) -> None:
        """The app, until the service stops. What fails inside, fails here."""
        stopping, failed = self._context.stopping, self._failed
        await self._owner.start(stopping)
        keeper = asyncio.ensure_future(self._owner.keep_repaired(stopping))
        await app.start()
        stop = asyncio.ensure_future(stopping.wait())
        try:
            waiting: list[asyncio.Future[Any]] = [stop, failed, keeper]
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for task in (failed, keeper):
                if task.done():
                    task.result()
        finally:
            stopping.set()
            keeper.cancel()
            await asyncio.wait({asyncio.ensure_future(app.stop())}, timeout=STOP_SECONDS_MAX)
            await self._owner.stop()

    async def follow(self, put: Callable[[list[Adoption]], Awaitable[object]]) -> None:
        """Put what the input ledgers say, whole sets at a time, until the service stops."""
        try:
            await self._follower.start(self._context.stopping)
            async for adoptions in self._follower.adoptions(self._context.stopping):
                await put(adoptions)
        except BaseException as error:
            self._fail(error)
            raise
        finally:
            await self._follower.stop()

    async def hand_on(self, stage: Stage, adoptions: list[Adoption]) -> None:
        """Let the stage take the sets, and write what it gives for them."""
        try:
            await self._hand_on(stage, adoptions)
        except BaseException as error:
            self._fail(error)
            raise

    def _fail(self, error: BaseException) -> None:
        """Faust would start a failed agent anew and live on without a failed task: a stage that failed must end as a whole."""
        if not self._failed.done() and not isinstance(error, asyncio.CancelledError):
            self._failed.set_exception(error)

    async def _hand_on(self, stage: Stage, adoptions: list[Adoption]) -> None:
        started = time.monotonic()
        stage.adopt(adoptions)
        given = await asyncio.to_thread(stage.give)
        if given is None:
            return
        changes, position = given
        if self._owned:
            await self._owner.write(0, changes, position)
        else:
            self._whole = {key: value for key, value in {**self._whole, **changes}.items() if value is not None}
            ahead = await self._owner.own(0, self._whole, position)
            if ahead is not None:
                self._context.set_not_ready("an earlier stage is folding again: the inputs are behind what was handed on before")
                return
            self._owned, self._whole = True, {}
            self._context.set_ready()
        metrics.STAGE_CUTS.labels(self._name).inc()
        took = time.monotonic() - started
        metrics.STAGE_SECONDS.labels(self._name).observe(took)
        await asyncio.sleep(rest_after(took))
