"""Files that strangers made: nothing but the file is read, limits hold, the disk is no damage."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import io
import os
import socket
import struct
import sys
import threading
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.format import formats_available
from media import make_clip, make_pictures, moving_picture, remux
from PIL import Image

from talkhead.errors import TalkheadError
from talkhead.io.image import read_image
from talkhead.video import VideoReader, VideoWriter, open_pipe, probe
from talkhead.video import opening as opening_module
from talkhead.video.opening import SOUND_FORMATS, VIDEO_FORMATS, open_media
from talkhead.video.sound import Sound

SECRET = "other.mp4"  # a video that no other file may lead to


def test_every_stated_format_is_one_of_ffmpegs() -> None:
    known = {name for names in formats_available for name in names.split(",")}
    assert {*VIDEO_FORMATS.split(","), *SOUND_FORMATS.split(",")} <= known


def playlists(folder: Path, web: str, port: int) -> dict[str, str]:
    """Texts that make FFmpeg open another file, an address or a port."""
    local, beside = folder / SECRET, f"../{folder.name}/{SECRET}"
    sdp = (
        "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\n"
        f"m=video {port} RTP/AVP 96\na=rtpmap:96 H264/90000\n"
    )
    hls = "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{}\n#EXT-X-ENDLIST\n"
    dash = (
        '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
        'mediaPresentationDuration="PT9S"><Period><AdaptationSet mimeType="video/mp4">'
        '<Representation id="1" bandwidth="9"><BaseURL>{}</BaseURL></Representation>'
        "</AdaptationSet></Period></MPD>"
    )
    return {
        "sdp": sdp,
        "hls-local": hls.format(local),
        "hls-beside": hls.format(beside),
        "hls-web": hls.format(f"{web}/a.ts"),
        "concat-local": f"ffconcat version 1.0\nfile '{local}'\n",
        "concat-beside": f"ffconcat version 1.0\nfile {SECRET}\n",
        "concat-web": f"ffconcat version 1.0\nfile '{web}/a.mp4'\n",
        "dash-local": dash.format(SECRET),
        "dash-web": dash.format(f"{web}/a.mp4"),
        "rtsp": f"rtsp://127.0.0.1:{port}/a",
        "asx": f'<ASX><ENTRY><REF HREF="{web}/a.wmv"/></ENTRY></ASX>',
        "imf": '<?xml version="1.0"?><CompositionPlaylist/>',
    }


class Watch:
    """Counts connections to a TCP port and UDP packets that somebody on this machine receives."""

    def __init__(self) -> None:
        self.contacts = 0
        self._server = socket.create_server(("127.0.0.1", 0))
        self._server.settimeout(0.02)
        self.port = self._server.getsockname()[1]
        self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._udp.connect(("127.0.0.1", self.port))
        self._udp.setblocking(False)
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._listen)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()
        self._server.close()
        self._udp.close()

    def _listen(self) -> None:
        waiting = True
        while waiting or not self._done.is_set():  # who has called is answered before the end
            waiting = False
            with contextlib.suppress(TimeoutError):
                self._server.accept()[0].close()
                self.contacts += 1
                waiting = True
            self.contacts += self._is_bound()

    def sees_more_than(self, contacts: int) -> bool:
        """Waits a little for one more contact."""
        for _ in range(200):
            if self.contacts > contacts:
                return True
            time.sleep(0.01)
        return False

    def _is_bound(self) -> bool:
        """Whether anybody has bound the UDP port: a packet to one that is free is refused."""
        try:
            self._udp.send(b"x")
            self._done.wait(0.005)
            self._udp.send(b"x")
        except ConnectionRefusedError:
            return False
        return True


@contextlib.contextmanager
def opened_in(folder: Path) -> Iterator[set[str]]:
    """The names of the files in a folder that anybody opens meanwhile, by Linux's inotify."""
    libc, names = ctypes.CDLL(None, use_errno=True), set[str]()
    queue = libc.inotify_init1(os.O_NONBLOCK)
    in_open = 0x20
    assert libc.inotify_add_watch(queue, os.fsencode(folder), in_open) >= 0
    try:
        yield names
        with contextlib.suppress(BlockingIOError):
            while events := os.read(queue, 65536):
                while events:
                    (length,) = struct.unpack_from("I", events, 12)
                    names.add(events[16 : 16 + length].rstrip(b"\0").decode())
                    events = events[16 + length :]
    finally:
        os.close(queue)


