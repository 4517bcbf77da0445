"""Deflate by zlib and ISA-L: each reads what the other wrote."""

from __future__ import annotations

import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from preprocess import deflate

LEVELS = (deflate.QUICK, 6)
#: bytes with repeats far and near, as pictures have them
DATA = st.builds(
    lambda pieces, order: b"".join(pieces[number % len(pieces)] for number in order),
    st.lists(st.binary(min_size=1, max_size=300), min_size=1, max_size=8),
    st.lists(st.integers(0, 7), max_size=400),
)


@pytest.mark.parametrize("level", LEVELS)
@settings(deadline=None, max_examples=60)
@given(first=DATA, second=DATA)
def test_a_stream_that_goes_on_is_one_stream_to_zlib(level, first, second):
    begun, ended = deflate.packer(level), deflate.packer(level, first[-(1 << 15) :])
    packed = begun.compress(first) + begun.flush(deflate.SYNC) + ended.compress(second) + ended.flush(deflate.FINISH)
    assert zlib.decompress(packed, -15) == first + second


@settings(deadline=None, max_examples=60)
@given(data=DATA, level=st.integers(0, 9), step=st.integers(1, 5000))
def test_what_zlib_packed_is_inflated_in_steps_of_any_length(data, level, step):
    packer = zlib.compressobj(level, zlib.DEFLATED, -15)
    waiting = packer.compress(data) + packer.flush()
    unpacker, found = deflate.unpacker(), b""
    while not unpacker.eof:
        piece = unpacker.decompress(waiting, step)
        assert len(piece) <= step
        assert piece or unpacker.eof
        found, waiting = found + piece, unpacker.unconsumed_tail
    assert found == data


def test_level_six_is_the_stream_of_the_published_files():
    data = bytes(range(256)) * 400
    packer, default = deflate.packer(6), zlib.compressobj(zlib.Z_DEFAULT_COMPRESSION, zlib.DEFLATED, -15)
    assert packer.compress(data) + packer.flush() == default.compress(data) + default.flush()


@settings(max_examples=50)
@given(one=st.binary(), other=st.binary())
def test_the_checksum_is_that_of_zip(one, other):
    assert deflate.crc32(other, deflate.crc32(one)) == zlib.crc32(one + other)


def test_what_is_no_stream_is_an_error_of_the_kind_that_is_told():
    with pytest.raises(deflate.ERROR):
        deflate.unpacker().decompress(b"\xff" * 100)
