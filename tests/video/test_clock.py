"""Clocks that begin late, jump or run back; frame rates that headers get wrong."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from media import frame_seconds, make_clip, remux, sound_packets
from test_video_sound import copy, onset

from talkhead.video import VideoReader, open_pipe, probe

MPEG = {"codec": "mpeg2video", "audio_codec": "mp2"}
WEBM = {"codec": "libvpx", "audio_codec": "libopus"}


def seconds(path: Path, **selection: float) -> list[float]:
    return [float(frame.pts * frame.time_base) for frame in VideoReader(path, **selection)]


@pytest.mark.parametrize("suffix", [".mkv", ".webm", ".mp4", ".ts", ".mpg", ".flv"])
def test_what_the_clock_shows_at_its_beginning_is_taken_off(
    tmp_path: Path, suffix: str, caplog: pytest.LogCaptureFixture
) -> None:
    codecs = {".webm": WEBM, ".mpg": MPEG}.get(suffix, {})
    late = {"options": {"output_ts_offset": "1000"}}
    path = make_clip(tmp_path / f"a{suffix}", 25, **codecs, **late)
    with av.open(str(path)) as container:
        assert container.start_time > 999_000_000  # microseconds
    times = seconds(path)
    assert 0 <= times[0] < 0.03
    assert times[-1] - times[0] == pytest.approx(24 / 25, abs=0.002)
    assert seconds(path, start=0.4)[0] - times[0] == pytest.approx(0.4, abs=0.002)
    copy(path, tmp_path / "o.mp4")
    assert onset(tmp_path / "o.mp4") - times[0] == pytest.approx(0.5, abs=0.025)
    assert "damaged" not in caplog.text


def test_seeking_heeds_a_late_clock(tmp_path: Path) -> None:
    late = {"output_ts_offset": "1000"}
    path = make_clip(tmp_path / "a.mkv", 200, audio=False, options=late)
    far, plain = list(VideoReader(path, start=6.02, frames=3)), list(VideoReader(path))[151:154]
    assert [frame.pts for frame in far] == [frame.pts for frame in plain]
    assert all((a.rgb == b.rgb).all() for a, b in zip(far, plain, strict=True))


def joined(folder: Path, suffix: str, offsets: list[float], **codecs: str) -> Path:
    """Recordings of one second joined as bytes, the clock of each beginning at its offset."""
    parts = [
        make_clip(folder / f"part{n}{suffix}", 25, options={"output_ts_offset": f"{at}"}, **codecs)
        for n, at in enumerate(offsets)
    ]
    (folder / f"joined{suffix}").write_bytes(b"".join(part.read_bytes() for part in parts))
    return folder / f"joined{suffix}"


@pytest.mark.parametrize("suffix", [".ts", ".mpg"])
@pytest.mark.parametrize("offsets", [[5, 5], [0, 3600, 10], [100, 100.5]])
def test_recordings_joined_to_one_file_follow_each_other(
    tmp_path: Path, suffix: str, offsets: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    path = joined(tmp_path, suffix, offsets, **(MPEG if suffix == ".mpg" else {}))
    times = copy(path, tmp_path / "o.mp4")
    assert len(times) == 25 * len(offsets)
    steps = np.diff(np.array(times, float))
    assert steps.min() > 0.02
    assert steps.max() < 0.2
    for first in map(float, times[::25]):
        assert heard_after(tmp_path / "o.mp4", first + 0.2) == pytest.approx(first + 0.5, abs=0.03)
    assert "damaged" not in caplog.text
    assert "joined together" in caplog.text


def heard_after(path: Path, begin: float) -> float:
    """When the tone is first heard from a second on; it is half a second into each second."""
    with av.open(str(path)) as container:
        for frame in container.decode(audio=0):
            loud = np.abs(np.atleast_2d(frame.to_ndarray())[0]) > 0.1
            times = float(frame.pts * frame.time_base) + np.arange(len(loud)) / frame.sample_rate
            if (loud & (times >= begin)).any():
                return float(times[loud & (times >= begin)][0])
    return float("nan")


def test_the_same_clock_counts_for_sound_that_is_encoded_anew(tmp_path: Path) -> None:
    path = joined(tmp_path, ".ts", [0, 3600])
    times = copy(path, tmp_path / "o.webm")
    first = float(times[25])
    assert heard_after(tmp_path / "o.webm", first + 0.2) == pytest.approx(first + 0.5, abs=0.03)


def test_flash_video_whose_clock_starts_anew_is_joined(tmp_path: Path) -> None:
    def tags(part: Path) -> bytes:
        return part.read_bytes()[13:]  # without the header of the file

    first, second = make_clip(tmp_path / "a.flv", 50), make_clip(tmp_path / "b.flv", 50)
    (tmp_path / "j.flv").write_bytes(first.read_bytes() + tags(second))
    times = np.array(copy(tmp_path / "j.flv", tmp_path / "o.mp4"), float)
    assert len(times) == 100
    assert 0.02 < np.diff(times).min() <= np.diff(times).max() < 0.2
    assert sound_packets(tmp_path / "o.mp4")[-1] == pytest.approx(times[-1], abs=0.1)


def test_piped_recordings_follow_each_other(tmp_path: Path) -> None:
    with joined(tmp_path, ".ts", [0, 3600]).open("rb") as stream:
        frames = list(open_pipe(stream))
    times = np.array([float(frame.pts * frame.time_base) for frame in frames])
    assert len(times) == 50
    assert np.diff(times).max() < 0.2


def test_a_pause_that_is_meant_stays(tmp_path: Path) -> None:
    times = [0, 40, 80, 3_600_080, 3_600_120]
    path = make_clip(tmp_path / "a.mkv", 5, pts=times, time_base=Fraction(1, 1000), audio=False)
    assert seconds(path) == [time / 1000 for time in times]


@pytest.mark.parametrize("told", [1000, 240, 2])
def test_a_rate_that_the_times_contradict_comes_from_the_times(tmp_path: Path, told: int) -> None:
    times = [round(number * 1000 / 29.97) for number in range(40)]
    path = make_clip(
        tmp_path / "a.webm",
        40,
        rate=told,
        pts=times,
        time_base=Fraction(1, 1000),
        codec="libvpx",
        audio=False,
    )
    with av.open(str(path)) as container:
        assert container.streams.video[0].average_rate == told
    assert float(probe(path).rate) == pytest.approx(29.97, rel=0.01)
    assert [round(time * 1000) for time in seconds(path)] == times


def test_a_rate_that_fits_is_left_exact(tmp_path: Path) -> None:
    rate = Fraction(30000, 1001)
    assert probe(make_clip(tmp_path / "a.mp4", 40, rate=rate)).rate == rate


def shift_late_sound(path: Path, output: Path, gap: float) -> Path:
    """The sound after the first second comes `gap` seconds later."""

    def change(packet: av.Packet) -> None:
        if packet.stream.type == "audio" and packet.pts * packet.time_base >= 1:
            ticks = round(gap / packet.time_base)
            packet.pts, packet.dts = packet.pts + ticks, packet.dts + ticks

    return remux(path, output, change)


@pytest.mark.parametrize(  # copied, and encoded anew
    ("output", "gap"), [("o.mp4", 3600), ("o.webm", 600), ("o.webm", 1e6)]
)
def test_sound_that_goes_on_long_after_the_pictures_is_left_out(
    tmp_path: Path, output: str, gap: float, caplog: pytest.LogCaptureFixture
) -> None:
    made = shift_late_sound(make_clip(tmp_path / "s.mkv", 50), tmp_path / "g.mkv", gap)
    times = copy(made, tmp_path / output)
    assert frame_seconds(tmp_path / output)[-1] == pytest.approx(times[-1], abs=0.001)
    assert 0.9 < float(sound_packets(tmp_path / output)[-1]) < 1.1
    assert "the rest is left out" in caplog.text


def test_a_gap_while_pictures_are_shown_is_silence(tmp_path: Path) -> None:
    slow = {"pts": [2000 * number for number in range(60)], "time_base": Fraction(1, 1000)}
    long = make_clip(tmp_path / "s.mkv", 60, **slow, audio_seconds=2.0)
    made = shift_late_sound(long, tmp_path / "g.mkv", 90)
    copy(made, tmp_path / "o.mp4")
    assert float(sound_packets(tmp_path / "o.mp4")[-1]) == pytest.approx(92, abs=0.1)
