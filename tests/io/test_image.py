"""Pictures come out as upright 8-bit RGB, or as one clear sentence."""

import contextlib
import errno
import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import EpsImagePlugin, Image, ImageCms, ImageFile, JpegImagePlugin

from talkhead.errors import TalkheadError
from talkhead.io import image as image_module
from talkhead.io.image import picture_header, read_animation, read_image, write_image

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


POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 300 300\n%%EndComments\nshowpage\n"


def test_a_photo_never_starts_a_program(tmp_path, monkeypatch):
    ghostscript = tmp_path / "gs"
    ghostscript.write_text(f"#!/bin/sh\ntouch {tmp_path}/started\n")
    ghostscript.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(EpsImagePlugin, "gs_binary", None)
    for content in (
        POSTSCRIPT,
        b"\xc5\xd0\xd3\xc6" + struct.pack("<6I", 30, 99, 0, 0, 0, 0) + POSTSCRIPT,
    ):
        (tmp_path / "a.jpg").write_bytes(content)
        with pytest.raises(TalkheadError, match="not a picture"):
            read_image(tmp_path / "a.jpg")
    assert not (tmp_path / "started").exists()


@pytest.mark.parametrize("picture_format", ["ICNS", "TGA", "PCX", "SGI", "MSP"])
def test_only_stated_formats_are_read_whatever_the_name(tmp_path, picture, picture_format):
    mode = "1" if picture_format == "MSP" else "RGB"
    Image.fromarray(picture).convert(mode).save(tmp_path / "a.png", format=picture_format)
    with pytest.raises(TalkheadError, match="not a picture"):
        read_image(tmp_path / "a.png")


def make_exif(orientation: int, rational: tuple[int, int]) -> bytes:
    """EXIF data with an orientation and a signed rational resolution."""
    entries = struct.pack("<HHIHH", 0x0112, 3, 1, orientation, 0)
    entries += struct.pack("<HHII", 0x011A, 10, 1, 38)
    tiff = b"II*\0" + struct.pack("<IH", 8, 2) + entries + struct.pack("<I", 0)
    return b"Exif\0\0" + tiff + struct.pack("<ii", *rational)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp"])
@pytest.mark.parametrize("rational", [(-1, 0), (0, 0), (-(2**31), 1)])
def test_trouble_in_exif_is_no_trouble_with_the_pixels(tmp_path, picture, suffix, rational):
    stored = Image.fromarray(np.rot90(picture).copy())
    stored.save(tmp_path / f"a{suffix}", exif=make_exif(6, rational), quality=95)
    rgb = read_image(tmp_path / f"a{suffix}")
    assert rgb.shape == picture.shape
    assert np.abs(rgb.astype(int) - picture).mean() < 6


