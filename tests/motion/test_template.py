"""A driver's motion survives a file; what is no motion file is refused."""

import json
from dataclasses import replace
from fractions import Fraction

import pytest
import torch
from safetensors.torch import save_file

from talkhead.errors import TalkheadError
from talkhead.motion.template import MotionTemplate, load_motion, save_motion
from talkhead.structs import Keypoints

DRIVING = Keypoints(
    torch.linspace(-0.5, 0.5, 120).view(6, 10, 2), torch.eye(2).expand(6, 10, 2, 2).contiguous()
)
MOTION = MotionTemplate(
    DRIVING, (0, 512, 1100, 1536, 2048, 2600), Fraction(1, 12800), "ab" * 32, "d.mp4"
)


@pytest.mark.parametrize("jacobian", [True, False])
def test_motion_survives_a_file(tmp_path, jacobian):
    keypoints = DRIVING if jacobian else Keypoints(DRIVING.value)
    save_motion(tmp_path / "m.safetensors", replace(MOTION, keypoints=keypoints))
    loaded = load_motion(tmp_path / "m.safetensors")
    assert torch.equal(loaded.keypoints.value, DRIVING.value)
    assert (loaded.keypoints.jacobian is not None) == jacobian
    assert replace(loaded, keypoints=DRIVING).__dict__ == MOTION.__dict__
    assert len(list(tmp_path.iterdir())) == 1


def test_what_is_not_a_motion_file_is_refused(tmp_path):
    path = tmp_path / "m.safetensors"
    with pytest.raises(TalkheadError, match="--motion-out"):
        load_motion(path)
    path.write_bytes(b"no such thing")
    with pytest.raises(TalkheadError, match="damaged"):
        load_motion(path)
    save_file({"value": torch.zeros(1)}, path)
    with pytest.raises(TalkheadError, match="holds no motion"):
        load_motion(path)
    save_file({"value": torch.zeros(1)}, path, {"format": "talkhead-motion", "version": "9"})
    with pytest.raises(TalkheadError, match=r"version .9"):
        load_motion(path)


def test_a_motion_file_that_contradicts_itself_is_refused(tmp_path):
    path = tmp_path / "m.safetensors"
    for wrong in (
        replace(MOTION, pts=MOTION.pts[:-1]),
        replace(MOTION, keypoints=Keypoints(DRIVING.value[:, 0, 0])),
        replace(MOTION, keypoints=Keypoints(DRIVING.value, DRIVING.jacobian[:, :4])),
    ):
        save_motion(path, wrong)
        with pytest.raises(TalkheadError, match="contradicts itself"):
            load_motion(path)
    head = {"format": "talkhead-motion", "version": "1", "motion": json.dumps({})}
    save_file({"value": torch.zeros(1, 3, 2), "pts": torch.zeros(1)}, path, head)
    with pytest.raises(TalkheadError, match="contradicts itself"):
        load_motion(path)
