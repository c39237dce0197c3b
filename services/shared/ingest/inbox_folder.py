"""What lies in one folder of the inbox. It is only read, never through a symbolic link: an agency may put anything there."""

import errno
import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from services.shared.ingest.files import LINE_BYTES_MAX
from services.shared.ingest.manifest import (
    FILE_SUFFIXES,
    MANIFEST_BYTES_MAX,
    MANIFEST_SUFFIX,
    NAME_BYTES_MAX,
    FileRefused,
    Manifest,
    parse,
)
from services.shared.runtime.process.errors import Unavailable

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK  # opening a pipe would wait for its writer

_REFUSED = {
    errno.ENOENT: "is not there",
    errno.EACCES: "cannot be read: permission denied",
    errno.EPERM: "cannot be read: permission denied",
    errno.ELOOP: "is a symbolic link",
    errno.ENXIO: "is not a plain file",
}


class Folder:
    """An open folder `inbox/<agency>/<feed>`."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def seen(self) -> dict[str, str]:
        """Per manifest's NAME how it lies there with its file, in the order in which the manifests came.

        The text changes whenever one of the two is written, replaced, or goes away.
        """
        with os.scandir(self._descriptor) as entries:
            found = {entry.name: entry for entry in entries if not entry.name.startswith(".")}
        came: dict[str, tuple[int, str]] = {}
        for manifest in found:
            name = manifest.removesuffix(MANIFEST_SUFFIX)
            if name == manifest:
                continue
            digest, moment = hashlib.sha256(), 0
            for part in (name + MANIFEST_SUFFIX, *(name + suffix for suffix in FILE_SUFFIXES)):
                try:
                    lies = found[part].stat(follow_symlinks=False)
                except (KeyError, FileNotFoundError):
                    continue
                digest.update(f"{part} {stamp(lies)};".encode("utf-8", "surrogateescape"))
                moment = moment or lies.st_mtime_ns
            came[name] = (moment, digest.hexdigest()[:32])
        return {name: came[name][1] for name in sorted(came, key=lambda name: (came[name][0], name))}

    def manifest(self, name: str) -> Manifest:
        """Read a manifest. Raises FileRefused."""
        if len(os.fsencode(name)) > NAME_BYTES_MAX:
            raise FileRefused(f"the name of a file has at most {NAME_BYTES_MAX} bytes")
        with self.open(name + MANIFEST_SUFFIX, "the manifest") as file:
            return parse(file.read(MANIFEST_BYTES_MAX + 1), name)

    @contextmanager
    def open(self, name: str, what: str = "the file") -> Iterator[BinaryIO]:
        """Open a plain file of this folder. Raises FileRefused if there is none that can be read, Unavailable by bad luck."""
        try:
            descriptor = os.open(name, _FILE, dir_fd=self._descriptor)
        except OSError as error:
            if error.errno in _REFUSED:
                raise FileRefused(f"{what} {_REFUSED[error.errno]}") from None
            raise Unavailable(f"{what} cannot be opened: {error.strerror}") from None
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise FileRefused(f"{what} is not a plain file")
        with os.fdopen(descriptor, "rb", LINE_BYTES_MAX) as file:
            yield file


def stamp(lies: os.stat_result) -> str:
    """How a file lies there: another text as soon as it is another file or has other content."""
    return f"{lies.st_ino} {lies.st_size} {lies.st_mtime_ns} {lies.st_ctime_ns}"


@contextmanager
def opened(inbox: Path, agency: str, feed: str) -> Iterator[Folder]:
    """Open a folder of the inbox. Raises OSError if it is no folder, or a symbolic link."""
    above = os.open(inbox, os.O_RDONLY | os.O_DIRECTORY)
    try:
        middle = os.open(agency, _FOLDER, dir_fd=above)
        try:
            descriptor = os.open(feed, _FOLDER, dir_fd=middle)
        finally:
            os.close(middle)
    finally:
        os.close(above)
    try:
        yield Folder(descriptor)
    finally:
        os.close(descriptor)
