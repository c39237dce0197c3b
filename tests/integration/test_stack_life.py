"""The life of a local stack: up, restarts, a second one beside it, down, and nothing left behind."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from services.shared.runtime.process.settings import Settings
from tools.stack import local, processes

SECONDS_MAX = 120.0  # as `tolqyn up` itself waits
NAMES = [processes.KAFKA, processes.POSTGRESQL, *(service.name for service in processes.SERVICES)]


class Stack:
    """One local stack, driven through the command line as its users do."""

    def __init__(self, home: Path, port: int, cwd: Path, **env: str) -> None:
        self.home, self.cwd = home, cwd
        clean = {k: v for k, v in os.environ.items() if k not in {"KAFKA_BOOTSTRAP_SERVERS", "DATABASE_URL", "TOLQYN_PREFIX"}}
        self.env = {**clean, "TOLQYN_HOME": str(home), "TOLQYN_PORT": str(port), **env}

    def tolqyn(self, *words: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-P", "-m", "tools.command", *words]
        return subprocess.run(
            command, cwd=self.cwd, env=self.env, capture_output=True, text=True, check=False, timeout=SECONDS_MAX + 60
        )

    def up(self) -> str:
        done = self.tolqyn("up", "--detach")
        assert done.returncode == 0, done.stderr + done.stdout
        return done.stdout

    def down(self) -> None:
        done = self.tolqyn("down")
        assert done.returncode == 0, done.stderr

    def status(self) -> dict[str, Any]:
        done = self.tolqyn("status", "--json")
        assert done.returncode == 0, done.stderr
        said: dict[str, Any] = json.loads(done.stdout)
        return said

    def pids(self) -> dict[str, int | None]:
        return {entry["name"]: entry["pid"] for entry in self.status()["services"]}

    def processes(self) -> list[psutil.Process]:
        """Every process that was started for this home, by what its environment or command line says."""
        return [p for p in psutil.process_iter() if self._is_ours(p)]

    def _is_ours(self, process: psutil.Process) -> bool:
        try:
            if process.pid == os.getpid() or process.status() == psutil.STATUS_ZOMBIE:
                return False
            return process.environ().get("TOLQYN_HOME") == str(self.home) or str(self.home) in " ".join(process.cmdline())
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            return False

    def until_ready_again(self, before: dict[str, int | None]) -> None:
        """Wait until all is ready and every process of `before` has another pid."""
        limit = time.monotonic() + SECONDS_MAX
        while True:
            services = self.status()["services"]
            if all(e["ready"] and e["pid"] not in {None, before.get(e["name"])} for e in services):
                return
            assert time.monotonic() < limit, services
            time.sleep(0.2)

    def until_nothing_is_left(self) -> None:
        limit = time.monotonic() + SECONDS_MAX
        while left := self.processes():
            assert time.monotonic() < limit, left
            time.sleep(0.1)


@pytest.fixture
def stack(home: Path, stack_port: Callable[[], int], foreign_folder: Path) -> Iterator[Stack]:
    """A stack with its own broker and database, not started; its user is in a folder with packages of the same names."""
    made = Stack(home, stack_port(), foreign_folder)
    yield made
    made.down()


def test_a_stack_comes_up_heals_and_leaves_nothing_behind(stack: Stack) -> None:
    assert stack.status()["services"] == []
    assert "ready" in stack.up()
    status = stack.status()
    assert [entry["name"] for entry in status["services"]] == NAMES
    assert all(entry["ready"] and set(entry) == {"name", "pid", "url", "ready"} for entry in status["services"])
    assert set(status) == {"services", "bootstrap_servers", "database_url", "keys"}
    assert set(json.loads(Path(status["keys"]).read_text())) == {service.name for service in processes.INGEST}

    before = stack.pids()
    assert "already running" in stack.up()
    assert stack.pids() == before

    killed = {name: before[name] for name in ("kafka", "postgresql", "tally-work-permits", "quarterly-aggregates")}
    for pid in killed.values():
        assert pid is not None
        psutil.Process(pid).kill()
    stack.until_ready_again(killed)
    others = {name: pid for name, pid in stack.pids().items() if name not in killed}
    assert others == {name: pid for name, pid in before.items() if name not in killed}

    # Even a supervisor that is killed takes all with it, and the home is as good as before.
    supervisor = local.read_status(Settings.from_env(stack.env))
    assert supervisor is not None
    psutil.Process(supervisor.supervisor_pid).kill()
    stack.until_nothing_is_left()
    assert stack.status()["services"] == []
    assert "ready" in stack.up()

    stack.down()
    assert stack.processes() == []
    stack.down()


def test_two_stacks_share_a_cluster_by_prefix_and_ctrl_c_ends_one(
    settings: Settings, home: Path, stack_port: Callable[[], int], foreign_folder: Path
) -> None:
    shared = {"KAFKA_BOOTSTRAP_SERVERS": settings.bootstrap_servers, "DATABASE_URL": settings.database_url}
    stack = Stack(home / "first", stack_port(), foreign_folder, TOLQYN_PREFIX=settings.prefix, **shared)
    with (home / "foreground.log").open("wb") as log:
        command = [sys.executable, "-P", "-m", "tools.command", "up"]
        foreground = subprocess.Popen(command, cwd=stack.cwd, env=stack.env, stdout=log, stderr=log, start_new_session=True)
    try:
        limit = time.monotonic() + SECONDS_MAX
        while "Ctrl-C" not in (home / "foreground.log").read_text():
            assert foreground.poll() is None, (home / "foreground.log").read_text()
            assert time.monotonic() < limit, stack.status()
            time.sleep(0.2)
        status = stack.status()
        assert [(e["name"], e["pid"], e["ready"]) for e in status["services"][:2]] == [
            ("kafka", None, True),
            ("postgresql", None, True),
        ]
        assert "@" not in status["services"][1]["url"]

        intruder = Stack(home / "second", stack_port(), foreign_folder, TOLQYN_PREFIX=settings.prefix, **shared)
        done = intruder.tolqyn("up", "--detach")
        assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
        assert "belong to another stack" in done.stderr
        assert intruder.processes() == []

        neighbour = Stack(home / "third", stack_port(), foreign_folder, TOLQYN_PREFIX=settings.prefix + "x.", **shared)
        assert "ready" in neighbour.up()
        neighbour.down()
        assert all(entry["ready"] for entry in stack.status()["services"])

        os.killpg(foreground.pid, signal.SIGINT)  # as a terminal does: to the whole group
        assert foreground.wait(SECONDS_MAX) == 0
        assert stack.processes() == []
    finally:
        if foreground.poll() is None:
            foreground.terminate()
            foreground.wait()
        stack.down()
