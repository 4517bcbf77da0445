"""The steps for pictures: what each kind of file becomes, and where crop, gray and resize put their values."""

from __future__ import annotations

import io
import zlib
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_EVEN, Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image, PngImagePlugin
from scipy import ndimage

from preprocess.decisions import DECISIONS, KERNELS
from preprocess.errors import UnreadableError
from preprocess.reading.picture import Picture
from preprocess.steps import images

BICUBIC = Image.Resampling.BICUBIC
RNG = np.random.default_rng(5)
COLOUR = RNG.integers(0, 256, (7, 9, 3), dtype=np.uint8)
GRAY = RNG.integers(0, 256, (7, 9), dtype=np.uint8)


def encoded(image: Image.Image, format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def pixels_of(data: bytes) -> np.ndarray:
    return images.decode(Picture(data), "pillow")


def luma(pixels):
    """ITU-R 601-2 in whole thousandths, rounded; independent of Pillow's fixed-point arithmetic."""
    exact = pixels.astype(np.int64) @ np.array([299, 587, 114])
    return (exact + 500) // 1000


# ---- what a file becomes


@pytest.mark.parametrize("format", ["PNG", "TIFF", "BMP"])
def test_gray_and_rgb_stay_what_they_are(format):
    assert np.array_equal(pixels_of(encoded(Image.fromarray(GRAY), format)), GRAY)
    assert np.array_equal(pixels_of(encoded(Image.fromarray(COLOUR), format)), COLOUR)


def test_alpha_is_dropped_not_blended():
    alpha = np.arange(63, dtype=np.uint8).reshape(7, 9) * 4
    rgba = Image.fromarray(np.dstack([COLOUR, alpha]))
    assert np.array_equal(pixels_of(encoded(rgba, "PNG")), COLOUR)
    gray_alpha = Image.merge("LA", [Image.fromarray(GRAY), Image.fromarray(alpha)])
    assert np.array_equal(pixels_of(encoded(gray_alpha, "PNG")), GRAY)


def test_a_palette_becomes_its_colours_and_a_gray_palette_gray():
    palette = RNG.integers(0, 256, (256, 3), dtype=np.uint8)
    image = Image.fromarray(GRAY, "L").convert("P")
    image.putpalette(palette.tobytes())
    assert np.array_equal(pixels_of(encoded(image, "PNG")), palette[GRAY])
    image.putpalette(np.repeat(np.arange(256, dtype=np.uint8), 3).tobytes())
    decoded = pixels_of(encoded(image, "PNG"))
    assert all(np.array_equal(images.gray(decoded, kind), GRAY) for kind in ("luma", "libpng", "first"))


def test_bilevel_becomes_black_and_white():
    assert np.array_equal(pixels_of(encoded(Image.fromarray(GRAY > 100), "PNG")), (GRAY > 100).astype(np.uint8) * 255)


def test_cmyk_becomes_rgb():
    cmyk = np.zeros((8, 8, 4), np.uint8)
    cmyk[..., 0] = 255  # cyan: no red
    decoded = pixels_of(encoded(Image.fromarray(cmyk, "CMYK"), "JPEG", quality=100))
    assert decoded.shape == (8, 8, 3)
    assert np.abs(decoded.astype(int) - (0, 255, 255)).max() <= 2


def test_exif_orientation_is_told_not_applied():
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    plain = encoded(Image.fromarray(GRAY), "JPEG")
    turned = encoded(Image.fromarray(GRAY), "JPEG", exif=exif)
    assert plain != turned
    assert np.array_equal(pixels_of(turned), pixels_of(plain))
    assert Picture(plain).form == "JPEG L 9x7"
    assert Picture(turned).form == "JPEG L 9x7 EXIF orientation 6"


@pytest.mark.parametrize("format", ["PNG", "TIFF"])
def test_more_than_8_bits_are_refused(format):
    deep = Image.fromarray(GRAY.astype(np.uint16) * 257)
    with pytest.raises(UnreadableError, match="has pixels of mode I;16; only 8-bit images"):
        pixels_of(encoded(deep, format))


@pytest.mark.parametrize("cut", [0, 3, 60, -40])
def test_a_damaged_file_is_unreadable(cut):
    data = encoded(Image.fromarray(RNG.integers(0, 256, (64, 64), dtype=np.uint8)), "JPEG")
    with pytest.raises(UnreadableError, match="cannot be decoded"):
        pixels_of(data[:cut])


# ---- gray


def test_gray_formulas():
    every = RNG.integers(0, 256, (200, 200, 3), dtype=np.uint8)
    assert np.abs(images.gray(every, "luma").astype(int) - luma(every)).max() <= 1
    assert (images.gray(every, "luma") == luma(every)).mean() > 0.99
    assert np.array_equal(images.gray(every, "first"), every[..., 0])
    # by hand: 9798 * 11 + 19235 * 22 + 3735 * 42 = 687818 = 20.99 * 2**15, which is not rounded
    assert images.gray(np.array([[[11, 22, 42]]], np.uint8), "libpng")[0, 0] == 20
    # 256 levels of equal channels stay; the formula alone would lose one where it truncates
    ramp = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2)
    assert all(np.array_equal(images.gray(ramp, kind), ramp[..., 0]) for kind in ("luma", "libpng", "first"))


