"""One folder of the outbox on disk: what is answered, and how far the file that is being taken has come.

    NAME.receipt.json     the result: its presence means that NAME is done with
    NAME.rejects.ndjson   every record that was not accepted, before its receipt
    NAME.refusal.json     what came under the name of a file that was taken, and is another one
    .NAME.progress.json   how far NAME has come; gone once the receipt is there
    .NAME.rejects.part    its rejects so far; what lies beyond the length in the progress never happened

Every method may raise OSError: the caller waits and calls it again.
"""

import errno
import fcntl
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

import orjson

from services.shared.ingest.submission import Total
from services.shared.runtime.process.errors import Unavailable
from services.shared.runtime.process.whole_file import sync_folder, write_whole


@dataclass
class Progress:
    """How far a file has come: `total.received` of its records are done with. Times in Unix milliseconds.

    `received_ms` is the moment of receipt for all of its records; `rejects_bytes` the length of the rejects so far.
    """

    submission: str
    sha256: str
    received_ms: int
    rejects_bytes: int = 0
    total: Total = field(default_factory=Total)
    codes: dict[str, int] = field(default_factory=dict)


class Outbox:
    """The folder `outbox/<agency>/<feed>`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock: IO[bytes] | None = None

    def lock(self) -> bool:
        """Make the folder if need be, and hold it; whether no other process does. The kernel lets go of it when we end."""
        self._folder.mkdir(parents=True, exist_ok=True)
        lock = open(self._folder / ".lock", "wb")  # noqa: SIM115 - held open until unlock()
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            return False
        self._lock = lock
        return True

    def unlock(self) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def receipt(self, name: str) -> dict[str, Any] | None:
        """The result of NAME, if there is one."""
        return self._read(f"{name}.receipt.json")

    def refusal(self, name: str) -> dict[str, Any] | None:
        """The refusal beside a receipt, if there is one."""
        return self._read(f"{name}.refusal.json")

    def _read(self, file: str) -> dict[str, Any] | None:
        path = self._folder / file
        try:
            found = orjson.loads(path.read_bytes())
        except FileNotFoundError:
            return None
        except orjson.JSONDecodeError:
            found = None
        if not isinstance(found, dict) or not found.keys() & {"sha256", "refused"}:
            raise Unavailable(f"{path} is damaged: it says what was taken, and is never written over")
        return found

    def progress(self, name: str) -> Progress | None:
        """How far NAME came when it was last worked on; None if nothing of it was sent.

        None too if an earlier build wrote it otherwise: everything is then sent once more.
        """
        try:
            said = orjson.loads((self._folder / f".{name}.progress.json").read_bytes())
            progress = Progress(**{**said, "total": Total(**said["total"])})
        except (FileNotFoundError, ValueError, TypeError, KeyError):
            return None
        except OSError as error:
            if error.errno == errno.ENAMETOOLONG:
                return None  # such a file is refused, never begun
            raise
        part, final = self._part(name), self._folder / f"{name}.rejects.ndjson"
        if not part.exists() and final.exists():
            os.replace(final, part)  # ended between the rejects and the receipt
        if not part.exists() or part.stat().st_size < progress.rejects_bytes:
            # Somebody took the rejects away. Everything is sent once more, in its order.
            return Progress(progress.submission, progress.sha256, progress.received_ms)
        return progress

    def _part(self, name: str) -> Path:
        return self._folder / f".{name}.rejects.part"

    def save(self, name: str, progress: Progress) -> None:
        """Make this the progress of NAME."""
        write_whole(self._folder / f".{name}.progress.json", orjson.dumps(asdict(progress)))

    def reject(self, name: str, start: int, lines: bytes) -> None:
        """Put lines into the rejects of NAME at this place, and nothing after them. They count once a progress says so."""
        descriptor = os.open(self._part(name), os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, 0o644)
        with os.fdopen(descriptor, "wb") as part:
            part.truncate(start)
            part.seek(start)
            part.write(lines)
            part.flush()
            os.fsync(part.fileno())

    def finish(self, name: str, progress: Progress, receipt: dict[str, Any]) -> None:
        """Rejects, then the receipt, then nothing else. Called again after an error, it goes on where it was."""
        part = self._part(name)
        if part.exists():
            os.truncate(part, progress.rejects_bytes)
            os.replace(part, self._folder / f"{name}.rejects.ndjson")
            sync_folder(self._folder)
        write_whole(self._folder / f"{name}.receipt.json", orjson.dumps(receipt))
        (self._folder / f".{name}.progress.json").unlink(missing_ok=True)

    def answer_refusal(self, name: str, refusal: dict[str, Any], taken: bool) -> None:
        """Say that NAME is refused: in its receipt, or beside it if that is the receipt of a file that was taken."""
        write_whole(self._folder / f"{name}.{'refusal' if taken else 'receipt'}.json", orjson.dumps(refusal))
