"""The embedded broker and database are the real ones."""

import os
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from services.shared.runtime.kafka import stack_identity
from services.shared.runtime.kafka.clients import read_to_end
from services.shared.runtime.kafka.topics import ensure_topics, load_topics
from services.shared.runtime.process.errors import ConfigurationError
from services.shared.runtime.process.settings import Settings
from tools.stack.embedded import jars, postgres


async def test_topics_are_made_as_described_and_making_them_again_changes_nothing(settings: Settings) -> None:
    await ensure_topics(settings)
    await ensure_topics(settings)
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.broker())
    await admin.start()
    try:
        described = await admin.describe_topics([settings.topic(name) for name in load_topics()])
    finally:
        await admin.close()
    counts = {t["topic"]: len(t["partitions"]) for t in described}
    assert counts == {settings.topic(t.name): t.partitions for t in load_topics().values()}


async def test_the_broker_makes_no_topic_that_nobody_described(broker: str, topic_prefix: str) -> None:
    client = AIOKafkaProducer(bootstrap_servers=broker, request_timeout_ms=2_000)
    await client.start()
    try:
        with pytest.raises(KafkaError):
            await client.send_and_wait(topic_prefix + "slip-of-the-keyboard", b"x")
    finally:
        await client.stop()


async def test_a_stack_refuses_topics_of_another_and_never_replaces_a_lost_pseudonym_key(settings: Settings) -> None:
    await ensure_topics(settings)
    await stack_identity.claim(settings)
    await stack_identity.claim(settings)
    assert len(await read_to_end(settings, stack_identity.TOPIC)) == 2
    own = settings.stack_id_file.read_text()
    settings.stack_id_file.write_text("another")
    with pytest.raises(ConfigurationError, match="belong to another stack"):
        await stack_identity.claim(settings)
    settings.stack_id_file.write_text(own)
    settings.pseudonym_key_file.unlink()
    with pytest.raises(ConfigurationError, match=r"pseudonym key .* is missing"):
        await stack_identity.claim(settings)
    assert not settings.pseudonym_key_file.exists()


def test_the_database_asks_for_its_password(database: str) -> None:
    with psycopg.connect(database) as connection:
        assert connection.execute("select current_user").fetchone() == ("tolqyn",)
    user, _, rest = database.partition("@")
    wrong = f"{user.rpartition(':')[0]}:wrong@{rest}"
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(wrong)


def test_as_root_without_user_namespaces_the_database_is_nobodys(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres, "_UNSHARE", ["false"])
    server = postgres.EmbeddedPostgres(home / "postgres", 1, home / "secrets" / "password")
    if os.geteuid() != 0:
        assert server.run_as is None
        return
    monkeypatch.setattr(postgres, "_programs", lambda: Path("/usr/bin"))
    monkeypatch.setattr(postgres, "_works", lambda command, user=None: command[0] != "false")
    assert server.run_as == postgres.NOBODY
    monkeypatch.setattr(postgres, "_works", lambda command, user=None: False)
    another = postgres.EmbeddedPostgres(home / "postgres", 1, home / "secrets" / "password")
    with pytest.raises(ConfigurationError, match="set DATABASE_URL"):
        _ = another.run_as


def test_without_java_one_line_says_how_to_get_it(tmp_path: Path) -> None:

    command = [sys.executable, "-P", "-m", jars.__name__]
    env = {"PATH": str(tmp_path), "HOME": str(tmp_path)}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 1
    assert done.stderr == f"tolqyn: {jars.HOW_JAVA}\n"
