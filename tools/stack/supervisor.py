"""The supervisor of a local stack: starts broker, database and services, restarts what dies, stops all in order.

`tolqyn up` runs it as `python -m tools.stack.supervisor`; SIGTERM ends it. What it does is in `TOLQYN_HOME/run/status.json`.
"""

import asyncio
import fcntl
import json
import logging
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

import psutil

from services.shared.runtime.kafka import clients
from services.shared.runtime.kafka.set_up import set_up
from services.shared.runtime.process.api_keys import ApiKeys
from services.shared.runtime.process.errors import ConfigurationError, Failure, TolqynError
from services.shared.runtime.process.service import set_up_logs
from services.shared.runtime.process.settings import Settings
from tools.stack import local, probe, processes
from tools.stack.embedded import kafka, postgres
from tools.stack.embedded.ports import LOOPBACK, is_free, kept_ports
from tools.stack.keeper import Keeper
from tools.stack.local import Entry, Status

POLL_SECONDS = 0.1  # while starting; a tenth of a second is not noticed
EXTERNAL_POLL_SECONDS = 1.0  # a broker or database of somebody else's is not asked more often
WATCH_SECONDS = 5.0  # how often the logs are looked at: at full speed a service writes a few MB between two looks
LOCK_SECONDS_MAX = 5.0  # a supervisor that is just ending releases its home within this
FAILURES_MAX = 5  # a process that failed to start so often in a row will not start by itself
AGENCY = "local"  # whom the stack's own keys stand for

log = logging.getLogger("tolqyn.supervisor")


class Supervisor:
    """One run of one local stack."""

    def __init__(self, settings: Settings) -> None:
        self.stopping = asyncio.Event()
        self._home = settings.home
        self._settings = settings  # broker and database are filled in once they run
        self._servers: list[Keeper] = []
        self._services: list[Keeper] = []
        self._external: list[Entry] = []
        own = psutil.Process()
        self._status = Status(own.pid, own.create_time(), keys=str(local.keys_file(settings)))

    async def run(self) -> None:
        """Start everything, keep it running until `stopping` is set, stop it. Raises TolqynError if it cannot start."""
        start = asyncio.create_task(self._start())
        stop = asyncio.create_task(self.stopping.wait())
        try:
            await asyncio.wait({start, stop}, return_when=asyncio.FIRST_COMPLETED)
            if start.done():
                start.result()
                self._say(phase=local.READY, step="")
            while not self.stopping.is_set():
                await asyncio.wait({stop}, timeout=WATCH_SECONDS)
                for keeper in self._servers + self._services:
                    keeper.bound_log()
            self._say(phase=local.STOPPING)
        finally:
            start.cancel()
            stop.cancel()
            await asyncio.gather(start, stop, return_exceptions=True)
            # Services first, so that they can still write; then the database and the broker.
            await asyncio.gather(*(keeper.stop() for keeper in self._services))
            await asyncio.gather(*(keeper.stop() for keeper in self._servers))

    async def _start(self) -> None:
        settings = self._settings
        refuse_taken_ports(settings)
        names = [processes.KAFKA, "kafka-controller", processes.POSTGRESQL]
        names += [service.name for service in processes.SERVICES if service.offset is None]
        ports = kept_ports(self._home / "run" / "ports.json", names, processes.contract_ports(settings))
        ports |= {service.name: settings.port + service.offset for service in processes.SERVICES if service.offset is not None}

        self._say(step="starting Kafka and PostgreSQL")
        bootstrap_servers, database_url = await asyncio.gather(self._kafka(ports), self._postgres(ports))
        settings = replace(settings, bootstrap_servers=bootstrap_servers, database_url=database_url)

        self._say(step="creating topics and keys", bootstrap_servers=bootstrap_servers, database_url=database_url)
        await set_up(settings)
        make_keys(settings)

        self._say(step="starting the services")
        programs = [processes.service_program(service, settings, ports[service.name]) for service in processes.SERVICES]
        self._services = [self._keeper(program) for program in programs]
        for keeper in self._services:
            keeper.start()
        async with probe.session() as session:
            await asyncio.gather(*(self._until_ready(k, partial(probe.not_ready, session, k.program.url)) for k in self._services))

    async def _kafka(self, ports: dict[str, int]) -> str:
        """Start the broker, or wait for the one that is configured; its bootstrap servers."""
        given = self._settings.bootstrap_servers
        if given:
            await self._until_external(Entry(processes.KAFKA, given), lambda: clients.answers(given))
            return given
        server = kafka.EmbeddedKafka(self._home / "kafka", ports[processes.KAFKA], ports["kafka-controller"])
        await asyncio.to_thread(server.prepare)
        program = processes.Program(
            processes.KAFKA,
            server.command(),
            server.bootstrap_servers,
            stop_signal=server.stop_signal,
            death_signal=server.stop_signal,  # in order, so that the next start need not check the logs
        )
        await self._until_ready(self._start_server(program), lambda: clients.answers(server.bootstrap_servers))
        return server.bootstrap_servers

    async def _postgres(self, ports: dict[str, int]) -> str:
        """Start the database, or wait for the one that is configured; its URL."""
        given = self._settings.database_url
        if given:
            shown = f"postgresql://{given.rpartition('@')[2]}"  # without the password
            await self._until_external(Entry(processes.POSTGRESQL, shown), lambda: postgres.answers(given))
            return given
        password = self._home / "secrets" / "postgres-password"
        server = postgres.EmbeddedPostgres(self._home / "postgres", ports[processes.POSTGRESQL], password)
        await asyncio.to_thread(server.prepare)
        program = processes.Program(
            processes.POSTGRESQL,
            server.command(),
            f"postgresql://{LOOPBACK}:{server.port}/{postgres.DATABASE}",
            user=server.run_as,
            stop_signal=server.stop_signal,
            death_signal=server.stop_signal,
        )
        await self._until_ready(self._start_server(program), lambda: postgres.answers(server.maintenance_url))
        await asyncio.to_thread(server.create_database)
        return server.url

    def _keeper(self, program: processes.Program) -> Keeper:
        return Keeper(program, local.log_file(self._settings, program.name), self._say)

    def _start_server(self, program: processes.Program) -> Keeper:
        keeper = self._keeper(program)
        self._servers.append(keeper)
        keeper.start()
        return keeper

    async def _until_ready(self, keeper: Keeper, not_ready: Callable[[], Awaitable[str]]) -> None:
        """Wait for "" from `not_ready`. Raises Failure when the process will not start by itself."""
        while await not_ready():
            if keeper.refused:
                raise ConfigurationError(keeper.problem)
            if keeper.failures >= FAILURES_MAX:
                raise Failure(f"{keeper.program.name} does not start, {keeper.problem}")
            await asyncio.sleep(POLL_SECONDS)

    async def _until_external(self, entry: Entry, not_ready: Callable[[], Awaitable[str]]) -> None:
        self._external.append(entry)
        while reason := await not_ready():
            self._say(step=f"waiting for {entry.name}: {reason}")
            await asyncio.sleep(EXTERNAL_POLL_SECONDS)

    def fail(self, error: TolqynError) -> None:
        """Leave word of why the stack did not start."""
        self._say(phase=local.FAILED, error=str(error))

    def _say(self, **changes: str) -> None:
        """Write the status file, with what changed."""
        entries = self._external + [keeper.entry for keeper in self._servers + self._services]
        order = [processes.KAFKA, processes.POSTGRESQL, *(service.name for service in processes.SERVICES)]
        entries.sort(key=lambda entry: order.index(entry.name))
        # replace() checks the names; mypy cannot know that every field we change is a string.
        self._status = replace(self._status, services=entries, **changes)  # type: ignore[arg-type]
        local.write_status(self._settings, self._status)


