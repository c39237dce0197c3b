"""What the local stack leaves in its home for others to find."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from schemas.feeds import FEEDS
from services.shared.runtime.process.api_keys import ApiKeys
from services.shared.runtime.process.errors import ConfigurationError, Unavailable
from services.shared.runtime.process.settings import Settings
from tools.stack import local, processes, supervisor
from tools.stack.embedded.ports import LOOPBACK, free_port, is_free, kept_ports
from tools.stack.local import Entry, Status


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings of a stack that is not started; the environment says the same."""
    for name in ("KAFKA_BOOTSTRAP_SERVERS", "DATABASE_URL", "TOLQYN_PREFIX"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TOLQYN_HOME", str(tmp_path))
    monkeypatch.setenv("TOLQYN_PORT", str(free_port()))
    settings = Settings.from_env()
    local.make_folders(settings)
    return settings


def alive() -> Status:
    own = psutil.Process()
    return Status(own.pid, own.create_time(), local.READY, bootstrap_servers="127.0.0.1:1", database_url="postgresql://x")


def test_a_status_is_read_as_it_was_written_and_only_its_owner_may(own: Settings) -> None:
    status = replace(alive(), services=[Entry("kafka", "127.0.0.1:1", 7, 1.5, 15)])
    local.write_status(own, status)
    assert local.read_status(own) == status
    assert local.status_file(own).stat().st_mode & 0o777 == 0o600


def test_a_stack_whose_supervisor_is_gone_is_not_running(own: Settings) -> None:
    assert local.running(own) is None
    local.write_status(own, replace(alive(), supervisor_created=1.0))  # the pid is another process's by now
    assert local.running(own) is None
    local.write_status(own, alive())
    assert local.running(own) == alive()


def test_other_commands_find_broker_and_database_of_the_running_stack(own: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Unavailable, match="tolqyn up"):
        local.settings()
    local.write_status(own, alive())
    assert (local.settings().bootstrap_servers, local.settings().database_url) == ("127.0.0.1:1", "postgresql://x")
    monkeypatch.setenv("DATABASE_URL", "postgresql://mine")
    assert local.settings().database_url == "postgresql://mine"


def test_leftovers_are_stopped_by_pid_and_start_time_only(own: Settings) -> None:
    with (
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) as ours,
        subprocess.Popen(["sleep", "600"]) as other,
    ):
        created = psutil.Process(ours.pid).create_time()
        entries = [Entry("kafka", "", ours.pid, created, signal.SIGTERM), Entry("x", "", other.pid, 1.0, signal.SIGTERM)]
        local.write_status(own, replace(alive(), services=entries))
        local.stop_leftovers(own)
        assert ours.wait(10) == -signal.SIGTERM
        assert other.poll() is None
        other.kill()


def test_the_stack_has_one_working_key_of_its_own_for_each_feed(own: Settings) -> None:
    supervisor.make_keys(own)
    keys = json.loads(local.keys_file(own).read_text())
    assert sorted(keys) == sorted(FEEDS)
    assert local.keys_file(own).stat().st_mode & 0o777 == 0o600
    known = ApiKeys(own.api_keys_file)
    found = {feed: known.find(key) for feed, key in keys.items()}
    assert all(entry is not None and (entry.agency, entry.feed) == ("local", feed) for feed, entry in found.items())
    assert local.api_key("work-permits") == keys["work-permits"]
    # A second start keeps them, and replaces only one that was revoked.
    revoked = found["work-permits"]
    assert revoked is not None
    known.revoke(revoked.id)
    supervisor.make_keys(own)
    again = json.loads(local.keys_file(own).read_text())
    assert {feed for feed in keys if again[feed] != keys[feed]} == {"work-permits"}


def test_ports_are_those_of_the_contract() -> None:
    offsets = {s.name: s.offset for s in processes.SERVICES if s.offset is not None}
    assert offsets == {
        "dissemination": 0,
        "border-crossings": 1,
        "work-permits": 2,
        "student-enrolments": 3,
        "residence-registrations": 4,
        "labour-emigration": 5,
        "visitor-stays": 6,
        "migration-violations": 7,
        "reference-figures": 8,
    }


def test_a_taken_port_is_named(own: Settings) -> None:
    import socket

    with (
        socket.create_server((LOOPBACK, own.port + 2)),
        pytest.raises(ConfigurationError, match=f"port {own.port + 2} .for work-permits"),
    ):
        supervisor.refuse_taken_ports(own)


def test_kept_ports_stay_and_a_taken_one_is_chosen_again(tmp_path: Path) -> None:
    import socket

    path = tmp_path / "ports.json"
    first = kept_ports(path, ["a", "b"])
    assert len(set(first.values())) == 2
    assert kept_ports(path, ["a", "b"]) == first
    with socket.create_server((LOOPBACK, first["a"])):
        assert not is_free(first["a"])
        second = kept_ports(path, ["a", "b"])
    assert (second["a"] != first["a"], second["b"]) == (True, first["b"])


def test_two_supervisors_never_share_a_home(own: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "LOCK_SECONDS_MAX", 0.1)
    with (
        supervisor.sole_supervisor(own),
        pytest.raises(ConfigurationError, match="another supervisor"),
        supervisor.sole_supervisor(own),
    ):
        raise AssertionError("both are in")
    with supervisor.sole_supervisor(own):
        assert os.path.exists(own.home / "run" / "lock")
