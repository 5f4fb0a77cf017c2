"""Motion templates: a driver's keypoints and times in a file."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict, dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Annotated

import torch
from safetensors import SafetensorError
from torch import Tensor

from talkhead.errors import TalkheadError, shown
from talkhead.io.tensors import read_tensors, save_tensors
from talkhead.schema import Range, read_dataclass, read_json
from talkhead.structs import Keypoints
from talkhead.topology import MESH_POINTS

_FORMAT = "talkhead-motion"
_VERSION = "1"
MOTION_SUFFIX = ".safetensors"
MOST_TICKS = 2**31 - 1  # of either part of a time base: what containers have room for
LONGEST = 7 * 24 * 3600  # seconds from 0 that a time may lie


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

    def check_like(self, keypoints: Keypoints) -> None:
        """Raise TalkheadError unless it has the parts and the number of these keypoints (B, K)."""
        own, other = self.keypoints, keypoints
        turned = (own.jacobian is None) == (other.jacobian is None)
        if own.value.shape[1:] != other.value.shape[1:] or not turned:
            raise TalkheadError(
                f"this motion has {own.value.shape[1]} keypoints "
                f"{'without' if own.jacobian is None else 'with'} jacobians, which these weights "
                "do not have; record it again with --motion-out"
            )

    def digest(self) -> str:
        """SHA-256 of what is drawn from it: keypoints and times."""
        found = hashlib.sha256(str(self.time_base).encode())
        for tensor in _tensors(self).values():
            found.update(tensor.numpy().tobytes())
        return found.hexdigest()


def save_motion(path: str | Path, motion: MotionTemplate, overwrite: bool = True) -> None:
    """Write a motion cache (safetensors); it appears whole or not at all.

    Raises TalkheadError for errors of the disk and, without `overwrite`, where `path` exists.
    """
    path = Path(path)
    facts = asdict(Facts(str(motion.time_base), motion.weights, motion.origin))
    metadata = {"format": _FORMAT, "version": _VERSION, "motion": json.dumps(facts)}
    try:
        save_tensors(path, _tensors(motion), metadata, overwrite)
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
    if motion.keypoints.mesh is not None:
        tensors["mesh"] = motion.keypoints.mesh
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
        stored = read_tensors(path)
    except TalkheadError as error:
        raise TalkheadError(
            f"{path} is not a motion file or is damaged ({error}); make it again with --motion-out"
        ) from error
    metadata = stored.metadata
    if metadata.get("format") != _FORMAT:
        raise TalkheadError(f"{path} holds no motion; give a file made with --motion-out")
    if metadata.get("version") != _VERSION:
        raise TalkheadError(
            f"{path} is of motion version {shown(metadata.get('version'))}, this program reads "
            f"version {_VERSION}; make it again with --motion-out"
        )
    try:
        facts = read_dataclass(Facts, read_json(metadata.get("motion", "")))
        return _build_motion(stored.tensors, facts)
    except TalkheadError as error:
        raise TalkheadError(
            f"{path} contradicts itself ({error}); make it again with --motion-out"
        ) from error


@dataclass(frozen=True)
class Facts:
    """What a motion file says beside its tensors."""

    time_base: Annotated[str, Range(1, 40)]
    weights: Annotated[str, Range(64, 64)]
    origin: Annotated[str, Range(0, 4096)] = ""


def _build_motion(tensors: dict[str, Tensor], facts: Facts) -> MotionTemplate:
    """Put the parts together. Raises TalkheadError where they do not fit."""
    kinds = dict.fromkeys(("value", "jacobian", "mesh"), torch.float32) | {"pts": torch.int64}
    for name, kind in kinds.items():
        if name in tensors and tensors[name].dtype != kind:
            raise TalkheadError(f"{name} holds {tensors[name].dtype}, not {kind}")
    if missing := {"value", "pts"} - tensors.keys():
        raise TalkheadError(f"{min(missing)} is missing")
    value, jacobian, pts = tensors["value"], tensors.get("jacobian"), tensors["pts"]
    if pts.ndim != 1 or not len(pts) or value.ndim != 3 or value.shape[::2] != (len(pts), 2):
        raise TalkheadError(f"keypoints {tuple(value.shape)} for times {tuple(pts.shape)}")
    if jacobian is not None and jacobian.shape != (*value.shape, 2):
        raise TalkheadError(f"jacobians {tuple(jacobian.shape)} for keypoints {tuple(value.shape)}")
    mesh = tensors.get("mesh")
    if mesh is not None and mesh.shape != (len(pts), MESH_POINTS, 3):
        raise TalkheadError(f"meshes {tuple(mesh.shape)} for times {tuple(pts.shape)}")
    for name, tensor in (("keypoints", value), ("jacobians", jacobian), ("meshes", mesh)):
        if tensor is not None and not bool(torch.isfinite(tensor).all()):
            raise TalkheadError(f"{name} that are not finite")
    times, time_base = pts.tolist(), _read_time_base(facts.time_base)
    for before, after in pairwise(times):
        if after <= before:
            raise TalkheadError(f"time {after} after {before}")
    if max(abs(times[0]), abs(times[-1])) * time_base > LONGEST:
        raise TalkheadError(f"it lasts beyond {LONGEST // 3600} hours")
    keypoints = Keypoints(value, jacobian, mesh)
    return MotionTemplate(keypoints, tuple(times), time_base, facts.weights, facts.origin)


def _read_time_base(text: str) -> Fraction:
    """A length of time in seconds, as containers can state it."""
    found = re.fullmatch(r"(\d{1,10})(?:/(\d{1,10}))?", text, re.ASCII)
    above, below = (int(found[1]), int(found[2] or 1)) if found else (0, 0)
    if not (0 < above <= MOST_TICKS and 0 < below <= MOST_TICKS):
        raise TalkheadError(f"time base {shown(text)}")
    return Fraction(above, below)
