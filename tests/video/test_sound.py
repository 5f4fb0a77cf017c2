"""The driving sound: copied, encoded anew, cut, in time."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from media import frame_seconds, make_clip, make_pictures, moving_picture, sound_packets
from media import sound_samples as samples_of

from talkhead.video import VideoReader, VideoWriter, probe

ONSET = 0.5  # the tone of a test clip begins half a second into every second


def copy(source: Path, output: Path, *, trim: bool = False, **selection: float) -> list[Fraction]:
    """Write the selected frames with the sound of `source`; returns the times of the frames."""
    track = selection.pop("track", None)
    preset = "8" if output.suffix == ".webm" else "ultrafast"
    with (
        VideoReader(source, **selection) as reader,
        VideoWriter(
            output,
            time_base=reader.info.time_base,
            rate=reader.info.rate,
            preset=preset,
            sound=source,
            track=track,
            trim=trim,
        ) as writer,
    ):
        times = []
        for frame in reader:
            writer.write(frame.rgb, frame.pts)
            times.append(frame.pts * frame.time_base)
    return times


def onset(path: Path, track: int = 0) -> float:
    """The second at which the tone is first heard."""
    samples, start, rate = samples_of(path, track)
    return start + float(np.argmax(np.abs(samples) > 0.1)) / rate


@pytest.mark.parametrize(
    ("source", "codec", "output"),
    [
        ("s.mp4", "aac", "o.mp4"),
        ("s.mp4", "aac", "o.mov"),
        ("s.mp4", "ac3", "o.mp4"),
        ("s.mp4", "alac", "o.mov"),
        ("s.mp4", "libopus", "o.mp4"),
        ("s.avi", "libmp3lame", "o.mp4"),
    ],
)
def test_sound_that_fits_is_copied_packet_by_packet(
    tmp_path: Path, source: str, codec: str, output: str
) -> None:
    made = make_clip(
        tmp_path / source, audio_codec=codec, codec="mpeg4" if source == "s.avi" else "libx264"
    )
    times = copy(made, tmp_path / output)
    assert sound_packets(tmp_path / output) == sound_packets(made)
    assert frame_seconds(tmp_path / output) == times
    assert probe(tmp_path / output).audio_codec == probe(made).audio_codec


@pytest.mark.parametrize("output", ["o.mkv", "o.webm"])
def test_opus_is_copied_to_matroska(tmp_path: Path, output: str) -> None:
    made = make_clip(tmp_path / "s.webm", codec="libvpx-vp9", audio_codec="libopus")
    copy(made, tmp_path / output)
    assert sound_packets(tmp_path / output) == sound_packets(made)


@pytest.mark.parametrize(
    ("source", "codec", "output", "result"),
    [
        ("s.mp4", "aac", "o.webm", "opus"),
        ("s.mkv", "mp2", "o.mp4", "aac"),
        ("s.mkv", "pcm_s16le", "o.mp4", "aac"),
        ("s.mp4", "libopus", "o.mov", "aac"),
    ],
)
def test_other_sound_is_encoded_anew_and_stays_in_time(
    tmp_path: Path, source: str, codec: str, output: str, result: str
) -> None:
    made = make_clip(tmp_path / source, 50, audio_codec=codec)
    copy(made, tmp_path / output)
    assert probe(tmp_path / output).audio_codec == result
    assert onset(tmp_path / output) == pytest.approx(onset(made), abs=0.002)
    assert len(samples_of(tmp_path / output)[0]) == pytest.approx(96000, abs=2048)


@pytest.mark.parametrize("output", ["o.mp4", "o.mkv", "o.webm"])
def test_a_cut_takes_the_same_stretch_of_sound(tmp_path: Path, output: str) -> None:
    made = make_clip(tmp_path / "s.mp4", 100)
    times = copy(made, tmp_path / output, trim=True, start=1.2, end=2.4)
    assert frame_seconds(tmp_path / output) == [time - times[0] for time in times]
    assert onset(tmp_path / output) == pytest.approx(onset(made) + 1 - 1.2, abs=0.002)
    samples, start, rate = samples_of(tmp_path / output)
    assert start == 0
    assert len(samples) / rate == pytest.approx(1.2, abs=0.025)


def test_sound_that_begins_inside_a_cut_begins_there(tmp_path: Path) -> None:
    # Pictures from 0 s, sound from 1 s on.
    made = tmp_path / "s.mp4"
    make_clip(tmp_path / "plain.mp4", 75)
    with av.open(str(tmp_path / "plain.mp4")) as source, av.open(str(made), "w") as output:
        streams = {s: output.add_stream_from_template(s) for s in source.streams}
        for packet in source.demux():
            if packet.size:
                if packet.stream.type == "audio":
                    packet.pts, packet.dts = packet.pts + 48000, packet.dts + 48000
                packet.stream = streams[packet.stream]
                output.mux(packet)
    assert onset(made) == pytest.approx(1.5, abs=0.03)
    copy(made, tmp_path / "o.mp4", trim=True, start=0.4, end=2.0)
    assert onset(tmp_path / "o.mp4") == pytest.approx(onset(made) - 0.4, abs=0.002)
    copy(made, tmp_path / "whole.mp4")
    assert sound_packets(tmp_path / "whole.mp4") == sound_packets(made)


def test_pictures_that_start_late_stay_late(tmp_path: Path) -> None:
    made = make_clip(
        tmp_path / "s.mp4", pts=[23456 + 512 * i for i in range(20)], time_base=Fraction(1, 15360)
    )
    times = copy(made, tmp_path / "o.mp4")
    assert times[0] > 1
    assert frame_seconds(tmp_path / "o.mp4") == times
    assert sound_packets(tmp_path / "o.mp4") == sound_packets(made)


def test_the_first_of_two_tracks_is_taken_unless_another_is_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    made = make_clip(tmp_path / "s.mp4", 50, audio_tracks=2)  # the second sounds an octave higher
    copy(made, tmp_path / "first.mp4")
    assert "2 sound tracks; track 0 is used" in caplog.text
    copy(made, tmp_path / "second.mp4", track=1)
    for name, track in (("first.mp4", 0), ("second.mp4", 1)):
        assert probe(tmp_path / name).audio_tracks == 1
        assert np.array_equal(samples_of(tmp_path / name)[0], samples_of(made, track)[0])


def test_a_gap_in_the_sound_becomes_silence_of_its_length(tmp_path: Path) -> None:
    made = tmp_path / "s.mkv"
    make_clip(tmp_path / "plain.mkv", 75, audio_codec="pcm_s16le")
    with av.open(str(tmp_path / "plain.mkv")) as source, av.open(str(made), "w") as output:
        streams = {s: output.add_stream_from_template(s) for s in source.streams}
        for packet in source.demux():
            lost = packet.stream.type == "audio" and 0.9 < (packet.pts or 0) * packet.time_base < 2
            if packet.size and not lost:
                packet.stream = streams[packet.stream]
                output.mux(packet)
    copy(made, tmp_path / "o.mp4")
    samples, start, rate = samples_of(tmp_path / "o.mp4")
    loud = np.abs(samples) > 0.1
    assert not loud[round((1.05 - start) * rate) : round((2.45 - start) * rate)].any()
    assert loud[round((2.45 - start) * rate) :].argmax() / rate == pytest.approx(0.05, abs=0.002)


def test_damaged_sound_is_skipped_and_the_rest_stays_in_time(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    made = tmp_path / "s.mp4"
    make_clip(tmp_path / "plain.mp4", 75)
    with av.open(str(tmp_path / "plain.mp4")) as source, av.open(str(made), "w") as output:
        streams = {s: output.add_stream_from_template(s) for s in source.streams}
        for packet in source.demux():
            if packet.size:
                if packet.stream.type == "audio" and 30 <= packet.pts // 1024 < 33:
                    packet.update(b"\xff" * packet.size)
                packet.stream = streams[packet.stream]
                output.mux(packet)
    copy(made, tmp_path / "o.webm")
    assert "damaged packets of sound" in caplog.text
    samples, start, rate = samples_of(tmp_path / "o.webm")
    late = np.abs(samples[round((2.2 - start) * rate) :]) > 0.1
    assert 2.2 + late.argmax() / rate == pytest.approx(2.5, abs=0.003)
    copy(made, tmp_path / "o.mp4")  # copied as it is: the player decides
    assert len(sound_packets(tmp_path / "o.mp4")) == len(sound_packets(made))


def test_no_sound_in_and_no_sound_out(tmp_path: Path) -> None:
    made = make_clip(tmp_path / "s.mp4", audio=False)
    copy(made, tmp_path / "o.mp4")
    assert probe(tmp_path / "o.mp4").audio_tracks == 0
    copy(make_pictures(tmp_path / "pictures"), tmp_path / "p.mp4")
    assert probe(tmp_path / "p.mp4").audio_tracks == 0


def test_a_gif_says_that_it_is_silent(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with VideoWriter(
        tmp_path / "o.gif", time_base=Fraction(1, 25), sound=make_clip(tmp_path / "s.mp4")
    ) as writer:
        writer.write(moving_picture(0), 0)
    assert "carries no sound" in caplog.text
