"""The life of a service process: settings, logs, signals, operations endpoints, an orderly end.

A service's `__main__` calls `run(name, main)`. `main(context)` does the work until `context.stopping` is set and returns; what it
raises ends the process: a ConfigurationError with exit code 78 and one clear line, anything else (a bug) with its traceback and 1.
Bad luck is not for raising: a service waits, retries and shows it in `/health/ready` and in the metrics.
"""

import asyncio
import gc
import logging
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable

import orjson
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from services.shared.runtime.http.server import Runner
from services.shared.runtime.http.traces import places, set_up_hooks
from services.shared.runtime.process import metrics
from services.shared.runtime.process.errors import ConfigurationError, Unavailable
from services.shared.runtime.process.settings import Settings
from services.shared.runtime.process.version import VERSION

EXIT_CONFIGURATION = 78  # EX_CONFIG of sysexits.h: a supervisor must not restart this in a loop
# After SIGTERM a process ends within ten seconds, whatever hangs; its supervisor kills it after twelve. What was not drained by
# then was never acknowledged or marked, and is done again at the next start.
DRAIN_SECONDS_MAX = 8.0  # for open work: a cut takes one or two
CANCEL_SECONDS_MAX = 1.0  # for work that was cancelled: closing a connection to a broker that does not answer may hang
CLOSE_SECONDS_MAX = 0.5  # for connections of HTTP: requests have been answered by then, or will not be
EXIT_NOT_DRAINED = 1

# Batches make thousands of objects that die at once and hold no cycles. With Python's own thresholds (700) the collector takes more
# time than reading the log itself: 2.2 against 0.9 microseconds a record, measured.
GC_YOUNG_OBJECTS = 100_000
GC_OLDER_ROUNDS = (20, 20)

log = logging.getLogger("tolqyn")


class ServiceContext:
    """What `main` gets: settings, the web application, readiness, the stop signal."""

    def __init__(self, name: str, settings: Settings) -> None:
        self.name = name
        self.settings = settings
        self.stopping = asyncio.Event()
        # Ingest reads bodies by itself within its own limits; nobody else takes bodies at all.
        self.web = web.Application(client_max_size=2**31)
        self._reason = "starting"
        self._runner: Runner | None = None
        metrics.READY.labels(name).set(0)

    @property
    def ready(self) -> bool:
        return not self._reason

    def set_ready(self) -> None:
        """From now on the service can do its work."""
        self._reason = ""
        metrics.READY.labels(self.name).set(1)

    def set_not_ready(self, reason: str) -> None:
        """The service cannot do its work now; `reason` is for operators, and holds no data."""
        assert reason
        self._reason = reason
        metrics.READY.labels(self.name).set(0)

    async def serve(self) -> None:
        """Listen. Call once, after all routes are added."""
        self.web.router.add_get("/metrics", self._metrics)
        self.web.router.add_get("/health/live", self._live)
        self.web.router.add_get("/health/ready", self._ready)
        self._runner = Runner(self.web, shutdown_timeout=CLOSE_SECONDS_MAX)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self.settings.listen_host, self.settings.listen_port)
        try:
            await site.start()
        except OSError as error:
            where = f"{self.settings.listen_host}:{self.settings.listen_port}"
            raise ConfigurationError(f"{self.name}: cannot listen on {where}: {error.strerror}") from None

    async def close(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _metrics(self, _: web.Request) -> web.Response:
        return web.Response(body=generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def _live(self, _: web.Request) -> web.Response:
        return self._health(200)

    async def _ready(self, _: web.Request) -> web.Response:
        return self._health(200 if self.ready else 503)

    def _health(self, status: int) -> web.Response:
        body = orjson.dumps({"service": self.name, "ready": self.ready, "reason": self._reason, "version": VERSION})
        return web.Response(status=status, body=body, content_type="application/json")


class _JsonLines(logging.Formatter):
    """One JSON object a line: time (UTC), level, logger, message, and the traceback if any.

    Of loggers that work on what was sent, only the fixed part of a message, and no exception's message.
    """

    def format(self, record: logging.LogRecord) -> str:
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z"
        quotes = record.name.partition(".")[0] in ("aiohttp", "asyncio")
        said = str(record.msg) if quotes else record.getMessage()
        line = {"time": stamp, "level": record.levelname, "logger": record.name, "message": said}
        if record.exc_info and record.exc_info[1]:
            line["traceback"] = places(record.exc_info[1]) if quotes else self.formatException(record.exc_info)
        return orjson.dumps(line).decode()


def set_up_logs() -> None:
    """Log as JSON lines on standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonLines())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.captureWarnings(True)
    for noisy in ("aiokafka", "kafka", "faust", "mode"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def _close_standard_output() -> None:
    """Nobody reads it, and libraries write to it as they like: the solver while a release is frozen, which is nobody's to know."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


async def _main(name: str, main: Callable[[ServiceContext], Awaitable[None]]) -> None:
    context = ServiceContext(name, Settings.from_env())
    loop = asyncio.get_running_loop()
    set_up_hooks(loop)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, context.stopping.set)
    work = asyncio.ensure_future(main(context))
    stop = asyncio.ensure_future(context.stopping.wait())
    try:
        await asyncio.wait({work, stop}, return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            context.set_not_ready("stopping")
            await asyncio.wait({work}, timeout=DRAIN_SECONDS_MAX)
        if not work.done():
            log.error("%s did not drain within %.0f s: it ends as if it were killed", name, DRAIN_SECONDS_MAX)
            work.cancel()
            await asyncio.wait({work}, timeout=CANCEL_SECONDS_MAX)
            # Not in order: asyncio would wait for whatever hangs, and Python for its threads.
            os._exit(EXIT_NOT_DRAINED)
        try:
            work.result()
        except Unavailable as error:
            if not context.stopping.is_set():
                raise
            log.info("stopped while waiting: %s", error)
    finally:
        stop.cancel()
        await context.close()


def run(name: str, main: Callable[[ServiceContext], Awaitable[None]]) -> None:
    """Run a service to its end; sets the process's exit code."""
    set_up_logs()
    _close_standard_output()
    gc.freeze()  # what was imported stays: no use in walking through it again and again
    gc.set_threshold(GC_YOUNG_OBJECTS, *GC_OLDER_ROUNDS)
    try:
        asyncio.run(_main(name, main))
    except ConfigurationError as error:
        log.error("%s", error)
        sys.exit(EXIT_CONFIGURATION)
