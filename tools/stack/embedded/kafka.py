"""Apache Kafka itself, one node (KRaft), from its own jars: the broker of a local stack when none is configured."""

import secrets
import signal
import subprocess
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from pathlib import Path

from services.shared.runtime.process.errors import Failure
from tools.stack.embedded import jars
from tools.stack.embedded.ports import LOOPBACK

HEAP_MIB = 768  # the sample needs 200; a full-size quarter sent as fast as it goes stays under 500
MESSAGE_BYTES_MAX = 17 << 20  # the clients' limit of 16 MiB and the envelope of a batch
CLEANER_BYTES = 16 << 20  # the log cleaner's map: 600,000 keys a pass, more than all ledgers have (128 MiB by default)
FORMAT_SECONDS_MAX = 60  # takes one second; a loaded machine gets a minute
# A broker that was killed is let in again when the session that it left has ended, and it asks ever more rarely. At Kafka's own
# 9,000 ms it is back after 13 s, at this after 10 (measured; 3 are its start). Two heartbeats, of 2,000 ms each, may be late.
SESSION_MS = 5_000

_PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@{host}:{controller_port}
listeners=PLAINTEXT://{host}:{port},CONTROLLER://{host}:{controller_port}
advertised.listeners=PLAINTEXT://{host}:{port}
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs={data}
# Topics are part of the contract: nobody makes one by a slip of the keyboard.
auto.create.topics.enable=false
num.partitions=1
default.replication.factor=1
# The log is the only truth: it keeps everything unless a topic says otherwise.
log.retention.ms=-1
log.retention.bytes=-1
message.max.bytes={message_bytes_max}
log.cleaner.threads=1
log.cleaner.dedupe.buffer.size={cleaner_bytes}
broker.session.timeout.ms={session_ms}
# One node, one user: small inner topics, no waiting for others.
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
offsets.retention.minutes=525600
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=1
group.initial.rebalance.delay.ms=0
num.network.threads=2
num.io.threads=4
background.threads=2
"""


@dataclass(frozen=True)
class EmbeddedKafka:
    """One broker with its data and configuration in `home`. `prepare` blocks; then run `command` as a child process."""

    home: Path
    port: int
    controller_port: int

    # How it is stopped in an orderly way: it closes its logs within a second.
    stop_signal = signal.SIGTERM

    @property
    def bootstrap_servers(self) -> str:
        return f"{LOOPBACK}:{self.port}"

    def prepare(self) -> None:
        """Write the configuration; format the data folder with a random cluster id if it is new.

        Raises ConfigurationError without Java or Maven, Unavailable or Failure with the reason.
        """
        java, libraries = jars.find_java(), jars.fetch()
        self.home.mkdir(parents=True, exist_ok=True)
        properties = self.home / "server.properties"
        text = _PROPERTIES.format(
            host=LOOPBACK,
            port=self.port,
            controller_port=self.controller_port,
            data=self.home / "data",
            message_bytes_max=MESSAGE_BYTES_MAX,
            cleaner_bytes=CLEANER_BYTES,
            session_ms=SESSION_MS,
        )
        properties.write_text(text, "utf-8")
        if (self.home / "data" / "meta.properties").exists():
            return
        cluster = urlsafe_b64encode(secrets.token_bytes(16)).decode().rstrip("=")
        if cluster.startswith("-"):  # the tool would take it for an option
            cluster = "A" + cluster[1:]
        command = [java, "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", f"{libraries}/*", "kafka.tools.StorageTool"]
        command += ["format", "-t", cluster, "-c", str(properties)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=FORMAT_SECONDS_MAX)
        if done.returncode != 0:
            lines = (done.stdout + done.stderr).splitlines() or ["no reason given"]
            raise Failure(f"cannot format Kafka's data folder {self.home / 'data'}: {lines[-1]}")

    def command(self) -> list[str]:
        """What to run. One serial collector: a small heap on few cores pauses for milliseconds, and starts quicker."""
        java, libraries = jars.find_java(), jars.fetch()
        options = [f"-Xmx{HEAP_MIB}m", "-XX:+UseSerialGC", "-XX:+ExitOnOutOfMemoryError", "-Djava.awt.headless=true"]
        options += ["-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-Dorg.slf4j.simpleLogger.showDateTime=true"]
        options += ["-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSSXXX"]
        return [java, *options, "-cp", f"{libraries}/*", "kafka.Kafka", str(self.home / "server.properties")]
