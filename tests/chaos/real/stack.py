"""The stack under test: that of `tolqyn up`, two more tally workers of border crossings, and proxies between some of them."""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from http import HTTPStatus
from pathlib import Path

import aiohttp
import psycopg
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError
from prometheus_client.parser import text_string_to_metric_families

from services.shared.runtime.kafka.topics import load_topics
from services.shared.runtime.process.settings import Settings
from tests.chaos.real import supervisor
from tests.chaos.real.proxy import Proxy
from tests.chaos.real.truth import Cut
from tools.stack import local, probe, processes
from tools.stack.embedded.children import dies_with_parent
from tools.stack.embedded.ports import LOOPBACK, free_port
from tools.stack.keeper import Keeper

UP_SECONDS_MAX = 180.0  # twelve on two idle cores
DOWN_SECONDS_MAX = 60.0
POLL_SECONDS = 0.2  # every look asks every service
ASK_SECONDS_MAX = 5.0
SMALL_DISK = "24m"  # of the third worker's state folder: enough for a run, soon filled
GROUP_FEED = "border-crossings"
PROXIED_SERVICE = "indicator-publisher"
SERVERS = (processes.KAFKA, processes.POSTGRESQL)
EXTRA = ("tally-border-crossings-2", "tally-border-crossings-3")  # workers of our own, beside the stack's


