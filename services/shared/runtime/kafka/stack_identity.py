"""Whose topics these are, and which pseudonym key their records were made with: kept in `stack.v1`, with the topics.

A stack refuses topics that another owns, and ingest refuses to run with another pseudonym key than the one whose fingerprint is
kept: pseudonyms of two keys would split one person in two. A lost key is never replaced in silence.
"""

import os
import secrets

from services.shared.runtime.kafka.clients import producer, read_to_end
from services.shared.runtime.process.errors import ConfigurationError
from services.shared.runtime.process.pseudonym_key import KEY_BYTES, load
from services.shared.runtime.process.settings import Settings

TOPIC = "stack.v1"
_OWNER, _PSEUDONYM_KEY = b"owner", b"pseudonym-key"


async def _kept(settings: Settings) -> dict[bytes, str]:
    records = await read_to_end(settings, TOPIC)
    return {r.key: r.value.decode() for r in records if r.key and r.value}


async def _keep(settings: Settings, key: bytes, value: str) -> None:
    client = producer(settings, "tolqyn-stack")
    await client.start()
    try:
        await client.send_and_wait(settings.topic(TOPIC), key=key, value=value.encode(), partition=0)
    finally:
        await client.stop()


def _own_id(settings: Settings) -> str:
    """This stack's id, made at the first start and kept in its home."""
    path = settings.stack_id_file
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.write_text(secrets.token_hex(16) + "\n", "ascii")
    return path.read_text("ascii").strip()


async def claim(settings: Settings) -> None:
    """Make the topics this stack's, or refuse; at the very first start, make the pseudonym key.

    Raises ConfigurationError if another stack owns the topics, or if the key that they know is lost or another.
    """
    kept = await _kept(settings)
    own = _own_id(settings)
    owner = kept.get(_OWNER)
    if owner is None:
        await _keep(settings, _OWNER, own)
    elif owner != own:
        raise ConfigurationError(
            f"the topics with prefix {settings.prefix!r} belong to another stack: set TOLQYN_PREFIX, "
            f"or bring back its stack id to {settings.stack_id_file}"
        )
    path = settings.pseudonym_key_file
    if _PSEUDONYM_KEY not in kept:
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(secrets.token_bytes(KEY_BYTES))
        await _keep(settings, _PSEUDONYM_KEY, load(path).fingerprint)
    else:
        _compare(settings, kept[_PSEUDONYM_KEY], load(path).fingerprint)


async def check_pseudonym_key(settings: Settings, fingerprint: str) -> None:
    """Raise ConfigurationError unless the topics know exactly this key."""
    kept = (await _kept(settings)).get(_PSEUDONYM_KEY)
    if kept is None:
        raise ConfigurationError("the topics know no pseudonym key yet: run `tolqyn up`, or the set-up step of the deployment")
    _compare(settings, kept, fingerprint)


def _compare(settings: Settings, kept: str, fingerprint: str) -> None:
    if kept != fingerprint:
        raise ConfigurationError(
            f"{settings.pseudonym_key_file} is not the pseudonym key that the topics were written with: bring the old key back"
        )
