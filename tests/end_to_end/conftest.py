"""One whole local stack for all tests of this folder: the sample simulated, sent, settled and exported once."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from schemas.feeds import FEEDS

UP_SECONDS_MAX = 180  # a start takes twelve seconds on two idle cores
COMMAND_SECONDS_MAX = 180
ALMATY = ZoneInfo("Asia/Almaty")


@dataclass
class Stack:
    """A running local stack with the sample in it, and its `tolqyn` command."""

    folder: Path
    port: int
    receipts: dict[str, dict[str, int]] = field(default_factory=dict)
    export: str = ""
    day: str = ""  # the local day on which the export was made

    @property
    def events(self) -> Path:
        return self.folder / "events"

    def tolqyn(self, *arguments: str, seconds_max: float = COMMAND_SECONDS_MAX) -> str:
        """Run the command to its end; its standard output."""
        ignored = ("KAFKA_BOOTSTRAP_SERVERS", "DATABASE_URL")
        environment = {name: value for name, value in os.environ.items() if name not in ignored and not name.startswith("TOLQYN_")}
        environment |= {"TOLQYN_HOME": str(self.folder / "home"), "TOLQYN_PORT": str(self.port)}
        done = subprocess.run(
            [sys.executable, "-P", "-m", "tools.command", *arguments],
            env=environment, capture_output=True, text=True, timeout=seconds_max, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"tolqyn {' '.join(arguments)}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def send(self, folder: Path) -> dict[str, dict[str, int]]:
        """Send one file of each feed, side by side; the receipts by feed."""
        with ThreadPoolExecutor(len(FEEDS)) as pool:
            outputs = pool.map(lambda feed: self.tolqyn("send", "--feed", feed, str(folder / f"{feed}.ndjson")), FEEDS)
        return {feed: json.loads(output.splitlines()[-1]) for feed, output in zip(FEEDS, outputs, strict=True)}

    def services(self) -> dict[str, tuple[int | None, bool]]:
        """(pid, ready) by service."""
        return {s["name"]: (s["pid"], s["ready"]) for s in json.loads(self.tolqyn("status", "--json"))["services"]}


@pytest.fixture(scope="session")
def stack(stack_port: Callable[[], int]) -> Iterator[Stack]:
    """A stack that has counted the sample once. Tests may add to its log only what moves no figure."""
    folder = Path(tempfile.mkdtemp(prefix="tolqyn-test-"))
    folder.chmod(0o755)  # as root, PostgreSQL runs as another user, who must get through
    one = Stack(folder, stack_port())
    try:
        with ThreadPoolExecutor(2) as pool:
            starting = pool.submit(one.tolqyn, "up", "--detach", seconds_max=UP_SECONDS_MAX)
            simulating = pool.submit(one.tolqyn, "simulate", "--out", str(one.events), "--scale", "0.01")
            simulating.result()
            starting.result()
        one.receipts = one.send(one.events)
        one.tolqyn("settle")
        one.export = one.tolqyn("export")
        one.day = datetime.now(ALMATY).date().isoformat()
        yield one
    finally:
        one.tolqyn("down")
        shutil.rmtree(folder)
