"""Motion and landmark files that were damaged or made to harm: one sentence each."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hostile import DEEP, sentence
from safetensors.torch import save as pack_tensors

from talkhead.data.landmarks import read_landmarks
from talkhead.errors import TalkheadError
from talkhead.motion.template import MotionTemplate, load_motion, save_motion
from talkhead.structs import Keypoints

KEYPOINTS = Keypoints(torch.zeros(3, 4, 2), torch.eye(2).expand(3, 4, 2, 2).contiguous())


MOTION = MotionTemplate(KEYPOINTS, (0, 512, 1024), Fraction(1, 12800), "ab" * 32, "d.mp4")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"pts": (0, 512, 512)}, "time 512 after 512"),
        ({"pts": (0, 512, 100)}, "time 100 after 512"),
        ({"pts": (0, 512, 2**62)}, "beyond 168 hours"),
        ({"time_base": Fraction(0)}, "time base '0'"),
        ({"time_base": Fraction(-1, 25)}, "time base '-1/25'"),
        ({"time_base": Fraction(10**9)}, "beyond 168 hours"),
        ({"time_base": Fraction(1, 10**12)}, "time base"),
        ({"keypoints": Keypoints(torch.full((3, 4, 2), torch.nan))}, "not finite"),
        ({"keypoints": Keypoints(torch.zeros(3, 4, 2).double())}, "float64"),
        ({"keypoints": Keypoints(torch.zeros(3, 4, 3))}, r"keypoints \(3, 4, 3\)"),
        ({"weights": "ab"}, "weights is 'ab'"),
    ],
)
def test_motion_that_no_video_has_is_refused(
    changes: dict[str, Any], words: str, tmp_path: Path
) -> None:
    path = tmp_path / "m.safetensors"
    save_motion(path, replace(MOTION, **changes))
    assert "contradicts itself" in sentence(lambda: load_motion(path))
    with pytest.raises(TalkheadError, match=words):
        load_motion(path)


@pytest.mark.parametrize("facts", [DEEP, "[]", "null", '{"time_base": "1/x"}', '{"time_base": 3}'])
def test_motion_whose_facts_are_none_is_refused(facts: str, tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    tensors = {"value": KEYPOINTS.value, "pts": torch.arange(3)}
    head = {"format": "talkhead-motion", "version": "1", "motion": facts}
    path.write_bytes(pack_tensors(tensors, head))
    assert "contradicts itself" in sentence(lambda: load_motion(path))


def test_motion_with_another_count_of_keypoints_is_refused() -> None:
    MOTION.check_like(KEYPOINTS)
    flat, more = Keypoints(KEYPOINTS.value), Keypoints(torch.zeros(1, 5, 2), torch.eye(2))
    assert "4 keypoints with jacobians" in sentence(lambda: MOTION.check_like(flat))
    assert "4 keypoints with jacobians" in sentence(lambda: MOTION.check_like(more))


def npz(path: Path, arrays: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, body in arrays.items():
            archive.writestr(f"{name}.npy", body)
    return path


def packed(array: np.ndarray) -> bytes:
    body = io.BytesIO()
    np.save(body, array)
    return body.getvalue()


def claim(shape: tuple[int, ...]) -> bytes:
    body = io.BytesIO()
    head = {"descr": "<f4", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(body, head)
    return body.getvalue() + bytes(8)


POINTS = packed(np.ones((3, 68, 2), np.float32))


def damage(data: bytes) -> bytes:
    """The compressed part is broken, not what the archive says of it."""
    start = data.index(b"points.npy") + 14
    return data[:start] + b"\xff" * 8 + data[start + 8 :]


def encrypt(data: bytes) -> bytes:
    """The flag of encryption, in both headers of the part."""
    changed = bytearray(data)
    changed[data.index(b"PK\x03\x04") + 6] |= 1
    changed[data.index(b"PK\x01\x02") + 8] |= 1
    return bytes(changed)


def repack(data: bytes) -> bytes:
    """A method of packing that nobody knows."""
    changed = bytearray(data)
    changed[data.index(b"PK\x03\x04") + 8] = 99
    changed[data.index(b"PK\x01\x02") + 10] = 99
    return bytes(changed)


@pytest.mark.parametrize("change", [damage, encrypt, repack, lambda data: data[:60], lambda _: b""])
def test_landmark_archives_that_are_broken_are_one_sentence(
    change: Callable[[bytes], bytes], tmp_path: Path
) -> None:
    path = npz(tmp_path / "a.npz", {"points": POINTS})
    path.write_bytes(change(path.read_bytes()))
    assert "a.npz holds no landmarks" in sentence(lambda: read_landmarks(path))


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"points": claim((2**40, 68, 2))}, "not the length that it promises"),
        ({"points": claim((-1, 68, 2))}, "damaged"),
        ({"points": POINTS[:-4]}, "not the length that it promises"),
        ({"points": b"\x93NUMPY\x01\x00\x05\x00{'a': "}, "damaged header"),
        ({"points": packed(np.array([None], object))}, "neither numbers nor texts"),
        ({"points": packed(np.zeros((3, 68, 2), np.complex64))}, "neither numbers nor texts"),
        ({"points": packed(np.full((3, 68, 2), np.inf))}, "at infinity"),
        ({"points": packed(np.full((3, 68, 2), 1e300))}, "at infinity"),
        ({"points": POINTS, "frames": packed(np.array([1, 1, 2]))}, "twice"),
        ({"points": POINTS, "frames": packed(np.array([-1, 1, 2]))}, "below 0"),
        ({"points": POINTS, "frames": packed(np.array([0.5, 1, 2]))}, "holds float64"),
        ({"points": POINTS, "names": packed(np.array(["anna"]))}, "another count"),
    ],
)
def test_landmarks_of_odd_arrays_are_one_sentence(
    arrays: dict[str, bytes], words: str, tmp_path: Path
) -> None:
    path = npz(tmp_path / "a.npz", arrays)
    assert "a.npz" in sentence(lambda: read_landmarks(path))
    with pytest.raises(TalkheadError, match=words):
        read_landmarks(path)
