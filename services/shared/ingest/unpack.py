"""Unpacking of gzip and zstd that never holds more than the limit, whatever a few bytes claim to unfold to."""

import zlib

import zstandard

from services.shared.runtime.http.problem import Problem

UNPACKED_BYTES_MAX = 16 << 20  # the contract's limit of a submission
ENCODINGS = ("gzip", "x-gzip", "zstd")
_GZIP = 16 + zlib.MAX_WBITS  # zlib's way to ask for gzip's frame
# The most that `zstd --ultra` uses; allocated by need. A frame that wants more is refused.
ZSTD_WINDOW_BYTES_MAX = 1 << 27
# zstd's decompressor takes no limit on what comes out: a block of 4 bytes can be 128 KiB, a piece of 256 so 8 MiB.
_ZSTD_PIECE_BYTES = 256


def too_large() -> Problem:
    """The answer to a body over the limit."""
    return Problem(413, f"a submission has at most {UNPACKED_BYTES_MAX >> 20} MiB unpacked")


def unpack(body: bytes, encoding: str) -> bytes:
    """The body without its content encoding ("" for none). Problem 413 over the limit, 400 if it is damaged or cut off."""
    if encoding in ("gzip", "x-gzip"):
        return _gunzip(body)
    if encoding == "zstd":
        return _unzstd(body)
    assert encoding == ""
    return body


def _gunzip(body: bytes) -> bytes:
    parts: list[bytes] = []
    room = UNPACKED_BYTES_MAX + 1
    while body or not parts:
        member = zlib.decompressobj(_GZIP)
        try:
            parts.append(member.decompress(body, room))
        except zlib.error:
            raise Problem(400, "the body is not gzip, or damaged") from None
        room -= len(parts[-1])
        if room <= 0:
            raise too_large()
        if not member.eof:
            raise Problem(400, "the gzip body is cut off")
        body = member.unused_data
    return b"".join(parts)


def _unzstd(body: bytes) -> bytes:
    decompressor = zstandard.ZstdDecompressor(max_window_size=ZSTD_WINDOW_BYTES_MAX)
    frame = decompressor.decompressobj()
    parts: list[bytes] = []
    size = 0
    for start in range(0, len(body), _ZSTD_PIECE_BYTES):
        piece = body[start : start + _ZSTD_PIECE_BYTES]
        while piece:
            if frame.eof:
                frame = decompressor.decompressobj()
            try:
                parts.append(frame.decompress(piece))
            except zstandard.ZstdError:
                raise Problem(400, "the body is not zstd, or damaged") from None
            piece = frame.unused_data if frame.eof else b""
            size += len(parts[-1])
            if size > UNPACKED_BYTES_MAX:
                raise too_large()
    if not frame.eof:
        raise Problem(400, "the zstd body is cut off")
    return b"".join(parts)
