"""The saved state of one tally partition: immutable run files and a manifest that is replaced as a whole.

A kill at any moment leaves the old manifest with its files, or the new one with its. Torn or altered files are found by checksum
(a power cut can tear them: nothing is fsynced, because the log is the truth and can be folded again): the state is then lost.
A folder is opened by one process at a time.
"""

import fcntl
import mmap
import os
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
import orjson
import xxhash

from services.shared.statistics.folding.contribution import Counts
from services.shared.statistics.folding.index import Run

_MAGIC = b"TLQRUN1\0"
_HEADER_BYTES = 24  # magic, rows, slots
_MANIFEST = "manifest.json"


class StateLost(Exception):
    """The saved state is torn, altered, or of another layout: fold the log again."""


class Manifest(NamedTuple):
    """Where the fold of version `fold` stands, and the runs that hold it (file, checksum; oldest first)."""

    layout: int
    fold: int
    offset: int
    log_time: int
    stamped: bool
    record_hash: str
    last_offset: int
    cells: list[str]
    runs: list[tuple[str, str]]
    recent: list[int]  # two numbers: about how many records the last ones are, and how many of them were unreadable


LAYOUT = 3


class RunStore:
    """The state folder of one partition. `open` first; raises BlockingIOError if another process has it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock: IO[bytes] | None = None
        self._next = 0

    def open(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        lock = open(self.folder / "lock", "wb")  # noqa: SIM115 - held open until close()
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            raise
        self._lock = lock

    def close(self) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def load(self) -> tuple[Manifest, list[Run]] | None:
        """What was saved last; None if nothing was. Raises StateLost."""
        path = self.folder / _MANIFEST
        if not path.exists():
            return None
        try:
            checksum, _, body = path.read_bytes().partition(b"\n")
            if checksum.decode("ascii", "replace") != xxhash.xxh3_128_hexdigest(body):
                raise StateLost("the manifest is torn")
            fields: dict[str, Any] = orjson.loads(body)
            if fields["layout"] != LAYOUT:
                raise StateLost("the state is of another layout")
            manifest = Manifest(**{**fields, "runs": [tuple(run) for run in fields["runs"]]})
            runs = [_read_run(self.folder / name, checksum) for name, checksum in manifest.runs]
        except (OSError, ValueError, KeyError) as error:
            raise StateLost(f"the state cannot be read: {type(error).__name__}") from error
        self._next = 1 + max((int(name.split(".")[0]) for name, _ in manifest.runs), default=0)
        return manifest, runs

    def discard(self) -> None:
        """Forget everything."""
        (self.folder / _MANIFEST).unlink(missing_ok=True)
        for path in self.folder.glob("*.run"):
            path.unlink()

    def add(self, run: Run) -> tuple[str, str]:
        """Write a run file: (file, checksum). It counts only once a manifest names it."""
        name = f"{self._next:09d}.run"
        self._next += 1
        header = _MAGIC + len(run.high).to_bytes(8, "little") + len(run.counts.slots).to_bytes(8, "little")
        digest = xxhash.xxh3_128(header)
        with open(self.folder / name, "wb") as file:
            file.write(header)
            for column in (run.high, run.low, run.versions, run.contributions, run.counts.slots, run.counts.counts, run.filter):
                data = np.ascontiguousarray(column).data.cast("B") if len(column) else b""
                digest.update(data)
                file.write(data)
        return name, digest.hexdigest()

    def mapped(self, name: str) -> Run:
        """A run file that this process has written, out of the file: its rows then need no memory of ours."""
        return _columns(_mapped(self.folder / name))

    def commit(self, manifest: Manifest) -> None:
        """Make this the saved state, in one step; then remove the files that it no longer names."""
        body = orjson.dumps(manifest._asdict())
        temporary = self.folder / (_MANIFEST + ".new")
        temporary.write_bytes(xxhash.xxh3_128_hexdigest(body).encode() + b"\n" + body)
        os.replace(temporary, self.folder / _MANIFEST)
        named = {name for name, _ in manifest.runs}
        for path in self.folder.glob("*.run"):
            if path.name not in named:
                path.unlink()  # a process that has it mapped keeps it until it lets go


def _mapped(path: Path) -> mmap.mmap:
    with open(path, "rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def _read_run(path: Path, checksum: str) -> Run:
    data = _mapped(path)
    if xxhash.xxh3_128_hexdigest(data) != checksum:
        raise StateLost(f"{path.name} is torn or altered")
    if data[:8] != _MAGIC:
        raise StateLost(f"{path.name} is no run file")
    data.madvise(mmap.MADV_DONTNEED)  # the checksum has read all of it into our memory; look-ups need little of it
    return _columns(data)


def _columns(data: mmap.mmap) -> Run:
    rows, slots = int.from_bytes(data[8:16], "little"), int.from_bytes(data[16:24], "little")
    sizes = [(rows, np.uint64), (rows, np.uint64), (rows, np.int64), (rows, np.uint64), (slots, np.int64), (slots, np.int64)]
    columns: list[Any] = []
    at = _HEADER_BYTES
    for count, kind in sizes:
        columns.append(np.frombuffer(data, kind, count, at))
        at += 8 * count
    high, low, versions, contributions, slot, counts = columns
    return Run(high, low, versions, contributions, Counts(slot, counts), np.frombuffer(data, np.uint8, offset=at))
