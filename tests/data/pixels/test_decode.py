"""Image files are decoded as Caffe's OpenCV does, after a size check; truncated files and bombs are refused."""

from __future__ import annotations

import struct
from contextlib import suppress

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inferkit.data.pixels.decode import decode_image, image_size
from inferkit.errors import DataError, UsageError
from tests.data.caffe_files import picture, png, png_chunk

FORMATS = ("jpg", "png", "bmp", "webp")


def encoded(suffix: str, image: np.ndarray, *flags: int) -> bytes:
    return cv2.imencode(f".{suffix}", image, flags)[1].tobytes()


def png_that_says(width: int, height: int) -> bytes:
    """A PNG of a few bytes that is this large when unpacked, as far as its header goes."""
    return png(width, height, 8, 2, bytes(99))


def jpeg_that_says(width: int, height: int) -> bytes:
    content = bytearray(encoded("jpg", picture(0, 16, 16)))
    frame = content.index(b"\xff\xc0")
    struct.pack_into(">HH", content, frame + 5, height, width)
    return bytes(content)


@given(st.sampled_from(FORMATS), st.integers(1, 90), st.integers(1, 90), st.sampled_from([1, 3]))
@settings(max_examples=60)
def test_the_size_in_the_header_is_the_size_of_the_image(suffix: str, height: int, width: int, channels: int) -> None:
    content = encoded(suffix, picture(height, height, width, channels))
    assert image_size(content) == (height, width)
    assert decode_image(memoryview(content)).shape[:2] == (height, width)


