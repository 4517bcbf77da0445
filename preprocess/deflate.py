"""Deflate by two libraries: zlib, whose bytes the published files hold, and ISA-L, which is quicker.

ISA-L (the package ``isal``) packs pictures at its level 1 about eight times as fast as zlib does at level 6, into
streams 8 to 12 % longer, and inflates what either wrote about twice as fast (``python -m benchmarks.levels``). Its
bytes were the same on all five x86-64 processors with SSE 4.2 that were tried, and on all three ARM64 ones, but x86-64
and ARM64 differ. zlib's differ from one build of it to another, too: arrays and their digests depend on neither.
"""

from __future__ import annotations

import zlib
from typing import Any, Protocol, cast

from isal import isal_zlib

#: the level that ISA-L packs; the others are zlib's
QUICK = 1
#: what data that are no deflate stream raise
ERROR = cast(type[Exception], isal_zlib.error)
#: ends what was packed so far at a whole byte; the stream goes on
SYNC, FINISH = zlib.Z_SYNC_FLUSH, zlib.Z_FINISH
_RAW = -15  # without the header of zlib or gzip


class Packer(Protocol):
    """What packs."""

    def compress(self, data: Any, /) -> bytes: ...
    def flush(self, mode: int = FINISH, /) -> bytes: ...


def packer(level: int, history: memoryview | bytes = b"") -> Packer:
    """Begin a stream without a header, or go on with one.

    Args:
        level: ``QUICK`` is ISA-L's, others zlib's.
        history: the 32 KiB before it, which it may refer to.
    """
    begin: Any = isal_zlib.compressobj if level == QUICK else zlib.compressobj
    packing: Packer = begin(level, zlib.DEFLATED, _RAW, **({"zdict": history} if history else {}))
    return packing


class Unpacker(Protocol):
    """What inflates, as ``zlib.decompressobj`` gives it."""

    eof: bool
    unconsumed_tail: bytes

    def decompress(self, data: bytes, most: int = 0, /) -> bytes: ...


def unpacker() -> Unpacker:
    """Inflate a stream without a header."""
    return isal_zlib.decompressobj(_RAW)


def crc32(data: Any, value: int = 0) -> int:
    """The CRC-32 of zip archives, of data that go on from those of a value."""
    return int(isal_zlib.crc32(data, value))
