"""API keys of agencies: one JSON file that holds only their hashes.

The file is `{"keys": [{"id", "sha256", "agency", "feed", "created", "revoked"}]}`; it is replaced as a whole, so a reader sees
the old or the new one, never half. Services look at its modification time on every request: a revoked key stops working at once.
"""

import fcntl
import hashlib
import hmac
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import orjson

from services.shared.runtime.process.errors import ConfigurationError, UsageError
from services.shared.runtime.process.whole_file import write_whole

KEY_PREFIX = "tlq_"  # lets a secret scanner find a leaked key
KEY_RANDOM_BYTES = 32  # 256 bits: not to be guessed, so a plain hash of it is safe to keep
AGENCY = re.compile(r"[a-z0-9-]{1,32}")


@dataclass(frozen=True)
class ApiKey:
    """One key as kept: who may send which feed. Times are RFC 3339, UTC; `revoked` is None while the key works."""

    id: str
    sha256: str
    agency: str
    feed: str
    created: str
    revoked: str | None = None


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class ApiKeys:
    """The key file at `path`. A file that does not exist is one without keys."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp: tuple[int, int, int] | None = None
        self._by_digest: dict[str, ApiKey] = {}

    def find(self, key: str) -> ApiKey | None:
        """The working key that this text is, or None. Reads the file again if it was replaced."""
        self._refresh()
        digest = _digest(key)
        found = self._by_digest.get(digest)
        # The lookup is by hash, so its timing tells nothing of a key; compare_digest says so again for whoever changes the lookup.
        if found is None or not hmac.compare_digest(found.sha256, digest) or found.revoked is not None:
            return None
        return found

    def all(self) -> list[ApiKey]:
        """Every key, revoked ones too, oldest first."""
        self._refresh()
        return list(self._by_digest.values())

    def add(self, agency: str, feed: str) -> tuple[ApiKey, str]:
        """Make a key; returns what is kept of it and the key itself, which is kept nowhere. UsageError for a bad agency name."""
        if not AGENCY.fullmatch(agency):
            raise UsageError("an agency is named by 1 to 32 of a-z, 0-9 and -")
        key = KEY_PREFIX + secrets.token_urlsafe(KEY_RANDOM_BYTES)
        entry = ApiKey(secrets.token_hex(4), _digest(key), agency, feed, _now())
        with self._locked():
            self._write([*self.all(), entry])
        return entry, key

    def revoke(self, key_id: str) -> ApiKey:
        """Stop a key from working; revoking twice keeps the first time. UsageError if there is no such key."""
        with self._locked():
            keys = self.all()
            for i, entry in enumerate(keys):
                if entry.id == key_id:
                    keys[i] = replace(entry, revoked=entry.revoked or _now())
                    self._write(keys)
                    return keys[i]
        raise UsageError("there is no key with this id: see `tolqyn keys list`")

    def _refresh(self) -> None:
        try:
            stat = self._path.stat()
            stamp = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
            if stamp == self._stamp:
                return
            entries = [ApiKey(**entry) for entry in orjson.loads(self._path.read_bytes())["keys"]]
        except FileNotFoundError:
            self._stamp, self._by_digest = None, {}
            return
        except OSError as error:
            raise ConfigurationError(f"cannot read the API key file {self._path}: {error.strerror}") from None
        except (ValueError, TypeError, KeyError):
            raise ConfigurationError(f"the API key file {self._path} is damaged") from None
        self._stamp, self._by_digest = stamp, {entry.sha256: entry for entry in entries}

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """One writer at a time, over all processes of this machine."""
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with open(self._path.with_suffix(".lock"), "wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _write(self, keys: list[ApiKey]) -> None:
        write_secret(self._path, orjson.dumps({"keys": [asdict(key) for key in keys]}, option=orjson.OPT_INDENT_2))
        self._stamp = None


def write_secret(path: Path, body: bytes) -> None:
    """Write a file that only its owner may read, as a whole."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_whole(path, body, 0o600)
