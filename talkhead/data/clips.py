"""Find clips and identities: the VoxCeleb layout, or any folder of clips."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from talkhead.choices import USUAL_RATE
from talkhead.data.landmarks import find_landmarks, in_square, read_landmarks
from talkhead.data.manifest import read_manifest
from talkhead.data.meshes import Meshes, StoredMeshes
from talkhead.errors import TalkheadError
from talkhead.io.arrays import read_arrays
from talkhead.io.window import Place
from talkhead.topology import MESH_POINTS
from talkhead.video import VideoInfo, probe
from talkhead.video.media import VIDEO_SUFFIXES
from talkhead.video.pictures import PICTURE_SUFFIXES

log = logging.getLogger(__name__)

MIN_FRAMES = 2  # a pair
NAMED = 5  # broken files that a message names; the report has all
HELD_OUT = 20  # without test clips one identity in so many is held out for validation


@dataclass(frozen=True)
class Known:
    """What a manifest says of a clip, so that nobody needs to open it.

    frames: their number. fps: their steady rate. size: side of its pictures.
    place, landmarks: where both are.
    """

    frames: int
    fps: float
    size: int
    place: Place
    landmarks: Place


@dataclass(frozen=True)
class Clip:
    """A video file or a folder of frames, and whose face it shows."""

    path: Path
    identity: str
    known: Known | None = None

    @property
    def name(self) -> str:
        """Its name without ending; that of its landmark file, too."""
        return clip_name(self.path)


@dataclass(frozen=True)
class Split:
    """Clips to learn from and clips of other people to be judged on."""

    train: tuple[Clip, ...]
    test: tuple[Clip, ...]


def find_clips(
    roots: Sequence[Path], exclude: Collection[str] = (), hold_out: Collection[str] = ()
) -> Split:
    """All clips below the roots.

    A prepared set holds the clips of its manifest, none of which is opened. A root with `train/`
    (and `test/`) is split as it says; elsewhere, and where no root has test clips, every twentieth
    identity is kept for testing. With `hold_out` these identities are, and no test/ counts. Clips
    of identities in `exclude` are left out.

    Raises TalkheadError for a missing root, a folder of still pictures, or when nothing is left.
    """
    train: list[Clip] = []
    test: list[Clip] = []
    for root in roots:
        if not root.is_dir():
            what = "is a file" if root.is_file() else "does not exist"
            raise TalkheadError(f"{root} {what}; --data takes a folder of clips")
        if (listed := _listed(root)) is not None:
            train += listed
            continue
        if (root / "test").is_dir() and not (root / "train").is_dir():
            raise TalkheadError(f"{root} has test/ but no train/; --data takes what to learn from")
        train += clips_below(root / "train" if (root / "train").is_dir() else root)
        if (root / "train").is_dir() and (root / "test").is_dir():
            test += clips_below(root / "test")
    train = [clip for clip in train if clip.identity not in exclude]
    if not train:
        raise TalkheadError(
            f"no clips in {', '.join(map(str, roots))}; expected videos "
            f"({', '.join(sorted(VIDEO_SUFFIXES))}) or folders of frames, in train/ and test/ or "
            "directly"
        )
    names = sorted({clip.identity for clip in train})
    unknown = set(hold_out) - set(names)
    if unknown:
        raise TalkheadError(f"--hold-out {sorted(unknown)[0]}: there is no such identity")
    known = sorted({clip.identity for clip in test} & set(names))
    if known and not hold_out:
        log.warning(
            "%d identities are in train and in test, such as %s: scores are of people who were "
            "learned from",
            len(known),
            known[0],
        )
    if not hold_out and not test:
        hold_out = names[HELD_OUT // 2 :: HELD_OUT]
    if hold_out:
        test = [clip for clip in train if clip.identity in hold_out]
        train = [clip for clip in train if clip.identity not in hold_out]
    if not train:
        raise TalkheadError("every identity is held out for validation; hold out fewer")
    return Split(tuple(train), tuple(test))


def _listed(root: Path) -> list[Clip] | None:
    """The clips of a manifest; None where there is none."""
    entries = read_manifest(root)
    if entries is None:
        return None
    return [
        Clip(
            root / entry.clip,
            entry.identity,
            Known(entry.frames, entry.fps, entry.size, *entry.places(root)),
        )
        for entry in entries
    ]


def find_test_clips(data: Path) -> list[Clip]:
    """Clips to be judged on: all below the folder, or below its `test` where there is one.

    Raises TalkheadError when there is no such folder or no clip in it.
    """
    if not data.is_dir():
        raise TalkheadError(f"there is no folder {data}; give --data a folder of clips")
    folder = test_folder(data)
    if folder == data and (data / "train").is_dir():
        raise TalkheadError(
            f"{data} has train/ but no test/; to be judged on what was learned from, give --data "
            f"{data / 'train'}"
        )
    listed = _listed(folder)
    clips = clips_below(folder) if listed is None else listed
    if not clips:
        raise TalkheadError(
            f"{folder} holds no clips; expected videos ({' '.join(sorted(VIDEO_SUFFIXES))}) or "
            "folders of pictures"
        )
    first = clips[0]
    if first.known and first.known.place.path != first.path and not first.path.exists():
        raise TalkheadError(
            f"the clips of {folder} lie in tar files, which training alone reads; give --data the "
            "prepared set itself"
        )
    return clips


def test_folder(data: Path) -> Path:
    """`data/test` where it exists, else the folder itself."""
    return data / "test" if (data / "test").is_dir() else data


def clips_below(base: Path) -> list[Clip]:
    """Videos and folders of frames below a folder, in the order of their paths.

    A folder of frames may be called `NAME.mp4`, as VoxCeleb's are.
    """
    if not any(base.iterdir()):
        return []
    found = sorted(_walk(base, base), key=lambda clip: clip.path)
    if not found and any(file.suffix.lower() in PICTURE_SUFFIXES for file in base.iterdir()):
        raise TalkheadError(
            f"{base} holds still pictures; expected are clips of moving faces (videos, or one "
            "folder of frames per clip)"
        )
    return found


def _walk(folder: Path, base: Path) -> Iterator[Clip]:
    entries = [entry for entry in folder.iterdir() if not entry.name.startswith(".")]
    videos = [entry for entry in entries if entry.suffix.lower() in VIDEO_SUFFIXES]
    pictures = any(e.suffix.lower() in PICTURE_SUFFIXES for e in entries)
    if not entries:
        log.warning("%s is empty and left out", folder)
    if pictures and not videos and folder != base:
        yield Clip(folder, identity_of(folder, base))
        return
    for entry in entries:
        if entry.is_dir():
            yield from _walk(entry, base)
        elif entry in videos:
            yield Clip(entry, identity_of(entry, base))


def clip_name(path: Path) -> str:
    """The name without its ending; a dot inside of it is kept.

    >>> clip_name(Path("test/id10280#NXj#001.5#200.mp4"))
    'id10280#NXj#001.5#200'
    """
    return path.stem if path.suffix.lower() in VIDEO_SUFFIXES else path.name


def identity_of(path: Path, base: Path) -> str:
    """Whose clip it is, by where it lies and what it is called.

    `id10001#video#start#end` (VoxCeleb) says it before the first `#`; inside a sub-folder the
    folder is the person; else it is the name up to its first `-`.

    >>> identity_of(Path("vox/id10001#7w0#001#200.mp4"), Path("vox"))
    'id10001'
    >>> identity_of(Path("vox/anna/one.mp4"), Path("vox"))
    'anna'
    """
    name = clip_name(path)
    if "#" in name:
        return name.split("#")[0]
    parts = path.relative_to(base).parts
    return parts[0] if len(parts) > 1 else name.split("-")[0]


def stored_meshes(folder: Path, clip: Clip) -> Meshes | None:
    """The landmarks of a clip of a prepared set: in the folder, or else where its manifest says."""
    if clip.known is None:
        return None
    count, size = clip.known.frames, clip.known.size
    found = find_landmarks(folder, clip.path, clip.name) if folder.is_dir() else None
    if found is None:
        return StoredMeshes(clip.known.landmarks, count, size)
    if not read_arrays(found, ("frames",)):
        return StoredMeshes(Place(found), count, size)
    points = read_landmarks(found, (MESH_POINTS,)).of_all_frames(count)
    return 2 * in_square(points, size, size) - 1


def load_landmarks(folder: Path, clip: Clip, frames: int | None = None) -> np.ndarray | None:
    """Landmarks float32 (F, 478, 2 or 3) of a clip, None where there is no file for it.

    -1 and 1 are the *edges* of the centre square of its frames, which training sees; depth, where
    the file has it, is in the same unit from anywhere. Raises TalkheadError for a file of something
    else or of a number of frames other than the clip's.
    """
    stored = stored_meshes(folder, clip)
    if stored is not None:
        return stored[:]
    path = find_landmarks(folder, clip.path, clip.name)
    if path is None:
        return None
    points = read_landmarks(path, (MESH_POINTS,)).of_all_frames(frames or 0)
    if frames is not None and len(points) != frames:
        raise TalkheadError(f"{path} has landmarks of {len(points)} frames, the clip has {frames}")
    info = probe(clip.path)
    return 2 * in_square(points, info.width, info.height) - 1


def frame_count(info: VideoInfo) -> int:
    """About how many frames a clip has, by its header."""
    if info.frames:
        return info.frames
    return round((info.duration or 0.0) * float(info.rate or USUAL_RATE))


def warn_about(broken: dict[str, str]) -> None:
    """Say which files were skipped, a few of them by name."""
    if not broken:
        return
    some = "; ".join(named(path, why) for path, why in list(broken.items())[:NAMED])
    more = f"; and {len(broken) - NAMED} more" if len(broken) > NAMED else ""
    log.warning("skipped %d unusable clips (%s%s)", len(broken), some, more)


def named(path: str, why: str) -> str:
    """Most reasons name their file themselves."""
    return why if path in why else f"{path}: {why}"