def refuse_taken_ports(settings: Settings) -> None:
    """Raise ConfigurationError if somebody listens on a port that the contract gives to this stack."""
    for service in processes.SERVICES:
        if service.offset is not None and not is_free(settings.port + service.offset):
            raise ConfigurationError(
                f"port {settings.port + service.offset} (for {service.name}) is taken: stop what listens there, or set TOLQYN_PORT"
            )


def make_keys(settings: Settings) -> None:
    """See to it that this stack has a working key of its own for each feed."""
    path = local.keys_file(settings)
    keys: dict[str, str] = json.loads(path.read_text("utf-8")) if path.exists() else {}
    known = ApiKeys(settings.api_keys_file)
    missing = [service.name for service in processes.INGEST if service.name not in keys or known.find(keys[service.name]) is None]
    for feed in missing:
        keys[feed] = known.add(AGENCY, feed)[1]
    if missing:
        local.write_secret(path, json.dumps(keys, indent=2))


@contextmanager
def sole_supervisor(settings: Settings) -> Iterator[None]:
    """Hold this home; ConfigurationError if another supervisor does. The kernel lets go of it when we end, however we end."""
    path = settings.home / "run" / "lock"
    limit = time.monotonic() + LOCK_SECONDS_MAX
    with path.open("w", encoding="ascii") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > limit:
                    raise ConfigurationError(f"another supervisor runs in {settings.home}: `tolqyn down` first") from None
                time.sleep(POLL_SECONDS)
        yield


async def _main(settings: Settings) -> None:
    supervisor = Supervisor(settings)
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, supervisor.stopping.set)
    try:
        await supervisor.run()
    except TolqynError as error:
        supervisor.fail(error)  # last: who waits for it finds everything stopped
        raise


def main() -> int:
    """Run the stack of this environment to its end. Exit code 1 with one line in the log if it cannot start."""
    set_up_logs()
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # every probe of a broker that still starts would be an error
    settings = Settings.from_env()
    local.make_folders(settings)
    try:
        with sole_supervisor(settings):
            local.stop_leftovers(settings)
            asyncio.run(_main(settings))
    except TolqynError as error:
        log.error("%s", error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
