"""All settings of all services, read once from the environment."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from services.shared.runtime.process.errors import ConfigurationError

PORT_DEFAULT = 8080  # dissemination; the ingest services follow (docs/operating.md)


def _integer(env: Mapping[str, str], name: str, default: int) -> int:
    text = env.get(name, "")
    if not text:
        return default
    try:
        return int(text)
    except ValueError:
        raise ConfigurationError(f"{name} must be a whole number") from None


@dataclass(frozen=True)
class Settings:
    """Where a process finds its broker, database, keys and state. Empty strings mean: not configured."""

    home: Path = Path(".tolqyn")
    port: int = PORT_DEFAULT
    prefix: str = ""
    bootstrap_servers: str = ""
    database_url: str = ""
    listen_host: str = "127.0.0.1"
    listen_port: int = PORT_DEFAULT
    api_keys_file: Path = Path(".tolqyn/secrets/api-keys.json")
    pseudonym_key_file: Path = Path(".tolqyn/secrets/pseudonym.key")
    state_dir: Path = Path(".tolqyn/state")
    stack_id_file: Path = Path(".tolqyn/secrets/stack-id")
    releases_file: Path | None = None  # None: the bundled calendar of releases
    inbox: Path = Path(".tolqyn/inbox")
    outbox: Path = Path(".tolqyn/outbox")

    @classmethod
    def from_env(cls, env: Mapping[str, str] | None = None) -> "Settings":
        """Read the environment. Raises ConfigurationError naming the variable that is off."""
        env = os.environ if env is None else env
        home = Path(env.get("TOLQYN_HOME") or ".tolqyn").absolute()
        port = _integer(env, "TOLQYN_PORT", PORT_DEFAULT)
        return cls(
            home=home,
            port=port,
            prefix=env.get("TOLQYN_PREFIX", ""),
            bootstrap_servers=env.get("KAFKA_BOOTSTRAP_SERVERS", ""),
            database_url=env.get("DATABASE_URL", ""),
            listen_host=env.get("TOLQYN_LISTEN_HOST") or "127.0.0.1",
            listen_port=_integer(env, "TOLQYN_LISTEN_PORT", port),
            api_keys_file=Path(env.get("TOLQYN_API_KEYS_FILE") or home / "secrets" / "api-keys.json"),
            pseudonym_key_file=Path(env.get("TOLQYN_PSEUDONYM_KEY_FILE") or home / "secrets" / "pseudonym.key"),
            state_dir=Path(env.get("TOLQYN_STATE_DIR") or home / "state"),
            stack_id_file=Path(env.get("TOLQYN_STACK_ID_FILE") or home / "secrets" / "stack-id"),
            releases_file=Path(env["TOLQYN_RELEASES"]).absolute() if env.get("TOLQYN_RELEASES") else None,
            # Where agencies' uploads arrive is as a rule another disk than that of the state, with other rights.
            inbox=Path(env.get("TOLQYN_INBOX") or home / "inbox").absolute(),
            outbox=Path(env.get("TOLQYN_OUTBOX") or home / "outbox").absolute(),
        )

    def topic(self, name: str) -> str:
        """The name of a topic on the cluster: the prefix keeps stacks on one cluster apart."""
        return self.prefix + name

    def broker(self) -> str:
        """Bootstrap servers, or a ConfigurationError if none are configured."""
        if not self.bootstrap_servers:
            raise ConfigurationError("KAFKA_BOOTSTRAP_SERVERS is not set: where is the broker?")
        return self.bootstrap_servers

    def database(self) -> str:
        """Database URL, or a ConfigurationError if none is configured."""
        if not self.database_url:
            raise ConfigurationError("DATABASE_URL is not set: where is PostgreSQL?")
        return self.database_url
