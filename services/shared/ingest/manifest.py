"""The manifest of a file: which file, its hash, how many records. Pure."""

import re
from dataclasses import dataclass

import orjson

MANIFEST_SUFFIX = ".manifest.json"
FILE_SUFFIXES = tuple(kind + packing for kind in (".ndjson", ".csv") for packing in ("", ".gz", ".zst"))
MANIFEST_BYTES_MAX = 64 << 10  # three short fields: whatever is larger is none
NAME_BYTES_MAX = 200  # of the 255 that file systems allow: the outbox appends to it
_SHA256 = re.compile("[0-9a-f]{64}")


class FileRefused(Exception):
    """Nothing of a file is taken (any more). The reason is for its sender, and holds no value of a record."""


@dataclass(frozen=True)
class Manifest:
    """What the sender says of a file. `sha256` is that of the file as it lies there, packed or not, in lower case."""

    file: str
    sha256: str
    records: int


def parse(body: bytes, name: str) -> Manifest:
    """The manifest `name`.manifest.json. Raises FileRefused. Fields that are not known are the sender's own notes."""
    if len(body) > MANIFEST_BYTES_MAX:
        raise FileRefused(f"the manifest has more than {MANIFEST_BYTES_MAX} bytes")
    try:
        said = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise FileRefused("the manifest is not JSON") from None
    if not isinstance(said, dict):
        raise FileRefused("the manifest is not a JSON object")
    file, sha256, records = said.get("file"), said.get("sha256"), said.get("records")
    if not isinstance(sha256, str) or not _SHA256.fullmatch(sha256.lower()):
        raise FileRefused("the manifest's sha256 must be 64 hexadecimal digits")
    if not isinstance(records, int) or isinstance(records, bool) or records < 0:
        raise FileRefused("the manifest's records must be a whole number, 0 or more")
    if not isinstance(file, str) or file not in (name + suffix for suffix in FILE_SUFFIXES):
        endings = " ".join(FILE_SUFFIXES)
        raise FileRefused(f"the manifest's file must be a file beside it, of the same name, that ends with one of: {endings}")
    return Manifest(file, sha256.lower(), records)
