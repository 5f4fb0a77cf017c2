"""Pictures come out as upright 8-bit RGB, or as one clear sentence."""

import io
import zlib

import numpy as np
import pytest
from PIL import Image, ImageFile

from talkhead.errors import TalkheadError
from talkhead.io import image as image_module
from talkhead.io.image import read_image, write_image

RED, GREEN = (200, 30, 30), (30, 160, 60)


@pytest.fixture
def picture() -> np.ndarray:
    """Red on the left, green on the right, wider than high."""
    rgb = np.zeros((32, 48, 3), np.uint8)
    rgb[:, :24], rgb[:, 24:] = RED, GREEN
    return rgb


def test_what_is_written_is_read_back(tmp_path, picture):
    write_image(tmp_path / "a.png", picture)
    assert np.array_equal(read_image(tmp_path / "a.png"), picture)
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]


def test_a_turned_picture_comes_upright(tmp_path, picture):
    exif = Image.Exif()
    exif[0x0112] = 6  # shown turned 90 degrees clockwise
    stored = Image.fromarray(np.rot90(picture).copy())
    stored.save(tmp_path / "a.png", exif=exif)
    assert np.array_equal(read_image(tmp_path / "a.png"), picture)


@pytest.mark.parametrize("mode", ["CMYK", "L", "P", "1", "LA", "YCbCr", "RGBA"])
def test_every_mode_becomes_rgb(tmp_path, picture, mode):
    path = tmp_path / ("a.jpg" if mode in ("CMYK", "YCbCr") else "a.png")
    Image.fromarray(picture).convert(mode).save(path)
    rgb = read_image(path)
    assert rgb.shape == picture.shape
    assert rgb.dtype == np.uint8
    if mode in ("CMYK", "P", "YCbCr", "RGBA"):
        # a palette of 216 colours is coarse; a swapped or inverted channel is off by more
        assert np.abs(rgb[10, 5].astype(int) - RED).max() < 35
        assert np.abs(rgb[10, 42].astype(int) - GREEN).max() < 35


def test_sixteen_bit_grey_keeps_its_brightness(tmp_path):
    values = np.full((20, 20), 0x4000, np.uint16)
    Image.fromarray(values).save(tmp_path / "a.png")
    assert np.all(read_image(tmp_path / "a.png") == 64)


def test_transparent_parts_turn_white(tmp_path, picture):
    alpha = np.full((32, 48, 1), 255, np.uint8)
    alpha[:, :24] = 0
    Image.fromarray(np.concatenate([picture, alpha], axis=2)).save(tmp_path / "a.png")
    rgb = read_image(tmp_path / "a.png")
    assert np.all(rgb[:, :24] == 255)
    assert np.all(rgb[:, 24:] == GREEN)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".bmp"])
def test_a_truncated_file_is_an_error_and_never_a_grey_half(tmp_path, suffix):
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    write_image(tmp_path / f"a{suffix}", noise)
    whole = (tmp_path / f"a{suffix}").read_bytes()
    (tmp_path / f"b{suffix}").write_bytes(whole[: len(whole) * 6 // 10])
    with pytest.raises(TalkheadError, match=r"complete copy|not a picture"):
        read_image(tmp_path / f"b{suffix}")
    assert not ImageFile.LOAD_TRUNCATED_IMAGES


def test_a_bad_path_is_named_in_the_sentence(tmp_path):
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.jpg").write_text("hello, this is no picture")
    cases = {"missing.png": "check the path", "empty.png": "empty", "text.jpg": "not a picture"}
    for name, reason in cases.items():
        with pytest.raises(TalkheadError, match=f"(?s){name}.*{reason}|{reason}.*{name}"):
            read_image(tmp_path / name)
    with pytest.raises(TalkheadError, match="folder"):
        read_image(tmp_path)


def test_a_tiny_picture_is_refused(tmp_path):
    Image.new("RGB", (40, 15)).save(tmp_path / "a.png")
    with pytest.raises(TalkheadError, match="40x15"):
        read_image(tmp_path / "a.png")


def test_a_large_jpeg_is_read_smaller_and_a_large_png_refused(tmp_path, picture, monkeypatch):
    monkeypatch.setattr(image_module, "MAX_PIXELS", 500)
    Image.fromarray(picture).save(tmp_path / "a.jpg")
    Image.fromarray(picture).save(tmp_path / "a.png")
    assert read_image(tmp_path / "a.jpg").shape == (16, 24, 3)
    with pytest.raises(TalkheadError, match="48x32"):
        read_image(tmp_path / "a.png")


def test_a_decompression_bomb_is_refused_without_decoding(tmp_path):
    bomb = io.BytesIO()
    Image.new("1", (16, 16)).save(bomb, "PNG")
    header = bytearray(bomb.getvalue())
    header[16:24] = (30000).to_bytes(4, "big") * 2
    header[29:33] = zlib.crc32(bytes(header[12:29])).to_bytes(4, "big")
    (tmp_path / "a.png").write_bytes(header)
    with pytest.raises(TalkheadError, match="too large"):
        read_image(tmp_path / "a.png")


def test_writing_names_an_unknown_ending_and_a_missing_folder(tmp_path, picture):
    with pytest.raises(TalkheadError, match="xyz"):
        write_image(tmp_path / "a.xyz", picture)
    with pytest.raises(TalkheadError, match="folder"):
        write_image(tmp_path / "nowhere" / "a.png", picture)
