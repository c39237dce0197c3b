"""What a local stack consists of: the services, in order, and where each listens."""

import os
import signal
import sys
from dataclasses import dataclass, field

from schemas.feeds import FEEDS
from services.shared.runtime.process.settings import Settings
from tools.stack.embedded.ports import LOOPBACK

CONTRACT_PORTS = 1 + len(FEEDS)  # dissemination, then the ingest services in the order of the feeds
KAFKA, POSTGRESQL = "kafka", "postgresql"


@dataclass(frozen=True)
class Service:
    """One service process. `offset`: its place after TOLQYN_PORT, part of the contract; None: any free port."""

    name: str
    module: str
    offset: int | None = None
    env: dict[str, str] = field(default_factory=dict)


INGEST = tuple(Service(name, f"services.{name.replace('-', '_')}", offset) for offset, name in enumerate(FEEDS, start=1))
SERVICES = (
    *INGEST,
    *(
        # With a name of its own, a worker that is started again gets its partitions back at once.
        Service(f"tally-{feed.name}", "services.tally", env={"TOLQYN_FEED": feed.name, "TOLQYN_INSTANCE": f"tally-{feed.name}"})
        for feed in INGEST
    ),
    Service("quarterly-aggregates", "services.quarterly_aggregates"),
    Service("informality-estimates", "services.informality_estimates"),
    Service("indicator-publisher", "services.indicator_publisher"),
    Service("dissemination", "services.dissemination", 0),
)


def contract_ports(settings: Settings) -> range:
    """The ports that users know: dissemination and all ingest services."""
    return range(settings.port, settings.port + CONTRACT_PORTS)


@dataclass(frozen=True)
class Program:
    """What to run as one child process, and how it ends: `stop_signal` in order, `death_signal` when its supervisor is killed."""

    name: str
    command: list[str]
    url: str
    env: dict[str, str] = field(default_factory=dict)
    user: int | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    # A service survives SIGKILL by design, and nothing is quicker or surer.
    death_signal: signal.Signals = signal.SIGKILL


def service_program(service: Service, settings: Settings, port: int) -> Program:
    """A service of the stack that `settings` describe (broker and database included), listening on `port`."""
    env = {
        "TOLQYN_HOME": str(settings.home),
        "TOLQYN_PORT": str(settings.port),
        "TOLQYN_PREFIX": settings.prefix,
        "TOLQYN_LISTEN_HOST": LOOPBACK,
        "TOLQYN_LISTEN_PORT": str(port),
        "TOLQYN_API_KEYS_FILE": str(settings.api_keys_file),
        "TOLQYN_PSEUDONYM_KEY_FILE": str(settings.pseudonym_key_file),
        "TOLQYN_STACK_ID_FILE": str(settings.stack_id_file),
        "TOLQYN_STATE_DIR": str(settings.state_dir),
        "TOLQYN_INBOX": str(settings.inbox),
        "TOLQYN_OUTBOX": str(settings.outbox),
        "KAFKA_BOOTSTRAP_SERVERS": settings.bootstrap_servers,
        "DATABASE_URL": settings.database_url,
        # No service does linear algebra: without this numpy starts a thread per core in every process.
        "OPENBLAS_NUM_THREADS": os.environ.get("OPENBLAS_NUM_THREADS", "1"),
        **service.env,
    }
    # -P: Python looks for modules where it is installed, never in the folder that the stack happens to be started from.
    return Program(service.name, [sys.executable, "-P", "-m", service.module], f"http://{LOOPBACK}:{port}", env)
