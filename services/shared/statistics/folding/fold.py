"""The rule that decides which version of a record counts, for a whole batch at once.

The highest version counts, in whatever order versions arrive. Of two different contents with the same version the first in the log
counts; the other is a conflict. The same content again is a duplicate. A lower version is stale. What has no version ranks below
every number, and of such the last in the log counts, unless it says the same as the one before it. The result does not depend on
how the log is cut into batches: the rule looks only at what came before.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from services.shared.statistics.folding.contribution import Integers, Packed

UNNUMBERED = 0  # as events say it of a record that came without a version; numbered versions start at 1
NO_VERSION = -1  # what is not in the index has this one: below all others


class Resolved(NamedTuple):
    """What a batch of n records does to k different keys.

    `counted`, `duplicate`, `conflict` (n, bool; all else is stale) are aligned with the batch, and so is `before` (n): what counted
    of the record's key until it came. `groups` are the keys' numbers that changed, with their new `versions` and `contributions`
    and the contributions `retracted` that they replace.
    """

    counted: NDArray[np.bool_]
    duplicate: NDArray[np.bool_]
    conflict: NDArray[np.bool_]
    before: Packed
    groups: Integers
    versions: Integers
    contributions: Packed
    retracted: Packed


def resolve(
    groups: Integers,
    versions: Integers,
    contributions: Packed,
    known_versions: Integers,
    known_contributions: Packed,
) -> Resolved:
    """Apply the rule to records in log order.

    `groups[i]` in 0..k-1 says which key record i belongs to; `known_*` (k) are what the index holds for each key, NO_VERSION where
    nothing. Every key of 0..k-1 occurs at least once.
    """
    alone = np.bincount(groups, minlength=len(known_versions)) == 1  # keys with one record in the batch: nearly all
    if alone.all():
        return _resolve_alone(groups, versions, contributions, known_versions, known_contributions)
    only = alone[groups]
    several = ~alone
    numbers = np.cumsum(several) - 1  # of the other keys, among themselves
    first = _resolve_alone(groups[only], versions[only], contributions[only], known_versions, known_contributions)
    second = _resolve_several(
        numbers[groups[~only]], versions[~only], contributions[~only], known_versions[several], known_contributions[several]
    )
    counted, duplicate, conflict = np.empty((3, len(groups)), bool)
    before = np.empty(len(groups), np.uint64)
    for both, of_first, of_second in zip((counted, duplicate, conflict, before), first, second, strict=False):
        both[only], both[~only] = of_first, of_second
    changed = np.concatenate([first.groups, np.flatnonzero(several)[second.groups]])
    order = np.argsort(changed)
    return Resolved(
        counted, duplicate, conflict, before, changed[order],
        np.concatenate([first.versions, second.versions])[order],
        np.concatenate([first.contributions, second.contributions])[order],
        np.concatenate([first.retracted, second.retracted])[order],
    )  # fmt: skip


def _resolve_alone(
    groups: Integers, versions: Integers, contributions: Packed, known_versions: Integers, known_contributions: Packed
) -> Resolved:
    """The rule where no key has a second record: each is compared with what is known of its key, and with nothing else."""
    known, known_content = known_versions[groups], known_contributions[groups]
    same_version = versions == known
    same_content = contributions == known_content
    otherwise = same_version & ~same_content
    unnumbered = versions == UNNUMBERED
    counted = (versions > known) | (otherwise & unnumbered)
    winners = np.flatnonzero(counted)
    winners = winners[np.argsort(groups[winners])]
    return Resolved(
        counted, same_version & same_content, otherwise & ~unnumbered, known_content,
        groups[winners], versions[winners], contributions[winners], known_content[winners],
    )  # fmt: skip


def _resolve_several(
    groups: Integers, versions: Integers, contributions: Packed, known_versions: Integers, known_contributions: Packed
) -> Resolved:
    """The rule for any number of records per key."""
    n, k = len(groups), len(known_versions)
    # Each key's known state stands before its records, as if it had been the first of them.
    group = np.concatenate([np.arange(k), groups])
    version = np.concatenate([known_versions, versions])
    contribution = np.concatenate([known_contributions, contributions])
    order = np.argsort(group, kind="stable")
    group, version, contribution = group[order], version[order], contribution[order]

    # Running maximum of the version within each key: ranks make (key, version) one increasing number.
    rank = np.unique(version, return_inverse=True)[1].astype(np.int64)
    width = np.int64(n + k + 1)
    place = group * width + rank
    highest = np.maximum.accumulate(place)
    before = np.concatenate([np.array([-1], np.int64), highest[:-1]])
    wins = place > before  # the known state of each key wins against the key before it
    # Where nothing numbered came yet, the row before says what stands: it won, or said the same as what did.
    wins[1:] |= (place == before)[1:] & (version[1:] == UNNUMBERED) & (contribution[1:] != contribution[:-1])
    # The row that holds the maximum so far: the last winner at or before each row.
    holder = np.maximum.accumulate(np.where(wins, np.arange(n + k), 0))
    same_version = ~wins & (place == highest)
    same_content = contribution == contribution[holder]

    record = order >= k
    counted, duplicate, conflict = np.zeros((3, n), bool)
    position = order[record] - k
    counted[position] = wins[record]
    duplicate[position] = (same_version & same_content)[record]
    conflict[position] = (same_version & ~same_content)[record]
    before = np.empty(n, np.uint64)
    before[position] = contribution[holder[np.flatnonzero(record) - 1]]  # the row before a record is of the same key

    last = np.ones(n + k, bool)  # not built by appending: a batch in which nothing could be read has no rows at all
    last[:-1] = group[1:] != group[:-1]
    final = holder[last]  # one row per key, in key order
    changed = np.flatnonzero(order[final] >= k)
    return Resolved(
        counted, duplicate, conflict, before,
        changed, version[final][changed], contribution[final][changed], known_contributions[changed],
    )  # fmt: skip
