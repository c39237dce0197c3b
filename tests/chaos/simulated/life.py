"""Who plays a role: one process after the other."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from aiokafka.errors import KafkaError

from services.shared.runtime.process.errors import ConfigurationError, Failure
from tests.chaos.simulated.engine import Context
from tests.chaos.simulated.loop import Process

if TYPE_CHECKING:
    from tests.chaos.simulated.world import World


class Service:
    """A role, the process that plays it now, and how to start another."""

    def __init__(self, world: "World", role: str, main: Callable[[Context], Awaitable[None]]) -> None:
        self.world, self.role, self.main = world, role, main
        self.process: Process | None = None
        self.wanted = True
        self.start()

    @property
    def alive(self) -> bool:
        return self.process is not None and not self.process.dead

    def start(self) -> None:
        if self.alive or not self.wanted:
            return
        world = self.world
        self.process = process = Process(self.role, world.broker.epoch)
        world.note(f"start {self.role}")
        process.at_death.append(lambda: world.died(self, process))
        self.context: Any = None
        world.loop.create_task(self._run(process), context=process.context.copy())

    async def _run(self, process: Process) -> None:
        self.context = context = Context(self.world.engine.settings())
        try:
            await self.main(context)
        except (KafkaError, Failure) as error:
            if isinstance(error, ConfigurationError):
                self.world.fail(f"{self.role} stopped: {error}")
            self.world.note(f"{self.role} failed: {type(error).__name__} {error}")
        except Exception as error:  # noqa: BLE001 - any bug of the engine is the run's verdict
            if process.dead:
                return  # it is being buried
            self.world.fail(f"{self.role}: {type(error).__name__}: {error}", error)
        process.die()
