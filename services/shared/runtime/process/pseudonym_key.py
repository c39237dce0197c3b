"""The key behind all pseudonyms: read from a file, never printed, told apart by a fingerprint."""

from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

from services.shared.runtime.process.errors import ConfigurationError

KEY_BYTES = 32  # of a key that we make; a longer one is accepted up to BLAKE2's own limit
KEY_BYTES_MAX = 64


@dataclass(frozen=True, repr=False)
class PseudonymKey:
    """The secret and what may be known of it."""

    secret: bytes

    @property
    def fingerprint(self) -> str:
        """32 hex digits that tell keys apart and give nothing of the key away."""
        return blake2b(self.secret, digest_size=16, person=b"tolqyn.key.print").hexdigest()

    @property
    def id(self) -> str:
        """The 8 hex digits that stand in every record made with this key."""
        return self.fingerprint[:8]


def load(path: Path) -> PseudonymKey:
    """Read the key; ConfigurationError if it is missing, unreadable or of a wrong length."""
    try:
        secret = path.read_bytes()
    except FileNotFoundError:
        raise ConfigurationError(
            f"the pseudonym key {path} is missing: bring it back; a new one would split every person in two"
        ) from None
    except OSError as error:
        raise ConfigurationError(f"cannot read the pseudonym key {path}: {error.strerror}") from None
    if not KEY_BYTES <= len(secret) <= KEY_BYTES_MAX:
        raise ConfigurationError(f"the pseudonym key {path} must have {KEY_BYTES} to {KEY_BYTES_MAX} bytes")
    return PseudonymKey(secret)