@pytest.mark.skipif(sys.platform != "linux", reason="inotify is Linux's")
@pytest.mark.parametrize("name", ["a.mp4", "a.m3u8", "a.sdp", "a.mpd", "a.ts"])
def test_a_driver_leads_to_no_other_file_and_no_address(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "films"
    folder.mkdir()
    make_clip(folder / SECRET, 5)
    with Watch() as watch:
        texts = playlists(folder, f"http://127.0.0.1:{watch.port}", watch.port)
        for text in texts.values():
            (folder / name).write_text(text)
            with opened_in(folder) as opened:
                with pytest.raises(TalkheadError, match=name):
                    VideoReader(folder / name)
                with pytest.raises(TalkheadError, match=name):
                    Sound.find(folder / name)
                with pytest.raises(TalkheadError, match="not a picture"):
                    read_image(folder / name)
            assert opened == {name}
    assert watch.contacts == 0


@pytest.mark.skipif(sys.platform != "linux", reason="inotify is Linux's")
@pytest.mark.parametrize("as_file", [True, False])
def test_a_pipe_leads_to_no_file_and_no_address(tmp_path: Path, as_file: bool) -> None:
    make_clip(tmp_path / SECRET, 5)
    with Watch() as watch:
        texts = playlists(tmp_path, f"http://127.0.0.1:{watch.port}", watch.port)
        for text in texts.values():
            stream = io.BytesIO(text.encode()) if as_file else Pipe(text.encode())
            with opened_in(tmp_path) as opened, pytest.raises(TalkheadError, match="no video"):
                open_pipe(stream)
            assert opened == set()
    assert watch.contacts == 0


class Pipe(io.RawIOBase):
    """Bytes that cannot be wound back."""

    def __init__(self, data: bytes) -> None:
        self._data = io.BytesIO(data)

    def read(self, count: int = -1) -> bytes:
        return self._data.read(count)


def test_the_watch_sees_what_it_is_to_see(tmp_path: Path) -> None:
    """Without the lists FFmpeg opens them: else the tests above would hold nothing."""
    make_clip(tmp_path / SECRET, 5)
    with Watch() as watch:
        texts = playlists(tmp_path, f"http://127.0.0.1:{watch.port}", watch.port)
        if sys.platform == "linux":
            (tmp_path / "a.mp4").write_text(texts["concat-beside"])
            with opened_in(tmp_path) as opened, av.open(str(tmp_path / "a.mp4")) as container:
                next(container.decode(video=0))
            assert opened == {"a.mp4", SECRET}
        (tmp_path / "a.m3u8").write_text(texts["hls-web"])
        with contextlib.suppress(av.FFmpegError):
            av.open(str(tmp_path / "a.m3u8"), options={"protocol_whitelist": "file,http,tcp"})
        assert watch.sees_more_than(0)
        before = watch.contacts
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as bound:
            bound.bind(("127.0.0.1", watch.port))
            assert watch.sees_more_than(before)


class FailingDisk(io.FileIO):
    """A file of which not every byte can be read."""

    good = 0

    def read(self, count: int = -1) -> bytes:
        if self.tell() + count > self.good:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return super().read(count)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts", ".avi"])
def test_a_read_error_is_raised_and_no_damage(
    tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    codec = {"codec": "mpeg4", "audio_codec": "mp2"} if suffix == ".avi" else {}
    noise = np.random.default_rng(1).integers(0, 255, (40, 96, 128, 3), np.uint8)
    path = make_clip(tmp_path / f"a{suffix}", 40, pictures=noise, size=(128, 96), **codec)
    reader = VideoReader(path)
    FailingDisk.good = path.stat().st_size * 6 // 10
    assert FailingDisk.good > 100_000
    real = Path.open

    def failing(self: Path, mode: str = "r", buffering: int = -1, **more: object) -> object:
        unbuffered = self == path and buffering == 0
        return FailingDisk(self) if unbuffered else real(self, mode, buffering, **more)

    monkeypatch.setattr(Path, "open", failing)
    read = []
    with pytest.raises(TalkheadError, match=r"cannot be read to its end \(Input/output error\)"):
        read.extend(reader)
    assert len(read) < 40
    with pytest.raises(TalkheadError, match="cannot be read to its end"):
        copy_sound(path, tmp_path / "o.mkv")


def copy_sound(source: Path, output: Path) -> None:
    with VideoWriter(output, time_base=probe_time_base(source), sound=source) as writer:
        writer.write(moving_picture(0), 0)


def probe_time_base(source: Path) -> Fraction:
    return probe(source).time_base


def test_memory_that_runs_out_is_not_told_as_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_clip(tmp_path / "a.mp4", 3)

    def fail(*_: object, **__: object) -> None:
        raise av.error.MemoryError(errno.ENOMEM, os.strerror(errno.ENOMEM), str(path))

    monkeypatch.setattr(av, "open", fail)
    with pytest.raises(TalkheadError, match=r"memory ran out while .*a\.mp4"):
        VideoReader(path)


def rewrite(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[:-1] + b"\0")
    os.utime(path, (1, 1))


def test_a_driver_that_changes_between_two_passes_is_noticed(tmp_path: Path) -> None:
    reader = VideoReader(make_clip(tmp_path / "a.mp4", 5))
    assert len(list(reader)) == 5
    make_clip(tmp_path / "a.mp4", 9)
    with pytest.raises(TalkheadError, match=r"a\.mp4 has changed"):
        list(reader)


def test_a_driver_that_changes_during_a_pass_is_noticed_before_its_end(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.mp4", 60)
    frames = iter(VideoReader(path))
    next(frames)
    rewrite(path)
    with pytest.raises(TalkheadError, match=r"a\.mp4 has changed"):
        list(frames)


def test_sound_that_is_no_longer_the_same_is_noticed(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.mp4", 5)
    writer = VideoWriter(tmp_path / "o.mp4", time_base=probe_time_base(path), sound=path)
    writer.write(moving_picture(0), 0)
    rewrite(path)
    with pytest.raises(TalkheadError, match="has changed"):
        writer.finish()
    writer.abandon()
    assert not (tmp_path / "o.mp4").exists()


def test_pictures_that_change_between_two_passes_are_noticed(tmp_path: Path) -> None:
    folder = make_pictures(tmp_path / "frames", 3)
    reader = VideoReader(folder)
    assert len(list(reader)) == 3
    rewrite(folder / "frame_2.png")
    with pytest.raises(TalkheadError, match=r"frame_2\.png has changed"):
        list(reader)


@pytest.mark.parametrize("suffix", [".mkv", ".avi", ".mp4"])
def test_tags_that_are_not_utf8_are_no_obstacle(tmp_path: Path, suffix: str) -> None:
    codec = {"codec": "mpeg4", "audio_codec": "mp2"} if suffix == ".avi" else {}
    plain = make_clip(tmp_path / f"plain{suffix}", 5, **codec)
    path = remux(plain, tmp_path / f"a{suffix}", title="a cafZ")
    path.write_bytes(path.read_bytes().replace(b"a cafZ", b"a caf\xe9"))
    with pytest.raises(UnicodeDecodeError):
        av.open(str(path))
    assert len(list(VideoReader(path))) == 5
    copy_sound(path, tmp_path / "o.mkv")


def test_pictures_of_too_many_pixels_are_refused(tmp_path: Path, monkeypatch) -> None:
    path = make_clip(tmp_path / "a.mkv", 3)
    monkeypatch.setattr(opening_module, "MAX_FRAME_PIXELS", 64 * 48)
    assert len(list(VideoReader(path))) == 3
    monkeypatch.setattr(opening_module, "MAX_FRAME_PIXELS", 64 * 48 - 1)
    with pytest.raises(TalkheadError, match="pictures of 64x48 pixels"):
        VideoReader(path)
    with path.open("rb") as stream, pytest.raises(TalkheadError, match="64x48 pixels"):
        open_pipe(stream)


@pytest.mark.parametrize("suffix", [".gif", ".png", ".webp", ".avif"])
def test_an_animation_of_too_many_pixels_is_refused(
    tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / f"a{suffix}"
    frames = [Image.new("RGB", (64, 48), colour) for colour in ("red", "blue")]
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=40)
    assert len(list(VideoReader(path))) == 2
    monkeypatch.setattr(opening_module, "MAX_FRAME_PIXELS", 64 * 48 - 1)
    with pytest.raises(TalkheadError, match="64x48"):
        VideoReader(path)


def test_a_bomb_in_a_gif_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.gif", 3, codec="gif", pixel_format="rgb8", audio=False)
    content = bytearray(path.read_bytes())
    content[6:10] = struct.pack("<HH", 7000, 7000)
    path.write_bytes(content)
    with pytest.raises(TalkheadError, match="7000x7000"):
        VideoReader(path)


def test_a_size_that_grows_beyond_the_limit_ends_the_video(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    small = make_clip(tmp_path / "a.ts", 20, audio=False)
    large = make_clip(tmp_path / "b.ts", 20, audio=False, size=(128, 96))
    (tmp_path / "j.ts").write_bytes(small.read_bytes() + large.read_bytes())
    assert {f.rgb.shape for f in VideoReader(tmp_path / "j.ts")} == {(48, 64, 3), (96, 128, 3)}
    monkeypatch.setattr(opening_module, "MAX_FRAME_PIXELS", 64 * 48)
    frames = list(VideoReader(tmp_path / "j.ts"))
    assert {f.rgb.shape for f in frames} == {(48, 64, 3)}
    assert "is damaged" in caplog.text


@pytest.mark.parametrize("aspect", ["9", "40", "1/50"])
def test_an_absurd_pixel_aspect_is_ignored(
    tmp_path: Path, aspect: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = stretched(tmp_path / "a.mp4", aspect)
    assert probe(path).width == 64
    assert "taken as square" in caplog.text
    assert [frame.rgb.shape for frame in VideoReader(path)] == [(48, 64, 3)]


def test_the_pixel_aspect_of_old_video_is_heeded(tmp_path: Path) -> None:
    assert probe(stretched(tmp_path / "a.mp4", "64/45")).width == round(64 * 64 / 45)


def stretched(path: Path, aspect: str) -> Path:
    """One frame of 64x48 pixels that are `aspect` times as wide as high."""
    with av.open(str(path), "w") as output:
        video = output.add_stream("libx264", rate=25)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        video.sample_aspect_ratio = Fraction(aspect)
        frame = av.VideoFrame.from_ndarray(moving_picture(0), "rgb24").reformat(format="yuv420p")
        output.mux(video.encode(frame))
        output.mux(video.encode(None))
    return path


def test_what_cannot_be_read_twice_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.mp4")
    with pytest.raises(TalkheadError, match="give -"):
        VideoReader(tmp_path / "a.mp4")
    with pytest.raises(TalkheadError, match="no file"):
        read_image(tmp_path / "a.mp4")


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts", ".avi", ".gif"])
def test_a_damaged_video_is_read_or_one_sentence(tmp_path: Path, suffix: str) -> None:
    codec = {
        ".avi": {"codec": "mpeg4", "audio_codec": "mp2"},
        ".gif": {"codec": "gif", "pixel_format": "rgb8", "audio": False},
    }
    content = make_clip(tmp_path / f"whole{suffix}", 10, **codec.get(suffix, {})).read_bytes()
    random = np.random.default_rng(3)
    path = tmp_path / f"a{suffix}"
    for _ in range(40):
        damaged = bytearray(content)
        for place in random.integers(0, len(content), 5):
            damaged[place] = random.integers(256)
        path.write_bytes(damaged[: random.integers(len(content) // 2, len(content) + 1)])
        with contextlib.suppress(TalkheadError):
            assert all(frame.rgb.dtype == np.uint8 for frame in VideoReader(path))
        with contextlib.suppress(TalkheadError), open_media(path) as media:
            media.check()
