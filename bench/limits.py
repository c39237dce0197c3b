"""What no contestant can be faster than: the broker's delivery alone, and the decoding of the values alone."""

import json
import os
import subprocess
import sys
import time
from itertools import islice
from typing import Any

import polars as pl

from bench import streams
from bench.events import submissions
from bench.peers.job import Job
from bench.table import number, printed
from bench.topic import FEED, TOPIC
from services.shared.feeds.catalogue import RULES
from services.shared.runtime.process.settings import Settings
from tools.stack.embedded import jars

DECODE_SUBMISSIONS = 50  # a million records
FETCH_SECONDS_MAX = 120


def measure(settings: Settings, count: int) -> dict[str, Any]:
    """The broker's delivery to the product's reader and to Java's client, and decoding. `settings`: those of the topics."""
    limit = {"fetch": _fetch(settings, count), "java_consumer": _java(settings, count), "decode": _decode()}
    rows = [(name, number(one["records_per_second"]), _cpu(one)) for name, one in limit.items()]
    print(printed(("limit", "records/s", "CPU us"), rows), flush=True)
    return limit


def _cpu(one: dict[str, Any]) -> str:
    return f"{one['cpu_us_per_record']:.2f}" if "cpu_us_per_record" in one else ""


def _result(records: int, seconds: float, cpu_seconds: float | None = None) -> dict[str, Any]:
    found: dict[str, Any] = {"records_per_second": round(records / seconds)}
    return found if cpu_seconds is None else found | {"cpu_us_per_record": round(cpu_seconds / records * 1e6, 2)}


def _said(command: list[str], env: dict[str, str]) -> dict[str, Any]:
    done = subprocess.run(command, env={**os.environ, **env}, capture_output=True, text=True, check=True, timeout=FETCH_SECONDS_MAX)
    said: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return said


def _fetch(settings: Settings, count: int) -> dict[str, Any]:
    job = Job(settings.broker(), settings.topic(TOPIC), "", str(settings.home / "fetch"), count, "bench-fetch", 1)
    env = {"KAFKA_BOOTSTRAP_SERVERS": settings.broker(), "TOLQYN_PREFIX": settings.prefix, "OPENBLAS_NUM_THREADS": "1"}
    said = _said([sys.executable, "-P", "-m", "bench.peers.fetch", job.to_argument()], env)
    return _result(said["records"], said["seconds"], said["cpu_seconds"])


def _java(settings: Settings, count: int) -> dict[str, Any]:
    command = [jars.find_java(), "-Xmx1g", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", streams.classpath()]
    said = _said([*command, streams.CONSUMER, settings.broker(), settings.topic(TOPIC), str(count)], {})
    return _result(said["records"], said["seconds"])


def _decode() -> dict[str, Any]:
    """polars on the values of one submission after the other, joined to lines beforehand."""
    parts = [b"\n".join(part.values) for part in islice(submissions(1 << 40), DECODE_SUBMISSIONS)]
    columns, records = RULES[FEED].columns, 0
    start, cpu = time.monotonic(), time.process_time()
    for part in parts:
        records += pl.read_ndjson(part, schema=columns).height
    return _result(records, time.monotonic() - start, time.process_time() - cpu)
