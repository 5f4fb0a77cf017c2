"""Clips of synthetic talking heads on disk, in the VoxCeleb layout."""

from __future__ import annotations

import multiprocessing
import re
import tempfile
import wave
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

from talkhead.errors import TalkheadError
from talkhead.io.owned import delete_own
from talkhead.synthetic.babble import SOUND_RATE, perform
from talkhead.synthetic.head import Head, Identity, Scene
from talkhead.video import VideoWriter

TIME_BASE = Fraction(1, 12800)
CLIP_NAMES = re.compile(r"id\d{5}#synth.*#.*#.*\.mp4")
TEST_SHARE = 8  # one identity in this many is kept for testing
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
    rate: Fraction = Fraction(25)
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
        return max(1, round(self.seconds * self.rate))


def synth(
    out_dir: str | Path,
    identities: int = 16,
    clips_per_identity: int = 2,
    seconds: float = 4.0,
    rate: Fraction | int = 25,
    size: int = 256,
    seed: int = 0,
    workers: int = 1,
    overwrite: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> list[Path]:
    """Write `identities` x `clips_per_identity` clips; returns their paths in order.

    Every eighth identity (at least one, when there are two or more) goes to `test/`, the others to
    `train/`, as `id00001#synth0#000000#000100.mp4`. `progress` is called with (clips done, clips in
    all). Raises TalkheadError for arguments out of range, a folder that is not empty unless
    `overwrite` (then earlier synthetic clips in it are removed first), a full disk.
    """
    folder = Path(out_dir)
    _check(identities, clips_per_identity, seconds, Fraction(rate), size, workers, seed)
    _prepare(folder, overwrite)
    test = max(1, identities // TEST_SHARE) if identities > 1 else 0
    clips = [
        _clip(
            folder / ("test" if person >= identities - test else "train"),
            seed,
            person,
            take,
            seconds,
            rate,
            size,
        )
        for person in range(identities)
        for take in range(clips_per_identity)
    ]
    if progress:
        progress(0, len(clips))
    if workers == 1:
        for done, clip in enumerate(clips, start=1):
            write_clip(clip)
            if progress:
                progress(done, len(clips))
    else:
        _in_parallel(clips, workers, progress)
    return [clip.path for clip in clips]


def _clip(
    folder: Path, seed: int, person: int, take: int, seconds: float, rate: Fraction | int, size: int
) -> Clip:
    clip = Clip(folder, seed, person, take, seconds, Fraction(rate), size, size)
    name = f"id{person + 1:05d}#synth{take}#000000#{clip.num_frames:06d}.mp4"
    return replace(clip, path=folder / name)


def _check(
    identities: int, clips: int, seconds: float, rate: Fraction, size: int, workers: int, seed: int
) -> None:
    limits: list[tuple[str, float | Fraction, int | float, int]] = [
        ("identities", identities, 1, 99999), ("clips per identity", clips, 1, 100000),
        ("seconds", seconds, 0.1, 3600), ("frame rate", rate, 1, 240), ("size", size, 32, 2048),
        ("workers", workers, 1, 1024), ("seed", seed, 0, 2**63),
    ]  # fmt: skip
    for name, value, low, high in limits:
        if not low <= value <= high:
            raise TalkheadError(f"{name} is {value}; choose a number from {low} to {high}")
    if size % 2:
        raise TalkheadError(f"size {size} is odd, which mp4 cannot hold; choose {size + 1}")


def _prepare(folder: Path, overwrite: bool) -> None:
    """An empty folder with train/ and test/, or an error."""
    if folder.exists() and not folder.is_dir():
        raise TalkheadError(f"{folder} is a file; choose a folder for the clips")
    with _disk_explained(folder):
        if folder.exists() and any(folder.iterdir()):
            if not overwrite:
                raise TalkheadError(
                    f"{folder} is not empty; choose another folder or pass --overwrite"
                )
            for part in ("train", "test"):
                delete_own(folder / part, CLIP_NAMES)
        for part in ("train", "test"):
            (folder / part).mkdir(parents=True, exist_ok=True)


@contextmanager
def _disk_explained(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise TalkheadError(
            f"{path} could not be written ({error.strerror}); make room or choose another folder"
        ) from error


def _in_parallel(
    clips: list[Clip], workers: int, progress: Callable[[int, int], None] | None
) -> None:
    # Spawned, not forked: the caller may hold threads (torch) that a fork would break.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_one_thread) as pool:
        waiting: list[Future[None]] = [pool.submit(write_clip, clip) for clip in clips]
        try:
            for done, finished in enumerate(as_completed(waiting), start=1):
                finished.result()
                if progress:
                    progress(done, len(clips))
        except BrokenProcessPool as error:
            raise TalkheadError(
                "a worker was killed while rendering, perhaps for want of memory; "
                f"use fewer than {workers} workers"
            ) from error
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _one_thread() -> None:
    cv2.setNumThreads(1)


def write_clip(clip: Clip) -> None:
    """Render one clip with its sound; the file appears whole or not at all."""
    person = Identity.sample(np.random.default_rng([clip.seed, clip.identity]))
    rng = np.random.default_rng([clip.seed, clip.identity, clip.take + 1])
    head = Head(person, Scene.sample(rng), clip.width, clip.height)
    ticks = _ticks(rng, clip)
    times = np.array(ticks) * float(TIME_BASE)
    performance = perform(rng, times, clip.from_neutral, clip.lively)
    with _disk_explained(clip.path), tempfile.TemporaryDirectory(prefix="talkhead") as scratch:
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