def test_gray_and_rgb_leave_what_fits_alone():
    assert images.gray(GRAY, "luma") is GRAY
    assert images.rgb(COLOUR) is COLOUR
    assert all(np.array_equal(images.rgb(GRAY)[..., channel], GRAY) for channel in range(3))


# ---- crop


@pytest.mark.parametrize(
    ("extent", "side", "half_even", "floor", "ceil"),
    # the margins of the sets where it matters: 360x363 -> 200 (82), 366x369 -> 200 (84)
    [(363, 200, 82, 81, 82), (369, 200, 84, 84, 85), (9, 6, 2, 1, 2), (7, 6, 0, 0, 1), (8, 6, 1, 1, 1)],
)
def test_where_a_crop_starts(extent, side, half_even, floor, ceil):
    column = np.arange(extent, dtype=np.int64)
    picture = np.tile((column % 251).astype(np.uint8), (side, 1))
    for rounding, start in (("half-even", half_even), ("floor", floor), ("ceil", ceil)):
        wide = images.crop(picture, "centre-square", rounding)
        assert wide.shape == (side, side)
        assert wide[0].tolist() == (column[start : start + side] % 251).tolist()
        tall = images.crop(np.ascontiguousarray(picture.T), f"centre-{side}", rounding)
        assert np.array_equal(tall, wide.T)


@settings(max_examples=60, deadline=None)
@given(height=st.integers(1, 40), width=st.integers(1, 40))
def test_a_crop_is_a_centred_square_of_the_short_side(height, width):
    picture = np.arange(height * width).reshape(height, width)
    side = min(height, width)
    for rounding in ("half-even", "floor", "ceil"):
        square = images.crop(picture, "centre-square", rounding)
        top, left = divmod(int(square[0, 0]), width)
        assert np.array_equal(square, picture[top : top + side, left : left + side])
        assert square.shape == (side, side)
        assert abs(height - side - 2 * top) <= 1
        assert abs(width - side - 2 * left) <= 1
    assert images.crop(picture, "none", "half-even") is picture


def test_a_crop_larger_than_the_image_is_unreadable():
    with pytest.raises(UnreadableError, match="is 9x7 pixels, smaller than the crop of 8"):
        images.crop(GRAY, "centre-8", "half-even")


# ---- resize and jpeg


