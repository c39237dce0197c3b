"""Java, and Apache Kafka's own jars: found or fetched through Maven, once per machine.

Standard library only: `python3 -m tools.stack.embedded.jars` runs before anything is installed.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from services.shared.runtime.process.errors import ConfigurationError, TolqynError, Unavailable

KAFKA_VERSION = "4.1.1"
JAVA_VERSION_MIN = 17  # the oldest that a Kafka 4 broker runs on
FETCH_SECONDS_MAX = 900  # 54 MB of small files: under a minute where the network is good, fifteen at its worst
HOW_JAVA = f"Java {JAVA_VERSION_MIN} or later is needed for the embedded Kafka: apt-get install openjdk-17-jre-headless"
HOW_MAVEN = "Maven is needed once, to fetch the Kafka jars: apt-get install maven"

Artifact = tuple[str, str, str]  # group, name, version
LOGGER: Artifact = ("org.slf4j", "slf4j-simple", "1.7.36")
BROKER: tuple[Artifact, ...] = (("org.apache.kafka", "kafka_2.13", KAFKA_VERSION), LOGGER)

_POM = """<project xmlns="http://maven.apache.org/POM/4.0.0">
<modelVersion>4.0.0</modelVersion><groupId>kz.tolqyn</groupId><artifactId>kafka</artifactId><version>1</version><packaging>pom</packaging>
<dependencies>
{dependencies}
</dependencies>
<build><plugins><plugin>
<groupId>org.apache.maven.plugins</groupId><artifactId>maven-dependency-plugin</artifactId><version>3.8.1</version>
</plugin></plugins></build>
</project>
"""
_DEPENDENCY = "<dependency><groupId>{}</groupId><artifactId>{}</artifactId><version>{}</version></dependency>"


def folder(name: str = "kafka") -> Path:
    """Where the jars lie on this machine."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "tolqyn" / f"{name}-{KAFKA_VERSION}"


def find_java() -> str:
    """Path of a `java` that is new enough, from JAVA_HOME or PATH; ConfigurationError if there is none."""
    home = os.environ.get("JAVA_HOME")
    java = shutil.which("java", path=str(Path(home) / "bin")) if home else shutil.which("java")
    if java is None:
        raise ConfigurationError(HOW_JAVA)
    said = subprocess.run([java, "-version"], capture_output=True, text=True, check=False).stderr
    found = re.search(r'version "(?:1\.)?(\d+)', said)
    if found is None or int(found[1]) < JAVA_VERSION_MIN:
        raise ConfigurationError(f"{HOW_JAVA} (found: {said.splitlines()[0] if said else java})")
    return java


def fetch(name: str = "kafka", artifacts: tuple[Artifact, ...] = BROKER) -> Path:
    """The folder with the jars of these artifacts (default: the broker) and all that they need; fetches them if they are not there.
    Whole or not at all: a broken download leaves nothing.

    Raises ConfigurationError without Maven, Unavailable with its last line if the download fails.
    """
    target = folder(name)
    if target.is_dir():
        return target
    maven = shutil.which("mvn")
    if maven is None:
        raise ConfigurationError(HOW_MAVEN)
    target.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix="fetching-", dir=target.parent))
    try:
        dependencies = "\n".join(_DEPENDENCY.format(*artifact) for artifact in artifacts)
        (work / "pom.xml").write_text(_POM.format(dependencies=dependencies), "ascii")
        command = [maven, "-q", "-B", "-C", "-f", str(work / "pom.xml"), "dependency:copy-dependencies"]
        command += [f"-DoutputDirectory={work / 'jars'}", "-DincludeScope=runtime"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=FETCH_SECONDS_MAX)
        if done.returncode != 0:
            lines = [line for line in done.stdout.splitlines() if "[ERROR]" in line] or ["no reason given"]
            raise Unavailable(f"Maven could not fetch the Kafka jars: {lines[0].removeprefix('[ERROR] ')}")
        try:
            (work / "jars").rename(target)
        except OSError:
            if not target.is_dir():  # otherwise another process was first: its jars are the same
                raise
    except subprocess.TimeoutExpired:
        raise Unavailable(f"Maven did not fetch the Kafka jars within {FETCH_SECONDS_MAX} s") from None
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return target


def main() -> None:
    """Make sure that Java and the jars are there; exit 1 with one line if not."""
    try:
        find_java()
        fetch()
    except TolqynError as error:
        print(f"tolqyn: {error}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
