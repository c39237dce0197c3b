"""Files that are replaced as a whole: a reader sees the old or the new one, never half, also after a crash or a power cut."""

import os
from pathlib import Path


def write_whole(path: Path, body: bytes, mode: int = 0o644) -> None:
    """Write a file in one step, and see it onto the disk. One writer a process and folder at a time. Raises OSError."""
    part = path.with_name(f".{os.getpid()}.part")  # short, so that every name fits that fits itself
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(body)
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """See names that were made or moved in a folder onto the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