def triangle(line, size):
    """One line resized by the antialiased triangle filter, in doubles: what ``bilinear`` means."""
    scale = len(line) / size
    support = max(scale, 1.0)
    result = []
    for position in range(size):
        centre = (position + 0.5) * scale
        weights = np.clip(1 - np.abs((np.arange(len(line)) + 0.5 - centre) / support), 0, None)
        result.append((weights * line).sum() / weights.sum())
    return np.array(result)


@pytest.mark.parametrize("size", [5, 28, 96])
def test_bilinear_is_the_antialiased_triangle(size):
    picture = RNG.integers(0, 256, (57, 57), dtype=np.uint8)
    expected = np.apply_along_axis(triangle, 0, np.apply_along_axis(triangle, 1, picture, size), size)
    assert np.abs(images.resize(picture, size, "bilinear") - expected).max() <= 1.01  # 8 bits between the passes


def test_resize_keeps_channels_apart_and_squashes():
    wide = RNG.integers(0, 256, (20, 50, 3), dtype=np.uint8)
    small = images.resize(wide, 12, "bicubic")
    assert small.shape == (12, 12, 3)
    for channel in range(3):
        assert np.array_equal(small[..., channel], images.resize(wide[..., channel], 12, "bicubic"))
    assert np.array_equal(images.resize(wide[:, :20], 20, "bilinear"), wide[:, :20])


@pytest.mark.parametrize(("shape", "size"), [((224, 224), 28), ((90, 61), 28), ((57, 80, 3), 20), ((20, 20), 28)])
def test_the_resize_of_scikit_image_is_a_gaussian_and_linear_interpolation(shape, size):
    """By scipy's own interpolation, in floating point throughout: the three cuts to whole levels take up to three."""
    picture = RNG.integers(0, 256, shape, dtype=np.uint8)
    scales = [extent / size for extent in shape[:2]]
    sigmas = [max(0, (scale - 1) / 2) for scale in scales]
    places = np.meshgrid(*[(np.arange(size) + 0.5) * scale - 0.5 for scale in scales], indexing="ij")
    channels = picture.reshape(*shape[:2], -1)
    for channel in range(channels.shape[2]):
        plane = channels[..., channel]
        blurred = ndimage.gaussian_filter(plane.astype(float), sigmas, mode="mirror")
        expected = ndimage.map_coordinates(blurred, places, order=1, mode="mirror")
        found = images.resize(picture, size, "scikit-image").reshape(size, size, -1)[..., channel]
        assert found.dtype == np.uint8
        assert ((expected - found > -1e-6) & (expected - found < 3 + 1e-6)).all()


@settings(max_examples=60, deadline=None)
@given(
    height=st.integers(1, 60), width=st.integers(1, 60), channels=st.sampled_from([(), (3,)]),
    sigma=st.floats(0.01, 30), flat=st.none() | st.integers(0, 255), seed=st.integers(0, 2**32 - 1),
)  # fmt: skip
def test_the_gaussian_is_scipy_s_to_the_byte(height, width, channels, sigma, flat, seed):
    """Flat pictures too, where a sum that is a little less than a whole level loses one."""
    random = np.random.default_rng(seed)
    picture = random.integers(0, 256, (height, width, *channels), dtype=np.uint8)
    if flat is not None:
        picture[...] = flat
    lines = np.unique(random.integers(0, height, 9))
    expected = ndimage.gaussian_filter1d(picture, sigma, axis=0, mode="mirror")
    assert np.array_equal(images._blur(picture, sigma, lines), expected[lines])


def test_a_flat_picture_by_the_resize_of_scikit_image():
    """A white scan is 253 in the published formula: each axis cuts a sum just below a whole level."""
    white = np.full((1024, 1024), 255, np.uint8)
    blurred = ndimage.gaussian_filter(white, (1024 / 28 - 1) / 2, mode="mirror")
    assert set(np.unique(images.resize(white, 28, "scikit-image"))) <= {blurred.min() - 1, blurred.min()}
    assert blurred.min() == blurred.max() == 253


