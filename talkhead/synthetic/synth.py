"""Clips of synthetic talking heads on disk, in the VoxCeleb layout."""

from __future__ import annotations

import os
import re
import signal
import tempfile
import wave
from contextlib import closing
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

from talkhead.choices import USUAL_RATE
from talkhead.errors import TalkheadError, disk_explained
from talkhead.interrupts import EndInOrder, Interrupted
from talkhead.io.owned import delete_own
from talkhead.processes import in_processes
from talkhead.progress import Progress, progress_callback
from talkhead.synthetic.babble import SOUND_RATE, perform
from talkhead.synthetic.head import Head
from talkhead.synthetic.looks import Identity, Scene
from talkhead.synthetic.options import SynthOptions
from talkhead.video import VideoWriter

TIME_BASE = Fraction(1, 12800)
CLIP_NAMES = re.compile(r"id\d{5}#synth.*#.*#.*\.mp4")
TEST_SHARE = 8  # one identity in this many is kept for testing
NO_ROOM = "make room or choose another folder"
_QUALITY = 20  # crf


@dataclass(frozen=True)
class Clip:
    """One clip to be made: the same values always give the same pictures.

    seed, identity, take: draw the person (seed and identity) and what happens (all three).
    x, scale: where the head rests, as in `Pose`.
    from_neutral, lively: as in `perform`. crf: H.264 quality, lower is better.
    variable_rate: frames at unsteady times, as phones record.
    """

    path: Path
    seed: int
    identity: int
    take: int = 0
    seconds: float = 4.0
    rate: Fraction = Fraction(USUAL_RATE)
    width: int = 256
    height: int = 256
    x: float = 0.0
    scale: float = 1.0
    from_neutral: bool = False
    lively: float = 1.0
    variable_rate: bool = False
    crf: int = _QUALITY

    @property
    def num_frames(self) -> int:
        """At least one."""
        return max(1, round(self.seconds * self.rate))


def synth(options: SynthOptions, *, progress: Progress | bool | None = False) -> list[Path]:
    """Render clips of talking heads; returns their paths in order.

    The last eighth of the identities (at least one, of two or more) goes to `test/`, the others to
    `train/`, as `id00001#synth0#000000#000100.mp4`. Raises TalkheadError for a folder that is not
    empty unless `overwrite` (then earlier synthetic clips in it are removed first), a full disk.
    """
    if options.size % 2:
        raise TalkheadError(
            f"size {options.size} is odd, which mp4 cannot hold; choose {options.size + 1}"
        )
    _prepare(options.output, options.overwrite)
    people = range(options.identities)
    clips = [_clip(options, person, take) for person in people for take in range(options.clips)]
    with progress_callback(progress) as tell:
        report = tell or (lambda stage, done, total: None)
        report("rendering clips", 0, len(clips))
        if options.workers == 1:
            for done, clip in enumerate(clips, start=1):
                write_clip(clip)
                report("rendering clips", done, len(clips))
        else:
            tasks = [(clip,) for clip in clips]
            with closing(in_processes(tasks, _write_apart, options.workers, _one_thread)) as made:
                for done, _ in enumerate(made, start=1):
                    report("rendering clips", done, len(clips))
    return [clip.path for clip in clips]


def _clip(options: SynthOptions, person: int, take: int) -> Clip:
    test = max(1, options.identities // TEST_SHARE) if options.identities > 1 else 0
    folder = options.output / ("test" if person >= options.identities - test else "train")
    clip = Clip(
        folder,
        options.seed,
        person,
        take,
        options.seconds,
        Fraction(options.rate),
        options.size,
        options.size,
    )
    name = f"id{person + 1:05d}#synth{take}#000000#{clip.num_frames:06d}.mp4"
    return replace(clip, path=folder / name)


def _prepare(folder: Path, overwrite: bool) -> None:
    """An empty folder with train/ and test/, or an error."""
    if folder.exists() and not folder.is_dir():
        raise TalkheadError(f"{folder} is a file; choose a folder for the clips")
    with disk_explained(f"{folder} could not be written", NO_ROOM):
        if folder.exists() and any(folder.iterdir()):
            if not overwrite:
                raise TalkheadError(
                    f"{folder} is not empty; choose another folder or pass --overwrite"
                )
            for part in ("train", "test"):
                delete_own(folder / part, CLIP_NAMES)
        for part in ("train", "test"):
            (folder / part).mkdir(parents=True, exist_ok=True)


def _one_thread() -> None:
    """Several processes use the cores already."""
    cv2.setNumThreads(1)


def _write_apart(clip: Clip) -> None:
    """Write a clip in a worker, which keeps what is drawn and ends when it is terminated."""
    before = signal.getsignal(signal.SIGTERM)
    EndInOrder().install()
    try:
        write_clip(clip)
    except Interrupted as error:
        os._exit(128 + error.number)
    finally:
        signal.signal(signal.SIGTERM, before)


def write_clip(clip: Clip) -> None:
    """Render one clip with its sound; the file appears whole or not at all."""
    person = Identity.sample(np.random.default_rng([clip.seed, clip.identity]))
    rng = np.random.default_rng([clip.seed, clip.identity, clip.take + 1])
    head = Head(person, Scene.sample(rng), clip.width, clip.height)
    ticks = _ticks(rng, clip)
    times = np.array(ticks) * float(TIME_BASE)
    performance = perform(rng, times, clip.from_neutral, clip.lively)
    with (
        disk_explained(f"{clip.path} could not be written", NO_ROOM),
        tempfile.TemporaryDirectory(prefix="talkhead") as scratch,
    ):
        sound = Path(scratch) / "voice.wav"
        write_sound(sound, performance.sound)
        state = {"clip": repr(clip)}
        with VideoWriter(
            clip.path, time_base=TIME_BASE, rate=clip.rate, crf=clip.crf, sound=sound, state=state
        ) as writer:
            done = writer.frames_done
            for pts, (pose, expression) in list(zip(ticks, performance.moments, strict=True))[
                done:
            ]:
                placed = replace(pose, x=pose.x + clip.x, scale=pose.scale * clip.scale)
                writer.write(head.render(placed, expression).rgb, pts)


def _ticks(rng: np.random.Generator, clip: Clip) -> list[int]:
    """When each frame is shown, in `TIME_BASE`: evenly, or unsteady as phones record."""
    step = float(1 / (clip.rate * TIME_BASE))
    even = np.arange(clip.num_frames) * step
    if clip.variable_rate:
        even[1:] += rng.uniform(-0.3, 0.3, clip.num_frames - 1) * step
    return [round(tick) for tick in even]


def write_sound(path: Path, samples: np.ndarray) -> None:
    """Mono samples in [-1, 1] at `SOUND_RATE` as a 16-bit WAV file."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SOUND_RATE)
        file.writeframes(np.round(np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())
