"""Pictures that are not what they seem: damaged JPEG data, deep channels, several pages, turned ones, large ones."""

from __future__ import annotations

import io
import random
import struct
import tempfile
import zlib
from pathlib import Path

import jpeglib
import numpy as np
import pytest
import simplejpeg
from PIL import Image, ImageCms

from preprocess.errors import UnreadableError
from preprocess.reading import jpeg
from preprocess.reading import picture as picture_module
from preprocess.reading.picture import Picture
from preprocess.steps import images

RNG = np.random.default_rng(5)
COLOUR = RNG.integers(0, 256, (40, 56, 3), dtype=np.uint8)
#: a smooth picture, as photographs are
SMOOTH = np.stack([np.add.outer(np.arange(400) // 3, np.arange(600) // k) % 256 for k in (3, 4, 5)], axis=2).astype(
    np.uint8
)


def encoded(array, format, **options):
    buffer = io.BytesIO()
    (array if isinstance(array, Image.Image) else Image.fromarray(array)).save(buffer, format, **options)
    return buffer.getvalue()


def decode(data):
    return images.decode(Picture(data), "pillow")


# ---- JPEG data


def hole(data: bytes, at: int) -> bytes:
    return data[:at] + bytes(512) + data[at + 512 :]


def dropped(data: bytes, at: int) -> bytes:
    return data[:at] + data[at + 512 :]


def closed(data: bytes, at: int) -> bytes:
    return data[:at] + b"\xff\xd9"


DAMAGES = [hole, dropped, closed]


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_damaged_jpeg_data_are_refused(damage, progressive, mode):
    noisy = np.clip(SMOOTH.astype(int) + RNG.integers(-30, 30, SMOOTH.shape), 0, 255).astype(np.uint8)
    data = encoded(Image.fromarray(noisy).convert(mode), "JPEG", progressive=progressive, quality=90)
    assert jpeg.damage(data) == ""
    decode(data)
    broken = damage(data, len(data) // 2)
    Image.open(io.BytesIO(broken)).load()  # Pillow has nothing to say
    with pytest.raises(UnreadableError, match=r"is damaged: libjpeg says .*(orrupt|remature)"):
        decode(broken)


#: sampling factors of the first component, down and across, by the name of the ratio
SAMPLING = {"444": (1, 1), "422": (1, 2), "420": (2, 2), "440": (2, 1), "411": (1, 4)}


def by_libjpeg(pixels: np.ndarray, sampling: tuple, progressive: bool, colours: str | None = None) -> bytes:
    """A JPEG by IJG's own library, which writes what Pillow does not."""
    with jpeglib.version("6b"), tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.jpg")
        space = {1: jpeglib.JCS_GRAYSCALE, 3: jpeglib.JCS_RGB, 4: jpeglib.JCS_CMYK}[pixels.shape[2]]
        encoder = jpeglib.from_spatial(np.ascontiguousarray(pixels), in_color_space=space)
        if colours:
            encoder.jpeg_color_space = getattr(jpeglib, colours)
        if pixels.shape[2] == 3:
            encoder.samp_factor = (sampling, (1, 1), (1, 1))
        encoder.write_spatial(str(path), qt=80, flags=["PROGRESSIVE_MODE" if progressive else "-PROGRESSIVE_MODE"])
        return path.read_bytes()


def kinds_of_jpeg():
    """Every kind of JPEG, and whether one decoding is enough for it."""
    noisy = np.clip(SMOOTH[:211, :307].astype(int) + RNG.integers(-30, 30, (211, 307, 3)), 0, 255).astype(np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for name, factors in SAMPLING.items():
        for progressive in (False, True):
            once = not progressive or name in ("444", "422", "420")
            yield f"{name} {progressive}", by_libjpeg(noisy, factors, progressive), once
    yield "one pixel", encoded(noisy[:1, :1], "JPEG"), True
    yield "one column", encoded(noisy[:, :1], "JPEG", subsampling=2), True
    yield "gray", encoded(noisy[..., 0], "JPEG"), True
    yield "gray in scans", encoded(noisy[..., 0], "JPEG", progressive=True), True
    yield "sampled gray", by_libjpeg(noisy[..., :1], (2, 2), False), True
    yield "restarts", encoded(noisy, "JPEG", restart_marker_blocks=7), True
    yield "restarts in scans", encoded(noisy, "JPEG", progressive=True, restart_marker_rows=1), True
    yield "coarse", encoded(noisy, "JPEG", quality=3), True
    yield "turned, with a profile", encoded(noisy, "JPEG", exif=exif, icc_profile=profile), True
    yield "without Huffman codes of its own", encoded(noisy, "JPEG", optimize=True), True
    for count in (1, 4, 7):  # scans that are missing; libjpeg smooths what they would have refined
        data = encoded(noisy, "JPEG", progressive=True)
        for _ in range(count):
            data = data.rpartition(b"\xff\xda")[0]
        yield f"{count} scans missing", data + b"\xff\xd9", True
    yield "RGB as it is", encoded(noisy, "JPEG", keep_rgb=True), False
    cmyk = np.dstack([noisy, noisy[..., 0]])
    yield "CMYK", encoded(Image.fromarray(cmyk, "CMYK"), "JPEG"), False
    yield "YCCK", by_libjpeg(cmyk, (1, 1), False, "JCS_YCCK"), False


def test_pixels_stay_those_of_pillow_in_every_kind_of_jpeg():
    for name, data, once in kinds_of_jpeg():
        image = Image.open(io.BytesIO(data))
        gray, orientation = image.mode == "L", image.getexif().get(0x0112, 1)
        assert (Picture(data).array is not None) == once, name
        assert np.array_equal(decode(data), np.asarray(image.convert("L" if gray else "RGB"))), name
        assert np.array_equal(np.asarray(Picture(data).converted("L")), np.asarray(image.convert("L"))), name
        assert Picture(data).form.endswith("EXIF orientation 6") == (orientation == 6), name


def test_a_kind_that_the_two_libraries_decode_unlike_is_left_to_pillow(monkeypatch):
    data = {sampling: encoded(SMOOTH, "JPEG", subsampling=sampling) for sampling in (0, 2)}
    decode_jpeg = simplejpeg.decode_jpeg

    def other(data, *words, **named):
        """A libjpeg-turbo that blows up chroma another way where it is halved both ways."""
        halved = simplejpeg.decode_jpeg_header(data)[3] == "420"
        return decode_jpeg(data, *words, **{**named, "fastupsample": halved})

    jpeg._is_alike.cache_clear()
    monkeypatch.setattr(simplejpeg, "decode_jpeg", other)
    try:
        assert Picture(data[2]).array is None and Picture(data[0]).array is not None
        assert np.array_equal(decode(data[2]), np.asarray(Image.open(io.BytesIO(data[2]))))
    finally:
        jpeg._is_alike.cache_clear()


@pytest.mark.parametrize("factors", [((1, 1), (2, 2)), ((2, 1), (1, 2)), ((4, 1), (1, 1))])
def test_rare_sampling_is_not_called_damage(factors):
    data = by_libjpeg(SMOOTH[:40, :40], (1, 1), False)
    at = data.index(b"\xff\xc0") + 11
    for place, (down, across) in zip((at, at + 3), factors, strict=True):
        data = data[:place] + bytes([across << 4 | down]) + data[place + 1 :]
    with pytest.raises(UnreadableError, match="samples its colours in a rare way"):
        jpeg.damage(data)


def test_damaged_jpeg_data_within_tiff_are_refused():
    noisy = np.clip(SMOOTH.astype(int) + RNG.integers(-30, 30, SMOOTH.shape), 0, 255).astype(np.uint8)
    data = encoded(noisy, "TIFF", compression="jpeg")
    assert np.array_equal(decode(data), np.asarray(Image.open(io.BytesIO(data))))
    tags = Image.open(io.BytesIO(data)).tag_v2
    at = tags[273][0] + tags[279][0] // 2
    with pytest.raises(UnreadableError, match="is damaged: libjpeg says"):
        decode(data[:at] + bytes(200) + data[at + 200 :])


@pytest.mark.real
def test_every_real_jpeg_is_whole_and_decoded_once_and_its_damaged_copies_are_not(real):
    paths = [path for path in sorted(real.rglob("*")) if path.suffix.lower() in (".jpg", ".jpeg")]
    assert len(paths) > 100
    rng = random.Random(1)
    missed = 0
    for path in paths:
        data = path.read_bytes()
        assert jpeg.damage(data) == "", path
        image = Image.open(io.BytesIO(data))
        pixels = Picture(data).array
        assert pixels is not None and np.array_equal(pixels, np.asarray(image)), path
        for damage in DAMAGES:
            broken = damage(data, rng.randrange(len(data) // 3, len(data) * 2 // 3))
            missed += jpeg.damage(broken) == "" or Picture(broken).array is not None
    assert missed == 0


def test_a_hole_that_decodes_to_as_many_blocks_is_seen():
    """Of holes at 900 places libjpeg calls some whole: their zeros decode to as many blocks as were there."""
    noisy = np.clip(SMOOTH.astype(int) + RNG.integers(-30, 30, SMOOTH.shape), 0, 255).astype(np.uint8)
    data = encoded(noisy[:160, :160], "JPEG", quality=85)
    places = range(len(data) // 3, len(data) // 3 + 900)
    told = [jpeg.damage(hole(data, at)) for at in places]
    assert all(told) and any(one.startswith("64 or more bytes") for one in told)


@pytest.mark.parametrize("options", [{}, {"optimize": True}, {"progressive": True}, {"quality": 1}, {"exif": True}])
@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_what_is_black_or_holds_zeros_elsewhere_is_no_hole(mode, options):
    exif = Image.Exif()
    exif[0x010E] = "\0" * 500  # a description
    options = {"exif": exif} if "exif" in options else options
    for array in (np.zeros((300, 300, 3), np.uint8), SMOOTH // 255):
        data = encoded(Image.fromarray(array.astype(np.uint8)).convert(mode), "JPEG", **options)
        assert jpeg.damage(data + bytes(500)) == ""


# ---- depth


def png(array: np.ndarray, kind: int) -> bytes:
    """A PNG of 16 bits a channel, which Pillow does not write in colour."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in array)
    head = struct.pack(">IIBBBBB", array.shape[1], array.shape[0], 16, kind, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def tiff(array: np.ndarray, photometric: int, numbers: int = 1) -> bytes:
    """An unpacked little-endian TIFF of one strip."""
    channels = array.shape[2] if array.ndim == 3 else 1
    bits = array.dtype.itemsize * 8
    pixels = array.astype(array.dtype.newbyteorder("<")).tobytes()
    entries = [
        (256, 4, 1, array.shape[1]), (257, 4, 1, array.shape[0]), (258, 3, channels, bits), (259, 3, 1, 1),
        (262, 3, 1, photometric), (273, 4, 1, 8), (277, 3, 1, channels), (278, 4, 1, array.shape[0]),
        (279, 4, 1, len(pixels)), (339, 3, channels, numbers),
    ]  # fmt: skip
    start = 8 + len(pixels)
    beyond = start + 2 + 12 * len(entries) + 4
    out, extra = b"", b""
    for tag, kind, count, value in entries:
        if count > 2:
            out += struct.pack("<HHII", tag, kind, count, beyond + len(extra))
            extra += struct.pack("<H", value) * count
        else:
            out += struct.pack("<HHI", tag, kind, count) + (
                struct.pack("<HH", value, value if count == 2 else 0) if kind == 3 else struct.pack("<I", value)
            )
    return b"II*\0" + struct.pack("<I", start) + pixels + struct.pack("<H", len(entries)) + out + b"\0" * 4 + extra


DEEP = (COLOUR.astype(np.uint16) * 16).astype(np.uint16)


@pytest.mark.parametrize(
    "data",
    [png(DEEP[..., 0], 0), png(DEEP, 2), png(DEEP[..., :2], 4), png(np.dstack([DEEP, DEEP[..., 0]]), 6), tiff(DEEP, 2)],
    ids=["gray", "RGB", "gray and alpha", "RGB and alpha", "TIFF RGB"],
)
def test_more_than_8_bits_a_channel_are_refused_in_every_form(data):
    Image.open(io.BytesIO(data)).load()
    with pytest.raises(UnreadableError, match=r"(has 16 bits a channel|has pixels of mode I;16); only 8-bit images"):
        decode(data)


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_fewer_bits_are_spread_over_8(bits):
    values = RNG.integers(0, 2**bits, (9, 16), dtype=np.uint8)
    packed = np.packbits(np.unpackbits(values[..., None], axis=2)[..., 8 - bits :].reshape(9, -1), axis=1)
    rows = b"".join(b"\0" + row.tobytes() for row in packed)

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 16, 9, bits, 0, 0, 0, 0))
    data = b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    assert np.array_equal(decode(data), values * (255 // (2**bits - 1)))


def test_signed_numbers_are_refused():
    with pytest.raises(UnreadableError, match="signed or floating numbers"):
        decode(tiff(COLOUR[..., 0], 1, numbers=2))
    assert np.array_equal(decode(tiff(COLOUR[..., 0], 1)), COLOUR[..., 0])


def test_a_png_whose_checksum_is_wrong_is_refused():
    data = bytearray(encoded(COLOUR, "PNG"))
    place = data.index(b"IDAT")
    length = int.from_bytes(data[place - 4 : place], "big")
    data[place + 4 + length] ^= 1  # the CRC itself
    with pytest.raises(UnreadableError, match="the checksum of its chunk IDAT is wrong"):
        decode(bytes(data))


# ---- pages and orientation


@pytest.mark.parametrize("format", ["TIFF", "PNG"])
def test_several_pictures_in_one_file_are_refused(format):
    pages = [Image.fromarray(COLOUR // 2), Image.fromarray(COLOUR)]
    with pytest.raises(UnreadableError, match="holds 2 pictures; nothing says which of them is the sample"):
        decode(encoded(pages[0], format, save_all=True, append_images=pages[1:]))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("compression", ["raw", "tiff_deflate"])
def test_tiff_is_taken_as_stored_as_jpeg_is(orientation, compression):
    data = encoded(COLOUR, "TIFF", tiffinfo={274: orientation}, compression=compression)
    picture = Picture(data)
    told = "" if orientation == 1 else f" EXIF orientation {orientation}"
    assert picture.form == f"TIFF RGB 56x40{told}"
    assert picture.extent == (56, 40)
    assert np.array_equal(images.decode(picture, "pillow"), COLOUR)
    assert picture.form == f"TIFF RGB 56x40{told}"  # after loading as before
    assert picture.extent == (56, 40)


# ---- size


def test_a_large_picture_is_read_whatever_pillow_thinks(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    assert np.array_equal(decode(encoded(COLOUR, "PNG")), COLOUR)
    assert Image.MAX_IMAGE_PIXELS == 100  # nobody else's limit has changed


def test_a_small_file_of_very_many_pixels_is_refused(monkeypatch):
    monkeypatch.setattr(picture_module, "MAX_FREE_SIZE", 100_000)
    data = encoded(np.zeros((1000, 1000), np.uint8), "PNG")
    with pytest.raises(UnreadableError, match=r"would grow from [\d,]+ bytes to 1,000,000 of pixels"):
        decode(data)
    assert decode(encoded(RNG.integers(0, 256, (400, 400), dtype=np.uint8), "PNG")).shape == (400, 400)


@pytest.mark.parametrize("format", ["PNG", "JPEG", "TIFF", "BMP"])
def test_no_damage_to_a_picture_is_a_traceback(format):
    data = encoded(COLOUR, format)
    rng = random.Random(format)
    for _ in range(300):
        broken = bytearray(data)
        for _ in range(rng.choice((1, 3, 20))):
            broken[rng.randrange(min(len(broken), 400))] = rng.randrange(256)
        picture = Picture(bytes(broken[: rng.choice((len(broken), len(broken) // 2))]))
        assert "\n" not in picture.form
        try:
            images.decode(picture, "pillow")
        except UnreadableError as error:
            assert "\n" not in error.cause and "0x" not in error.cause.partition("(")[2][:60]
