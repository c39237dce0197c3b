"""Kafka Streams: its jars through Maven, and our programs for it compiled; once per machine and version of the programs.

Standard library and the product's way to Maven only. `python -m bench.streams` sees to it; exit 1 with one line if it cannot.
"""

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

from services.shared.runtime.process.errors import ConfigurationError, TolqynError
from tools.stack.embedded import jars

SOURCES = sorted((Path(__file__).parent / "peers").glob("*.java"))
PEER, CONSUMER = "KafkaStreamsPeer", "JavaConsumer"
COMPILE_SECONDS_MAX = 120  # takes two seconds
ARTIFACTS = (
    ("org.apache.kafka", "kafka-streams", jars.KAFKA_VERSION),
    ("com.fasterxml.jackson.core", "jackson-core", "2.19.0"),  # the JSON parser that Kafka itself comes with
    jars.LOGGER,
)


def classpath() -> str:
    """Where `java` finds the program and the library. Fetches and compiles what is missing.

    Raises ConfigurationError without Maven or a compiler, Unavailable if the download fails.
    """
    libraries = jars.fetch("kafka-streams", ARTIFACTS)
    digest = hashlib.sha256(b"".join(source.read_bytes() for source in SOURCES)).hexdigest()[:16]
    classes = libraries.with_name(f"bench-classes-{digest}")
    if not classes.is_dir():
        compiler = shutil.which("javac")
        if compiler is None:
            raise ConfigurationError("the benchmark compiles two Java programs: apt-get install openjdk-17-jdk-headless")
        part = classes.with_suffix(".part")
        command = [compiler, "-cp", f"{libraries}/*", "-d", str(part), *map(str, SOURCES)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=COMPILE_SECONDS_MAX)
        if done.returncode != 0:
            raise ConfigurationError(f"the benchmark's Java does not compile: {done.stderr.splitlines()[0]}")
        part.rename(classes)
    return f"{classes}:{libraries}/*"


if __name__ == "__main__":
    try:
        jars.find_java()
        classpath()
    except TolqynError as error:
        print(f"tolqyn: {error}", file=sys.stderr)
        sys.exit(1)
