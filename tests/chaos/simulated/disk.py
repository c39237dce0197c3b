"""State folders with bad luck: kills between any two writes, torn and flipped files, lost folders, old copies, a full disk."""

import errno
import fcntl
import random
import shutil
from pathlib import Path

from services.shared.statistics.folding.index import Run
from services.tally.run_store import Manifest, RunStore
from tests.chaos.simulated.clients import Luck
from tests.chaos.simulated.loop import CURRENT, Killed

LUCK: list[Luck] = []  # of the run that is played; the engine makes its stores itself


class UnluckyStore(RunStore):
    """The real store, in a process that may be killed at any of its writes."""

    def open(self) -> None:
        super().open()
        process = CURRENT.get()
        assert process is not None
        process.at_death.append(self.close)  # the kernel lets the lock go

    def add(self, run: Run) -> tuple[str, str]:
        self._maybe_full()
        named = super().add(run)
        if LUCK[0].strikes("kill_in_write"):
            tear(self.folder / named[0], 0.5)
            raise Killed
        return named

    def commit(self, manifest: Manifest) -> None:
        self._maybe_full()
        if LUCK[0].strikes("kill_in_write"):
            (self.folder / "manifest.json.new").write_bytes(b"torn")
            raise Killed
        before = {path: path.read_bytes() for path in self.folder.glob("*.run")}
        super().commit(manifest)
        if LUCK[0].strikes("kill_in_write"):
            for path, data in before.items():
                path.write_bytes(data)  # it had not come to removing them
            raise Killed

    def _maybe_full(self) -> None:
        if LUCK[0].strikes("disk_full"):
            raise OSError(errno.ENOSPC, "No space left on device")


def rewrite(path: Path, data: bytes) -> None:
    """Put other bytes into a new file of the same name: who has the old one mapped keeps that."""
    path.unlink()
    path.write_bytes(data)


def tear(path: Path, part: float) -> None:
    data = path.read_bytes()
    rewrite(path, data[: int(len(data) * part)])


def flip(path: Path, rng: random.Random) -> None:
    data = bytearray(path.read_bytes())
    if data:
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        rewrite(path, bytes(data))


def take_copy(state: Path, copy: Path) -> None:
    shutil.rmtree(copy, ignore_errors=True)
    if state.exists():
        shutil.copytree(state, copy)


def damage(state: Path, copy: Path, rng: random.Random) -> str:
    """Harm the state that no process holds now; says how."""
    files = sorted(path for path in state.rglob("*") if path.is_file() and path.name != "lock")
    kind = rng.choice(["lost", "lost_partition", "stale", "stale", "torn", "flipped"])
    if kind == "lost":
        shutil.rmtree(state, ignore_errors=True)
    elif kind == "lost_partition" and files:
        shutil.rmtree(rng.choice(files).parent)
    elif kind == "stale" and copy.exists():
        shutil.rmtree(state, ignore_errors=True)
        shutil.copytree(copy, state)
    elif kind == "torn" and files:
        tear(rng.choice(files), rng.random())
    elif kind == "flipped" and files:
        flip(rng.choice(files), rng)
    return kind


def is_free(folder: Path) -> bool:
    """Whether no process holds this state folder."""
    try:
        with open(folder / "lock", "wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
    except OSError:
        return False