def test_jpeg_steps_are_counted():
    picture = RNG.integers(0, 256, (28, 28, 3), dtype=np.uint8)
    expected = picture
    for name in ("q75", "q75 twice", "q75 3 times", "q75 4 times"):
        expected = np.asarray(Image.open(io.BytesIO(encoded(Image.fromarray(expected), "JPEG", quality=75))))
        assert np.array_equal(images.jpeg(picture, name), expected)
    jpeg = DECISIONS["jpeg"]
    for value in ("none", "q75", "q100", "q75 twice", "q75 12 times", "q75-ijg-8d", "q75-ijg-9b 3 times"):
        assert jpeg.problem(value) is None, value
    for value in ("q101", "q75 once", "q75 2 times", "q75 1 times", "q75-turbo", "q75  twice", "75", "q75-ijg-9z"):
        assert jpeg.problem(value), value


def test_jpeg_is_one_save_at_that_quality():
    picture = RNG.integers(0, 256, (28, 28), dtype=np.uint8)
    saved = encoded(Image.fromarray(picture), "JPEG", quality=75)
    assert np.array_equal(images.jpeg(picture, "q75"), np.asarray(Image.open(io.BytesIO(saved))))
    assert images.jpeg(picture, "none") is picture
    colour = images.jpeg(np.dstack([picture] * 3), "q75")
    assert colour.shape == (28, 28, 3)


# ---- by a second method


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(*[st.integers(0, 255)] * 3), min_size=1, max_size=40))
def test_libpng_gray_is_the_truncated_integer_formula(colours):
    found = images.gray(np.array([colours], np.uint8), "libpng")[0].tolist()
    # libpng's weights are 32768ths, and red is kept where nothing is to be mixed
    assert found == [r if r == g == b else (9798 * r + 19235 * g + 3735 * b) // 32768 for r, g, b in colours]


@settings(max_examples=100, deadline=None)
@given(side=st.integers(1, 12), below=st.integers(0, 9), right=st.integers(0, 9))
def test_crop_rounding_by_decimal_arithmetic(side, below, right):
    height, width = side + below, side + right
    picture = np.arange(height * width, dtype=np.int64).reshape(height, width)
    for rounding, rule in (("half-even", ROUND_HALF_EVEN), ("floor", ROUND_FLOOR), ("ceil", ROUND_CEILING)):
        top, left = (int((Decimal(margin) / 2).quantize(Decimal(1), rule)) for margin in (below, right))
        found = images.crop(picture, f"centre-{side}", rounding)
        assert np.array_equal(found, picture[top : top + side, left : left + side])


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("size", [3, 28, 64, 96])
def test_a_square_is_resized_by_one_call(kernel, size):
    for picture in (RNG.integers(0, 256, (64, 64), dtype=np.uint8), RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8)):
        one_call = Image.fromarray(picture).resize((size, size), Image.Resampling[kernel.upper()])
        assert np.array_equal(images.resize(picture, size, kernel), np.asarray(one_call))


def test_what_is_no_square_is_resized_horizontally_first():
    """The order shows in the 8 bits between the passes; a tall picture is where versions of Pillow differ."""
    differ = 0
    for shape in ((90, 20), (20, 90), (61, 33)):
        picture = RNG.integers(0, 256, shape, dtype=np.uint8)
        image = Image.fromarray(picture)
        across_first = image.resize((28, shape[0]), BICUBIC).resize((28, 28), BICUBIC)
        down_first = image.resize((shape[1], 28), BICUBIC).resize((28, 28), BICUBIC)
        differ += not np.array_equal(np.asarray(across_first), np.asarray(down_first))
        assert np.array_equal(images.resize(picture, 28, "bicubic"), np.asarray(across_first))
    assert differ


