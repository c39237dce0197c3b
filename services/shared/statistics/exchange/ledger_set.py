"""The ledger protocol, without input and output: a set of absolute values that changes as a whole.

A writer writes entries, then a *mark* that says which cut of the log they are and what the whole set must look like (number of
entries, digest). A reader adopts a set only when what it holds is what a mark says, and never goes back to a lower cut. Because
the fold is deterministic, a set that matches its mark is the fold of that cut, whoever wrote it: a zombie's entry, a half-written
cut or a compacted tombstone can delay a reader but not mislead it.
"""

from hashlib import blake2b
from typing import Any, NamedTuple

import orjson

MARK_KEY = "mark"  # of all marks of a partition: compaction keeps the last
MARK_KIND = b"mark"
_DIGEST_MASK = (1 << 128) - 1

Cut = dict[str, int]  # "<feed>/<partition>" -> offset: everything before it is in
Changes = dict[str, bytes | None]  # key -> value, None for a tombstone


def is_behind(cut: Cut, other: Cut) -> bool:
    """Whether some component of `cut` is lower than in `other` (a component that is not there counts as -1)."""
    return any(cut.get(name, -1) < offset for name, offset in other.items())


def entry_digest(key: str, value: bytes) -> int:
    """128 bits of BLAKE2b over key and value. Weak hashes will not do: their sums collide."""
    name = key.encode()
    return int.from_bytes(blake2b(b"%d:" % len(name) + name + value, digest_size=16).digest(), "big")


class Mark(NamedTuple):
    """What closes a consistent set.

    `cut`: up to where the log is in; `log_time`: the log's time there, ms (0: none); `fold`: version of the rules;
    `entries`, `digest`: what the whole set must be; `identity`: per component, the hash of the record before the cut;
    `publication`: number of the publication, only on `indicators.v1`.
    """

    cut: Cut
    log_time: int
    fold: int
    entries: int
    digest: str
    identity: dict[str, str]
    publication: int | None = None

    def to_bytes(self) -> bytes:
        fields = {k: v for k, v in self._asdict().items() if v is not None}
        return orjson.dumps(fields, option=orjson.OPT_SORT_KEYS)

    @classmethod
    def from_bytes(cls, data: bytes) -> "Mark":
        fields: dict[str, Any] = orjson.loads(data)
        return cls(**fields)


class EntrySet:
    """Entries with the digest of all of them, updated per entry."""

    def __init__(self) -> None:
        self.values: dict[str, bytes] = {}
        self._digests: dict[str, int] = {}
        self._sum = 0

    def put(self, key: str, value: bytes | None) -> None:
        """Set or (None) remove an entry."""
        self._sum -= self._digests.pop(key, 0)
        if value is None:
            self.values.pop(key, None)
        else:
            self.values[key] = value
            digest = self._digests[key] = entry_digest(key, value)
            self._sum += digest
        self._sum &= _DIGEST_MASK

    def digest(self) -> str:
        return f"{self._sum:032x}"

    def differences(self, wanted: dict[str, bytes]) -> Changes:
        """What must be written so that this set becomes `wanted`."""
        changes: Changes = {key: None for key in self.values if key not in wanted}
        changes |= {key: value for key, value in wanted.items() if self.values.get(key) != value}
        return changes


class LedgerReader:
    """The reader's side of one ledger partition. `adopted` is the newest set known to be whole; None before the first."""

    def __init__(self, fold: int) -> None:
        self._fold = fold
        self._held = EntrySet()
        self._last_mark: Mark | None = None
        self._unadopted: Changes = {}
        self.adopted: Mark | None = None

    @property
    def pending_entries(self) -> int:
        """Entries read that belong to no adopted set yet."""
        return len(self._unadopted)

    @property
    def settled(self) -> bool:
        """Whether nothing has been read since the set that was adopted."""
        return not self._unadopted and (self._last_mark is None or self._last_mark is self.adopted)

    def start_anew(self) -> None:
        """Forget what is held: the ledger will be read from its beginning. What was adopted stays adopted."""
        # Keys that do not come again are gone: their tombstones were compacted away.
        self._unadopted = dict.fromkeys([*self._held.values, *self._unadopted])
        self._held, self._last_mark = EntrySet(), None

    def read(self, key: str, value: bytes | None, kind: bytes | None) -> Changes | None:
        """Take one record in ledger order; the changes since the last adopted set if this one completes a set, else None."""
        if kind == MARK_KIND:
            if value is not None:
                self._last_mark = Mark.from_bytes(value)
        else:
            self._held.put(key, value)
            self._unadopted[key] = value
        return self._adopt()

    def _adopt(self) -> Changes | None:
        mark = self._last_mark
        if mark is None or mark.fold != self._fold or mark is self.adopted:
            return None
        if mark.entries != len(self._held.values) or mark.digest != self._held.digest():
            return None
        if self.adopted is not None and is_behind(mark.cut, self.adopted.cut):
            return None
        self.adopted = mark
        changes, self._unadopted = self._unadopted, {}
        return changes
