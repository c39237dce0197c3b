"""What may happen to a tally worker's saved state while its process does not run."""

import errno
import random
import shutil
from pathlib import Path

import psutil

FILL_BYTES = 1 << 20
FILL = "something-else"


def delete(folder: Path) -> int:
    """Remove everything below; how many files that were."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
    return len(files)


def manifests(folder: Path) -> list[Path]:
    return sorted(folder.rglob("manifest.json"))


def runs(folder: Path) -> list[Path]:
    """One run file of each partition that a manifest names."""
    found = []
    for manifest in manifests(folder):
        text = manifest.read_bytes()
        named = [path for path in sorted(manifest.parent.glob("*.run")) if path.name.encode() in text]
        found += named[:1]
    return found


def truncate(paths: list[Path], rng: random.Random) -> int:
    """Cut each file off somewhere."""
    for path in paths:
        with path.open("r+b") as file:
            file.truncate(rng.randrange(path.stat().st_size))
    return len(paths)


def flip(paths: list[Path], rng: random.Random) -> int:
    """Turn one bit of each file over."""
    for path in paths:
        data = bytearray(path.read_bytes())
        at = rng.randrange(len(data))
        data[at] ^= 1 << rng.randrange(8)
        with path.open("r+b") as file:  # the same file: a process may have it mapped
            file.write(data)
    return len(paths)


def fill(disk: Path) -> None:
    """Write until nothing fits any more."""
    with (disk / FILL).open("wb", buffering=0) as file:
        while True:
            try:
                file.write(b"\0" * FILL_BYTES)
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
                return


def free(disk: Path) -> None:
    (disk / FILL).unlink()


def forbid_files(pid: int) -> tuple[int, int]:
    """Where no small disk can be mounted: from now on every write to a file fails. The limits from before."""
    process = psutil.Process(pid)
    before: tuple[int, int] = process.rlimit(psutil.RLIMIT_FSIZE)
    process.rlimit(psutil.RLIMIT_FSIZE, (0, before[1]))
    return before


def allow_files(pid: int, before: tuple[int, int]) -> None:
    psutil.Process(pid).rlimit(psutil.RLIMIT_FSIZE, before)