@pytest.mark.parametrize(
    "flags",
    [
        (cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
        (cv2.IMWRITE_JPEG_RST_INTERVAL, 2),
        (cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_422),
        (cv2.IMWRITE_JPEG_OPTIMIZE, 1),
    ],
)
def test_jpegs_of_all_kinds(flags: tuple[int, ...]) -> None:
    content = encoded("jpg", picture(1, 61, 47), *flags)
    assert image_size(content) == (61, 47)
    np.testing.assert_array_equal(decode_image(content), cv2.imdecode(np.frombuffer(content, np.uint8), 1))


def test_the_size_is_the_images_not_that_of_a_thumbnail_inside() -> None:
    thumbnail = encoded("jpg", picture(2, 8, 8))
    content = encoded("jpg", picture(1, 40, 30))
    extra = b"Exif\0\0" + thumbnail
    content_with_thumbnail = (
        content[:2] + b"\xff\xe1" + struct.pack(">H", len(extra) + 2) + extra + b"\xff\xff" + content[3:]
    )
    assert image_size(content_with_thumbnail) == (40, 30)
    # The thumbnail's end mark is not the image's.
    with pytest.raises(DataError, match="truncated"):
        image_size(content_with_thumbnail[:-2])


def test_color_decides_the_channels() -> None:
    gray, colour = encoded("png", picture(0, 5, 6, 1)), encoded("png", picture(0, 5, 6))
    assert decode_image(gray).shape == (5, 6)
    assert decode_image(gray, color=True).shape == (5, 6, 3)
    assert decode_image(colour).shape == (5, 6, 3)
    assert decode_image(colour, color=False).shape == (5, 6)
    assert decode_image(encoded("png", picture(0, 5, 6, 4))).shape == (5, 6, 4)


@pytest.mark.parametrize("color", [None, True, False])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_sixteen_bits_a_channel_are_refused_and_never_cut_to_eight(channels, color):
    pixels = np.arange(30 * channels, dtype=np.uint16).reshape(5, 6, channels).squeeze() * 65
    with pytest.raises(DataError, match="16 bits per channel"):
        decode_image(encoded("png", pixels), color)


@pytest.mark.parametrize("color, shape", [(None, (5, 6, 4)), (True, (5, 6, 3)), (False, (5, 6))])
def test_alpha_is_a_channel_of_its_own_until_color_or_gray_is_asked_for(color, shape):
    pixels = picture(0, 5, 6)
    alpha = np.dstack([pixels, np.full((5, 6), 7, np.uint8)])
    decoded = decode_image(encoded("png", alpha), color)
    assert decoded.shape == shape
    if color:
        assert (decoded == pixels).all()


def test_palettes_and_few_bits_become_the_colors_that_they_stand_for() -> None:
    red, half_blue = (0, 0, 255), (128, 0, 0)
    palette = png_chunk(b"PLTE", bytes([*red[::-1], *half_blue[::-1]]))
    for depth, rows in ((8, bytes([0, 0, 1])), (4, bytes([0, 0x01])), (1, bytes([0, 0b01000000]))):
        assert decode_image(png(2, 1, depth, 3, rows, palette), color=True).tolist() == [[[*red], [*half_blue]]]
    assert decode_image(png(4, 1, 2, 0, bytes([0, 0b00011011]))).tolist() == [[0, 85, 170, 255]]


@pytest.mark.parametrize("color, turned", [(None, False), (True, True), (False, True)])
def test_a_photo_is_turned_as_its_camera_says_unless_it_is_kept_as_it_is(color, turned) -> None:
    content = encoded("jpg", picture(0, 16, 32))
    turn_right = b"II*\0" + struct.pack("<IHHHIII", 8, 1, 0x112, 3, 1, 6, 0)
    exif = b"Exif\0\0" + turn_right
    content = content[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + content[2:]
    assert decode_image(content, color).shape[:2] == ((32, 16) if turned else (16, 32))


@pytest.mark.parametrize("content", [png_that_says(60_000, 60_000), jpeg_that_says(65_000, 65_000)])
def test_a_bomb_is_refused_by_its_header_and_names_the_limit(content: bytes) -> None:
    with pytest.raises(DataError, match="max_pixels=100000000"):
        decode_image(content)


def test_the_limit_can_be_set() -> None:
    content = encoded("png", picture(0, 20, 30))
    assert decode_image(content, max_pixels=600).shape == (20, 30, 3)
    with pytest.raises(DataError, match="30 × 20 pixels, over the limit max_pixels=599"):
        decode_image(content, max_pixels=599)


def test_the_limit_can_be_set_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    content = encoded("png", picture(0, 20, 30))
    monkeypatch.setenv("INFERKIT_MAX_PIXELS", "599")
    with pytest.raises(DataError, match=r"max_pixels=599 .*INFERKIT_MAX_PIXELS"):
        decode_image(content)
    assert decode_image(content, max_pixels=600).shape == (20, 30, 3)
    for nonsense in ("many", "0", "-5"):
        monkeypatch.setenv("INFERKIT_MAX_PIXELS", nonsense)
        with pytest.raises(UsageError):
            decode_image(content)


@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_a_file_that_is_cut_anywhere_is_refused(suffix: str) -> None:
    content = encoded(suffix, picture(0, 40, 40))
    for length in [*range(0, len(content), 37), len(content) - 1]:
        with pytest.raises(DataError):
            decode_image(content[:length])


@pytest.mark.parametrize("filler", [b"\xff", b"\0", b"\xff\xfe\0\x02", b"\xff\0", b"\xff\xd0"])
def test_endless_headers_take_time_in_proportion(filler: bytes) -> None:
    content = b"\xff\xd8\xff\xfe\0\x02" + filler * (20_000_000 // len(filler))
    with pytest.raises(DataError):
        image_size(content)


def test_a_chunk_that_claims_more_than_the_file_has_is_refused() -> None:
    # OpenCV 5 takes memory for what a chunk claims: this one made it take 4 GiB, and 12 seconds.
    content = bytearray(encoded("png", picture(0, 24, 24)))
    struct.pack_into(">I", content, content.index(b"IDAT") - 4, 0xFF000300)
    with pytest.raises(DataError, match="truncated"):
        decode_image(bytes(content))


def test_pngs_with_chunks_without_end_are_refused() -> None:
    content = png_that_says(5, 5)[:33] + png_chunk(b"tEXt", b"") * 100_001
    with pytest.raises(DataError, match="over 100000 chunks"):
        image_size(content)


def test_trailing_bytes_after_the_image_do_not_matter() -> None:
    content = encoded("jpg", picture(0, 40, 40))
    np.testing.assert_array_equal(decode_image(content + b"more" * 50), decode_image(content))


@pytest.mark.parametrize("content", [b"", b"GIF89a\x01\x00", b"\xff\xd8\xff", b"\xff" * 50, b"BM", b"RIFF" * 9])
def test_what_is_no_image_is_refused(content: bytes) -> None:
    with pytest.raises(DataError):
        decode_image(content)


@given(st.sampled_from(FORMATS), st.data())
@settings(max_examples=150)
def test_damage_ends_in_a_data_error_or_in_pixels_of_the_said_size(suffix: str, data: st.DataObject) -> None:
    content = bytearray(encoded(suffix, picture(0, 24, 24)))
    for _ in range(data.draw(st.integers(1, 3))):
        position = data.draw(st.integers(0, min(len(content) - 1, 700)))
        change = data.draw(st.binary(min_size=1, max_size=4))
        content[position : position + len(change)] = change
    with suppress(DataError):
        image = decode_image(bytes(content), max_pixels=1_000_000)
        assert image.dtype == np.uint8
        height, width = image_size(bytes(content))
        assert image.shape[0] * image.shape[1] == height * width <= 1_000_000
