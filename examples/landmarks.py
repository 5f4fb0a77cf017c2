"""Find the 478 landmarks of the face in every frame of clips, for training and for evaluation.

    python -m venv mp && mp/bin/pip install mediapipe==0.10.21     # an environment of its own
    mp/bin/python examples/landmarks.py CLIPS -o LANDMARKS

CLIPS is searched for videos and folders of pictures; CLIPS/a/b.mp4 becomes LANDMARKS/a/b.npz with
`points` float32 (frames, 478, 3): x and y in pixels (the first pixel's centre is 0.5), NaN where no
face was found. Where pictures are called by numbers, `frames` says which frame each row belongs to.
Landmarks of clips go to `talkhead train --landmarks` and `talkhead evaluate --landmarks`, those of
results (`talkhead evaluate --frames-out`) to `talkhead evaluate --result-landmarks`.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

try:
    import cv2
    from mediapipe.python.solutions.face_mesh import FaceMesh
except ImportError:
    sys.exit("MediaPipe's face mesh is missing: pip install mediapipe==0.10.21 (later have none)")

PICTURES, VIDEOS = {".png", ".jpg", ".jpeg"}, {".mp4", ".mov", ".mkv", ".webm", ".avi"}


def pictures(clip: Path) -> list[Path]:
    return sorted(file for file in clip.iterdir() if file.suffix.lower() in PICTURES)


def read(clip: Path):
    """Frames as BGR, in order."""
    if clip.is_dir():
        yield from (cv2.imread(str(file)) for file in pictures(clip))
        return
    video = cv2.VideoCapture(str(clip))
    while (frame := video.read()[1]) is not None:
        yield frame


def landmarks(clip: Path) -> dict[str, np.ndarray]:
    """A tracker of its own for every clip, so that no clip depends on the one before."""
    rows = []
    with FaceMesh(refine_landmarks=True, max_num_faces=1) as mesh:
        for frame in read(clip):
            faces = mesh.process(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)).multi_face_landmarks
            face = [(p.x, p.y, p.z) for p in faces[0].landmark] if faces else [(np.nan,) * 3] * 478
            height, width = frame.shape[:2]
            rows.append(np.array(face, np.float32) * (width, height, width))
    found = {"points": np.array(rows, np.float32)}
    names = [file.stem for file in pictures(clip)] if clip.is_dir() else []
    if names and all(name.isdecimal() for name in names):
        found["frames"] = np.array(names, int)
    return found


parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("clips", type=Path)
parser.add_argument("-o", "--output", type=Path, required=True)
options = parser.parse_args()
for clip in sorted(options.clips.rglob("*")):
    if pictures(clip) if clip.is_dir() else clip.suffix.lower() in VIDEOS:
        inside = clip.relative_to(options.clips)
        name = clip.stem if clip.suffix.lower() in VIDEOS else clip.name
        file = (options.output / inside).with_name(f"{name}.npz")
        file.parent.mkdir(parents=True, exist_ok=True)
        np.savez(file, **landmarks(clip))
        print(f"{file}: {len(np.load(file)['points'])} frames")
