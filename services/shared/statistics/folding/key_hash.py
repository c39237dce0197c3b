"""The 128-bit hash (XXH3) of many keys at once, without an object per key."""

import numpy as np
import xxhash
from numpy.typing import NDArray

from services.shared.statistics.exchange.records import WORD, Texts, words

Words = NDArray[np.uint64]

# XXH3 has a formula of its own for each range of lengths. Keys (agency and record id) are nearly always of this one; the library
# hashes the others one by one. https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md
SHORTEST, LONGEST = 17, 128
_STRIPE = 32  # one more round for each so many bytes begun
_SECRET = np.frombuffer(
    bytes.fromhex(
        "b8fe6c3923a44bbe7c01812cf721ad1cded46de9839097db7240a4a4b7b3671fcb79e64eccc0e578825ad07dccff7221b8084674f743248ee03590e6813a264c"
        "3c2852bb91c300cb88d0658b1b532ea371644897a20df94e3819ef46a9deacd8a8fa763fe39c343ff9dcbbc7c70b4f1d8a51e04bcdb45931c89f7ec9d9787364"
    ),
    "<u8",
)
_PRIME_1, _PRIME_2, _PRIME_4 = (np.uint64(p) for p in (0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x85EBCA77C2B2AE63))
_MIX = np.uint64(0x165667919E3779F9)
_HALF, _LOW_HALF, _SHIFT = np.uint64(32), np.uint64(0xFFFFFFFF), np.uint64(37)


def hashes(keys: Texts) -> tuple[Words, Words]:
    """(high, low) halves of each key's XXH3-128. No key may be None."""
    usual = (keys.lengths >= SHORTEST) & (keys.lengths <= LONGEST)
    if usual.all():
        return _usual(keys)
    high, low = np.empty((2, len(keys)), np.uint64)
    high[usual], low[usual] = _usual(keys.take(np.flatnonzero(usual)))
    others = keys.take(np.flatnonzero(~usual))
    digests = b"".join([xxhash.xxh3_128_digest(key or b"") for key in others])
    high[~usual], low[~usual] = np.frombuffer(digests, ">u8").reshape(-1, 2).T
    return high, low


def _usual(keys: Texts) -> tuple[Words, Words]:
    length = keys.lengths.astype(np.uint64)
    low, high = length * _PRIME_1, np.zeros(len(keys), np.uint64)
    # From the middle of the key outwards: each round takes 16 bytes towards its begin and 16 towards its end.
    for turn in range(LONGEST // _STRIPE - 1, -1, -1):
        rows = np.flatnonzero(keys.lengths > turn * _STRIPE)
        if len(rows) == len(keys):
            low, high = _round(keys, turn, low, high)
        elif len(rows):
            low[rows], high[rows] = _round(keys.take(rows), turn, low[rows], high[rows])
    first = low + high
    second = low * _PRIME_1 + high * _PRIME_4 + length * _PRIME_2
    return np.uint64(0) - _avalanche(second), _avalanche(first)


def _round(keys: Texts, turn: int, low: Words, high: Words) -> tuple[Words, Words]:
    begin = keys.starts + 16 * turn
    end = keys.starts + keys.lengths - 16 * (turn + 1)
    secret = _SECRET[4 * turn : 4 * turn + 4]
    first, second = words(keys.buffer, begin), words(keys.buffer, begin + WORD)
    third, fourth = words(keys.buffer, end), words(keys.buffer, end + WORD)
    low = (low + _folded_product(first ^ secret[0], second ^ secret[1])) ^ (third + fourth)
    high = (high + _folded_product(third ^ secret[2], fourth ^ secret[3])) ^ (first + second)
    return low, high


def _folded_product(a: Words, b: Words) -> Words:
    """The two halves of the 128-bit product, combined by exclusive or."""
    a_low, a_high, b_low, b_high = a & _LOW_HALF, a >> _HALF, b & _LOW_HALF, b >> _HALF
    middle = a_high * b_low
    cross = ((a_low * b_low) >> _HALF) + (middle & _LOW_HALF) + a_low * b_high
    upper: Words = (middle >> _HALF) + (cross >> _HALF) + a_high * b_high
    return (a * b) ^ upper


def _avalanche(word: Words) -> Words:
    word = (word ^ (word >> _SHIFT)) * _MIX
    mixed: Words = word ^ (word >> _HALF)
    return mixed
