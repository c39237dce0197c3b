"""One real broker for a whole run: Apache Kafka as the local stack starts it, on loopback, in a folder that goes away."""

import asyncio
import logging
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from services.shared.runtime.embedded import kafka
from services.shared.runtime.embedded.children import dies_with_parent
from services.shared.runtime.embedded.ports import free_port
from services.shared.runtime.errors import Failure
from services.shared.runtime.settings import Settings

START_SECONDS_MAX = 180  # a broker needs three seconds; a machine that does ten other things has needed sixty
STOP_SECONDS_MAX = 20


_running: list[Settings] = []  # of the run's broker, while there is one


@contextmanager
def running_broker() -> Iterator[Settings]:
    """The run's broker: a new one with nothing in it, or the one that an outer block has started.

    Yields settings that know it and a home of the run's own; who started it stops it and removes both at the end.
    """
    if _running:
        yield _running[0]
        return
    with _new_broker() as settings:
        _running.append(settings)
        try:
            yield settings
        finally:
            _running.clear()


@contextmanager
def _new_broker() -> Iterator[Settings]:
    home = Path(tempfile.mkdtemp(prefix="tolqyn-bench-"))
    home.chmod(0o755)  # as root, a database here may run as another user
    port = free_port()
    server = kafka.EmbeddedKafka(home / "kafka", port, free_port({port}))
    server.prepare()
    log = home / "kafka.log"
    with log.open("ab") as out:
        process = subprocess.Popen(
            server.command(), stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, cwd=server.home,
            start_new_session=True, preexec_fn=dies_with_parent(server.stop_signal),  # noqa: PLW1509 - two system calls, no locks
        )  # fmt: skip
    try:
        _wait(server.bootstrap_servers, process, log)
        yield replace(
            Settings.from_env({"TOLQYN_HOME": str(home)}), bootstrap_servers=server.bootstrap_servers, listen_port=free_port({port})
        )
    finally:
        process.send_signal(server.stop_signal)
        try:
            process.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        shutil.rmtree(home, ignore_errors=True)


def _wait(bootstrap_servers: str, process: subprocess.Popen[bytes], log: Path) -> None:
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # every probe of a broker that still starts would be an error
    limit = time.monotonic() + START_SECONDS_MAX
    while reason := asyncio.run(kafka.answers(bootstrap_servers)):
        if process.poll() is not None or time.monotonic() > limit:
            raise Failure(f"the broker does not start: {reason}\n{log.read_text('utf-8')[-2000:]}")
        time.sleep(0.1)
