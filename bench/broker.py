"""One real broker for a whole run: Apache Kafka as the local stack starts it, on loopback, in a folder that goes away."""

import logging
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from services.shared.runtime.kafka import clients
from services.shared.runtime.process.settings import Settings
from tools.stack.embedded import kafka
from tools.stack.embedded.children import running
from tools.stack.embedded.ports import free_port

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
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # every probe of a broker that still starts would be an error
    try:
        with running(server, lambda: clients.answers(server.bootstrap_servers), home / "kafka.log"):
            settings = Settings.from_env({"TOLQYN_HOME": str(home)})
            yield replace(settings, bootstrap_servers=server.bootstrap_servers, listen_port=free_port({port}))
    finally:
        shutil.rmtree(home, ignore_errors=True)