@pytest.mark.parametrize("format", ["PNG", "TIFF", "JPEG", "BMP"])
def test_a_file_cut_in_half_is_unreadable_in_every_format(format):
    data = encoded(Image.fromarray(RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8)), format)
    with pytest.raises(UnreadableError, match="cannot be decoded"):
        pixels_of(data[: len(data) // 2])


@pytest.mark.parametrize("mode", ["I", "F"])
def test_32_bits_are_refused(mode):
    with pytest.raises(UnreadableError, match=f"has pixels of mode {mode}; only 8-bit images"):
        pixels_of(encoded(Image.new(mode, (4, 4)), "TIFF"))


@pytest.mark.parametrize("place", ["exif", "profile", "xmp", "none"])
def test_the_orientation_a_png_header_names_is_described(place):
    exif = Image.Exif()
    exif[274] = 6
    text = PngImagePlugin.PngInfo()
    if place == "profile":
        text.add_text("Raw profile type exif", f"\nexif\n{len(exif.tobytes()):8d}\n{exif.tobytes().hex()}\n", zip=True)
    elif place == "xmp":
        text.add_itxt("XML:com.adobe.xmp", '<x tiff:Orientation="6"/>')
    buffer = io.BytesIO()
    Image.new("L", (8, 6)).save(buffer, "PNG", pnginfo=text, **({"exif": exif} if place == "exif" else {}))
    expected = "PNG L 8x6" if place == "none" else "PNG L 8x6 EXIF orientation 6"
    assert Picture(buffer.getvalue()).form == expected


def test_an_orientation_after_a_png_s_pixels_is_seen_once_they_are_decoded():
    exif = Image.Exif()
    exif[274] = 6
    picture = encoded(Image.fromarray(GRAY), "PNG")
    block = exif.tobytes().removeprefix(b"Exif\0\0")
    chunk = len(block).to_bytes(4, "big") + b"eXIf" + block + zlib.crc32(b"eXIf" + block).to_bytes(4, "big")
    late = Picture(picture[:-12] + chunk + picture[-12:])  # before IEND
    assert np.array_equal(images.decode(late, "pillow"), GRAY)
    assert late.form == "PNG L 9x7 EXIF orientation 6"


def test_formats_nobody_publishes_raws_in_are_not_decoded():
    with pytest.raises(UnreadableError, match="cannot be decoded"):
        pixels_of(encoded(Image.fromarray(GRAY), "PCX"))


def test_one_array_resized_twice_and_another_after_it():
    """The Pillow image of the last array is kept: it must never serve another array."""
    one, other = (RNG.integers(0, 256, (50, 40, 3), dtype=np.uint8) for _ in range(2))
    for picture in (one, other, one[:40], one):
        for size in (7, 16):
            image = Image.fromarray(np.ascontiguousarray(picture))
            expected = image.resize((size, image.height), BICUBIC).resize((size, size), BICUBIC)
            assert np.array_equal(images.resize(picture, size, "bicubic"), np.asarray(expected))


def test_pixels_keep_their_picture_and_nothing_else_does():
    """Every size is resized from one Pillow image; a part of the pixels, or what comes of them, has its own."""
    pixels = np.random.default_rng(3).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    decoded = images.decode(Picture(file.getvalue()), "pillow")
    cropped = images.crop(decoded, "centre-square", "floor")
    for image, wanted in ((decoded, pixels), (cropped, pixels[:, 5:45])):
        for size in (28, 33):
            expected = Image.fromarray(np.ascontiguousarray(wanted))
            if expected.width != expected.height:
                expected = expected.resize((size, expected.height), Image.Resampling.BICUBIC)
            expected = expected.resize((size, size), Image.Resampling.BICUBIC)
            np.testing.assert_array_equal(images.resize(image, size, "bicubic"), np.asarray(expected))
    assert images._image(decoded) is images._image(decoded) is not images._image(cropped)
    assert images._image(cropped) is images._image(cropped)
    flipped = decoded[::-1]
    np.testing.assert_array_equal(np.asarray(images._image(flipped)), pixels[::-1])