class Stack:
    """`start`, then `stop`. `port`: TOLQYN_PORT."""

    def __init__(self, port: int) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="tolqyn-chaos-"))
        self.folder.chmod(0o755)  # as root, PostgreSQL runs as another user, who must get through
        home = self.folder / "home"
        self.settings = Settings(home=home, port=port, api_keys_file=home / "secrets" / "api-keys.json",
                                 pseudonym_key_file=home / "secrets" / "pseudonym.key", state_dir=home / "state",
                                 stack_id_file=home / "secrets" / "stack-id")  # fmt: skip
        self._listener = free_port()
        self.broker_proxy = Proxy(lambda: self._listener)
        self.database_proxy = Proxy(self._database_port)
        self._supervisor: subprocess.Popen[bytes] | None = None
        self._extra: dict[str, Keeper] = {}
        self.small_disk: Path | None = None  # of the third worker, if one could be mounted
        self._consumer: AIOKafkaConsumer | None = None
        self.http: aiohttp.ClientSession | None = None

    @property
    def environment(self) -> dict[str, str]:
        """Of commands for this stack."""
        ignored = ("KAFKA_BOOTSTRAP_SERVERS", "DATABASE_URL")
        env = {name: value for name, value in os.environ.items() if name not in ignored and not name.startswith("TOLQYN_")}
        return env | {"TOLQYN_HOME": str(self.settings.home), "TOLQYN_PORT": str(self.settings.port)}

    async def start(self) -> None:
        """Returns when all is ready, the two more workers included."""
        await self.broker_proxy.start()
        await self.database_proxy.start()
        local.make_folders(self.settings)
        chaos = {
            supervisor.LISTENER_PORT: str(self._listener),
            supervisor.BROKER_PROXY: str(self.broker_proxy.port),
            supervisor.DATABASE_PROXY: str(self.database_proxy.port),
            supervisor.THROUGH: PROXIED_SERVICE,
        }
        with local.log_file(self.settings, "supervisor").open("wb") as log:
            self._supervisor = subprocess.Popen(  # noqa: ASYNC220 - takes milliseconds, and must be a child of the main thread
                [sys.executable, "-P", "-m", "tests.chaos.real.supervisor"], env={**self.environment, **chaos},
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                preexec_fn=dies_with_parent(signal.SIGTERM),  # noqa: PLW1509 - two system calls, no locks
            )  # fmt: skip
        limit = time.monotonic() + UP_SECONDS_MAX
        while (status := local.read_status(self.settings)) is None or status.phase != local.READY:
            assert self._supervisor.poll() is None, f"the stack does not start: see {self.settings.home}/logs"
            assert time.monotonic() < limit, f"the stack is not ready after {UP_SECONDS_MAX:.0f} s: {status}"
            await asyncio.sleep(POLL_SECONDS)
        self.settings = replace(self.settings, bootstrap_servers=status.bootstrap_servers, database_url=status.database_url)
        self.http = probe.session()
        self._consumer = AIOKafkaConsumer(bootstrap_servers=status.bootstrap_servers, client_id="chaos")
        await self._consumer.start()
        await self._start_workers()
        await self.until(self.all_ready, UP_SECONDS_MAX, "the two more tally workers are ready")

    async def _start_workers(self) -> None:
        self._mount()
        broker = f"{LOOPBACK}:{self.broker_proxy.port}"
        for name in EXTRA:
            env = {"TOLQYN_FEED": GROUP_FEED, "TOLQYN_INSTANCE": name, "TOLQYN_STATE_DIR": str(self.state_folder(name))}
            if name == EXTRA[0]:
                env["KAFKA_BOOTSTRAP_SERVERS"] = broker
            program = processes.service_program(processes.Service(name, "services.tally", env=env), self.settings, free_port())
            self._extra[name] = Keeper(program, local.log_file(self.settings, name), lambda: None)
            self._extra[name].start()

    def _mount(self) -> None:
        """A small disk for the third worker, where we may mount one."""
        folder = self.state_folder(EXTRA[1])
        folder.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={SMALL_DISK}", "tolqyn-chaos", str(folder)]
        done = subprocess.run(command, capture_output=True, check=False) if os.geteuid() == 0 else None
        if done is not None and done.returncode == 0:
            self.small_disk = folder

    async def stop(self, keep: bool) -> None:
        """Stop everything; remove the folder unless it is to be kept."""
        await asyncio.gather(*(keeper.stop() for keeper in self._extra.values()))
        if self._consumer is not None:
            await self._consumer.stop()
        if self.http is not None:
            await self.http.close()
        if self._supervisor is not None:
            self._supervisor.terminate()
            await asyncio.to_thread(self._supervisor.wait, DOWN_SECONDS_MAX)
        await self.broker_proxy.stop()
        await self.database_proxy.stop()
        if self.small_disk is not None:
            await asyncio.to_thread(subprocess.run, ["umount", "-l", str(self.small_disk)], check=True)
        if not keep:
            shutil.rmtree(self.folder)

    def _database_port(self) -> int:
        port: int = json.loads((self.settings.home / "run" / "ports.json").read_text("ascii"))[processes.POSTGRESQL]
        return port

    # What runs

    def entries(self) -> dict[str, local.Entry]:
        """Every process by name: the stack's, and our two workers."""
        status = local.read_status(self.settings)
        assert status is not None
        return {e.name: e for e in [*status.services, *(keeper.entry for keeper in self._extra.values())]}

    def services(self) -> list[str]:
        """All but the servers."""
        return [name for name in self.entries() if name not in SERVERS]

    def pid(self, name: str) -> int | None:
        return self.entries()[name].pid

    def state_folder(self, name: str) -> Path:
        """Where a tally process keeps its state."""
        return self.folder / f"state-{name}" if name in EXTRA else self.settings.state_dir

    async def not_ready(self, name: str) -> str:
        """ "" or why the process cannot do its work."""
        entry = self.entries()[name]
        url = self.settings.database_url if name == processes.POSTGRESQL else entry.url
        if name in SERVERS:
            return (await probe.ask_all([entry], url))[name]
        assert self.http is not None
        return entry.problem or await probe.not_ready(self.http, url)

    async def all_ready(self) -> bool:
        return not any(await asyncio.gather(*(self.not_ready(name) for name in self.services())))

    async def page(self, name: str, path: str) -> str:
        """What it answers with 200; empty while it does not."""
        assert self.http is not None
        try:
            async with self.http.get(f"{self.entries()[name].url}{path}") as response:
                return await response.text() if response.status == HTTPStatus.OK else ""
        except (aiohttp.ClientError, TimeoutError):
            return ""

    async def metrics(self, name: str) -> dict[str, float]:
        """Sums by sample name, and by name and label value. Empty while it does not answer."""
        found: dict[str, float] = {}
        text = await self.page(name, "/metrics")
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                found[sample.name] = found.get(sample.name, 0.0) + sample.value
                for label in sample.labels.values():
                    found[f"{sample.name} {label}"] = found.get(f"{sample.name} {label}", 0.0) + sample.value
        return found

    # How far it has come

    async def ends(self) -> Cut:
        """Where the log ends."""
        assert self._consumer is not None
        tps = {
            f"{feed.name}/{p}": TopicPartition(f"events.{feed.name}.v1", p)
            for feed in processes.INGEST
            for p in range(load_topics()[f"events.{feed.name}.v1"].partitions)
        }
        async with asyncio.timeout(ASK_SECONDS_MAX):
            found = await self._consumer.end_offsets(list(tps.values()))
        return {name: found[tp] for name, tp in tps.items()}

    async def published(self) -> Cut:
        """The cut in PostgreSQL; empty before the first publication."""
        async with await psycopg.AsyncConnection.connect(self.settings.database_url, connect_timeout=2) as connection:
            row = await (await connection.execute("select cut from tolqyn.position")).fetchone()
        return {} if row is None else row[0]

    async def undone(self, feed: str | None) -> int:
        """Records in the log that are not in a published figure yet, of one feed or all. 0 if that cannot be known just now."""
        try:
            published, ends = await self.published(), await self.ends()
        except (KafkaError, psycopg.Error, TimeoutError):
            return 0
        return sum(end - published.get(n, 0) for n, end in ends.items() if feed is None or n.startswith(f"{feed}/"))

    async def has_published(self, wanted: Cut) -> bool:
        try:
            published = await self.published()
        except psycopg.Error:
            return False
        return all(published.get(name, 0) >= end for name, end in wanted.items())

    async def until(self, is_so: Callable[[], Awaitable[bool]], seconds_max: float, what: str) -> float:
        """Wait; how long it took. Raises TimeoutError saying what was waited for."""
        began = time.monotonic()
        while not await is_so():
            if time.monotonic() - began > seconds_max:
                raise TimeoutError(f"not so after {seconds_max:.0f} s: {what}")
            await asyncio.sleep(POLL_SECONDS)
        return time.monotonic() - began

    async def command(self, *arguments: str, seconds_max: float) -> "subprocess.CompletedProcess[str]":
        """Run `tolqyn` to its end."""
        return await asyncio.to_thread(
            subprocess.run, [sys.executable, "-P", "-m", "tools.command", *arguments],
            env=self.environment, capture_output=True, text=True, timeout=seconds_max, check=False,
        )  # fmt: skip
