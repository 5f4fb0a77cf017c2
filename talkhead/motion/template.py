"""Motion templates: a driver's keypoints and times in a file."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from talkhead.errors import TalkheadError
from talkhead.io.tensors import save_tensors
from talkhead.structs import Keypoints

_FORMAT = "talkhead-motion"
_VERSION = "1"
MOTION_SUFFIX = ".safetensors"


@dataclass(frozen=True, eq=False)
class MotionTemplate:
    """A driving video's motion, enough to animate without its pictures.

    keypoints: one row per frame. pts: presentation times in units of `time_base` (seconds).
    weights:   SHA-256 of the weights that found the keypoints. origin: the driving video's name.
    """

    keypoints: Keypoints
    pts: tuple[int, ...]
    time_base: Fraction
    weights: str
    origin: str = ""

    def digest(self) -> str:
        """SHA-256 of what is drawn from it: keypoints and times."""
        found = hashlib.sha256(str(self.time_base).encode())
        for tensor in _tensors(self).values():
            found.update(tensor.numpy().tobytes())
        return found.hexdigest()


def save_motion(path: str | Path, motion: MotionTemplate) -> None:
    """Write a motion cache (safetensors); it appears whole or not at all."""
    path = Path(path)
    facts = {
        "time_base": str(motion.time_base),
        "weights": motion.weights,
        "origin": motion.origin,
    }
    metadata = {"format": _FORMAT, "version": _VERSION, "motion": json.dumps(facts)}
    try:
        save_tensors(path, _tensors(motion), metadata)
    except (OSError, SafetensorError) as error:
        raise TalkheadError(
            f"cannot write {path} ({error}); check that the folder exists and has room"
        ) from error


def _tensors(motion: MotionTemplate) -> dict[str, Tensor]:
    """What a motion file holds, by name, on the CPU."""
    tensors = {
        "value": motion.keypoints.value,
        "pts": torch.tensor(motion.pts, dtype=torch.int64),
    }
    if motion.keypoints.jacobian is not None:
        tensors["jacobian"] = motion.keypoints.jacobian
    return {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}


def read_driving(path: Path) -> Path | MotionTemplate:
    """What a path to drive with stands for: a motion file is read, all else stays a path."""
    return load_motion(path) if path.suffix.lower() == MOTION_SUFFIX else path


def load_motion(path: str | Path) -> MotionTemplate:
    """Read a motion cache. Raises TalkheadError when it is none, damaged or of another version."""
    path = Path(path)
    if not path.is_file():
        raise TalkheadError(f"there is no motion file {path}; make one with --motion-out")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise TalkheadError(
            f"{path} is not a motion file or is damaged ({error}); make it again with --motion-out"
        ) from error
    if metadata.get("format") != _FORMAT:
        raise TalkheadError(f"{path} holds no motion; give a file made with --motion-out")
    if metadata.get("version") != _VERSION:
        raise TalkheadError(
            f"{path} is of motion version {metadata.get('version')}, this program reads version "
            f"{_VERSION}; make it again with --motion-out"
        )
    try:
        return _build_motion(tensors, json.loads(metadata["motion"]))
    except (KeyError, ValueError, TypeError, ZeroDivisionError) as error:
        raise TalkheadError(
            f"{path} contradicts itself ({error}); make it again with --motion-out"
        ) from error


def _build_motion(tensors: dict[str, Tensor], facts: dict[str, str]) -> MotionTemplate:
    """Put the parts together. Raises ValueError or KeyError where they do not fit."""
    value, jacobian, pts = tensors["value"], tensors.get("jacobian"), tensors["pts"]
    frames = len(pts)
    if frames == 0 or value.ndim != 3 or value.shape[::2] != (frames, 2):
        raise ValueError(f"keypoints {tuple(value.shape)} for {frames} frames")
    if jacobian is not None and jacobian.shape != (*value.shape, 2):
        raise ValueError(f"jacobians {tuple(jacobian.shape)} for keypoints {tuple(value.shape)}")
    return MotionTemplate(
        Keypoints(value, jacobian),
        tuple(pts.tolist()),
        Fraction(facts["time_base"]),
        facts["weights"],
        facts["origin"],
    )