def test_exif_that_cannot_be_read_leaves_the_picture_as_it_is(tmp_path, picture):
    for damage in (b"Exif\0\0", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0garbage" * 20):
        Image.fromarray(picture).save(tmp_path / "a.png", exif=damage)
        assert np.array_equal(read_image(tmp_path / "a.png"), picture)


def make_tiff(path: Path, planes: np.ndarray, photometric: int, tags: dict[int, int] | None = None):
    """An uncompressed little-endian TIFF of planes (C, H, W), apart when there are several."""
    channels, height, width = planes.shape
    size = planes[0].nbytes
    bits = 8 * planes.dtype.itemsize
    kind = 3 if planes.dtype.kind == "f" else 1
    single = channels == 1
    numbers = {256: width, 257: height, 258: bits, 259: 1, 262: photometric, 277: channels}
    numbers |= {278: height, 279: size, 284: 1 if single else 2, 339: kind, **(tags or {})}
    start = 10 + 12 * (len(numbers) + 1) + 4
    lists = {} if single else {258: [bits] * channels, 279: [size] * channels}
    numbers[273] = data = start + 12 * channels
    lists |= {} if single else {273: [data + size * plane for plane in range(channels)]}
    body, entries = b"", b""
    for tag in sorted(numbers):
        values = lists.get(tag, [numbers[tag]])
        value = values[0] if len(values) == 1 else start + len(body)
        body += struct.pack(f"<{len(values)}I", *values) if len(values) > 1 else b""
        entries += struct.pack("<HHII", tag, 4, len(values), value)
    header = b"II*\0" + struct.pack("<IH", 8, len(numbers)) + entries + bytes(4)
    path.write_bytes((header + body).ljust(data, b"\0") + planes.tobytes())


def ramp(dtype: type, most: float) -> np.ndarray:
    """Grey from 0 on the left to `most` on the right, (1, 20, 64)."""
    return np.tile(np.linspace(0, most, 64), (1, 20, 1)).astype(dtype)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("white", [0, 1])
def test_a_tiff_is_as_bright_as_it_says(tmp_path, dtype, white):
    most = np.iinfo(dtype).max
    grey = ramp(dtype, most)
    make_tiff(tmp_path / "a.tif", grey if white else most - grey, photometric=white)
    rgb = read_image(tmp_path / "a.tif")
    assert np.abs(rgb[..., 0].astype(int) - np.linspace(0, 255, 64)).max() <= 1


def test_a_tiff_with_colours_apart_is_right_or_refused(tmp_path, picture):
    planes = picture.transpose(2, 0, 1)
    make_tiff(tmp_path / "a.tif", planes, photometric=2)
    assert np.array_equal(read_image(tmp_path / "a.tif"), picture)
    make_tiff(tmp_path / "b.tif", planes.astype(np.uint16) * 257, photometric=2)
    with pytest.raises(TalkheadError, match="8 bits per colour"):
        read_image(tmp_path / "b.tif")


@pytest.mark.parametrize(
    ("dtype", "most"), [(np.uint32, 2**32 - 1), (np.float32, 1), (np.float32, 900)]
)
def test_numbers_without_a_white_are_refused(tmp_path, dtype, most):
    make_tiff(tmp_path / "a.tif", ramp(dtype, most), photometric=1)
    with pytest.raises(TalkheadError, match="8 bits per colour"):
        read_image(tmp_path / "a.tif")


@pytest.mark.parametrize("tags", [{254: 1}, {255: 2}, {50706: 0x401}])
def test_the_preview_of_a_raw_file_is_not_taken_for_the_photo(tmp_path, tags):
    make_tiff(tmp_path / "a.tif", ramp(np.uint8, 255), photometric=1, tags=tags)
    with pytest.raises(TalkheadError, match="raw file"):
        read_image(tmp_path / "a.tif")


def test_a_canon_raw_file_is_refused(tmp_path):
    make_tiff(tmp_path / "a.tif", ramp(np.uint8, 255), photometric=1)
    content = (tmp_path / "a.tif").read_bytes()
    shifted = b"II*\0" + struct.pack("<I", 16) + b"CR\2\0" + bytes(4) + content[8:]
    (tmp_path / "a.cr2").write_bytes(shifted)
    with pytest.raises(TalkheadError, match="raw file"):
        read_image(tmp_path / "a.cr2")


def swapped_profile() -> bytes:
    """sRGB with the primaries of red and green exchanged: what is stored red is shown green."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    red, green = profile.index(b"rXYZ"), profile.index(b"gXYZ")
    profile[red : red + 4], profile[green : green + 4] = b"gXYZ", b"rXYZ"
    return bytes(profile)


def linear_grey_profile() -> bytes:
    """Grey whose numbers are amounts of light: half is shown as sRGB's 188."""
    white = b"XYZ \0\0\0\0" + struct.pack(">3I", 0xF6D6, 0x10000, 0xD32D)
    curve = b"curv\0\0\0\0" + struct.pack(">I", 0)
    table = struct.pack(">I", 2) + b"wtpt" + struct.pack(">II", 156, 20)
    table += b"kTRC" + struct.pack(">II", 176, 12)
    header = struct.pack(">I4sI4s4s4s", 188, b"lcms", 0x02400000, b"mntr", b"GRAY", b"XYZ ")
    header = header.ljust(36, b"\0") + b"acsp"
    header = header.ljust(68, b"\0") + struct.pack(">3I", 0xF6D6, 0x10000, 0xD32D)
    return header.ljust(128, b"\0") + table + white + curve


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P"])
def test_a_profile_counts_for_palettes_as_for_rgb(tmp_path, picture, mode):
    path = tmp_path / "a.png"
    flat = Image.fromarray(picture)
    kind = flat.quantize(4) if mode == "P" else flat.convert(mode)
    kind.save(path, icc_profile=swapped_profile())
    red, green, _ = read_image(path)[10, 5].astype(int)
    assert green > 150 > 100 > red


@pytest.mark.parametrize("mode", ["L", "LA"])
def test_a_profile_counts_for_grey(tmp_path, mode):
    grey = Image.new("L", (32, 32), 128).convert(mode)
    grey.save(tmp_path / "a.png", icc_profile=linear_grey_profile())
    assert np.abs(read_image(tmp_path / "a.png").astype(int) - 188).max() <= 1


def test_a_profile_of_another_kind_is_left_out(tmp_path, picture, caplog):
    Image.fromarray(picture).save(tmp_path / "a.png", icc_profile=linear_grey_profile())
    assert np.array_equal(read_image(tmp_path / "a.png"), picture)
    assert "another kind of picture" in caplog.text


def test_a_jpeg_of_endless_scans_is_refused_at_once(tmp_path, picture):
    made = io.BytesIO()
    Image.fromarray(picture).save(made, "JPEG", progressive=True)
    content = made.getvalue()
    last = content.rindex(b"\xff\xda")
    assert read_image_of(tmp_path, content).shape == picture.shape
    for scans in (200, 5000):
        many = content[:last] + content[last:-2] * scans + content[-2:]
        with pytest.raises(TalkheadError, match="scans"):
            read_image_of(tmp_path, many)


def test_the_thumbnail_of_a_jpeg_does_not_count_as_scans(tmp_path, picture):
    made = io.BytesIO()
    thumbnails = b"\xff\xda" * 300
    Image.fromarray(picture).save(made, "JPEG", comment=thumbnails)
    assert read_image_of(tmp_path, made.getvalue()).shape == picture.shape


def read_image_of(folder: Path, content: bytes) -> np.ndarray:
    (folder / "a.jpg").write_bytes(content)
    return read_image(folder / "a.jpg")


@pytest.mark.parametrize("picture_format", ["JPEG", "PNG", "WEBP", "AVIF", "GIF", "TIFF", "BMP"])
def test_a_damaged_picture_is_read_or_one_sentence(tmp_path, picture, picture_format):
    made = io.BytesIO()
    Image.fromarray(picture).save(made, picture_format)
    random = np.random.default_rng(7)
    for _ in range(60):
        content = bytearray(made.getvalue())
        for place in random.integers(0, len(content), 4):
            content[place] = random.integers(256)
        (tmp_path / "a.jpg").write_bytes(content)
        with contextlib.suppress(TalkheadError):
            assert read_image(tmp_path / "a.jpg").dtype == np.uint8


def test_an_error_of_the_disk_is_not_told_as_damage(tmp_path, picture, monkeypatch):
    def fail(self):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    Image.fromarray(picture).save(tmp_path / "a.jpg")
    monkeypatch.setattr(JpegImagePlugin.JpegImageFile, "load", fail)
    with pytest.raises(TalkheadError, match=r"cannot read .*a\.jpg.*check the disk"):
        read_image(tmp_path / "a.jpg")


def test_large_grey_pictures_take_little_memory(tmp_path):
    import tracemalloc

    Image.fromarray(np.zeros((1000, 1000), np.uint16)).save(tmp_path / "a.tif")
    tracemalloc.start()
    read_image(tmp_path / "a.tif")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 12_000_000  # bytes, of a million pixels; 32 a pixel before


@pytest.mark.parametrize("suffix", [".png", ".webp", ".avif"])
def test_an_animation_tells_its_frames_and_times(tmp_path, picture, suffix):
    frames = [Image.fromarray(np.roll(picture, 4 * i, 1)) for i in range(4)]
    path = tmp_path / f"a{suffix}"
    frames[0].save(
        path, save_all=True, append_images=frames[1:], duration=[40, 80, 0, 120], quality=95
    )
    header = picture_header(path)
    assert header is not None
    assert (header.format, header.frames) == (suffix[1:].upper(), 4)
    shown = list(read_animation(path))
    assert [delay for delay, _ in shown] == [40, 80, 100, 120]
    for number, (_, rgb) in enumerate(shown):
        assert np.abs(rgb.astype(int) - np.roll(picture, 4 * number, 1)).mean() < 8


def test_an_animated_png_begins_after_its_picture_for_old_readers(tmp_path, picture):
    old, *moving = [Image.fromarray(np.roll(picture, 4 * i, 1)) for i in range(3)]
    old.save(
        tmp_path / "a.png", save_all=True, default_image=True, append_images=moving, duration=50
    )
    shown = [rgb for _, rgb in read_animation(tmp_path / "a.png")]
    assert len(shown) == picture_header(tmp_path / "a.png").frames == 2
    assert np.array_equal(shown[0], np.roll(picture, 4, 1))


def test_what_is_no_picture_has_no_header(tmp_path):
    (tmp_path / "a.png").write_bytes(b"\0\0\0\x20ftypisom" + bytes(40))
    assert picture_header(tmp_path / "a.png") is None
