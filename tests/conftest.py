"""Fixtures for all tests: a real broker, a real database, settings of a stack that no other test sees.

The broker is a container where a Docker engine answers, else the embedded one; the pytest header says which. Nothing is skipped.
"""

import itertools
import os
import random
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from xdist.scheduler import LoadScopeScheduling

from services.shared.runtime.kafka import clients
from services.shared.runtime.process.settings import Settings
from tools.stack.embedded import kafka, postgres
from tools.stack.embedded.children import running
from tools.stack.embedded.ports import free_port, is_free
from tools.stack.processes import CONTRACT_PORTS

# Below the range from which stacks take the ports of their other processes: one stack never stands in another's way.
STACK_PORTS = (10_000, 19_000)
KAFKA_IMAGE = "confluentinc/cp-kafka:7.9.0"
# Folders of tests that stay together: two whole stacks at a time are more than two cores bear.
TOGETHER = {"chaos": "stacks", "end_to_end": "stacks", "integration": "broker"}

_numbers = itertools.count(1)


def _docker_answers() -> bool:
    import docker

    try:
        client = docker.from_env(timeout=5)
        try:
            return bool(client.ping())
        finally:
            client.close()
    except docker.errors.DockerException:
        return False


class _ByFolder(LoadScopeScheduling):  # type: ignore[misc]  # xdist has no types
    """One of two workers runs the tests of whole stacks, the other those of the shared broker; other files go to who is free."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return TOGETHER.get(file.split("/")[1], file)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    return _ByFolder(config, log)


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_IN_DOCKER] = _docker_answers()


_IN_DOCKER = pytest.StashKey[bool]()


def pytest_report_header(config: pytest.Config) -> str:
    where = f"container {KAFKA_IMAGE}" if config.stash[_IN_DOCKER] else "the embedded one (no Docker engine answers)"
    return f"Kafka broker: {where}; PostgreSQL: the embedded one"


def _folder() -> Path:
    """A new folder that other users may pass through: as root, PostgreSQL may have to run as another one."""
    folder = Path(tempfile.mkdtemp(prefix="tolqyn-test-"))
    folder.chmod(0o755)
    return folder


@pytest.fixture(scope="session")
def stack_port() -> Callable[[], int]:
    """Gives a TOLQYN_PORT: a random port from which on all that a stack gives to its users are free."""

    def choose() -> int:
        while True:
            port = random.randrange(*STACK_PORTS, CONTRACT_PORTS)
            if all(is_free(port + i) for i in range(CONTRACT_PORTS)):
                return port

    return choose


@pytest.fixture
def home() -> Iterator[Path]:
    """An empty home for a local stack."""
    folder = _folder()
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def foreign_folder(tmp_path: Path) -> Path:
    """A folder of somebody who has packages of the names of ours; importing one of them is an error."""
    folder = tmp_path / "foreign"
    for name in ("services", "schemas", "tools"):
        (folder / name).mkdir(parents=True)
        (folder / name / "__init__.py").write_text(f"raise ImportError('the {name} of the folder that one happens to be in')\n")
    return folder


@pytest.fixture(scope="session")
def broker(pytestconfig: pytest.Config) -> Iterator[str]:
    """Bootstrap servers of a real Kafka that makes no topics by itself."""
    if pytestconfig.stash[_IN_DOCKER]:
        from testcontainers.kafka import KafkaContainer

        container = KafkaContainer(KAFKA_IMAGE).with_kraft()
        container.with_env("KAFKA_AUTO_CREATE_TOPICS_ENABLE", "false")
        container.with_env("KAFKA_MESSAGE_MAX_BYTES", str(kafka.MESSAGE_BYTES_MAX))
        with container:
            yield container.get_bootstrap_server()
        return
    folder = _folder()
    port = free_port()
    server = kafka.EmbeddedKafka(folder / "kafka", port, free_port({port}))
    server.prepare()
    try:
        with running(server, lambda: clients.answers(server.bootstrap_servers), folder / "kafka.log"):
            yield server.bootstrap_servers
    finally:
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def database_server() -> Iterator[str]:
    """URL of an empty database on a real PostgreSQL."""
    folder = _folder()
    server = postgres.EmbeddedPostgres(folder / "postgres", free_port(), folder / "secrets" / "postgres-password")
    server.prepare()
    try:
        with running(server, lambda: postgres.answers(server.maintenance_url), folder / "postgres.log", server.run_as):
            server.create_database()
            yield server.url
    finally:
        shutil.rmtree(folder)


@pytest.fixture
def database(database_server: str) -> Iterator[str]:
    """URL of an empty database that is this test's alone."""
    name = f"test_{os.getpid()}_{next(_numbers)}"
    with psycopg.connect(database_server, autocommit=True) as connection:
        connection.execute(f'create database "{name}"'.encode())
    yield database_server.rpartition("/")[0] + "/" + name
    with psycopg.connect(database_server, autocommit=True) as connection:
        connection.execute(f'drop database "{name}" with (force)'.encode())


@pytest.fixture
def topic_prefix() -> str:
    """A prefix for topic names that no other test uses."""
    return f"test-{secrets.token_hex(4)}."


@pytest.fixture
def settings(broker: str, database: str, topic_prefix: str, home: Path) -> Settings:
    """Settings of a stack of this test's own: broker, empty database, no topics yet, empty home, a free port to listen on."""
    port = free_port()
    return Settings.from_env(
        {
            "TOLQYN_HOME": str(home),
            "TOLQYN_PORT": str(port),
            "TOLQYN_LISTEN_PORT": str(port),
            "TOLQYN_PREFIX": topic_prefix,
            "KAFKA_BOOTSTRAP_SERVERS": broker,
            "DATABASE_URL": database,
        }
    )
