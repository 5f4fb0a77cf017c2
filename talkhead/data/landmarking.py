"""Making landmark files: the face mesh of every frame of clips, and of pictures."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from talkhead.data.clips import clip_name
from talkhead.data.landmarks import PORTRAITS, landmark_places
from talkhead.errors import TalkheadError, disk_explained
from talkhead.faces.finder import FaceFinder
from talkhead.faces.tracker import FaceTracker
from talkhead.io.arrays import read_arrays
from talkhead.io.atomic import atomic_path
from talkhead.io.image import read_image
from talkhead.progress import Progress
from talkhead.structs import Face
from talkhead.topology import MESH_POINTS
from talkhead.video import VideoReader
from talkhead.video.pictures import content_stamp

log = logging.getLogger(__name__)


def clip_landmarks(clip: Path, finder: FaceFinder) -> np.ndarray:
    """Points float32 (frames, 478, 3) of the face in a clip, NaN where nobody is seen.

    In pixels of its frames. Raises TalkheadError for a clip that cannot be read.
    """
    tracker = FaceTracker(finder, refine=True)
    with VideoReader(clip) as reader:
        return _rows(tracker.update(frame.rgb) for frame in reader)


def picture_landmarks(pictures: Sequence[Path], finder: FaceFinder) -> np.ndarray:
    """The same of the largest face of every picture, (pictures, 478, 3)."""
    return _rows(next(iter(finder.find(read_image(path))), None) for path in pictures)


def _rows(faces: Iterable[Face | None]) -> np.ndarray:
    nobody = np.full((MESH_POINTS, 3), np.nan, np.float32)
    rows = [nobody if face is None else face.points for face in faces]
    return np.array(rows, np.float32).reshape(-1, MESH_POINTS, 3)


def landmarks_beside(data: Path) -> Path:
    """Where the landmarks of a folder of clips are kept: in a folder beside it."""
    data = data.resolve()
    return data.with_name(f"{data.name}-landmarks")


def make_landmarks(
    clips: Sequence[Path],
    folder: Path,
    pictures: Sequence[Path] = (),
    device: str = "cpu",
    progress: Progress | None = None,
) -> None:
    """Write the landmark files of clips, and one of pictures, that `folder` lacks.

    They lie where `find_landmarks` and training look for them. A file that was made here is made
    again when its clip has changed. Clips that cannot be read are left out: who reads them next
    says why.

    Raises TalkheadError when two clips would share a file, and when the folder cannot be written.
    """
    files = {clip: landmark_file(folder, clip) for clip in clips}
    by_file = {file: clip for clip, file in files.items()}
    for clip, file in files.items():
        if by_file[file] != clip:
            raise TalkheadError(
                f"{clip} and {by_file[file]} would have the same landmark file {file}; rename one "
                "of their folders, or give --landmarks a folder of your own"
            )
    finder = FaceFinder(device)
    for number, (clip, file) in enumerate(files.items(), start=1):
        stamp = content_stamp([clip])
        if not _is_made(file, stamp):
            try:
                points = clip_landmarks(clip, finder)
            except TalkheadError as error:
                log.info("no landmarks of %s: %s", clip, error)
                continue
            _write(file, points=points, made_of=stamp)
        if progress:
            progress("finding landmarks", number, len(files))
    together, stamp = folder / PORTRAITS, content_stamp(pictures)
    if pictures and not _is_made(together, stamp):
        names = [path.stem for path in pictures]
        _write(together, points=picture_landmarks(pictures, finder), names=names, made_of=stamp)


def landmark_file(folder: Path, clip: Path) -> Path:
    """The first place at which `find_landmarks` looks for a clip's file."""
    return landmark_places(folder, clip)[0] / f"{clip_name(clip)}.npz"


def _is_made(file: Path, stamp: str) -> bool:
    """Whether there is a file of the content of this stamp, or one that somebody else made."""
    try:
        return str(read_arrays(file, ("made_of",)).get("made_of", stamp)) == stamp
    except TalkheadError:
        return False


def _write(file: Path, points: np.ndarray, made_of: str, names: Sequence[str] = ()) -> None:
    arrays: dict[str, Any] = {"points": points, "made_of": np.array(made_of)}
    if names:
        arrays["names"] = np.array(names)
    advice = "give --landmarks a folder with landmark files"
    with disk_explained(f"cannot write landmarks to {file}", advice):
        file.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(file) as partial:
            np.savez(partial, **arrays)
